"""The embedded models over time: what the face model says of each face, corrected by a transformer over the others.

Special: both begin as the face model they stand on. Its logits, averaged over the frames near in time, are the answer
of a network that has learnt nothing, also where a face is missing; what is learnt is added. `offline` sees windows of
100 frames on both sides (the masked transformer of masked.py); `causal` sees the second that is past, and its state
goes in and out. See docs/papers/masked.md.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log, nan
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from sentio.affect import evaluate
from sentio.affect.backbones import Encoder
from sentio.affect.backbones.networks import face_features
from sentio.affect.batch import AffectBatch, AffectOutput
from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS, FRAME_RATE, TASKS
from sentio.affect.method import AffectMethod
from sentio.affect.models.face import Face, FaceConfig
from sentio.affect.models.masked import Focus, Masking, hide, task_heads, task_losses
from sentio.affect.protocol import thresholds
from sentio.affect.training.joined import CalibratedData
from sentio.affect.training.published import AffectData
from sentio.core.progress import Tell, silent

SIZES = list(TASKS.values())
LARGEST = 3.0
"""Bound of what tanh is taken of: the face model never says more than 0.995."""
UNSEEN = -1e9
"""Logarithm of the weight of what is not seen; finite, so that nothing at all may be seen."""


@dataclass(frozen=True)
class TemporalConfig:
    """Config of both.

    Args:
        face: Config of the face model under it.
        length: frames of the windows that it learns from, and that `offline` is used with.
        hop: frames from one window to the next in use, of `offline`.
        reach: frames that a frame of `causal` looks back in each layer.
        smoothing_s: time over which the face model's logits are averaged, at the start of the training.
        bridge_s: longest gap without a face that is answered for in use.
        trust: how much of the correction is added in use; all of it is in training.
    """

    face: FaceConfig = field(default_factory=FaceConfig)
    length: int = 100
    hop: int = 50
    reach: int = 30
    dim: int = 128
    layers: int = 3
    heads: int = 4
    hidden: int = 256
    dropout: float = 0.2
    smoothing_s: float = 0.1
    bridge_s: float = 2.0
    trust: float = 1.0
    masking: Masking = field(default_factory=Masking)
    focus: Focus = field(default_factory=Focus)

    def __post_init__(self) -> None:
        if self.dim % (2 * self.heads):
            raise ValueError(f"dim must be a multiple of twice the {self.heads} heads, found {self.dim}")


class Smoother(nn.Module):
    """Logits of frames averaged over others, with weights exp(-|dt| / tau), tau learnt for each part of them.

    Args:
        tau_s: what it begins as.
        sizes: numbers of each part, those of the tasks if not given.
    """

    def __init__(self, tau_s: float, sizes: Sequence[int] = SIZES) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.log_tau = nn.Parameter(torch.full((len(sizes),), log(tau_s)))

    def forward(self, logits: Tensor, dt: Tensor, seen: Tensor) -> Tensor:
        """(B, M, sum of sizes) -> (B, N, the same), 0 where nothing is seen.

        Args:
            dt: (B, N, M) seconds.
            seen: (B, N, M) bool.
        """
        parts = []
        for part, log_tau in zip(torch.split(logits, self.sizes, -1), self.log_tau, strict=True):
            weight = (-dt.abs() / log_tau.exp()).masked_fill(~seen, UNSEEN).softmax(-1) * seen  # (B, N, M)
            parts.append(weight @ part)  # (B, N, size)
        return torch.cat(parts, -1)


class OnFace(AffectMethod):
    """A method that stands on a face model, reads its features, and goes by its thresholds of action units.

    Those that validations choose rest on fewer people.
    """

    face: Face

    @property
    def encoder(self) -> Encoder:
        """The face network."""
        return self.face.encoder

    def evaluate(
        self, path: Path, section: dict[str, Any], *, data: dict[str, Any], tell: Tell = silent
    ) -> evaluate.Evaluation:
        """The official scores, by the face model's thresholds unless the section has others."""
        return super().evaluate(path, {"thresholds": self.face.thresholds.tolist()} | section, data=data, tell=tell)


class Temporal(OnFace):
    """A frozen face model, its logits smoothed, and the correction of heads that begin at zero."""

    Config = TemporalConfig
    Data = CalibratedData
    thresholds: Tensor
    log_share: Tensor

    def __init__(self, config: TemporalConfig) -> None:
        super().__init__(config)
        self.face = Face(config.face)
        self.smoother = Smoother(config.smoothing_s)
        self.heads = task_heads(config.dim, tuple(TASKS))
        for head in self.heads.values():
            nn.init.zeros_(cast(nn.Linear, head).weight)
            nn.init.zeros_(cast(nn.Linear, head).bias)
        self.register_buffer("thresholds", torch.tensor(thresholds.DEFAULT))
        self.register_buffer("log_share", torch.zeros(len(EXPRESSIONS)), persistent=False)

    @property
    def frozen(self) -> tuple[str, ...]:
        return ("face",)

    def open_data(self, path: Path, section: dict[str, Any]) -> AffectData:
        """As of all systems, with the label sets of a clip joined; see :class:`CalibratedData`.

        The classes' shares of the training clips are noted: their logarithms are added to the logits in the loss alone
        (logit adjustment, Menon et al., 2021), for how often a class is met in use is the face model's to say.
        """
        data = super().open_data(path, section)
        self.note_shares(data)
        return data

    def note_shares(self, data: AffectData) -> None:
        """Keep the logarithms of the classes' shares of the training clips, for the loss."""
        clips = [clip.expression for clip in data.split("train") if clip.expression is not None]
        labels = np.concatenate([*clips, np.zeros(0, np.int8)])
        counts = 1 + np.bincount(labels[labels >= 0], minlength=len(EXPRESSIONS))  # none is impossible
        self.log_share.copy_(torch.from_numpy(np.log(counts / counts.sum())))

    def example_batch(self) -> AffectBatch:
        return AffectBatch.example(2, self.config.length, L=self.config.length)

    @abstractmethod
    def raw(self, features: Tensor, visible: Tensor, time_s: Tensor, *, trust: float) -> Tensor:
        """(B, T, D), (B, T) bool, (B, T) seconds -> (B, T, 22): what tanh is taken of, and logits.

        Args:
            trust: factor of the correction.
        """

    @abstractmethod
    def answered(self, valid: Tensor) -> Tensor:
        """(B, T) faces there -> (B, T): something was seen that the answer can rest on."""

    def forward(self, batch: AffectBatch) -> AffectOutput:
        """(B, T, ...) for all frames of the windows; NaN where nothing was seen."""
        features = face_features(self.encoder, batch)
        found = self.raw(features, batch.face_valid, batch.time_s, trust=self.config.trust)
        unknown = ~self.answered(batch.face_valid)[..., None]
        affect, expression, units = (value.masked_fill(unknown, nan) for value in self.decide(found))
        return AffectOutput(valence_arousal=affect, expression=expression.log(), action_units=units.logit(1e-6))

    def loss(self, batch: AffectBatch, progress: float) -> dict[str, Tensor]:
        """Focal losses and 1 - mean CCC over all labels, of masked and missing frames too."""
        features, visible = hide(face_features(self.encoder, batch), batch.face_valid, self.config.masking)
        affect, expression, units = torch.split(self.raw(features, visible, batch.time_s, trust=1.0), SIZES, -1)
        shown = expression + self.log_share
        found = {"valence_arousal": affect.tanh(), "expression": shown, "action_units": units}
        return task_losses(found, batch, self.config.focus)

    def decide(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(..., 22) to valence and arousal, probabilities of classes and of action units, as the face model does."""
        affect, expression, units = torch.split(raw, SIZES, -1)
        return *self.face.weigh(affect.tanh(), expression), units.sigmoid()

    def face_logits(self, features: Tensor, visible: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, 22) of each face by itself, 0 where it is not visible."""
        found = self.face.heads(features)
        affect = self.face.affect(features).clamp(-LARGEST, LARGEST)
        expression = found["expression"] / self.face.temperature
        logits = torch.cat([affect, expression, found["action_units"][..., : len(ACTION_UNITS)]], -1)
        return logits * visible[..., None]

    def correction(self, x: Tensor) -> Tensor:
        """(B, T, dim) -> (B, T, 22)."""
        return torch.cat([head(x) for head in self.heads.values()], -1)

    def details(self, causal: bool) -> dict[str, Any]:
        """What the clock must know of the graph, and the face model's thresholds.

        Its own, which the validations choose, rest on fewer people.
        """
        chosen = [round(value, 4) for value in self.face.thresholds.tolist()]
        known = {"causal": causal, "features_of": "face", "rate": int(FRAME_RATE), "bridge_s": self.config.bridge_s}
        window = {} if causal else {"length": self.config.length, "hop": self.config.hop}
        return known | window | {"thresholds": chosen}
