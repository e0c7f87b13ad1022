"""Shapes to train on, from a folder and procedural ones, and the training data of ``pu-mfa``: pairs of patches."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial.transform import Rotation
from torch.utils.data import Dataset

from sentio.core import processes
from sentio.core.config import from_dict
from sentio.core.errors import InputError, require
from sentio.core.method import TrainingData
from sentio.points import geometry
from sentio.points.batch import PatchBatch
from sentio.points.io.mesh import mesh_files, read_mesh
from sentio.points.losses import centred_chamfer
from sentio.points.shapes import procedural
from sentio.points.surface import Surface

Floats = npt.NDArray[np.float64]
Random = np.random.Generator


def read_surfaces(folder: Path) -> list[Surface]:
    """All meshes of a folder in the unit sphere, sorted by name.

    Raises:
        InputError: there are none, or one cannot be read.
    """
    return [_in_unit_sphere(read_mesh(path)) for path in mesh_files(folder)]


def _in_unit_sphere(surface: Surface) -> Surface:
    used = np.unique(surface.faces)  # vertices without a face do not count
    unit = geometry.normalise(surface.vertices[used])
    vertices = np.zeros_like(surface.vertices)
    vertices[used] = unit.points
    return Surface(vertices, surface.faces)


@dataclass(frozen=True)
class PatchDataConfig:
    """How pairs of a sparse and a dense patch for ``pu-mfa`` are made; the augmentations are the field's.

    Args:
        procedural_shapes: how many are added to the meshes.
        clouds: fresh clouds in an epoch.
        patches: patches cut from a cloud; an epoch has ``clouds * patches`` items. An h5 file has its own number.
        patch: points of a sparse patch; the dense one has ``ratio`` times as many.
        density: least and most points of a sparse cloud, drawn log-uniformly.
        uneven: share of patches whose sparse points are drawn unevenly from the dense ones.
        jitter: standard deviation of the noise on sparse points, in patch radii; cut at three times that.
        jittered: share of patches with that noise.
        turned: share of patches turned at random; the others stand on their principal axes, as all do in use.
        scale: least and most scaling.
        seed: of the clouds trained on, and of patches and augmentations; another one goes on with fresh clouds.
    """

    procedural_shapes: int = 60
    clouds: int = 600
    patches: int = 40
    patch: int = 256
    ratio: int = 4
    density: tuple[int, int] = (1000, 4000)
    uneven: float = 0.1
    jitter: float = 0.01
    jittered: float = 0.3
    turned: float = 1.0
    scale: tuple[float, float] = (0.8, 1.2)
    seed: int = 0


Pair = tuple[Floats, Floats]

HELD_OUT_SEED = 1
"""Of the clouds validated on, so that they stay the same with another ``seed``."""
VALIDATION_PATCHES = 128
"""Evenly chosen from those of all clouds kept apart."""


class PatchClouds(Dataset[Pair]):
    """An item is a patch pair of one of the epoch's clouds, which are sampled when first needed and then kept."""

    def __init__(self, surfaces: list[Surface], config: PatchDataConfig, *, seed: int) -> None:
        self.surfaces, self.config, self.seed = surfaces, config, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Forget the clouds of another epoch."""
        self.epoch = epoch
        self.clouds: dict[int, Pair] = {}

    def __len__(self) -> int:
        return self.config.clouds * self.config.patches

    def __getitem__(self, index: int) -> Pair:
        config = self.config
        number, patch = divmod(index, config.patches)
        if number not in self.clouds:
            self.clouds[number] = self._cloud(number)
        sparse, dense = self.clouds[number]
        random = np.random.default_rng([self.seed, self.epoch, number, patch])
        centre = sparse[random.integers(len(sparse))]
        few = _nearest(sparse, centre, config.patch)
        many = _nearest(dense, centre, config.ratio * config.patch)
        return augment(few, many, config, random)

    def _cloud(self, number: int) -> Pair:
        random = np.random.default_rng([self.seed, self.epoch, number])
        surface = self.surfaces[random.integers(len(self.surfaces))]
        count = int(np.exp(random.uniform(*np.log(self.config.density))))
        sparse = surface.sample_evenly(count, seed=int(random.integers(2**31))).points
        dense = surface.sample_evenly(self.config.ratio * count, seed=int(random.integers(2**31))).points
        return sparse, dense


def _nearest(points: Floats, centre: Floats, k: int) -> Floats:
    """The ``k`` points nearest to ``centre``, nearest first; for one centre quicker than a k-d tree."""
    squared = ((points - centre) ** 2).sum(1)
    index = np.argpartition(squared, min(k, len(points)) - 1)[:k]
    return points[index[np.argsort(squared[index], kind="stable")]]


class PatchFile(Dataset[Pair]):
    """An item is a pair of a PU-GAN or PU1K h5 file."""

    def __init__(self, path: Path, config: PatchDataConfig, *, seed: int) -> None:
        self.sparse, self.dense = read_patches(path)
        self.config, self.seed = config, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Other augmentations in each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.sparse)

    def __getitem__(self, index: int) -> Pair:
        random = np.random.default_rng([self.seed, self.epoch, index])
        return augment(self.sparse[index], self.dense[index], self.config, random)


def read_patches(path: Path) -> Pair:
    """Sparse (P, N, 3) and dense (P, rN, 3) patches of an h5 file with the keys poisson_256 and poisson_1024.

    Raises:
        InputError: no such file, or without these keys.
    """
    h5py = require("h5py", "train")
    try:
        with h5py.File(path) as file:
            return file["poisson_256"][..., :3], file["poisson_1024"][..., :3]
    except (OSError, KeyError) as error:
        raise InputError(f"{path} is no patch file with poisson_256 and poisson_1024: {error}.") from error


def augment(sparse: Floats, dense: Floats, config: PatchDataConfig, random: Random) -> Pair:
    """Normalise a pair by its sparse patch, then disturb, turn and scale it as the field does."""
    unit = geometry.normalise(sparse)
    dense = (dense - unit.centroid) / unit.radius
    sparse = _uneven(dense, len(sparse), random) if random.random() < config.uneven else unit.points
    if random.random() < config.jittered:
        noise = config.jitter * random.normal(size=sparse.shape)
        sparse = sparse + np.clip(noise, -3 * config.jitter, 3 * config.jitter)
    turn = geometry.local_frames(sparse, np.arange(len(sparse))[None])[0].T
    if random.random() < config.turned:
        turn = Rotation.random(random_state=random).as_matrix()
    turn = turn * random.uniform(*config.scale)
    return (sparse @ turn).astype(np.float32), (dense @ turn).astype(np.float32)


def _uneven(dense: Floats, count: int, random: Random) -> Floats:
    """``count`` of the dense points, their ranks along a random direction drawn from a wide Gaussian (PU-GAN)."""
    n = len(dense)
    order = np.argsort(dense @ random.normal(size=3))
    place = np.exp(-0.5 * ((np.arange(n) / n - random.uniform(0.1, 0.9)) / 0.3) ** 2)
    return dense[order[random.choice(n, count, replace=False, p=place / place.sum())]]


class PatchData(TrainingData):
    """Training data of ``pu-mfa``; validation is the Chamfer distance (x 1000) on shapes or patches kept apart."""

    monitor = "chamfer"
    higher_is_better = False

    def __init__(self, train: "PatchClouds | PatchFile", held_out: "PatchClouds | PatchFile") -> None:
        self.train, self.held_out = train, held_out

    def train_dataset(self) -> Dataset[Pair]:
        return self.train

    def set_epoch(self, epoch: int) -> None:
        self.train.set_epoch(epoch)

    def collate(self, items: list[Pair]) -> PatchBatch:
        sparse, dense = (torch.from_numpy(np.stack(column)) for column in zip(*items, strict=True))
        return PatchBatch(sparse, dense)

    def validate(self, method: Any) -> dict[str, float]:
        chosen = np.linspace(0, len(self.held_out) - 1, min(VALIDATION_PATCHES, len(self.held_out))).astype(int)

        def chamfer_of(index: int) -> float:
            batch = self.collate([self.held_out[index]]).to(method.device)
            return float(centred_chamfer(batch.sparse, method(batch).fine, batch.dense))

        values = processes.spread(chamfer_of, chosen.tolist())
        return {"chamfer": 1e3 * float(np.mean(values))}


def open_patches(path: Path, values: dict[str, Any]) -> PatchData:
    """The training data of ``pu-mfa`` from a folder of meshes or an h5 file of patches.

    Raises:
        RecipeError: an unknown key or a wrong value.
        InputError: see :func:`read_surfaces` and :func:`read_patches`.
    """
    config = from_dict(PatchDataConfig, values, where="data")
    if path.is_file():
        return PatchData(PatchFile(path, config, seed=config.seed), PatchFile(path, config, seed=HELD_OUT_SEED))
    train, kept = split(read_surfaces(path), config.procedural_shapes, 0)
    return PatchData(PatchClouds(train, config, seed=config.seed), PatchClouds(kept, config, seed=HELD_OUT_SEED))


def split(surfaces: list[Surface], procedural_shapes: int, seed: int) -> tuple[list[Surface], list[Surface]]:
    """Shapes to train on, and every tenth to validate on."""
    everything = surfaces + [procedural(i, seed=seed) for i in range(procedural_shapes)]
    return [shape for i, shape in enumerate(everything) if i % 10], everything[::10]
