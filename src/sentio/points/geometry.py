"""Geometry of point sets: neighbours, local frames, farthest point sampling, interpolation weights.

NumPy and SciPy only. A cloud is an array (N, 3); all results are exact and deterministic.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from sentio.core.errors import InputError
from sentio.core.runtime import usable_cores

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

LARGEST, LEAST = 1e100, 1e-100
"""Coordinates, and the extent of a cloud, lie between these: the squares of others leave the range of float64."""
STEPS = 1e4
"""Least extent, in steps between neighbouring float64 numbers of the size of the coordinates."""

_ROWS = 1 << 14  # points measured or repelled at once, which bounds memory: about 2 kB a point
_AMID = 0.4  # how far the mean of 6 neighbours may be from their point, in units of their distance
_DENSE_PICKS = 64  # the first samples change every point, so that plain array passes are quickest
_FRAMES_AT_ONCE = 1 << 14  # bounds memory: about 1.2 kB a frame
_STAGE = 0.75  # a stage of farthest point sampling ends when the largest distance has shrunk to this part


@dataclass(frozen=True)
class Normalised:
    """A cloud in the unit sphere: ``points * radius + centroid`` is the original."""

    points: Floats
    centroid: Floats
    radius: float


def normalise(points: Floats) -> Normalised:
    """Move the centroid to the origin and the farthest point to distance 1; float64."""
    points = np.asarray(points, np.float64)
    centroid = points.mean(0)
    centred = points - centroid
    radius = float(np.sqrt((centred**2).sum(1).max())) or 1.0
    return Normalised(centred / radius, centroid, radius)


def check_range(points: Floats) -> None:
    """Refuse finite coordinates (N, 3) that cannot be computed with.

    Raises:
        InputError: they are too large or too small, or too large for the differences between them.
    """
    largest, extent = float(abs(points).max()), float(np.ptp(points, axis=0).max())
    if largest > LARGEST or 0 < extent < LEAST:
        what = f"Coordinates reach {largest:.0e}" if largest > LARGEST else f"All points lie within {extent:.0e}"
        raise InputError(f"{what}; no measured cloud does.", "Check the file, or scale the cloud.")
    if 0 < extent < STEPS * np.spacing(largest):
        what = f"The points differ by {extent:.1g} at most, which numbers as large as {largest:.1g} can hardly tell."
        raise InputError(what, "Move the cloud to its centre before it is stored.")


def count_distinct(points: Floats) -> int:
    """How many different rows (N, 3) there are, by a hash of 64 bits each, which is quicker than comparing rows."""
    bits = np.ascontiguousarray(points + 0.0, np.float64).view(np.uint64)  # + 0.0 turns -0 into 0
    factors = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
    mixed = (bits ^ (bits >> np.uint64(29))) * factors
    return len(np.unique((mixed ^ (mixed >> np.uint64(32))).sum(axis=1, dtype=np.uint64)))


def nearest(points: Floats, queries: Floats, k: int) -> tuple[Floats, Indices]:
    """The ``k`` points nearest to each query: distances and indices, both (Q, k), nearest first.

    Where there are fewer than ``k`` points, the last one found is repeated.
    """
    return _query(cKDTree(points), queries, k, workers=usable_cores())


def _query(tree: cKDTree, queries: Floats, k: int, workers: int) -> tuple[Floats, Indices]:
    found = min(k, tree.n)
    distance, index = tree.query(queries, found, workers=workers)
    distance, index = distance.reshape(len(queries), found), index.reshape(len(queries), found)
    if found < k:
        last = np.minimum(np.arange(k), found - 1)
        distance, index = distance[:, last], index[:, last]
    return distance, index.astype(np.int64, copy=False)


@dataclass(frozen=True)
class Sources:
    """Points with what a network needs to know of them: see :func:`measure`.

    ``points`` (N, 3), ``frames`` (N, 3, 3) axes in rows, ``spacing`` (N,), ``neighbours`` (N, k) int32 with the point
    itself first.
    """

    points: Floats
    frames: Floats
    spacing: Floats
    neighbours: npt.NDArray[np.int32]


def measure(points: Floats, k: int = 32) -> Sources:
    """Neighbours, local frame (of 24 neighbours) and spacing of each point.

    The spacing is the mean distance of a point to its 6 nearest, averaged over 16 neighbours; never zero.
    """
    tree, rows = cKDTree(points), [slice(i, i + _ROWS) for i in range(0, len(points), _ROWS)]

    def part(some: slice) -> tuple[npt.NDArray[np.int32], Floats, Floats]:
        distance, index = _query(tree, points[some], max(k, 24), workers=1)
        return index[:, : max(k, 16)].astype(np.int32), local_frames(points, index[:, :24]), distance[:, 1:7].mean(1)

    with ThreadPoolExecutor(usable_cores()) as pool:
        neighbours, frames, own = (np.concatenate(parts) for parts in zip(*pool.map(part, rows), strict=True))
    spacing = np.concatenate([own[neighbours[some, :16]].mean(1) for some in rows])
    spacing = np.maximum(spacing, 1e-9 * max(float(spacing.max(initial=0.0)), 1e-300))
    return Sources(points, frames, spacing, neighbours[:, :k])


def local_frames(points: Floats, neighbours: Indices) -> Floats:
    """A right-handed frame for each point by principal components of its neighbours.

    Rows are the axes x, y, z with falling variance, so z is the normal. The signs are settled by the points
    themselves: z looks to the side on which the neighbours' mean lies (inwards on a sphere), x likewise, so a frame
    turns with its cloud.

    Args:
        points: (N, 3).
        neighbours: (M, k) indices into ``points``; the first is the point itself.

    Returns:
        (M, 3, 3).
    """
    parts = [neighbours[i : i + _FRAMES_AT_ONCE] for i in range(0, max(len(neighbours), 1), _FRAMES_AT_ONCE)]
    return np.concatenate([_frames(points, part) for part in parts])


def _frames(points: Floats, neighbours: Indices) -> Floats:
    near = points[neighbours]
    mean = near.mean(1)
    spread = near - mean[:, None]
    _, vectors = np.linalg.eigh(np.einsum("nki,nkj->nij", spread, spread))
    lean = mean - near[:, 0]
    z, x = vectors[..., 0], vectors[..., 2]
    z = z * _sign(np.einsum("ni,ni->n", lean, z))
    x = x * _sign(np.einsum("ni,ni->n", lean, x))
    return np.stack([x, np.cross(z, x), z], 1)


def _sign(values: Floats) -> Floats:
    return np.where(values < 0, -1.0, 1.0)[:, None]


def repelled(points: Floats, step: float) -> Floats:
    """Points (N, 3), each moved once away from its 6 nearest, within the surface (by 12): they lie more evenly then.

    Points at tips and open edges, whose neighbours are on one side, stay: else the cloud would grow there.

    Args:
        step: in units of the mean distance to these neighbours.
    """
    if len(points) < 7:
        return points
    tree, moved = cKDTree(points), points.copy()
    for first in range(0, len(points), _ROWS):
        part = points[first : first + _ROWS]
        distance, index = tree.query(part, min(12, len(points)), workers=usable_cores())
        distance, away = distance[:, 1:7], part[:, None] - points[index[:, 1:7]]
        spacing = np.maximum(distance.mean(1, keepdims=True), 1e-300)
        push = np.maximum(0, 1 - distance / (2 * spacing)) / np.maximum(distance, 1e-300)
        way = spacing * np.einsum("nk,nki->ni", push, away)
        normal = local_frames(points, index)[:, 2]
        way -= np.einsum("ni,ni->n", way, normal)[:, None] * normal
        amid = np.linalg.norm(away.mean(1), axis=1, keepdims=True) < _AMID * spacing
        moved[first : first + _ROWS] += np.where(amid, step * way, 0)
    return moved


def interpolation(source: Floats, target: Floats, k: int = 3) -> tuple[Indices, Floats]:
    """Inverse-distance weights that carry attributes from ``source`` to ``target`` points.

    Returns:
        Indices into ``source`` and weights, both (M, k'), ``k' = min(k, N)``; each row of weights sums to 1. A target
        on a source point takes the attributes of that point alone.
    """
    distance, index = nearest(source, target, min(k, len(source)))
    weights = 1.0 / np.maximum(distance, 1e-12 * max(float(distance.max(initial=0.0)), 1e-300))
    exact = distance[:, :1] == 0
    weights = np.where(exact, np.eye(1, weights.shape[1]), weights)
    return index, weights / weights.sum(1, keepdims=True)


def interpolate(attributes: npt.NDArray[np.generic], source: Floats, target: Floats, k: int = 3) -> Floats:
    """Attributes (N,) or (N, C) of ``source`` points at ``target`` points, float64."""
    index, weights = interpolation(source, target, k)
    values = np.asarray(attributes, np.float64)
    return np.asarray(np.einsum("mk,mk...->m...", weights, values[index]))


def farthest_points(points: Floats, count: int, *, start: int = 0, existing: Floats | None = None) -> Indices:
    """Farthest point sampling: the indices of ``count`` points, in the order in which the textbook loop picks them.

    Each pick is the point farthest from all picks before it (the lowest index of equals). The loop is not run: a
    point whose distance is the largest within its own ball must be picked, whatever happens elsewhere, so many picks
    are made at once, and sorting them by their distance gives the loop's order.

    Args:
        points: (N, 3).
        count: how many to pick; fewer are, where there are not so many distinct points besides ``existing``.
        start: index of the first pick; not used with ``existing`` points.
        existing: (M, 3) points, possibly none, that count as picked before; they are not part of the result.
    """
    points = np.ascontiguousarray(points, np.float64)
    squared = np.full(len(points), np.inf)
    if existing is not None and len(existing):
        squared, start = _squared_to(points, np.asarray(existing, np.float64), np.inf), -1
    first = _dense_picks(points, squared, min(count, _DENSE_PICKS), start)
    picks, values = [first], [np.full(len(first), np.inf)]
    missing = count - len(first)
    while missing > 0:
        radius = float(np.sqrt(squared.max(initial=0.0)))
        if radius == 0:
            break
        behind = np.flatnonzero(squared > (_STAGE * radius) ** 2)  # others need not be known yet, and can only shrink
        nearest_pick = _squared_to(points[behind], points[np.concatenate(picks)], radius)
        squared[behind] = np.minimum(squared[behind], nearest_pick)
        picked, value = _stage(points, squared, radius)
        picks.append(picked)
        values.append(value)
        missing -= len(picked)
    chosen, height = np.concatenate(picks), np.concatenate(values)
    order = np.lexsort((chosen, -height))
    order = np.concatenate([np.arange(len(first)), order[len(first) :]])
    return chosen[order[:count]]


def _dense_picks(points: Floats, squared: Floats, count: int, start: int) -> Indices:
    """The textbook loop, from ``start`` if it is not negative; updates ``squared``, ends where all are picked."""
    picks: list[int] = []
    while len(picks) < count:
        pick = int(squared.argmax()) if picks or start < 0 else start
        if squared[pick] == 0:
            break
        picks.append(pick)
        np.minimum(squared, _squared(points, points[pick]), out=squared)
    return np.array(picks, np.int64)


def _squared(a: Floats, b: Floats) -> Floats:
    x, y, z = (a[:, i] - b[..., i] for i in range(3))  # three times as quick as summing over short rows
    return x * x + y * y + z * z


def _squared_to(points: Floats, picks: Floats, radius: float) -> Floats:
    """Squared distance of each point to the nearest of ``picks``; infinite beyond ``radius``."""
    bound = radius * (1 + 1e-9)
    _, index = cKDTree(picks).query(points, distance_upper_bound=bound, workers=usable_cores())
    squared = np.full(len(points), np.inf)
    near = index < len(picks)
    squared[near] = _squared(points[near], picks[index[near]])
    return squared


def _stage(points: Floats, squared: Floats, radius: float) -> tuple[Indices, Floats]:
    """All picks whose distance lies in (_STAGE * radius, radius], and their squared distances.

    ``squared`` must be known beyond that floor; no value of it is above it afterwards.
    """
    floor = (_STAGE * radius) ** 2
    active = np.flatnonzero(squared > floor)
    spot, height = points[active], squared[active].copy()
    pairs = cKDTree(spot).query_pairs(radius * (1 + 1e-9), output_type="ndarray")
    a, b = pairs[:, 0], pairs[:, 1]  # a < b, so that a wins a tie
    gap = _squared(spot[a], spot[b])
    alive = np.ones(len(active), bool)
    picked, value = [np.empty(0, np.int64)], [np.empty(0)]
    while alive.any():
        first = height[a] >= height[b]
        winner, loser = np.where(first, a, b), np.where(first, b, a)
        beaten = np.zeros(len(active), bool)
        beaten[loser[gap < height[loser]]] = True
        safe = alive & ~beaten
        picked.append(active[safe])
        value.append(height[safe])
        hit = safe[winner]
        np.minimum.at(height, loser[hit], gap[hit])
        alive &= ~safe & (height > floor)
        keep = alive[a] & alive[b]
        a, b, gap = a[keep], b[keep], gap[keep]
    chosen = np.concatenate(picked)
    squared[active] = height
    squared[chosen] = 0
    return chosen, np.concatenate(value)
