"""The embedded models over time that hear: what a model of faces says, corrected by what the voice sounds like.

Special: both stand on a finished model over time, `offline` or `causal`, that stays as it is. Face and voice are told
as answers, not as inner features; they meet by attention both ways and by a gate, as in the published systems
(crossattn.py, softprompt.py). Whether a face shows an emotion, how pleasant it is and how it moves, the face alone
says; the voice helps to tell which emotion it is, and how aroused. Where nobody is heard nothing is added, so that the
answer is, to the last bit, that of the model below. See docs/face-and-voice.md.
"""

from abc import abstractmethod
from dataclasses import dataclass, field
from math import log, nan
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentio.affect.backbones.networks import face_features
from sentio.affect.backbones.transformer import CrossAttention
from sentio.affect.batch import AffectBatch, AffectOutput
from sentio.affect.heard import ANSWERS, STALE_S
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.models._temporal import (
    SIZES,
    OnFace,
    Smoother,
    Temporal,
    TemporalConfig,
)
from sentio.affect.models.face import Face
from sentio.affect.models.masked import Focus, Masking, hide, task_losses
from sentio.affect.models.softprompt import Gate, at_frames
from sentio.affect.training.dropping import Dropping
from sentio.affect.training.hearing import HearingData
from sentio.affect.training.published import AffectData
from sentio.core import weights

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
