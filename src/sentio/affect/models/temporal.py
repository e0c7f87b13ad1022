"""The embedded models over time: what the face model says of each face, corrected by a transformer over the others.

Special: both begin as the face model they stand on. Its logits, averaged over the frames near in time, are the answer
of a network that has learnt nothing, also where a face is missing; what is learnt is added. `offline` sees windows of
100 frames on both sides (the masked transformer of masked.py); `causal` sees the second that is past, and its state
goes in and out. See docs/papers/masked.md.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from math import log, nan
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from sentio.affect import evaluate
from sentio.affect.backbones import Encoder
from sentio.affect.backbones.networks import face_features
from sentio.affect.backbones.transformer import Layer, rotate
from sentio.affect.batch import AffectBatch, AffectOutput
from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS, FRAME_RATE, TASKS
from sentio.affect.method import AffectMethod
from sentio.affect.models.face import Face, FaceConfig
from sentio.affect.models.masked import Focus, FrameTransformer, Masking, hide, positions, task_heads, task_losses
from sentio.affect.protocol import thresholds
from sentio.affect.training.joined import CalibratedData
from sentio.affect.training.published import AffectData
from sentio.core.errors import InputError
from sentio.core.method import Graph
from sentio.core.progress import Tell, silent
from sentio.core.registry import register

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


@register("offline", summary="All affect of a face over time, with past and future; bridges missing faces; embedded.")
class Offline(Temporal):
    """The masked transformer over windows of 100 frames; an answer for every frame, overlaps averaged."""

    def __init__(self, config: TemporalConfig) -> None:
        super().__init__(config)
        self.transformer = FrameTransformer(
            self.encoder.info.dim, config.dim, config.layers, config.heads, config.hidden, config.dropout, "visible"
        )

    def raw(self, features: Tensor, visible: Tensor, time_s: Tensor, *, trust: float) -> Tensor:
        dt = (time_s[:, :, None] - time_s[:, None]).float()  # (B, T, T)
        seen = visible[:, None].expand_as(dt)
        base: Tensor = self.smoother(self.face_logits(features, visible), dt, seen)
        return base + trust * self.correction(self.transformer(features, visible, positions(time_s)))

    def answered(self, valid: Tensor) -> Tensor:
        return valid.any(1, keepdim=True).expand_as(valid)

    def graphs(self) -> list[Graph]:
        """Windows of any length; see :class:`TemporalConfig` for how they lie."""
        T, random = self.config.length, torch.Generator().manual_seed(0)
        inputs = {
            "features": torch.randn(2, T, self.encoder.info.dim, generator=random),
            "valid": torch.rand(2, T, generator=random) > 0.3,
            "time_s": (torch.arange(T, dtype=torch.float64) / FRAME_RATE).expand(2, T),
        }
        return [
            Graph(
                "offline",
                "Valence, arousal, 8 expressions and 12 action units of every frame of a window, faces missing or not.",
                _Windows(self),
                inputs,
                tuple(TASKS),
                dict.fromkeys((*inputs, *TASKS), ("windows", "frames")),
                "Features of the face model, 30 frames a second; valid is false, features 0, where there is no face.",
                self.details(causal=False),
            )
        ]


@dataclass(frozen=True)
class CausalState:
    """What `causal` remembers of a stream: W frames, oldest first; all zero at the start.

    With a first dimension more, of B windows at once.
    """

    keys: Tensor
    """(layers, W, dim)."""
    values: Tensor
    """(layers, W, dim)."""
    logits: Tensor
    """(W, 22) of the face model."""
    valid: Tensor
    """(W,) bool."""
    time_s: Tensor
    """(W,) float64."""

    def tensors(self) -> tuple[Tensor, ...]:
        """In the order of the fields."""
        return tuple(getattr(self, item.name) for item in fields(self))


@register("causal", summary="All affect of a face over time, from the past alone, frame by frame; embedded.")
class Causal(Temporal):
    """A transformer whose frames see those of the last second, in every layer; time enters by rotation."""

    def __init__(self, config: TemporalConfig) -> None:
        super().__init__(config)
        self.inputs = nn.Linear(self.encoder.info.dim, config.dim)
        self.layers = nn.ModuleList(
            [Layer(config.dim, config.heads, config.hidden, config.dropout) for _ in range(config.layers)]
        )

    def raw(self, features: Tensor, visible: Tensor, time_s: Tensor, *, trust: float) -> Tensor:
        return self.advance(self.nothing(len(features), 0), features, visible, time_s.double(), trust)[0]

    def answered(self, valid: Tensor) -> Tensor:
        known: Tensor = valid.cumsum(1) > 0
        return known

    def start(self) -> CausalState:
        """The state before the first frame."""
        return CausalState(*(value[0] for value in self.nothing(1, self.config.reach).tensors()))

    @torch.no_grad()
    def step(
        self, state: CausalState, features: Tensor, valid: Tensor, time_s: Tensor
    ) -> tuple[tuple[Tensor, Tensor, Tensor], CausalState]:
        """Predict for the next N frames of a stream.

        Args:
            state: from :meth:`start` or the last call; it is not changed.
            features: (N, D) of the face model.
            valid: (N,) bool, the frames with a face.
            time_s: (N,) seconds, not falling.

        Returns:
            Valence and arousal (N, 2), probabilities of classes (N, 8) and action units (N, 12), and the next state.

        Raises:
            InputError: time goes backwards.
        """
        if (torch.cat([state.time_s[state.valid][-1:], time_s.double()]).diff() < 0).any():
            raise InputError("The frames of a stream must come in the order of their time stamps.")
        return self.continued(state, features, valid, time_s)

    def continued(
        self, state: CausalState, features: Tensor, valid: Tensor, time_s: Tensor
    ) -> tuple[tuple[Tensor, Tensor, Tensor], CausalState]:
        """:meth:`step` without its checks, as it is exported."""
        past = CausalState(*(value[None] for value in state.tensors()))
        raw, following = self.advance(past, features[None], valid[None], time_s.double()[None], self.config.trust)
        affect, expression, units = self.decide(raw[0])
        return (affect, expression, units), CausalState(*(value[0] for value in following.tensors()))

    def advance(
        self, past: CausalState, features: Tensor, valid: Tensor, time_s: Tensor, trust: float
    ) -> tuple[Tensor, CausalState]:
        """(B, N, 22) for N frames after W known ones, and what is known then."""
        features = features * valid[..., None]
        known = torch.cat([past.valid, valid], 1)  # (B, W + N)
        times = torch.cat([past.time_s, time_s], 1)  # (B, W + N)
        logits = torch.cat([past.logits, self.face_logits(features, valid)], 1)  # (B, W + N, 22)
        age = time_s[:, :, None] - times[:, None]  # (B, N, W + N)
        seen = self.within(known, age)
        itself = _order(known.shape[1], valid.shape[1], known.device) == 0
        place = ((times - time_s[:, :1]) * FRAME_RATE).float()[:, None]  # (B, 1, W + N)
        x = self.inputs(features) * valid[..., None]  # (B, N, dim)
        kept: list[tuple[Tensor, Tensor]] = []
        for number, layer in enumerate(cast(Sequence[Layer], self.layers)):
            queries, keys, values = layer.project(x).chunk(3, -1)
            keys = torch.cat([past.keys[:, number], keys], 1)  # (B, W + N, dim)
            values = torch.cat([past.values[:, number], values], 1)
            kept.append((keys, values))
            turned = rotate(layer.split(queries), place[..., past.valid.shape[1] :])
            x = layer.finish(x, turned, rotate(layer.split(keys), place), layer.split(values), seen | itself)
        raw = self.smoother(logits, age.float(), seen) + trust * self.correction(x)
        keys, values = (torch.stack(side, 1) for side in zip(*kept, strict=True))  # (B, layers, W + N, dim)
        last = self.config.reach
        following = CausalState(
            keys[:, :, -last:], values[:, :, -last:], logits[:, -last:], known[:, -last:], times[:, -last:]
        )
        return raw, following

    def within(self, known: Tensor, age: Tensor) -> Tensor:
        """Which of the known frames a new one sees, (B, N, W + N): no later one, none too old by time or by number.

        Args:
            known: (B, W + N) bool.
            age: (B, N, W + N) seconds by which each is older than the new one.
        """
        order = _order(known.shape[1], age.shape[1], known.device)
        oldest = (self.config.reach + 0.5) / FRAME_RATE
        seen: Tensor = known[:, None] & (order >= 0) & (order <= self.config.reach) & (age <= oldest)
        return seen

    def nothing(self, windows: int, length: int) -> CausalState:
        """The state of some windows, each of so many frames, in which nothing is known."""
        zero = self.inputs.weight.new_zeros
        config = self.config
        keys = zero(windows, config.layers, length, config.dim)
        times = zero(windows, length, dtype=torch.float64)
        return CausalState(keys, keys, zero(windows, length, sum(SIZES)), times > 0, times)

    def graphs(self) -> list[Graph]:
        """Any number of frames of one person, with the state in and out."""
        N, random = 3, torch.Generator().manual_seed(0)
        inputs = {
            "features": torch.randn(N, self.encoder.info.dim, generator=random),
            "valid": torch.tensor([True, False, True]),
            "time_s": torch.arange(N, dtype=torch.float64) / FRAME_RATE,
        }
        state = {item.name: value for item, value in zip(fields(CausalState), self.start().tensors(), strict=True)}
        outputs = (*TASKS, *(f"next_{name}" for name in state))
        return [
            Graph(
                "causal",
                "Valence, arousal, 8 expressions and 12 action units of the next frames, from the past alone.",
                _Stream(self),
                inputs | {f"state_{name}": value for name, value in state.items()},
                outputs,
                dict.fromkeys((*inputs, *TASKS), ("frames",))
                | {f"{side}_{name}": () for name in state for side in ("state", "next")},
                "Features of the face model; valid is false, features 0, without a face. The first state is all zero.",
                self.details(causal=True),
            )
        ]


def _order(known: int, frames: int, device: torch.device) -> Tensor:
    """(N, W + N): by how many frames a known one (column) is before a new one (row); negative: after it."""
    row = torch.arange(known, device=device)
    distance: Tensor = row[known - frames :, None] - row
    return distance


class _Windows(nn.Module):
    """`offline` as a tracer needs it."""

    def __init__(self, model: Offline) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor, valid: Tensor, time_s: Tensor) -> tuple[Tensor, ...]:
        found = self.model.raw(features * valid[..., None], valid, time_s, trust=self.model.config.trust)
        return self.model.decide(found)


class _Stream(nn.Module):
    """`causal` as a tracer needs it."""

    def __init__(self, model: Causal) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor, valid: Tensor, time_s: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        found, following = self.model.continued(CausalState(*state), features, valid, time_s)
        return *found, *following.tensors()
