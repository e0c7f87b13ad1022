"""Where new points may lie: on the points, halfway between neighbours, and amid compact triangles of neighbours."""

import numpy as np
import numpy.typing as npt

from sentio.points.geometry import Sources

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

NEIGHBOURS = 8
STRETCH = 3.0
"""Largest ratio of the sides of a triangle; a smaller one leaves holes, a larger one costs time."""
REACH = 2.5
"""Longest side, in units of the smallest spacing at its ends: what is longer bridges free space."""
CELL = 0.35
"""Side of the cells in which one candidate is enough, in units of the spacing: halves their number, and the time."""


def generate(source: Sources, core: Indices) -> tuple[Floats, Floats]:
    """Candidates (M, 3) around the points ``core``, and the smallest spacing (M,) of the points they stem from.

    Those points come first; the others have no order. They are about 16 for each point; a midpoint on the border of
    ``core`` also comes up beyond it.
    """
    points, near = source.points, source.neighbours[core][:, : NEIGHBOURS + 1].astype(np.int64)
    edges = _corners(near, [np.arange(1, near.shape[1])], len(points))
    edges = edges[_sides(source, edges) <= REACH]
    first, second = np.triu_indices(near.shape[1], 1)
    inner = first > 0
    triangles = _corners(near, [first[inner], second[inner]], len(points))
    lengths = [np.linalg.norm(points[triangles[:, i]] - points[triangles[:, i - 1]], axis=1) for i in range(3)]
    compact = np.max(lengths, 0) <= STRETCH * np.min(lengths, 0)
    triangles = triangles[compact]
    triangles = triangles[_sides(source, triangles) <= REACH]
    corners = [core[:, None], edges, triangles]
    found = np.concatenate([points[index].mean(1) for index in corners])
    return found, np.concatenate([source.spacing[index].min(1) for index in corners])


def thin(found: Floats, spacing: Floats) -> Floats:
    """One candidate, the first, of each cell of a grid as fine as the ``spacing`` there: (K, 3), neighbours together.

    The cells are those of the block's median spacing times a power of two, so that neighbours share a grid.
    """
    usual = float(np.median(spacing))
    level = np.round(np.log2(spacing / usual))
    cell = np.floor(found / (CELL * usual * 2.0**level)[:, None])
    order = np.lexsort((cell[:, 2], cell[:, 1], cell[:, 0], level))
    keys = np.column_stack([level, cell])[order]
    first = np.concatenate([[True], (np.diff(keys, axis=0) != 0).any(1)])
    return np.asarray(found[order[first]])


def _corners(near: Indices, columns: list[Indices], n: int) -> Indices:
    """The distinct sets of each row's first point and its ``columns``, as sorted rows."""
    own = np.broadcast_to(near[:, :1], (len(near), len(columns[0])))
    corners = np.sort(np.stack([own, *(near[:, column] for column in columns)], -1).reshape(-1, len(columns) + 1), 1)
    corners = corners[(np.diff(corners, axis=1) > 0).all(1)]  # a cloud of few points repeats its neighbours
    key = corners[:, 0].copy()
    for column in corners.T[1:]:
        key = key * n + column
    return corners[np.unique(key, return_index=True)[1]]


def _sides(source: Sources, corners: Indices) -> Floats:
    """The longest side of each row's edge or triangle, in units of the smallest spacing of its corners."""
    points = source.points
    sides = [np.linalg.norm(points[corners[:, i]] - points[corners[:, i - 1]], axis=1) for i in range(corners.shape[1])]
    return np.asarray(np.max(sides, 0) / source.spacing[corners].min(1))
