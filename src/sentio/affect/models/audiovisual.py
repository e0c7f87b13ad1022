"""The embedded models over time that hear: what a model of faces says, corrected by what the voice sounds like.

Special: both stand on a finished model over time, `offline` or `causal`, that stays as it is. Face and voice are told
as answers, not as inner features; they meet by attention both ways and by a gate, as in the published systems
(crossattn.py, softprompt.py). Whether a face shows an emotion, how pleasant it is and how it moves, the face alone
says; the voice helps to tell which emotion it is, and how aroused. Where nobody is heard nothing is added, so that the
answer is, to the last bit, that of the model below. See docs/face-and-voice.md.
"""

from abc import abstractmethod
from dataclasses import dataclass, field, fields
from math import log, nan
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentio.affect.backbones.networks import face_features
from sentio.affect.backbones.transformer import CrossAttention, sinusoid
from sentio.affect.batch import AffectBatch, AffectOutput
from sentio.affect.heard import ANSWERS, STALE_S
from sentio.affect.labels import EXPRESSIONS, TASKS
from sentio.affect.models.face import Face
from sentio.affect.models.masked import Focus, Masking, hide, positions, task_losses
from sentio.affect.models.softprompt import Gate, at_frames
from sentio.affect.models.temporal import (
    SIZES,
    Causal,
    CausalState,
    Offline,
    OnFace,
    Smoother,
    Temporal,
    TemporalConfig,
)
from sentio.affect.training.dropping import Dropping
from sentio.affect.training.hearing import HearingData
from sentio.affect.training.published import AffectData
from sentio.core import weights
from sentio.core.method import Graph
from sentio.core.registry import register

SAID = sum(SIZES)
"""22 numbers that a model of faces says of a frame: what tanh is taken of, and logits."""
ADDED = [1, len(EXPRESSIONS) - 1]
"""What the voice has a say in: arousal, and which of the expressions it is if it is not Neutral, the first of them."""
HEARD = "voice is what sentio.affect.heard makes of the voice model; heard is false, voice 0, where nobody is heard."


@dataclass(frozen=True)
class AudiovisualConfig:
    """Config of both.

    Args:
        base: Config of the model of faces over time.
        dim: of both streams.
        heads: of the attentions.
        dropout: of the streams, of attention weights, and before the answer.
        threshold: probability of speech from which on somebody is heard; that of the voice model.
        carry_s: time over which what the voice adds is averaged, at the start of the training.
        strange: share of the windows that hear the voice of another window in training.
        masking: faces hidden in training, frame by frame.
        dropping: windows without faces, or without a voice, in training.
    """

    base: TemporalConfig = field(default_factory=TemporalConfig)
    dim: int = 32
    heads: int = 4
    dropout: float = 0.2
    threshold: float = 0.5
    carry_s: float = 0.5
    strange: float = 0.0
    masking: Masking = field(default_factory=Masking)
    dropping: Dropping = field(default_factory=Dropping)
    focus: Focus = field(default_factory=Focus)

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            raise ValueError(f"dim must be a multiple of the {self.heads} heads, found {self.dim}")
        if not 0 <= self.strange <= 1:
            raise ValueError(f"strange must be in [0, 1], found {self.strange}")


class Fusion(nn.Module):
    """Face and voice of each frame -> what the voice adds to the face's answer; its head begins at zero."""

    def __init__(self, config: AudiovisualConfig) -> None:
        super().__init__()
        dim, dropout = config.dim, config.dropout
        self.face = nn.Sequential(nn.Linear(SAID, dim), nn.LayerNorm(dim), nn.ReLU(), nn.Dropout(dropout))
        self.voice = nn.Sequential(nn.Linear(ANSWERS, dim), nn.LayerNorm(dim), nn.ReLU(), nn.Dropout(dropout))
        self.to_voice = CrossAttention(dim, config.heads, dropout)
        self.to_face = CrossAttention(dim, config.heads, dropout)
        self.gate = Gate(dim)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(dim, sum(ADDED))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, said: Tensor, voice: Tensor, see: Tensor, hear: Tensor, place: Tensor | None = None) -> Tensor:
        """For the last N of M frames, (B, N, 8), see `ADDED`.

        Args:
            said: (B, M, 22) the answer of the model of faces.
            voice: (B, M, V).
            see: (B, N, M) bool, the frames whose faces each of the last knows.
            hear: (B, N, M) bool, likewise those whose voice.
            place: (B, M, dim) added to both.
        """
        N = see.shape[1]
        faces, voices = self.face(said), self.voice(voice)  # (B, M, dim) each
        if place is not None:
            faces, voices = faces + place, voices + place
        v, a = self.to_voice(faces[:, -N:], voices, hear), self.to_face(voices[:, -N:], faces, see)  # (B, N, dim) each
        found: Tensor = self.head(self.dropout(self.gate(v, a, see.any(-1), hear.any(-1))))  # (B, N, 8)
        return found


class Audiovisual(OnFace):
    """A frozen model of faces over time, and what a voice adds to it."""

    Config = AudiovisualConfig
    Data = HearingData
    base: Temporal

    def __init__(self, config: AudiovisualConfig, base: Temporal) -> None:
        super().__init__(config)
        self.base = base
        self.fusion = Fusion(config)
        self.carry = Smoother(config.carry_s, ADDED)

    @property
    def face(self) -> Face:  # type: ignore[override]
        """The face model."""
        return self.base.face

    @property
    def frozen(self) -> tuple[str, ...]:
        return ("base",)

    def open_data(self, path: Path, section: dict[str, Any]) -> AffectData:
        """Label sets joined, with the answers of voice models; see :class:`HearingData`.

        The classes' shares are noted as by the model below, for the loss alone.
        """
        data = super().open_data(path, section)
        self.base.note_shares(data)
        return data

    def example_batch(self) -> AffectBatch:
        T = self.config.base.length
        return AffectBatch.example(2, T, L=T, sound=ANSWERS)

    @abstractmethod
    def raw(
        self, features: Tensor, visible: Tensor, time_s: Tensor, voice: Tensor, heard: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the model of faces says, (B, T, 22), and what the voice adds, (B, T, 8).

        Args:
            features: (B, T, D).
            visible: (B, T) bool, frames with a face.
            time_s: (B, T) seconds.
            voice: (B, T, V) answers of the voice model.
            heard: (B, T) bool, where there are some.
        """

    def forward(self, batch: AffectBatch) -> AffectOutput:
        """(B, T, ...) for all frames of the windows; NaN where nothing was seen or heard."""
        features = face_features(self.encoder, batch)
        voice, heard = self.heard(batch)
        found = self.decide(*self.raw(features, batch.face_valid, batch.time_s, voice, heard))
        unknown = ~self.base.answered(batch.face_valid | heard)[..., None]
        affect, expression, units = (value.masked_fill(unknown, nan) for value in found)
        return AffectOutput(valence_arousal=affect, expression=expression.log(), action_units=units.logit(1e-6))

    def loss(self, batch: AffectBatch, progress: float) -> dict[str, Tensor]:
        """Focal loss of expressions and 1 - mean CCC over all labels, of masked and missing frames too."""
        features, visible = hide(face_features(self.encoder, batch), batch.face_valid, self.config.masking)
        voice, heard = self.heard(batch)
        visible, heard = self.config.dropping.draw(visible, heard)
        voice, heard = self.estrange(voice, heard, visible)
        said, added = self.raw(features * visible[..., None], visible, batch.time_s, voice, heard)
        affect, expression, _ = torch.split(said, SIZES, -1)
        arousal, which = torch.split(added, ADDED, -1)
        found = {
            "valence_arousal": (affect + functional.pad(arousal, (1, 0))).tanh(),
            "expression": tell_apart(expression + self.base.log_share, which),
        }
        return task_losses(found, batch, self.config.focus)

    def decide(self, said: Tensor, added: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(..., 22), (..., 8) to valence and arousal, probabilities of classes and of action units."""
        affect, expression, units = torch.split(said, SIZES, -1)
        arousal, which = torch.split(added, ADDED, -1)
        affect, _ = self.face.weigh((affect + functional.pad(arousal, (1, 0))).tanh(), expression)
        return affect, tell_apart(expression + self.face.prior, which).softmax(-1), units.sigmoid()

    def heard(self, batch: AffectBatch) -> tuple[Tensor, Tensor]:
        """Of each frame the newest answers that are not stale, (B, T, V), and whether there are some, of speech."""
        if batch.audio_feature is None:
            voice = batch.time_s.new_zeros(*batch.time_s.shape, ANSWERS)
            return voice, torch.zeros_like(batch.face_valid)
        stamps, valid = cast(Tensor, batch.audio_time_s), cast(Tensor, batch.audio_valid)
        stamped = torch.cat([batch.audio_feature, stamps[..., None]], -1)  # (B, Ta, V + 1)
        found, known = at_frames(stamped, valid, stamps, batch.time_s)  # (B, T, V + 1), (B, T)
        voice, time_s = found[..., :-1], found[..., -1]
        speaks = voice[..., -1] >= log(self.config.threshold / (1 - self.config.threshold))
        heard = known & speaks & (batch.time_s - time_s < STALE_S)
        return voice * heard[..., None], heard

    def estrange(self, voice: Tensor, heard: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Some windows with faces hear the voice of the window before: it must convince, and not only be heard."""
        strange = (torch.rand(len(voice), device=voice.device) < self.config.strange) & visible.any(1)
        return (
            torch.where(strange[:, None, None], voice.roll(1, 0), voice),
            torch.where(strange[:, None], heard.roll(1, 0), heard),
        )

    def details(self, *, causal: bool) -> dict[str, Any]:
        """As of the model below, and which voice model speaks to it."""
        stands_on = {"stands_on": {"voice": weights.promised("voice")}}
        return self.base.details(causal) | {"hears": "voice"} | stands_on


def tell_apart(logits: Tensor, which: Tensor) -> Tensor:
    """Logits of classes (..., 8), moved by (..., 7) between those that are not Neutral: its probability stays."""
    emotions = logits[..., 1:]
    moved = emotions + which
    moved = moved - (moved.logsumexp(-1, keepdim=True) - emotions.logsumexp(-1, keepdim=True))
    return torch.cat([logits[..., :1], moved], -1)


@register("offline-av", summary="All affect of a face and its voice over time, with past and future; embedded.")
class OfflineAV(Audiovisual):
    """`offline`, and what is heard anywhere in the window."""

    def __init__(self, config: AudiovisualConfig) -> None:
        super().__init__(config, Offline(config.base))

    def raw(
        self, features: Tensor, visible: Tensor, time_s: Tensor, voice: Tensor, heard: Tensor
    ) -> tuple[Tensor, Tensor]:
        said = self.base.raw(features, visible, time_s, trust=self.config.base.trust)  # (B, T, 22)
        place = sinusoid(positions(time_s), self.config.dim)
        dt = (time_s[:, :, None] - time_s[:, None]).float()  # (B, T, T)
        see, hear, known = (there[:, None].expand_as(dt) for there in (visible, heard, visible | heard))
        added = self.fusion(said, voice, see, hear, place) * heard[..., None]
        return said, self.carry(added, dt, known)

    def graphs(self) -> list[Graph]:
        """Windows of any length; see :class:`TemporalConfig` for how they lie."""
        (below,) = self.base.graphs()
        T, random = self.config.base.length, torch.Generator().manual_seed(1)
        heard = torch.rand(2, T, generator=random) > 0.3
        spoken = torch.randn(2, T, ANSWERS, generator=random) * heard[..., None]
        inputs = {**below.inputs, "voice": spoken, "heard": heard}
        return [
            Graph(
                self.name,
                "Valence, arousal, 8 expressions and 12 action units of every frame of a window, by face and voice.",
                _Windows(self),
                inputs,
                below.outputs,
                dict.fromkeys((*inputs, *below.outputs), ("windows", "frames")),
                f"{below.preprocessing} {HEARD}",
                self.details(causal=False),
            )
        ]


@dataclass(frozen=True)
class CausalAVState(CausalState):
    """What `causal-av` remembers of a stream: W frames, oldest first; all zero at the start."""

    said: Tensor
    """(W, 22) answers of the model of faces."""
    voice: Tensor
    """(W, V)."""
    heard: Tensor
    """(W,) bool."""
    added: Tensor
    """(W, 8) what the voice of each frame adds."""

    def below(self) -> CausalState:
        """The state of the model of faces."""
        return CausalState(*(getattr(self, item.name) for item in fields(CausalState)))


@register("causal-av", summary="All affect of a face and its voice over time, from the past alone; embedded.")
class CausalAV(Audiovisual):
    """`causal`, and what was heard in the last second."""

    base: Causal

    def __init__(self, config: AudiovisualConfig) -> None:
        super().__init__(config, Causal(config.base))

    def raw(
        self, features: Tensor, visible: Tensor, time_s: Tensor, voice: Tensor, heard: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self._advance(self._state(len(features), 0), features, visible, time_s.double(), voice, heard)[0]

    def start(self) -> CausalAVState:
        """The state before the first frame."""
        return CausalAVState(*(value[0] for value in self._state(1, self.config.base.reach).tensors()))

    def continued(
        self, state: CausalAVState, features: Tensor, valid: Tensor, time_s: Tensor, voice: Tensor, heard: Tensor
    ) -> tuple[tuple[Tensor, Tensor, Tensor], CausalAVState]:
        """Predict for the next N frames of a stream.

        Args:
            state: from :meth:`start` or the last call; it is not changed.
            features: (N, D) of the face model.
            valid: (N,) bool, the frames with a face.
            time_s: (N,) seconds, not falling.
            voice: (N, V) answers of the voice model.
            heard: (N,) bool, the frames that have some.

        Returns:
            Valence and arousal (N, 2), probabilities of classes (N, 8) and action units (N, 12), and the next state.
        """
        past = CausalAVState(*(value[None] for value in state.tensors()))
        new = (part[None] for part in (features, valid, time_s.double(), voice, heard))
        (said, added), following = self._advance(past, *new)
        return self.decide(said[0], added[0]), CausalAVState(*(value[0] for value in following.tensors()))

    def _advance(
        self,
        past: CausalAVState,
        features: Tensor,
        valid: Tensor,
        time_s: Tensor,
        voice: Tensor,
        heard: Tensor,
    ) -> tuple[tuple[Tensor, Tensor], CausalAVState]:
        """:meth:`raw` for N frames after W known ones, and what is known then."""
        new, below = self.base.advance(past.below(), features, valid, time_s, self.config.base.trust)
        said = torch.cat([past.said, new], 1)  # (B, W + N, 22)
        voices, hears = torch.cat([past.voice, voice], 1), torch.cat([past.heard, heard], 1)
        seen, times = torch.cat([past.valid, valid], 1), torch.cat([past.time_s, time_s], 1)  # (B, W + N) each
        age = time_s[:, :, None] - times[:, None]  # (B, N, W + N)
        see, hear, known = (self.base.within(there, age) for there in (seen, hears, seen | hears))
        fresh = self.fusion(said, voices, see, hear) * heard[..., None]  # (B, N, 8)
        added = torch.cat([past.added, fresh], 1)
        last = self.config.base.reach
        kept = (value[:, -last:] for value in (said, voices, hears, added))
        return (new, self.carry(added, age.float(), known)), CausalAVState(*below.tensors(), *kept)

    def _state(self, windows: int, length: int) -> CausalAVState:
        """Nothing known, of some length."""
        below = self.base.nothing(windows, length)
        zero = below.logits.new_zeros
        said, voice, added = (zero(windows, length, size) for size in (SAID, ANSWERS, sum(ADDED)))
        more = [said, voice, voice[..., 0] > 0, added]
        return CausalAVState(*below.tensors(), *more)

    def graphs(self) -> list[Graph]:
        """Any number of frames of one person, with the state in and out."""
        (below,) = self.base.graphs()
        now = {name: value for name, value in below.inputs.items() if not name.startswith("state_")}
        N, random = len(now["valid"]), torch.Generator().manual_seed(1)
        heard = torch.arange(N) > 0
        now |= {"voice": torch.randn(N, ANSWERS, generator=random) * heard[:, None], "heard": heard}
        state = {item.name: value for item, value in zip(fields(CausalAVState), self.start().tensors(), strict=True)}
        return [
            Graph(
                self.name,
                "Valence, arousal, 8 expressions and 12 action units of the next frames, by face and voice so far.",
                _Stream(self),
                now | {f"state_{name}": value for name, value in state.items()},
                (*TASKS, *(f"next_{name}" for name in state)),
                dict.fromkeys((*now, *TASKS), ("frames",))
                | {f"{side}_{name}": () for name in state for side in ("state", "next")},
                f"{below.preprocessing} {HEARD}",
                self.details(causal=True),
            )
        ]


class _Windows(nn.Module):
    """`offline-av` as a tracer needs it."""

    def __init__(self, model: OfflineAV) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, features: Tensor, valid: Tensor, time_s: Tensor, voice: Tensor, heard: Tensor
    ) -> tuple[Tensor, ...]:
        return self.model.decide(*self.model.raw(features * valid[..., None], valid, time_s, voice, heard))


class _Stream(nn.Module):
    """`causal-av` as a tracer needs it."""

    def __init__(self, model: CausalAV) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, features: Tensor, valid: Tensor, time_s: Tensor, voice: Tensor, heard: Tensor, *state: Tensor
    ) -> tuple[Tensor, ...]:
        found, following = self.model.continued(CausalAVState(*state), features, valid, time_s, voice, heard)
        return *found, *following.tensors()
