"""A triangle mesh as a surface: exact closest points, and evenly spread samples.

Neither needs a compiler or another library. Closest points come from a balanced tree of boxes walked level by level
for many points at once; Poisson-disk samples from sample elimination, which hits the asked count exactly.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sentio.core.counts import counted
from sentio.core.errors import InputError
from sentio.points.geometry import check_range

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAF_FACES = 4
PAIRS_AT_ONCE = 1 << 19  # bounds memory: about 200 bytes a pair
QUERIES_AT_ONCE = 1 << 15
OVERSAMPLING = 5  # samples drawn for every one kept; the figure of the sample-elimination paper
HEAVY = 0.95  # quantile of the weights above which a round removes; below 0.9 sparse places begin to thin out


class Closest(NamedTuple):
    """Closest points of a surface: ``points`` (N, 3), ``distance`` (N,) and the ``face`` (N,) they lie on."""

    points: Floats
    distance: Floats
    face: Ints


class Samples(NamedTuple):
    """Points on a surface: ``points`` (N, 3), their ``face`` (N,) and ``weights`` (N, 3) of its three corners."""

    points: Floats
    face: Ints
    weights: Floats


@dataclass(frozen=True)
class Surface:
    """A triangle mesh.

    Args:
        vertices: (V, 3) float64, finite.
        faces: (F, 3) int64 indices into the vertices, at least one face of positive area.
    """

    vertices: Floats
    faces: Ints

    def __post_init__(self) -> None:
        object.__setattr__(self, "vertices", np.ascontiguousarray(self.vertices, dtype=np.float64))
        object.__setattr__(self, "faces", np.ascontiguousarray(self.faces, dtype=np.int64))
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 3:
            raise InputError(f"The vertices of the mesh have the shape {self.vertices.shape}; (V, 3) is needed.")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or len(self.faces) == 0:
            raise InputError("The mesh has no triangles.")
        if self.faces.min() < 0 or self.faces.max() >= len(self.vertices):
            raise InputError(
                f"A face of the mesh names a vertex outside of its {counted(len(self.vertices), 'vertex', 'vertices')}."
            )
        if not np.isfinite(self.vertices).all():
            raise InputError("The mesh has a vertex that is not finite.")
        check_range(self.vertices)
        if self.area <= 0:
            raise InputError("Every triangle of the mesh has zero area.")

    @cached_property
    def corners(self) -> Floats:
        """(F, 3, 3): face, corner, coordinate."""
        return self.vertices[self.faces]

    @cached_property
    def normals(self) -> Floats:
        """(F, 3) unit normals; zero for a degenerate face."""
        normal = np.cross(self.corners[:, 1] - self.corners[:, 0], self.corners[:, 2] - self.corners[:, 0])
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        np.divide(normal, length, out=normal, where=length > 0)
        return normal

    @cached_property
    def face_areas(self) -> Floats:
        """(F,) areas of the faces."""
        normal = np.cross(self.corners[:, 1] - self.corners[:, 0], self.corners[:, 2] - self.corners[:, 0])
        return np.asarray(np.linalg.norm(normal, axis=1) / 2)

    @property
    def area(self) -> float:
        """Area of the whole surface."""
        return float(self.face_areas.sum())

    @cached_property
    def _boxes(self) -> "_Boxes":
        return _Boxes(self.corners)

    @cached_property
    def _vertex_tree(self) -> cKDTree:
        return cKDTree(self.vertices[np.unique(self.faces)])

    def closest(self, points: Floats) -> Closest:
        """The exact closest point of the surface for each of (N, 3) ``points``."""
        points = np.ascontiguousarray(points, dtype=np.float64)
        parts = [self._closest(points[i : i + QUERIES_AT_ONCE]) for i in range(0, len(points), QUERIES_AT_ONCE)]
        if not parts:
            return Closest(np.empty((0, 3)), np.empty(0), np.empty(0, dtype=np.int64))
        return Closest(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _closest(self, points: Floats) -> Closest:
        # The nearest vertex bounds the distance from above; only boxes within that bound are opened.
        rounding = 1e-12 * float(abs(self.vertices).max())  # of a point that lies on a vertex
        bound = (self._vertex_tree.query(points)[0] * (1 + 1e-9) + rounding) ** 2
        search = _Search(points, self.corners, self._boxes, bound)
        search.descend(np.arange(len(points)), np.zeros(len(points), dtype=np.int64), 0)
        return Closest(search.nearest, np.linalg.norm(points - search.nearest, axis=1), search.face)

    def sample(self, count: int, *, seed: int) -> Samples:
        """Independent samples, uniform in area."""
        random = np.random.default_rng(seed)
        face = random.choice(len(self.faces), size=count, p=self.face_areas / self.area)
        root, second = np.sqrt(random.random(count)), random.random(count)
        weights = np.stack([1 - root, root * (1 - second), root * second], axis=1)
        return Samples(np.einsum("nc,ncd->nd", weights, self.corners[face]), face, weights)

    def sample_evenly(self, count: int, *, seed: int) -> Samples:
        """Exactly ``count`` Poisson-disk samples: no two lie close together, and no holes are left between them.

        Weighted sample elimination (Yuksel, "Sample Elimination for Generating Poisson Disk Sample Sets", 2015), the
        method behind Open3D's Poisson-disk sampling.
        """
        dense = self.sample(OVERSAMPLING * count, seed=seed)
        kept = eliminate(dense.points, count, radius=np.sqrt(self.area / (2 * np.sqrt(3) * count)))
        return Samples(dense.points[kept], dense.face[kept], dense.weights[kept])


def eliminate(points: Floats, count: int, *, radius: float) -> Ints:
    """Indices of ``count`` evenly spread points among (N, 3) ``points``.

    A point's weight is the sum of (1 - d / 2r)^8 over the points within 2r; the heaviest is removed again and again.
    Points that are heaviest among their neighbours do not influence each other, so the heaviest of those all go in one
    round.

    Args:
        points: (N, 3).
        count: how many to keep.
        radius: the largest disk radius that ``count`` points allow on the surface.
    """
    first, second = cKDTree(points).query_pairs(2 * radius, output_type="ndarray").T
    distance = np.linalg.norm(points[first] - points[second], axis=1)
    closeness = (1 - np.minimum(distance / (2 * radius), 1)) ** 8
    alive = np.ones(len(points), dtype=bool)
    excess = len(points) - count
    while excess > 0:
        weight = np.bincount(first, closeness, len(points)) + np.bincount(second, closeness, len(points))
        heaviest = alive & (weight >= np.quantile(weight[alive], HEAVY))
        heaviest[np.where(weight[first] < weight[second], first, second)] = False
        removed = np.flatnonzero(heaviest)
        if len(removed) > excess:
            removed = removed[np.argpartition(-weight[removed], excess - 1)[:excess]]
        alive[removed] = False
        excess -= len(removed)
        pairs = alive[first] & alive[second]
        first, second, closeness = first[pairs], second[pairs], closeness[pairs]
    return np.flatnonzero(alive)


class _Boxes:
    """A complete binary tree of axis-aligned boxes over faces; the children of node i are 2i and 2i + 1."""

    def __init__(self, corners: Floats) -> None:
        depth = int(np.ceil(np.log2(max(len(corners) / LEAF_FACES, 1))))
        # Repeating faces until every leaf is full keeps the tree complete; a repeated face changes no distance.
        order: Ints = np.resize(np.arange(len(corners)), LEAF_FACES << depth)
        centres = corners.mean(axis=1)
        for level in range(depth):
            order = order.reshape(1 << level, -1)
            nodes = centres[order]
            axis = np.ptp(nodes, axis=1).argmax(axis=1)
            keys = np.take_along_axis(nodes, axis[:, None, None], axis=2)[:, :, 0]
            order = np.take_along_axis(order, np.argsort(keys, axis=1, kind="stable"), axis=1)
        self.leaves = order.reshape(-1, LEAF_FACES)
        low, high = corners[self.leaves].min(axis=(1, 2)), corners[self.leaves].max(axis=(1, 2))
        self.levels = [(low, high)]
        while len(low) > 1:
            low, high = low.reshape(-1, 2, 3).min(axis=1), high.reshape(-1, 2, 3).max(axis=1)
            self.levels.insert(0, (low, high))


class _Search:
    """The walk of many points through the boxes; ``bound`` holds each point's best squared distance so far."""

    def __init__(self, points: Floats, corners: Floats, boxes: _Boxes, bound: Floats) -> None:
        self.points, self.corners, self.boxes, self.bound = points, corners, boxes, bound
        self.nearest = np.full_like(points, np.nan)
        self.face = np.full(len(points), -1, dtype=np.int64)

    def descend(self, point: Ints, node: Ints, level: int) -> None:
        """Follow pairs of ``point`` and ``node`` of one ``level`` down to the faces."""
        if len(point) > PAIRS_AT_ONCE:
            half = len(point) // 2
            self.descend(point[:half], node[:half], level)
            self.descend(point[half:], node[half:], level)
            return
        low, high = self.boxes.levels[level]
        position = self.points[point]
        outside = np.maximum(np.maximum(low[node] - position, position - high[node]), 0)
        near = np.einsum("nd,nd->n", outside, outside) <= self.bound[point]
        point, node = point[near], node[near]
        if level + 1 < len(self.boxes.levels):
            children = np.stack([2 * node, 2 * node + 1], axis=1)
            self.descend(np.repeat(point, 2), children.ravel(), level + 1)
        else:
            self.measure(np.repeat(point, LEAF_FACES), self.boxes.leaves[node].ravel())

    def measure(self, point: Ints, face: Ints) -> None:
        """Take the nearest face of each point among pairs, where it beats the best so far."""
        nearest = closest_on_triangles(self.points[point], self.corners[face])
        squared = ((self.points[point] - nearest) ** 2).sum(axis=1)
        order = np.lexsort((face, squared, point))
        order = order[np.r_[True, np.diff(point[order]) > 0][: len(order)]]
        order = order[squared[order] <= self.bound[point[order]]]
        best = point[order]
        self.bound[best], self.nearest[best], self.face[best] = squared[order], nearest[order], face[order]


def closest_on_triangles(points: Floats, corners: Floats) -> Floats:
    """The closest point (N, 3) of each of N triangles (N, 3, 3) to its own point (N, 3)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    candidates = np.stack([_closest_on_segments(points, *ends) for ends in ((a, b), (b, c), (c, a))], axis=1)
    squared = ((candidates - points[:, None]) ** 2).sum(axis=2)
    result: Floats = np.take_along_axis(candidates, squared.argmin(axis=1)[:, None, None], axis=1)[:, 0]
    weights, inside = _weights_of_feet(points, a, b - a, c - a)
    feet = a + weights[:, :1] * (b - a) + weights[:, 1:] * (c - a)
    result[inside] = feet[inside]
    return result


def _closest_on_segments(points: Floats, start: Floats, end: Floats) -> Floats:
    along = end - start
    length = np.einsum("nd,nd->n", along, along)
    share: Floats = np.einsum("nd,nd->n", points - start, along)
    share = np.clip(np.divide(share, length, out=np.zeros_like(share), where=length > 0), 0, 1)
    return np.asarray(start + share[:, None] * along)


def _weights_of_feet(points: Floats, origin: Floats, u: Floats, v: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Weights (N, 2) of the edges at the foot of the perpendicular, and whether the foot lies in the triangle."""
    normal = np.cross(u, v)
    squared = np.einsum("nd,nd->n", normal, normal)
    offset = points - origin
    weights = np.stack(
        [np.einsum("nd,nd->n", np.cross(offset, v), normal), np.einsum("nd,nd->n", np.cross(u, offset), normal)], axis=1
    )
    weights = np.divide(weights, squared[:, None], out=np.full_like(weights, -1), where=squared[:, None] > 0)
    return weights, (weights >= 0).all(axis=1) & (weights.sum(axis=1) <= 1)
