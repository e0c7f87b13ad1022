"""Measure up-samplers on meshes, beside what needs no network and what nothing can beat, in the same run.

Every paper samples its own inputs and ground truth, so a figure means little without those rows: ``floor`` is a second
even sample of the mesh, ``midpoint`` is plain interpolation between neighbours.
"""

import io
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from sentio.core.bench import machine
from sentio.core.errors import InputError
from sentio.core.progress import Tell, silent
from sentio.core.report import finite_or_none
from sentio.points.geometry import farthest_points, nearest, normalise
from sentio.points.io import read_mesh
from sentio.points.io.arrays import read_arrays
from sentio.points.io.mesh import SUFFIXES
from sentio.points.metrics import METRICS, compare, coverage, point_to_face, uniformity
from sentio.points.surface import Surface

Floats = NDArray[np.float64]
Upsampler = Callable[[Floats, float], Floats]

MIDPOINT_NEIGHBOURS = 8
MIDPOINT_RATIO = 4.0  # of one round: more points than that have too few midpoints to choose from
COVERAGE_SAMPLES = 50_000
MEAN = "mean"
TABLE_WIDTH = 160
"""Characters that the table needs."""


@dataclass(frozen=True)
class EvaluationConfig:
    """The ``evaluation`` section of a recipe.

    Attributes:
        ratio: how many times as many points.
        input_points: how many the input has.
        clouds: npz with the arrays ``NAME|in2048`` and ``NAME|gt8192`` (for 2,048 points and ratio 4) of the meshes.
            Without it, both are Poisson-disk samples of the mesh, which is first brought into the unit sphere.
        noise: standard deviation of Gaussian noise on the input, in units of its radius.
        seed: of samples and noise; what is drawn for a shape depends on this and on its name alone.
    """

    ratio: float = 4.0
    input_points: int = 2048
    clouds: str | None = None
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.ratio < 1 or self.input_points < 1 or self.noise < 0:
            raise ValueError("ratio and input_points must be at least 1, noise at least 0")


@dataclass(frozen=True)
class Case:
    """One shape to up-sample: its mesh, ``sparse`` (N, 3) input and ``truth`` (M, 3)."""

    name: str
    surface: Surface
    sparse: Floats
    truth: Floats


@dataclass(frozen=True)
class Row:
    """One method on one shape; ``scores`` are those of ``METRICS``, in the unit of the coordinates."""

    shape: str
    method: str
    seconds: float
    scores: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """The rows of all shapes and methods, and the protocol under which they were measured."""

    protocol: dict[str, Any]
    rows: list[Row]

    def means(self) -> list[Row]:
        """One row for each method: the mean over the shapes."""
        methods = list(dict.fromkeys(row.method for row in self.rows))
        return [_mean_row(method, [row for row in self.rows if row.method == method]) for method in methods]

    def to_dict(self) -> dict[str, Any]:
        """Protocol, meaning of the columns, rows of every shape and means."""
        rows, means = ([_json(row) for row in part] for part in (self.rows, self.means()))
        return {"protocol": self.protocol, "columns": METRICS, "rows": rows, "means": means}

    def to_text(self) -> str:
        """The table, as wide as it is."""
        console = Console(width=TABLE_WIDTH, file=io.StringIO(), force_terminal=False)
        with console.capture() as captured:
            console.print(self.table())
        return captured.get().rstrip()

    def table(self, *, shapes: bool = True) -> Table:
        """The rows for a terminal, times 1000 as the field prints them; means alone without ``shapes``."""
        ratio, noise = self.protocol["ratio"], self.protocol["noise"]
        table = Table(title=f"x{ratio:g} from {self.protocol['points']} points, noise {noise:g}; values x 1000")
        table.add_column("shape")
        table.add_column("method")
        for name in [*METRICS, "seconds"]:
            table.add_column(name.replace("_", "\n"), justify="right", vertical="bottom", no_wrap=True)
        rows = sorted(self.rows, key=lambda row: row.shape) if shapes else []
        for row in rows + self.means():
            values = [f"{1000 * row.scores[name]:.3f}" for name in METRICS]
            table.add_row(row.shape, row.method, *values, f"{row.seconds:.2f}")
        return table


def evaluate_shapes(
    meshes: Path | str,
    methods: Mapping[str, Upsampler],
    config: EvaluationConfig | None = None,
    *,
    tell: Tell = silent,
) -> Evaluation:
    """Up-sample clouds of meshes and compare with dense clouds of the same meshes.

    Args:
        meshes: folder of mesh files.
        methods: name -> function of a cloud (N, 3) and a ratio that gives ratio * N points.
        config: clouds, ratio, noise.
        tell: told how many rows are done.

    Raises:
        InputError: no meshes, a mesh or array that cannot be used, or a method that gives another number of points.
    """
    paths = sorted(path for path in Path(meshes).glob("*") if path.suffix.lower().lstrip(".") in SUFFIXES)
    if not paths:
        raise InputError(f"{meshes} holds no meshes.", f"Give a folder with {', '.join(SUFFIXES)} files.")
    config = config or EvaluationConfig()
    arrays = None if config.clouds is None else read_arrays(config.clouds)
    everything = {"floor": None, "midpoint": midpoints, **methods}
    rows: list[Row] = []
    for path in paths:
        case = _case(path, arrays, config)
        sparse = case.sparse + _noise(case, config.noise, config.seed)
        for name, method in everything.items():
            tell(len(rows), len(paths) * len(everything), f"{path.stem}, {name}")
            rows.append(_measure(case, name, method, sparse, config))
    tell(len(rows), len(rows))
    protocol = {
        "meshes": [path.stem for path in paths],
        "clouds": Path(config.clouds).name if config.clouds else "sample elimination from the mesh in the unit sphere",
        "points": config.input_points,
        "ratio": config.ratio,
        "noise": config.noise,
        "seed": config.seed,
        "machine": machine(),
    }
    return Evaluation(protocol, rows)


def midpoints(points: Floats, ratio: float) -> Floats:
    """The baseline without a network: midpoints of neighbours, thinned by farthest point sampling; a round gives x4."""
    target = round(ratio * len(points))
    while len(points) < target:
        count = min(target, int(MIDPOINT_RATIO * len(points)))
        index = nearest(points, points, MIDPOINT_NEIGHBOURS + 1)[1]
        pairs = np.stack([np.repeat(index[:, 0], MIDPOINT_NEIGHBOURS), index[:, 1:].ravel()], axis=1)
        edges = np.unique(np.sort(pairs, axis=1), axis=0)
        candidates = np.concatenate([points, points[edges].mean(axis=1)])
        points = candidates[farthest_points(candidates, count)]
    return points


def _case(path: Path, arrays: Mapping[str, NDArray[Any]] | None, config: EvaluationConfig) -> Case:
    surface, name, points, seed = read_mesh(path), path.stem, config.input_points, config.seed
    dense = round(config.ratio * points)
    if arrays is None:
        unit = normalise(surface.vertices)
        surface = Surface(unit.points.astype(np.float64), surface.faces)
        roles = {"sparse": points, "truth": dense}
        sparse, truth = (surface.sample_evenly(n, seed=_seed(seed, name, role)).points for role, n in roles.items())
        return Case(name, surface, sparse, truth)
    keys = f"{name}|in{points}", f"{name}|gt{dense}"
    if missing := [key for key in keys if key not in arrays]:
        raise InputError(f"The clouds have no array {missing[0]!r}.", "Leave the clouds out to sample new ones.")
    sparse, truth = (arrays[key].astype(np.float64) for key in keys)
    return Case(name, surface, sparse, truth)


def _measure(case: Case, name: str, method: Upsampler | None, sparse: Floats, config: EvaluationConfig) -> Row:
    """Scores of one method; none stands for the floor, another even sample of the mesh."""
    seed, start = config.seed, time.perf_counter()
    if method is None:
        dense = case.surface.sample_evenly(len(case.truth), seed=_seed(seed, case.name, "floor")).points
    else:
        dense = method(sparse, config.ratio)
    seconds = time.perf_counter() - start
    if len(dense) != len(case.truth):
        raise InputError(f"{name} gave {len(dense)} points for {case.name}, {len(case.truth)} were asked for.")
    everywhere = case.surface.sample(COVERAGE_SAMPLES, seed=_seed(seed, case.name, "coverage")).points
    scores = compare(dense, case.truth) | point_to_face(dense, case.surface) | coverage(dense, everywhere)
    scores["uniformity"] = uniformity(dense, case.surface, seed=_seed(seed, case.name, "disks"))
    return Row(case.name, name, seconds, scores)


def _noise(case: Case, level: float, seed: int) -> Floats:
    random = np.random.default_rng(_seed(seed, case.name, "noise"))
    return random.normal(scale=level * normalise(case.sparse).radius, size=case.sparse.shape)


def _seed(seed: int, name: str, role: str) -> int:
    return zlib.crc32(f"{seed} {name} {role}".encode())


def _json(row: Row) -> dict[str, Any]:
    return asdict(row) | {"scores": finite_or_none(row.scores)}


def _mean_row(method: str, rows: list[Row]) -> Row:
    scores = {name: float(np.mean([row.scores[name] for row in rows])) for name in METRICS}
    return Row(MEAN, method, float(np.mean([row.seconds for row in rows])), scores)
