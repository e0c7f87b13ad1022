"""The two networks behind one face: propose points near a part of a cloud, and settle points on its surface.

Only network calls are cut into chunks, and a row of a network's result does not depend on the rows beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from sentio.core import weights
from sentio.core.runtime import usable_cores
from sentio.points import candidates, geometry, patches

Floats = npt.NDArray[np.float64]
Features = npt.NDArray[np.floating]
Neighbours = npt.NDArray[np.int32]
Indices = npt.NDArray[np.int64]

TILE = 512
"""Points whose features are computed in one network call: fits the cache."""
STORED = np.float16
"""Of the features between network calls: half of the memory; they change by less than a thousandth of the largest."""
LARGEST = float(np.finfo(STORED).max)
"""Features beyond it, of points a million spacings from others, would leave no number in what rests on them."""
CHUNK = 512
"""Queries in one network call: fits the cache."""
DOUBT = 0.2
"""Candidates with a larger expected error, in units of the spacing, are moved once more and dropped if it stays so:
they lie between sheets. On noisy clouds the limit is 3 times the usual error."""
KEPT_DOUBT, ENOUGH = 0.06, 3.5
"""The limit where the input is kept, as that of laser scanners is: what is added to measured points must not hang
between near and far things or among leaves. The surest, this many for each point, stay in any case: a round asks for 3,
and fewer would be mostly copies of the input. Chosen by bench/sweeps.py; even clouds come out less even with it."""
STEP = 0.2
"""Step of the relaxation, in units of the new spacing; more or longer steps drive points off edges."""
SETTLING, FLAT = 4, 0.2
"""A relaxed point is settled by this many candidates nearest to it if their heights above the surface differ from their
mean by this much at most, in units of the new spacing; else by the network. The shapes of the evaluation: nearer to the
surface than by the network alone, which is asked for a quarter of the points."""
SUPPORT = 0.3
"""A relaxed point goes back if no candidate is this near, in units of the new spacing: beyond lies no surface."""


class Session(Protocol):
    """A network that is ready to run; ONNX Runtime's sessions are of this kind."""

    def run(self, outputs: Sequence[str], feed: Mapping[str, npt.NDArray[Any]]) -> list[Any]:
        """Values of the named outputs for named inputs."""
        ...


@dataclass(frozen=True)
class Model:
    """An up-sampling system that is ready to run.

    Attributes:
        system: its registered name.
        sessions: its graphs by name.
        config: its Config as JSON.
    """

    system: str
    sessions: Mapping[str, Session]
    config: Mapping[str, Any]


class Network(Protocol):
    """What the driver asks of a network."""

    def follow(self, source: geometry.Sources) -> None:
        """Take the points of the next round."""

    def propose(self, core: Indices) -> Floats:
        """Points (M, 3) near those with the indices ``core``, often more than needed; called in a thread of its own."""

    def spread(self, new: Floats, existing: Floats, proposals: Floats) -> Floats:
        """``new`` points, spaced more evenly among themselves and ``existing`` ones, where there are ``proposals``."""


class AnyRatio:
    """``pu-any``: the surface is always that of the input cloud, whose features are computed once."""

    def __init__(self, source: geometry.Sources, model: Model, start: int, kept: bool) -> None:
        self.source = self.current = source  # no patches, so nothing starts here
        self.kept = kept
        self.tree = cKDTree(source.points)
        self.frames, self.spacing = source.frames.astype(np.float32), source.spacing.astype(np.float32)
        self.head = model.sessions["pu-any"]
        self.near = int(model.config["query_neighbours"])
        self.features = self._encode(model)

    def _encode(self, model: Model) -> list[Features]:
        """Features (N, C) at each scale, each made from those before it of some neighbours."""
        k, dilations = int(model.config["neighbours"]), model.config["dilations"]
        tiles = patches.blocks(self.source.points, TILE)
        used = [self.source.neighbours[:, : k * dilation : dilation] for dilation in dilations]
        features = [self._step(model, "pu-any-start", tiles, used[0], None)]
        for number, neighbours in enumerate(used):
            features.append(self._step(model, f"pu-any-scale-{number}", tiles, neighbours, features[-1]))
        return features[1:]

    def _step(
        self, model: Model, graph: str, tiles: list[Indices], neighbours: Neighbours, before: Features | None
    ) -> Features:
        """One step of the encoder for all points, tile by tile."""
        features = np.empty((len(neighbours), int(model.config["channels"])), STORED)

        def run(core: Indices) -> None:
            near = neighbours[core]
            around, local = np.unique(near, return_inverse=True)
            rows = np.concatenate([core, around])  # a tile's own points come first
            offsets = self.source.points[near] - self.source.points[core][:, None]
            feed: dict[str, npt.NDArray[Any]] = {"frames": self.frames[rows], "spacing": self.spacing[rows]}
            feed |= {"offsets": offsets.astype(np.float32), "neighbours": local.reshape(near.shape) + len(core)}
            if before is not None:
                feed["before"] = before[rows].astype(np.float32)
            features[core] = np.clip(model.sessions[graph].run(["feature"], feed)[0], -LARGEST, LARGEST)

        with ThreadPoolExecutor(usable_cores()) as pool:
            list(pool.map(run, tiles))
        return features

    def follow(self, source: geometry.Sources) -> None:
        self.current = source

    def propose(self, core: Indices) -> Floats:
        moved, error = self.project(candidates.thin(*candidates.generate(self.current, core)))
        limit = self._limit(error, int(ENOUGH * len(core)))
        doubtful = error > limit
        if doubtful.any():
            moved[doubtful], error[doubtful] = self.project(moved[doubtful])
        return moved[error <= limit]

    def _limit(self, error: Floats, enough: int) -> float:
        """The expected error beyond which candidates are dropped."""
        if self.kept:
            last = min(enough, len(error)) - 1
            return max(KEPT_DOUBT, float(np.partition(error, last)[last]))
        return max(DOUBT, 3 * float(np.median(error)))

    def spread(self, new: Floats, existing: Floats, proposals: Floats) -> Floats:
        """One step away from the 6 nearest, within the surface, and back onto it."""
        around = np.concatenate([new, existing])
        if len(around) == 1:
            return new
        distance, index = geometry.nearest(around, new, 7)
        distance, away = distance[:, 1:], new[:, None] - around[index[:, 1:]]
        spacing = distance.mean(1, keepdims=True)
        push = np.maximum(0, 1 - distance / (2 * spacing)) / np.maximum(distance, 1e-12)
        step = spacing * np.einsum("nk,nki->ni", push, away)
        normal = self.source.frames[self.tree.query(new, workers=usable_cores())[1], 2]
        step -= np.einsum("ni,ni->n", step, normal)[:, None] * normal
        moved, support = self._settled(new + STEP * step, normal, proposals, spacing)
        spaced = np.where(support <= SUPPORT * spacing, moved, new)
        return spaced if len(np.unique(spaced, axis=0)) == len(new) else new

    def _settled(self, points: Floats, normal: Floats, proposals: Floats, spacing: Floats) -> tuple[Floats, Floats]:
        """Points (M, 3) brought onto the surface, and their distances (M, 1) from the nearest of the ``proposals``.

        Where these lie flat, the surface is at the mean of their heights, by the inverse of their squared distances;
        elsewhere the network is asked.
        """
        distance, index = geometry.nearest(proposals, points, SETTLING)
        weight = 1 / np.maximum(distance, 1e-12) ** 2
        height = np.einsum("nki,ni->nk", proposals[index] - points[:, None], normal)
        mean = (weight * height).sum(1, keepdims=True) / weight.sum(1, keepdims=True)
        settled = points + mean * normal
        uneven = (abs(height - mean) > FLAT * spacing).any(1)
        if uneven.any():
            settled[uneven] = self.project(settled[uneven])[0]
        return settled, distance[:, :1]

    def project(self, queries: Floats) -> tuple[Floats, Floats]:
        """Points on the surface (Q, 3) and their expected errors (Q,) in units of the spacing there."""
        parts = [queries[i : i + CHUNK] for i in range(0, len(queries), CHUNK)]
        with ThreadPoolExecutor(usable_cores()) as pool:
            results = list(pool.map(self._project, parts))
        return np.concatenate([moved for moved, _ in results]), np.concatenate([error for _, error in results])

    def _project(self, queries: Floats) -> tuple[Floats, Floats]:
        count = len(queries)
        if count == 1:
            queries = np.repeat(queries, 2, 0)  # a matrix of one row would take another path, and round otherwise
        near = self.tree.query(queries, np.arange(1, self.near + 1))[1]
        near = np.minimum(near, len(self.source.points) - 1)  # the tree's mark for fewer points than neighbours
        use, local = np.unique(near, return_inverse=True)
        feed = {
            "features": np.stack([feature[use] for feature in self.features], 1).astype(np.float32),
            "frames": self.frames[use],
            "spacing": self.spacing[use],
            "offsets": (queries[:, None] - self.source.points[near]).astype(np.float32),
            "near": local.reshape(near.shape),
        }
        moved, error = self.head.run(["displacement", "error"], feed)
        return (queries + moved)[:count], error[:count]


class PatchWise:
    """``pu-mfa``: overlapping patches of the current cloud; of a point's four children, in each patch that holds it,
    those of the patch count whose middle is nearest. Then they are spread by one step of repulsion."""

    size, overlap, batch = 256, 2.0, 4
    step = 0.2
    """Of the repulsion, in units of the new spacing."""

    def __init__(self, source: geometry.Sources, model: Model, start: int, kept: bool) -> None:
        self.model, self.start = model, start  # its points are as they are, kept or not
        self.follow(source)

    def follow(self, source: geometry.Sources) -> None:
        points = source.points
        size = max(16, min(self.size, len(points)))
        index = patches.overlapping(points, size, self.overlap, self.start)
        owner = patches.owners(points, index)
        self.children: Floats = np.empty((0, 0, 3))
        for first in range(0, len(index), self.batch):
            part = index[first : first + self.batch]
            fine = patch_outputs(self.model, points, part, "fine").reshape(*part.shape, -1, 3)  # (P, N, r, 3)
            mine = owner[part] == np.arange(first, first + len(part))[:, None]
            if not len(self.children):
                self.children = np.empty((len(points), *fine.shape[2:]))
            self.children[part[mine]] = fine[mine]
        even = geometry.repelled(self.children.reshape(-1, 3), self.step)
        self.children = even.reshape(self.children.shape)

    def propose(self, core: Indices) -> Floats:
        return self.children[core].reshape(-1, 3)

    def spread(self, new: Floats, existing: Floats, proposals: Floats) -> Floats:
        return new


def patch_outputs(model: Model, points: Floats, index: Indices, output: str) -> Floats:
    """One output of PU-MFA for patches ``index`` (P, N) of ``points``: new points (P, rN, 3), or attention
    (P, scales, N, N). Each patch stands on its principal axes in the unit sphere."""
    cloud, frames = points[index], geometry.local_frames(points, index)
    centroid = cloud.mean(1, keepdims=True)
    radius = np.sqrt(((cloud - centroid) ** 2).sum(-1).max(1))[:, None, None]
    unit = ((cloud - centroid) / radius @ frames.transpose(0, 2, 1)).astype(np.float32)
    result: npt.NDArray[np.float32] = model.sessions["pu-mfa"].run([output], {"sparse": unit})[0]
    return np.asarray(result if output == "attention" else result @ frames * radius + centroid, np.float64)


NETWORKS: dict[str, Callable[[geometry.Sources, Model, int, bool], Network]] = {"pu-any": AnyRatio, "pu-mfa": PatchWise}
GRAPHS = {
    "pu-any": ("pu-any-start", "pu-any-scale-0", "pu-any-scale-1", "pu-any-scale-2", "pu-any"),
    "pu-mfa": ("pu-mfa",),
}


@cache
def embedded(name: str) -> Model:
    """The system of that name with the package's weights, kept open."""
    sessions = {graph: weights.session(graph) for graph in GRAPHS[name]}
    return Model(name, sessions, weights.card(name).config)
