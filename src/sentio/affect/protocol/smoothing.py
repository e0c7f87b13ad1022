"""Smoothing of frame-wise outputs over time. A result that was smoothed says so: put ``stamp()`` in its header."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.signal import lfilter

from sentio.core.counts import counted


@dataclass(frozen=True)
class Smoothing:
    """One filter over time.

    Box and median look at frames i - n ... i + n, or i - n ... i if causal; n = ``frames``. Exponential is a
    first-order low-pass with a time constant of n frames, run forth and back unless causal. At the ends of a clip
    box and median take the frames that there are.

    Raises:
        ValueError: a negative number of frames, or none with a filter.
    """

    kind: Literal["none", "box", "median", "exponential"] = "none"
    frames: int = 0
    causal: bool = False

    def __post_init__(self) -> None:
        if self.frames < 0 or (self.frames == 0) != (self.kind == "none"):
            raise ValueError(f"smoothing {self.kind!r} does not go with frames = {self.frames}")

    def stamp(self) -> str:
        """What was done, in words, e.g. ``box +-50 frames, looks ahead``."""
        if self.kind == "none":
            return "none"
        frames = counted(self.frames, "frame")
        if self.kind == "exponential":
            return f"exponential {frames}, {'causal' if self.causal else 'forth and back, looks ahead'}"
        return f"{self.kind} {'last ' if self.causal else '+-'}{frames}, {'causal' if self.causal else 'looks ahead'}"

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Smooth the columns of (N, D) values; NaN rows stay NaN and count for nothing in their neighbours."""
        present = ~np.isnan(values).any(axis=1)
        if self.kind == "none" or not present.any():
            return values
        if self.kind == "exponential":
            return self._exponential(values, present)
        after = 0 if self.causal else self.frames
        average = np.nanmedian if self.kind == "median" else np.nanmean
        result = np.full_like(values, np.nan)
        for column, smoothed in zip(values.T, result.T, strict=True):
            padded = np.pad(column.astype(np.float64), (self.frames, after), constant_values=np.nan)
            windows = sliding_window_view(padded, self.frames + after + 1)
            smoothed[present] = average(windows[present], axis=1)
        return result

    def _exponential(self, values: NDArray[Any], present: NDArray[np.bool_]) -> NDArray[Any]:
        result = np.full_like(values, np.nan)
        rows = values[present].astype(np.float64)
        rows = _low_pass(rows, self.frames)
        result[present] = rows if self.causal else _low_pass(rows[::-1], self.frames)[::-1]
        return result


def _low_pass(rows: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    gain = 1 - np.exp(-1 / frames)
    start = (1 - gain) * rows[:1]
    return np.asarray(lfilter([gain], [1, gain - 1], rows, axis=0, zi=start)[0])
