"""How well a score tells two groups apart: area under the ROC curve, with an interval over people."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Area(NamedTuple):
    """Area under the ROC curve in [0, 1], 0.5 by chance, and a percentile bootstrap interval."""

    value: float
    low: float
    high: float


def paired_auc(
    positive: NDArray[Any], negative: NDArray[Any], *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Area:
    """The share of pairs (one of each group) in which the positive scores higher; equal scores count half.

    Each person gives one score to either group, and people are drawn with replacement, both scores together. A draw
    that has person k w[k] times has the area w' M w / n^2, M being the (n, n) outcomes of all pairs.

    Args:
        positive, negative: (n,) scores; entry k of both is person k's.
        level: coverage of the interval.
        resamples: draws.
        seed: of the draws.
    """
    people = len(positive)
    outcomes = (np.sign(np.subtract.outer(positive, negative).astype(np.float64)) + 1) / 2
    draws = np.random.default_rng(seed).multinomial(people, [1 / people] * people, size=resamples)
    areas = ((draws @ outcomes) * draws).sum(1) / people**2
    low, high = np.quantile(areas, [(1 - level) / 2, (1 + level) / 2])
    return Area(float(outcomes.mean()), float(low), float(high))
