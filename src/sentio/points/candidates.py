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


def generate(source: Sources, core: Indices) -> Floats:
    """Candidates (M, 3) around the points ``core``, those points first; the others have no order.

    They are about 16 for each point; a midpoint on the border of ``core`` also comes up beyond it.
    """
    points, near = source.points, source.neighbours[core][:, : NEIGHBOURS + 1]
    edges = _corners(near, [np.arange(1, near.shape[1])], len(points))
    edges = edges[_sides(source, edges) <= REACH]
    first, second = np.triu_indices(near.shape[1], 1)
    inner = first > 0
    triangles = _corners(near, [first[inner], second[inner]], len(points))
    lengths = [np.linalg.norm(points[triangles[:, i]] - points[triangles[:, i - 1]], axis=1) for i in range(3)]
    compact = np.max(lengths, 0) <= STRETCH * np.min(lengths, 0)
    triangles = triangles[compact]
    triangles = triangles[_sides(source, triangles) <= REACH]
    return np.concatenate([points[core], points[edges].mean(1), points[triangles].mean(1)])


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
