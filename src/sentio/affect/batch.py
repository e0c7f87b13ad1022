"""The contract between data, models and metrics: one batch in, one output out, shapes checked when made.

B windows of T frames, oldest first. Labels and outputs have L time steps, and L is either T (one answer for
each frame) or 1 (one answer, for the newest frame): ``time_s[:, -L:]`` are their times. Window rules that give
one answer, such as CAPNet's, have L = 1 and the frame that the label belongs to as the last of the T; a model
that must not see that frame leaves it out itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Self

import torch
from torch import Tensor

from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS, FRAME_RATE, VALENCE_AROUSAL
from sentio.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class AffectBatch:
    """B windows of faces, sound and labels.

    Labels come with a mask each; where the mask is false the value is NaN (valence, arousal, action units) or
    -1 (expression): a loss must select before it computes, and nothing can leak.

    Raises:
        InputError: a shape, type or combination of fields that the contract does not allow.
    """

    face_valid: Tensor
    """(B, T) bool: is there a face at all."""
    time_s: Tensor
    """(B, T) float32, seconds, of each frame."""
    source: Tensor
    """(B,) int64, index into ``labels.SOURCES``: the label set that the window is from."""
    face: Tensor | None = None
    """(B, T, 3, H, W) float32 RGB in [0, 1]; zero where ``face_valid`` is false."""
    face_feature: Tensor | None = None
    """(B, T, D) float32, from a frozen encoder, instead of ``face``; zero where ``face_valid`` is false."""
    audio: Tensor | None = None
    """(B, S) float32 in [-1, 1], mono, 16 kHz."""
    audio_feature: Tensor | None = None
    """(B, Ta, Da) float32, from a frozen encoder, instead of ``audio``."""
    audio_valid: Tensor | None = None
    """(B, Ta) bool with ``audio_feature``, (B, S) with ``audio``: false where the sound is padding."""
    audio_time_s: Tensor | None = None
    """(B, Ta) float32, seconds that each audio step stands for, on the clock of ``time_s``."""
    valence_arousal: Tensor | None = None
    """(B, L, 2) float32 in [-1, 1]."""
    valence_arousal_valid: Tensor | None = None
    """(B, L) bool."""
    expression: Tensor | None = None
    """(B, L) int64, 0 to 7."""
    expression_valid: Tensor | None = None
    """(B, L) bool."""
    action_units: Tensor | None = None
    """(B, L, 12) float32, 0 or 1."""
    action_units_valid: Tensor | None = None
    """(B, L, 12) bool."""

    def __post_init__(self) -> None:
        B, T = _dimensions(self.face_valid, 2, "face_valid")
        sizes = {"B": B, "T": T, "2": len(VALENCE_AROUSAL), "12": len(ACTION_UNITS), "3": 3}
        _check(self, _BATCH_SHAPES, sizes, steps=T)
        if (self.face is None) == (self.face_feature is None):
            raise InputError("A batch holds either face or face_feature, and not both.")
        if self.audio is not None and self.audio_feature is not None:
            raise InputError("A batch holds audio or audio_feature, and not both.")
        has_audio = self.audio is not None or self.audio_feature is not None
        if has_audio != (self.audio_valid is not None):
            raise InputError("audio_valid goes with audio or audio_feature.")
        for name in ("valence_arousal", "expression", "action_units"):
            if (getattr(self, name) is None) != (getattr(self, f"{name}_valid") is None):
                raise InputError(f"{name} and {name}_valid go together.")

    @classmethod
    def of_faces(cls, faces: Tensor) -> Self:
        """Windows of one frame without labels, one for each of (N, 3, H, W) faces."""
        N = len(faces)
        return cls(
            face=faces[:, None],
            face_valid=torch.ones(N, 1, dtype=torch.bool),
            time_s=torch.zeros(N, 1),
            source=torch.zeros(N, dtype=torch.int64),
        )

    @classmethod
    def example(
        cls,
        B: int = 6,
        T: int = 1,
        *,
        L: int = 1,
        size: int = 32,
        sources: Sequence[int] = (0,),
        sound: int | None = None,
    ) -> Self:
        """Random faces with random labels of every kind, always the same: no face is missing.

        Args:
            B, T, L: windows, frames of each, labels of each.
            size: side of the faces in pixels.
            sources: label sets that the windows are from, by turns.
            sound: length of five sound vectors of each window, if it has any.
        """
        random = torch.Generator().manual_seed(0)
        here = torch.ones(B, L, dtype=torch.bool)
        heard = {}
        if sound is not None:
            heard = {
                "audio_feature": torch.randn(B, 5, sound, generator=random),
                "audio_valid": torch.ones(B, 5, dtype=torch.bool),
                "audio_time_s": torch.linspace(0, (T - 1) / FRAME_RATE, 5).expand(B, 5),
            }
        return cls(
            face=torch.rand(B, T, 3, size, size, generator=random),
            face_valid=torch.ones(B, T, dtype=torch.bool),
            time_s=torch.arange(T).expand(B, T) / FRAME_RATE,
            source=torch.tensor(sources).repeat(B)[:B],
            valence_arousal=2 * torch.rand(B, L, 2, generator=random) - 1,
            valence_arousal_valid=here,
            expression=torch.arange(B * L).view(B, L) % 6 + 1,
            expression_valid=here,
            action_units=torch.randint(2, (B, L, 12), generator=random).float(),
            action_units_valid=here[..., None].expand(B, L, 12),
            **heard,
        )

    def __len__(self) -> int:
        return self.face_valid.shape[0]

    def stored_sound(self, dim: int, *, used: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """Sound vectors (B, Ta, dim), which of them are there (B, Ta), and their times (B, Ta).

        Args:
            used: otherwise, and where the batch has no sound, there is one step that is not there.

        Raises:
            InputError: samples stand in their place, or they have another length or no times.
        """
        if not used or (self.audio is None and self.audio_feature is None):
            return self.time_s.new_zeros(len(self), 1, dim), self.face_valid.new_zeros(len(self), 1), self.time_s[:, :1]
        if self.audio_feature is None or self.audio_valid is None:
            raise InputError("The model takes stored sound vectors, not samples.", "Give data.sound_encoder.")
        if self.audio_feature.shape[2] != dim:
            raise InputError(
                f"The stored sound features have {self.audio_feature.shape[2]} numbers, not {dim}.",
                f"Set model.sound_features to {self.audio_feature.shape[2]}.",
            )
        if self.audio_time_s is None:
            raise InputError("The sound features have no times, by which they belong to frames.")
        return self.audio_feature, self.audio_valid, self.audio_time_s

    def to(self, device: torch.device | str) -> Self:
        """The same batch with all tensors on ``device``."""
        held = {item.name: getattr(self, item.name) for item in fields(self)}
        moved = {name: value.to(device, non_blocking=True) for name, value in held.items() if value is not None}
        return replace(self, **moved)


@dataclass(frozen=True, kw_only=True)
class AffectOutput:
    """What a model predicts; a field that it does not predict is None.

    Raises:
        InputError: shapes that do not belong together.
    """

    valence_arousal: Tensor | None = None
    """(B, L, 2) in [-1, 1]."""
    expression: Tensor | None = None
    """(B, L, 8) logits."""
    action_units: Tensor | None = None
    """(B, L, 12) logits."""
    features: Tensor | None = None
    """(B, L, D), what the heads were given."""
    extras: dict[str, Tensor] = field(default_factory=dict)
    """Anything else that the model's own loss needs."""

    def __post_init__(self) -> None:
        given = [value for value in (self.valence_arousal, self.expression, self.action_units) if value is not None]
        if not given:
            raise InputError("An output answers at least one of valence_arousal, expression, action_units.")
        B, L, _ = _dimensions(given[0], 3, "output")
        sizes = {"B": B, "2": len(VALENCE_AROUSAL), "8": len(EXPRESSIONS), "12": len(ACTION_UNITS)}
        _check(self, _OUTPUT_SHAPES, sizes, steps=L)


_Shapes = dict[str, tuple[str, torch.dtype | None]]
_BATCH_SHAPES: _Shapes = {
    "face_valid": ("B T", torch.bool),
    "time_s": ("B T", torch.float32),
    "source": ("B", torch.int64),
    "face": ("B T 3 H W", torch.float32),
    "face_feature": ("B T D", torch.float32),
    "audio": ("B S", torch.float32),
    "audio_feature": ("B S Da", torch.float32),
    "audio_valid": ("B S", torch.bool),
    "audio_time_s": ("B S", torch.float32),
    "valence_arousal": ("B L 2", torch.float32),
    "valence_arousal_valid": ("B L", torch.bool),
    "expression": ("B L", torch.int64),
    "expression_valid": ("B L", torch.bool),
    "action_units": ("B L 12", torch.float32),
    "action_units_valid": ("B L 12", torch.bool),
}
_OUTPUT_SHAPES: _Shapes = {
    "valence_arousal": ("B L 2", None),
    "expression": ("B L 8", None),
    "action_units": ("B L 12", None),
    "features": ("B L D", None),
}


def _dimensions(value: Tensor, count: int, name: str) -> torch.Size:
    if value.ndim != count:
        raise InputError(f"{name}: expected {count} dimensions, found shape {tuple(value.shape)}.")
    return value.shape


def _check(record: object, shapes: _Shapes, sizes: dict[str, int], *, steps: int) -> None:
    """Hold every field to its shape; a letter takes the size it meets first, and L is 1 or ``steps``."""
    for name, (shape, dtype) in shapes.items():
        value = getattr(record, name)
        if value is None:
            continue
        letters = shape.split()
        for letter, size in zip(letters, _dimensions(value, len(letters), name), strict=True):
            if size != sizes.setdefault(letter, size) or (letter == "L" and size not in (1, steps)):
                known = ", ".join(f"{key} = {number}" for key, number in sizes.items() if not key.isdigit())
                raise InputError(f"{name}: shape {tuple(value.shape)} is not ({', '.join(letters)}) with {known}.")
        if dtype is not None and value.dtype != dtype:
            raise InputError(f"{name}: expected {dtype}, found {value.dtype}.")
