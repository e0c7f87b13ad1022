"""Cutting clouds so that memory stays bounded: blocks in space, halos around them, patches for PU-MFA."""

import numpy as np
import numpy.typing as npt

from sentio.points import geometry

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def blocks(points: Floats, size: int) -> list[Indices]:
    """Split a cloud at medians of its longest side until no block holds more than ``size`` points.

    The blocks depend on the points alone; together they hold each index once, and neighbours in the list are
    neighbours in space.
    """
    done, waiting = [], [np.arange(len(points))]
    while waiting:
        index = waiting.pop()
        if len(index) <= size:
            done.append(index)
            continue
        extent = np.ptp(points[index], axis=0)
        order = np.argsort(points[index, extent.argmax()], kind="stable")
        half = len(index) // 2
        waiting += [index[order[half:]], index[order[:half]]]
    return done


def shares(sizes: list[int], total: int) -> list[int]:
    """Whole numbers in proportion to ``sizes`` that add up to ``total`` (rounding errors do not pile up)."""
    ends = np.cumsum([0, *sizes]).astype(np.float64)
    cuts = np.floor(ends * total / ends[-1] + 0.5).astype(int)
    return [int(part) for part in np.diff(cuts)]


def overlapping(points: Floats, size: int, overlap: float, start: int = 0) -> Indices:
    """Patches (P, size) of nearest points around evenly spread seeds, the seed first.

    Each point lies in ``overlap`` patches on average, and in at least one: where the density changes, patches are
    added around those left out. The first seed is the point of the index ``start``, modulo their number.
    """
    seeds = geometry.farthest_points(points, int(np.ceil(len(points) / size * overlap)), start=start % len(points))
    index = np.empty((0, size), np.int64)
    outside = np.ones(len(points), bool)
    while len(seeds):
        index = np.concatenate([index, geometry.nearest(points, points[seeds], size)[1]])
        outside[index] = False
        missing = np.flatnonzero(outside)
        seeds = np.array([_middle(points, missing[part]) for part in blocks(points[missing], size // 4) if len(part)])
    return index


def _middle(points: Floats, index: Indices) -> int:
    """Of the points with these indices the one nearest to their mean."""
    part = points[index]
    return int(index[((part - part.mean(0)) ** 2).sum(1).argmin()])


def owners(points: Floats, index: Indices) -> Indices:
    """For each point the patch (of ``index``, the seed first) that holds it and whose seed is nearest: (N,)."""
    patch = np.repeat(np.arange(len(index)), index.shape[1])
    distance = np.linalg.norm(points[index] - points[index[:, :1]], axis=-1).ravel()
    order = np.lexsort((patch, distance))[::-1]  # the nearest is written last
    owner = np.empty(len(points), np.int64)
    owner[index.ravel()[order]] = patch[order]
    return owner
