"""What a model says of every frame of a clip, as arrays; gaps are filled here and nowhere else."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sentio.affect.labels import EXPRESSIONS, TASKS
from sentio.core.errors import InputError

Fill = Literal["nearest", "previous"]
"""How a frame without a prediction gets one: from the nearest frame that has one, or from the last one before it."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """N frames of one clip, frame k in row k; a row is NaN where the model said nothing.

    Raises:
        InputError: the fields do not have one length, or none is there.
    """

    valence_arousal: NDArray[np.float32] | None = None
    """(N, 2) in [-1, 1]."""
    expression: NDArray[np.float32] | None = None
    """(N, 8) probabilities."""
    action_units: NDArray[np.float32] | None = None
    """(N, 12) probabilities."""

    def __post_init__(self) -> None:
        if not self.fields():
            raise InputError("A prediction holds at least one of valence_arousal, expression, action_units.")
        for name, values in self.fields().items():
            if values.shape != (len(self), TASKS[name]):
                raise InputError(f"{name}: expected shape ({len(self)}, {TASKS[name]}), found {values.shape}.")

    def __len__(self) -> int:
        return len(next(iter(self.fields().values())))

    def fields(self) -> dict[str, NDArray[np.float32]]:
        """The fields that are there, by name."""
        return {name: value for name in TASKS if (value := getattr(self, name)) is not None}

    def missing(self) -> NDArray[np.bool_]:
        """(N,): no prediction for this frame."""
        return np.isnan(next(iter(self.fields().values()))[:, 0])

    def filled(self, how: Fill) -> "Prediction":
        """The same without gaps; see :func:`fill`."""
        return Prediction(**{name: fill(values, how, _neutral(name)) for name, values in self.fields().items()})

    def merged(self, other: "Prediction") -> "Prediction":
        """The same with its gaps taken from ``other``, as CAPNet's are from FER-Tuned."""
        gaps, theirs = self.missing()[:, None], other.fields()
        return Prediction(
            **{name: np.where(gaps, theirs[name], values) for name, values in self.fields().items() if name in theirs}
        )


def fill(values: NDArray[Any], how: Fill, default: NDArray[Any]) -> NDArray[Any]:
    """Replace NaN rows of (N, D) values by the nearest row (the earlier one of two) or the previous row.

    Args:
        values: rows are NaN as a whole or not at all.
        how: ``previous`` looks at nothing later than the frame itself.
        default: (D,), where there is no such row.
    """
    present = np.flatnonzero(~np.isnan(values).any(axis=1))
    frames = np.arange(len(values))
    after = np.searchsorted(present, frames, side="right")
    rows = np.concatenate([values[present], default[None].astype(values.dtype)])
    if how == "previous" or not len(present):
        return rows[np.where(after > 0, after - 1, len(present))]
    before, later = np.maximum(after - 1, 0), np.minimum(after, len(present) - 1)
    closer_later = np.abs(present[later] - frames) < np.abs(present[before] - frames)
    return rows[np.where(closer_later, later, before)]


def _neutral(name: str) -> NDArray[np.float32]:
    values = np.zeros(TASKS[name], np.float32)
    if name == "expression":
        values[EXPRESSIONS.index("Neutral")] = 1
    return values
