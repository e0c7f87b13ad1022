"""Decision thresholds of the twelve action units, chosen on validation data only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentio.affect.labels import ACTION_UNITS, valid_action_units
from sentio.core.errors import InputError

DEFAULT = (0.5,) * len(ACTION_UNITS)


def search(probability: NDArray[Any], label: NDArray[Any], *, split: str) -> tuple[float, ...]:
    """The threshold of each action unit at which its F1 is highest; 0.5 for one that never occurs.

    A threshold lies half-way between two neighbouring probabilities. A score on the same frames is optimistic:
    report it on others.

    Args:
        probability: (N, 12).
        label: (N, 12), 0, 1 or missing; a frame counts if all twelve are there.
        split: where the frames are from.

    Raises:
        InputError: ``split`` is not ``"validation"``.
    """
    if split != "validation":
        raise InputError(
            f"Thresholds are not chosen on the {split} split.", "Choose them on validation and give them by value."
        )
    keep = valid_action_units(label).all(axis=1)
    pairs = zip(probability[keep].T, label[keep].T, strict=True)
    return tuple(_best(values, truth == 1) for values, truth in pairs)


def apply(probability: NDArray[Any], thresholds: tuple[float, ...]) -> NDArray[np.int64]:
    """(N, 12) probabilities to 0 and 1."""
    return (probability >= np.asarray(thresholds)).astype(np.int64)


def _best(values: NDArray[Any], truth: NDArray[np.bool_]) -> float:
    """Threshold of the highest F1: after sorting, each cut's true positives are a cumulative sum."""
    if not truth.any():
        return DEFAULT[0]
    order = np.argsort(-values, kind="stable")
    ordered = values[order].astype(np.float64)
    hits = np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + hits[-1])
    f1[:-1][ordered[:-1] == ordered[1:]] = -1  # equal probabilities cannot be parted
    cut = int(np.argmax(f1))
    below = ordered[cut + 1] if cut + 1 < len(ordered) else 0.0
    return float((ordered[cut] + below) / 2)
