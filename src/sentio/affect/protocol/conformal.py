"""Intervals that hold: split-conformal half widths from people whom a model has not seen.

Frames of one person are alike, so people count, not frames. A new person's frame lies within the half width with the
probability that was asked for, if the new person is drawn as the calibrating ones were (hierarchical conformal
prediction by pooled distributions: Lee, Barber, Willett 2023, "Distribution-free inference with hierarchical data").
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def half_width(errors: Sequence[Floats], coverage: float) -> float:
    """The smallest q such that a frame of a new person errs by q at most with the probability ``coverage``.

    Each of K people has the weight 1 / (K + 1), shared by the frames; what is left is that of an error without bound.

    Args:
        errors: absolute errors of the frames, (N,) for each person; NaN where there is no label or no answer.
        coverage: within (0, 1).

    Returns:
        The half width; inf if there are too few people for this coverage.
    """
    known = [found[~np.isnan(found)] for found in errors]
    known = [found for found in known if len(found)]
    values = np.concatenate([*known, [np.inf]])
    shares = [np.full(len(found), 1 / len(found)) for found in known]
    weights = np.concatenate([*shares, [1.0]]) / (len(known) + 1)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, coverage - 1e-12)])


def covered(errors: Sequence[Floats], width: float) -> float:
    """The share of frames that err by ``width`` at most, each person counting the same; NaN of nobody."""
    shares = [np.mean(found[~np.isnan(found)] <= width) for found in errors if not np.isnan(found).all()]
    return float(np.mean(shares)) if shares else float("nan")
