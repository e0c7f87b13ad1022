"""The face model that comes with the package: all affect of one aligned face, learnt from rendered faces alone.

What is learnt first is how strongly the face moves (the studio knows each movement's strength), and valence and
arousal; half of the class is read off these by a small layer, so that it rests on movements and not on appearance
alone. See docs/face.md.
"""

from dataclasses import dataclass, field
from math import log, nan, pi
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sentio.affect.backbones.networks import FaceNetwork, face_features, make_network
from sentio.affect.batch import AffectBatch, AffectOutput
from sentio.affect.faces.alignment import SIZE
from sentio.affect.labels import ACTION_UNITS, ALL_UNITS, EXPRESSIONS, TASKS, VALENCE_AROUSAL
from sentio.affect.losses import ccc
from sentio.affect.protocol import thresholds
from sentio.affect.training import renders
from sentio.affect.training.distortion import distort
from sentio.affect.training.renders import INTENSITIES, MOVEMENTS, RenderBatch
from sentio.core import processes
from sentio.core.config import from_dict
from sentio.core.method import Graph, Method
from sentio.core.progress import Tell, silent
from sentio.core.registry import register
from sentio.core.report import Figures

LANDMARKS = 68
EYES = (slice(36, 42), slice(42, 48))
"""The landmarks of the eye on the left and of that on the right of the picture."""


@dataclass(frozen=True)
class FaceConfig:
    """Config of the embedded face model.

    Args:
        encoder: face network.
        gentle: share of the training in which distortions grow to their full strength.
        smoothing: of the class labels.
        weights: of the terms of the loss: movements, action units, valence and arousal, class.
        dropout: of the features.
        counts: how often classes are met in use, relative to those that are not named. The defaults were chosen on
            real pictures, see docs/face.md.
    """

    encoder: FaceNetwork = "aligned"
    gentle: float = 0.2
    smoothing: float = 0.1
    weights: tuple[float, float, float, float] = (4.0, 1.0, 1.0, 0.5)
    dropout: float = 0.2
    counts: dict[str, float] = field(
        default_factory=lambda: {"Neutral": 1.5, "Fear": 0.1, "Sadness": 0.8, "Other": 0.3}
    )

    def __post_init__(self) -> None:
        if unknown := set(self.counts) - set(EXPRESSIONS):
            raise ValueError(f"counts: {', '.join(sorted(unknown))} is none of {', '.join(EXPRESSIONS)}")
        if any(count <= 0 for count in self.counts.values()):
            raise ValueError("counts must be above zero")


@register("face", summary="All affect of one face, learnt from rendered faces; the model that comes with the package.")
class Face(Method):
    """Face network; heads for movements, action units, valence and arousal; the class."""

    Config = FaceConfig
    prior: Tensor
    temperature: Tensor
    thresholds: Tensor

    def __init__(self, config: FaceConfig) -> None:
        super().__init__(config)
        self.encoder = make_network(config.encoder)
        dim = self.encoder.info.dim
        self.dropout = nn.Dropout(config.dropout)
        self.movements = nn.Linear(dim, len(MOVEMENTS))
        self.units = nn.Linear(dim, len(ALL_UNITS))
        self.affect = nn.Linear(dim, len(VALENCE_AROUSAL))
        known = len(MOVEMENTS) + len(VALENCE_AROUSAL)
        self.rule = nn.Sequential(nn.Linear(known, 64), nn.ReLU(), nn.Linear(64, len(EXPRESSIONS)))
        self.landmarks = nn.Linear(dim, 2 * LANDMARKS)
        self.turn = nn.Linear(dim, 2)
        self.direct = nn.Linear(dim, len(EXPRESSIONS))
        prior = torch.zeros(len(EXPRESSIONS))
        for name, count in config.counts.items():
            prior[EXPRESSIONS.index(name)] = log(count)
        self.register_buffer("prior", prior, persistent=False)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("thresholds", torch.tensor(thresholds.DEFAULT))

    def open_data(self, path: Path, section: dict[str, Any]) -> renders.RenderedFaces:
        """The pictures of a folder that ``sentio synth`` filled."""
        return renders.RenderedFaces(path, from_dict(renders.RendersConfig, section, where="data"))

    def evaluate(self, path: Path, section: dict[str, Any], *, data: dict[str, Any], tell: Tell = silent) -> Figures:
        """The official scores on rendered pictures; see ``training.renders.RendersEvaluationConfig``."""
        config = from_dict(renders.RendersEvaluationConfig, section, where="evaluation of face")
        return renders.evaluate(self, path, config, self.thresholds.tolist())

    def example_batch(self) -> RenderBatch:
        batch, random = AffectBatch.example(4, size=SIZE), torch.Generator().manual_seed(1)
        labels = {name: cast(Tensor, getattr(batch, name))[:, 0] for name in TASKS}
        labels["movements"] = torch.rand(4, len(MOVEMENTS), generator=random)
        labels["landmarks"] = 2 * torch.rand(4, LANDMARKS, 2, generator=random) - 1
        labels["turn"] = 0.3 * torch.randn(4, 2, generator=random)
        return RenderBatch.of(cast(Tensor, batch.face)[:, 0], labels)

    def forward(self, batch: AffectBatch) -> AffectOutput:
        """All tasks for every frame, as :meth:`predict` gives them; NaN without a face."""
        stored = batch.face_feature is not None
        features = face_features(self.encoder, batch) if stored else self.encoder(cast(Tensor, batch.face))
        absent = ~batch.face_valid[..., None]
        affect, expression, units = (value.masked_fill(absent, nan) for value in self.predict(features))
        return AffectOutput(
            valence_arousal=affect, expression=expression.log(), action_units=units.logit(1e-6), features=features
        )

    def predict(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(..., D) to valence and arousal, probabilities of the classes, probabilities of the action units.

        The renders show every class equally often; in use they are as frequent as ``counts`` says, and Bayes' rule
        moves the classes. Since a neutral face has no valence or arousal to speak of, these shrink as Neutral gains.
        """
        found = self.heads(features)
        affect, expression = self.weigh(found["valence_arousal"], found["expression"] / self.temperature)
        return affect, expression, found["action_units"][..., : len(ACTION_UNITS)].sigmoid()

    def weigh(self, affect: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Valence and arousal (..., 2) and probabilities (..., 8) of classes as frequent as ``counts`` says.

        Args:
            affect: (..., 2) where all classes are equally frequent.
            logits: (..., 8), likewise.
        """
        expression = (logits + self.prior).softmax(-1)
        odds = logits[..., :1] - logits[..., 1:].logsumexp(-1, keepdim=True)  # logarithm, of Neutral
        shown = (functional.softplus(odds) - functional.softplus(odds + self.prior[0])).exp()  # of not being Neutral
        return affect * shown, expression

    def further(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(..., D) to what the batch's tasks do not ask for.

        Returns:
            probabilities of `FURTHER_UNITS` (..., 6); strengths of all 18 units (..., 18), 0 to 1; yaw, pitch and roll
            of the head in the crop (..., 3), degrees; landmarks (..., 68, 2), -1 at the left and upper edges of the
            crop, 1 at the others.
        """
        probability = self.units(features)[..., len(ACTION_UNITS) :].sigmoid()
        strength = self.movements(features)[..., INTENSITIES].clamp(0, 1)
        marks = self.landmarks(features).unflatten(-1, (LANDMARKS, 2))
        left, right = (marks[..., eye, :].mean(-2) for eye in EYES)  # (..., 2) each
        across = right - left
        roll = torch.atan2(across[..., 1:], across[..., :1])  # yaw and pitch do not lean the line of the eyes
        pose = torch.cat([self.turn(features), roll], -1) * (180 / pi)
        return probability, strength, pose, marks

    def heads(self, features: Tensor) -> dict[str, Tensor]:
        """(..., D) to movements (..., M), action_units (..., 18) logits, valence_arousal, expression logits."""
        movements, affect = self.movements(features), torch.tanh(self.affect(features))
        rule = self.rule(torch.cat([movements, affect], -1).detach())  # (..., M + 2) -> (..., 8)
        direct = self.direct(features)
        return {
            "movements": movements,
            "action_units": self.units(features),
            "valence_arousal": affect,
            "rule": rule,
            "direct": direct,
            "expression": (rule + direct) / 2,
        }

    def calibrate(self, predictions: dict[str, NDArray[np.float64]], labels: dict[str, NDArray[Any]]) -> None:
        """Set temperature and thresholds by the predictions of the validation pictures, and their labels.

        Args:
            predictions: see :func:`sentio.affect.training.renders.predict`.
            labels: see :class:`sentio.affect.training.renders.Renders`.
        """
        moved = torch.from_numpy(np.log(np.maximum(predictions["expression"], 1e-12))) - self.prior.cpu()
        logits = moved * self.temperature.item()
        self.temperature.fill_(best_temperature(logits, torch.from_numpy(labels["expression"])))
        chosen = thresholds.search(predictions["action_units"], labels["action_units"], split="validation")
        self.thresholds.copy_(torch.tensor(chosen))

    def graphs(self) -> list[Graph]:
        """All tasks for any number of faces."""
        size = cast(int, self.encoder.info.size)
        return [
            Graph(
                "face",
                "Valence, arousal, 8 expressions, 18 action units, pose and landmarks of an aligned face.",
                _Outputs(self),
                {"face": torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))},
                OUTPUTS,
                dict.fromkeys(("face", *OUTPUTS), ("faces",)),
                f"The 112 x 112 crop of sentio.affect.faces.align, resized by area to {size} x {size}; RGB in [0, 1].",
                {"thresholds": [round(value, 4) for value in self.thresholds.tolist()]},
            )
        ]

    def loss(self, batch: RenderBatch, progress: float) -> dict[str, Tensor]:
        """The terms of :meth:`terms` for faces distorted as ``progress`` allows."""
        strength = min(1.0, 0.2 + progress / self.config.gentle)
        seen, labels = self.view(batch, strength)
        seen = seen.contiguous(memory_format=torch.channels_last)  # a third quicker on CPUs
        return self.terms(self.encoder(seen[:, None])[:, 0], labels)

    def view(self, batch: RenderBatch, strength: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Distorted faces (B, 3, S, S), and the labels that they then have: what :meth:`terms` takes."""
        faces = cast(Tensor, batch.face)[:, 0]  # (B, 1, 3, H, W) -> (B, 3, H, W)
        faces, marks, mirrored = distort(faces, batch.landmarks, cast(int, self.encoder.info.size), strength)
        affect, units, expression = (
            cast(Tensor, getattr(batch, name))[:, 0] for name in ("valence_arousal", "action_units", "expression")
        )
        other_way = torch.where(mirrored[:, None], batch.turn.new_tensor([-1.0, 1.0]), batch.turn.new_ones(2))
        return faces, {
            "movements": batch.movements,
            "action_units": torch.cat([units, batch.further_units], -1),
            "valence_arousal": affect,
            "expression": expression,
            "landmarks": marks,
            "turn": batch.turn * other_way,
        }

    def terms(self, features: Tensor, labels: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of the loss of features (B, D).

        Squared errors of movements and turn, cross-entropies of action units and class, concordance and squared error
        of valence and arousal, distance of landmarks.
        """
        found = self.heads(self.dropout(features))
        shape = self.landmarks(features).float().view(-1, LANDMARKS, 2)  # (B, 68, 2)
        affect, place = processes.whole(found["valence_arousal"].float(), labels["valence_arousal"])
        label = labels["expression"]
        move, unit, pleasant, kind = self.config.weights
        direct = functional.cross_entropy(found["direct"].float(), label, label_smoothing=self.config.smoothing)
        units = functional.binary_cross_entropy_with_logits(found["action_units"].float(), labels["action_units"])
        error = functional.mse_loss(affect, place)
        return {
            "movements": move * functional.mse_loss(found["movements"].float(), labels["movements"]),
            "action_units": unit * units,
            "valence_arousal": pleasant * (1 - ccc(affect, place).mean() + error),
            "landmarks": functional.smooth_l1_loss(shape, labels["landmarks"], beta=0.05),
            "turn": functional.mse_loss(self.turn(features).float(), labels["turn"]),
            "rule": functional.cross_entropy(found["rule"].float(), label),
            "direct": kind * direct,
        }


OUTPUTS = (
    "valence_arousal", "expression", "action_units", "features", "further_units", "intensities", "pose", "landmarks",
)  # fmt: skip
"""Of the exported graph, in order; see :meth:`Face.predict` and :meth:`Face.further`."""


class _Outputs(nn.Module):
    """The whole model with a tuple of probabilities for output, as a tracer needs it."""

    def __init__(self, model: Face) -> None:
        super().__init__()
        self.model = model

    def forward(self, face: Tensor) -> tuple[Tensor, ...]:
        features = self.model.encoder(face[:, None])[:, 0]  # (N, D)
        return *self.model.predict(features), features, *self.model.further(features)


def best_temperature(logits: Tensor, label: Tensor) -> float:
    """What (N, 8) logits must be divided by for the least cross-entropy with (N,) labels (Guo et al., 2017, 4.2)."""
    candidates = torch.logspace(-1, 1, 201, dtype=torch.float64)
    losses = [functional.cross_entropy(logits / value, label) for value in candidates]
    return float(candidates[int(torch.stack(losses).argmin())])
