"""Training data of ``pu-any``: clouds, patches of them and queries around these, all made on the fly."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree
from torch.utils.data import Dataset

from sentio.core import processes
from sentio.core.config import from_dict
from sentio.core.method import TrainingData
from sentio.points import candidates, geometry
from sentio.points.batch import QueryBatch
from sentio.points.losses import surface_distance
from sentio.points.surface import Surface
from sentio.points.training import read_surfaces, split

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Random = np.random.Generator


@dataclass(frozen=True)
class QueryDataConfig:
    """How training clouds for ``pu-any`` are made.

    Args:
        procedural_shapes: how many are added to the meshes.
        clouds: fresh clouds in an epoch.
        patches: patches cut from a cloud.
        patch: source points in a patch.
        queries: candidates asked for in a patch.
        density: least and most points of a cloud, drawn log-uniformly.
        noise: largest noise, in units of the spacing; the level is uniform.
        clean: share of clouds without noise.
        scattered: share of clouds sampled at random instead of evenly.
        jitter: largest displacement of queries, in units of the spacing.
        surface: share of queries that lie on the true surface, in clouds without noise.
        bent: share of patches, and of queries in a patch, drawn where the surface bends: at creases, tips, thin sheets;
            in clouds without noise.
    """

    procedural_shapes: int = 60
    clouds: int = 2000
    patches: int = 4
    patch: int = 384
    queries: int = 384
    density: tuple[int, int] = (700, 5000)
    noise: float = 0.5
    clean: float = 0.5
    scattered: float = 0.2
    jitter: float = 0.25
    surface: float = 0.0
    bent: float = 0.0


DENSE, AROUND = 16, 31
"""Random points of the true surface for each point of a cloud, and how many of them surround a query: they reach as far
as queries are moved."""
FACING = -0.2
"""Least cosine between the normals at a query and at the points near it if all of them are on one sheet: a box's edge
is one sheet, a thin plate and a sharp tip are not."""


class QueryClouds(Dataset[list[dict[str, Floats]]]):
    """An item is one fresh cloud of one shape, as a list of patches."""

    def __init__(
        self, surfaces: list[Surface], config: QueryDataConfig, *, seed: int, neighbours: int, near: int
    ) -> None:
        self.surfaces, self.config, self.seed = surfaces, config, seed
        self.neighbours, self.near = neighbours, near
        self.epoch = 0

    def __len__(self) -> int:
        return self.config.clouds

    def __getitem__(self, index: int) -> list[dict[str, Floats]]:
        random = np.random.default_rng([self.seed, self.epoch, index])
        config = self.config
        surface = self.surfaces[random.integers(len(self.surfaces))]
        count = int(np.exp(random.uniform(*np.log(config.density))))
        draw = surface.sample if random.random() < config.scattered else surface.sample_evenly
        samples = draw(count, seed=int(random.integers(2**31)))
        level = 0.0 if random.random() < config.clean else random.uniform(0, config.noise)
        spacing = np.sqrt(surface.area / count)
        noisy = samples.points + random.normal(size=samples.points.shape) * level * spacing
        cloud = _Cloud(surface, noisy, surface.normals[samples.face], level, int(random.integers(2**31)))
        return [self._patch(cloud, random) for _ in range(config.patches)]

    def _patch(self, cloud: "_Cloud", random: Random) -> dict[str, Floats]:
        config, points = self.config, cloud.points
        centre = points[self._choose(cloud.bend, 1, random)[0]]
        _, index = geometry.nearest(points, centre[None], min(config.patch, len(points)))
        source = geometry.measure(points[index[0]], self.neighbours)
        inner = index[0][: int(0.6 * config.patch)]  # farther out the patch's border would be seen
        queries = self._queries(cloud, source, cloud.bend[inner], random)
        _, near = geometry.nearest(source.points, queries, self.near)
        around, normals = cloud.around(queries)
        reached = np.linalg.norm(queries - around[:, 0], axis=1) < 2 * source.spacing[near[:, 0]]
        facing = np.einsum("qnd,qd->qn", cloud.normals[index[0][near]], normals[:, 0])
        return {
            "points": source.points - centre,
            "frames": source.frames,
            "spacing": source.spacing,
            "neighbours": source.neighbours,
            "queries": queries - centre,
            "near": near,
            "surface": around - centre,
            "normals": normals,
            "weight": reached / (1 + 8 * cloud.level),
            "single": (facing.min(1) > FACING) & (cloud.level == 0),
        }

    def _queries(self, cloud: "_Cloud", source: geometry.Sources, bend: Floats, random: Random) -> Floats:
        """Points of the surface and candidates around the first points, half of the candidates shaken."""
        config, centres = self.config, source.points[: len(bend)]
        found, _ = candidates.generate(source, np.arange(len(bend)))
        count = round(config.surface * config.queries) if cloud.level == 0 else 0
        found = found[self._choose(bend[geometry.nearest(centres, found, 1)[1][:, 0]], config.queries - count, random)]
        amount = random.uniform(0, config.jitter, (len(found), 1)) * (random.random((len(found), 1)) < 0.5)
        shaken = found + random.normal(size=found.shape) * amount * source.spacing.mean()
        around = centres[self._choose(bend, count, random)]
        around = around + random.normal(size=around.shape) * 0.5 * source.spacing.mean()
        return np.concatenate([cloud.mesh.closest(around).points, shaken])

    def _choose(self, bend: Floats, count: int, random: Random) -> Indices:
        """``count`` indices, a share of them in proportion to the bend; distinct where there are enough."""
        chance = (1 - self.config.bent) / len(bend) + self.config.bent * bend / bend.sum()
        return random.choice(len(bend), count, replace=len(bend) < count, p=chance)


@dataclass(frozen=True)
class _Cloud:
    """A cloud (N, 3) with noise of ``level`` spacings, the ``mesh`` it was drawn from and the normals (N, 3) there."""

    mesh: Surface
    points: Floats
    normals: Floats
    level: float
    seed: int

    @cached_property
    def bend(self) -> Floats:
        """How far the normals around each point disagree (N,): near 0 on a plane, near 1 on a sheet of two sides.

        The same everywhere where there is noise.
        """
        if self.level:
            return np.ones(len(self.points))
        around = self.normals[geometry.nearest(self.points, self.points, 12)[1]]
        return np.asarray(1.001 - np.linalg.norm(around.mean(1), axis=1))

    @cached_property
    def _dense(self) -> tuple[cKDTree, Floats]:
        samples = self.mesh.sample(DENSE * len(self.points), seed=self.seed)
        return cKDTree(samples.points), self.mesh.normals[samples.face]

    def around(self, queries: Floats) -> tuple[Floats, Floats]:
        """The closest point of the surface to each query and random ones around it, with their normals: (Q, s, 3)."""
        closest, (tree, normals) = self.mesh.closest(queries), self._dense
        index = tree.query(queries, AROUND, workers=-1)[1]
        points = np.concatenate([closest.points[:, None], tree.data[index]], axis=1)
        return points, np.concatenate([self.mesh.normals[closest.face][:, None], normals[index]], axis=1)


def join(items: list[list[dict[str, Floats]]]) -> QueryBatch:
    """Patches, end to end, with shifted indices."""
    patches = [patch for item in items for patch in item]
    starts = np.cumsum([0] + [len(patch["points"]) for patch in patches[:-1]])
    columns: dict[str, torch.Tensor] = {}
    for name in patches[0]:
        parts = [patch[name] for patch in patches]
        if name in ("neighbours", "near"):
            parts = [part + start for part, start in zip(parts, starts, strict=True)]
            columns[name] = torch.from_numpy(np.concatenate(parts))
        else:
            columns[name] = torch.from_numpy(np.concatenate(parts).astype(np.float32))
    return QueryBatch(**columns)


class QueryData(TrainingData):
    """Training data of ``pu-any``; validation is the mean distance to the surface on shapes kept apart."""

    monitor = "p2f"
    higher_is_better = False

    def __init__(self, train: QueryClouds, held_out: QueryClouds) -> None:
        self.train, self.held_out = train, held_out

    def train_dataset(self) -> QueryClouds:
        return self.train

    def set_epoch(self, epoch: int) -> None:
        self.train.epoch = epoch

    def collate(self, items: list[Any]) -> QueryBatch:
        return join(items)

    def validate(self, method: Any) -> dict[str, float]:

        def miss_of(index: int) -> tuple[bool, float]:
            """Whether the cloud is clean, and its points' mean distance from the surface, by their spacing."""
            batch = join([self.held_out[index]]).to(method.device)
            displacement, _ = method(batch)
            miss = surface_distance(batch, batch.queries + displacement) / batch.spacing[batch.near[:, 0]]
            return float(batch.weight.max()) == 1, float(miss[batch.weight > 0].mean())

        found = processes.spread(miss_of, range(24))
        clean, noisy = ([miss for is_clean, miss in found if is_clean == wanted] for wanted in (True, False))
        return {"p2f": float(np.mean(clean + noisy)), "clean": float(np.mean(clean)), "noisy": float(np.mean(noisy))}


def open_queries(path: Path, values: dict[str, Any], *, neighbours: int, near: int, seed: int = 0) -> QueryData:
    """The training data of ``pu-any`` from a folder of meshes.

    Args:
        values: the ``data`` section of a recipe.
        neighbours: of a source point.
        near: source points of a query.

    Raises:
        RecipeError: an unknown key or a wrong value.
        InputError: see :func:`read_surfaces`.
    """
    config = from_dict(QueryDataConfig, values, where="data")
    train, kept = split(read_surfaces(path), config.procedural_shapes, seed)
    sizes = {"neighbours": neighbours, "near": near}
    return QueryData(QueryClouds(train, config, seed=seed, **sizes), QueryClouds(kept, config, seed=seed + 1, **sizes))
