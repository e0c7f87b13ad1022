"""Measure up-samplers on meshes, beside what needs no network and what nothing can beat, in the same run.

Every paper samples its own inputs and ground truth, so a figure means little without those rows: ``floor`` is a second
even sample of the mesh, ``midpoint`` is plain interpolation between neighbours.

Where farthest point sampling starts is arbitrary, and moves the scores of a shape by more than methods differ. So each
method runs from several starts, drawn from the seed, the shape's name and the start's number; scores are the means.
"""

import io
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from sentio.core.bench import machine
from sentio.core.counts import counted
from sentio.core.errors import InputError
from sentio.core.progress import Tell, silent
from sentio.core.report import finite_or_none
from sentio.points.geometry import farthest_points, nearest, normalise
from sentio.points.io import read_mesh
from sentio.points.io.arrays import read_arrays
from sentio.points.io.mesh import mesh_files
from sentio.points.metrics import METRICS, compare, coverage, point_to_face, uniformity
from sentio.points.surface import Surface

Floats = NDArray[np.float64]
Upsampler = Callable[[Floats, float, int], Floats]
"""A cloud (N, 3), the ratio, and the index of the candidate that farthest point sampling picks first."""

MIDPOINT_NEIGHBOURS = 8
MIDPOINT_RATIO = 4.0  # of one round: more points than that have too few midpoints to choose from
COVERAGE_SAMPLES = 50_000
MEAN, RANGE = "mean", "range"
TABLE_WIDTH = 160
"""Characters that the table needs."""


@dataclass(frozen=True)
class EvaluationConfig:
    """The ``evaluation`` section of a recipe.

    Attributes:
        ratio: how many times as many points.
        input_points: how many the input has.
        clouds: npz with the arrays ``NAME|in2048`` and ``NAME|gt8192`` (for 2,048 points and ratio 4) of the meshes.
            Without it, both are samples of the mesh, which is first brought into the unit sphere.
        sampler: how the input is drawn from the mesh: ``even`` (Poisson-disk, the default without clouds) or ``random``
            (uniform in area). The truth is always even.
        starts: how many starts of farthest point sampling the scores are the mean of; of the floor, how many samples.
        noise: standard deviation of Gaussian noise on the input, in units of its radius.
        seed: of samples, noise and starts; what is drawn for a shape depends on this and on its name alone.
    """

    ratio: float = 4.0
    input_points: int = 2048
    clouds: str | None = None
    sampler: Literal["even", "random"] | None = None
    starts: int = 3
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.ratio < 1 or self.input_points < 1 or self.starts < 1 or self.noise < 0:
            raise ValueError("ratio, input_points and starts must be at least 1, noise at least 0")
        if self.clouds and self.sampler:
            raise ValueError("clouds are samples already, a sampler draws new ones: give one of them")


@dataclass(frozen=True)
class Case:
    """One shape to up-sample: its mesh, ``sparse`` (N, 3) input and ``truth`` (M, 3)."""

    name: str
    surface: Surface
    sparse: Floats
    truth: Floats


@dataclass(frozen=True)
class Row:
    """One method on one shape from one start; ``scores`` are those of ``METRICS``, in the unit of the coordinates."""

    shape: str
    method: str
    start: int
    seconds: float
    scores: dict[str, float]


@dataclass(frozen=True)
class Summary:
    """Rows of one method in one; ``shape`` is a shape's name, or says what was made of all of them."""

    shape: str
    method: str
    seconds: float
    scores: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """The rows of all shapes, methods and starts, and the protocol under which they were measured."""

    protocol: dict[str, Any]
    rows: list[Row]

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in the order of the rows."""
        return list(dict.fromkeys(row.method for row in self.rows))

    def means(self) -> list[Summary]:
        """One for each method: the mean over shapes and starts."""
        return [_mean(MEAN, method, [row for row in self.rows if row.method == method]) for method in self.methods]

    def ranges(self) -> list[Summary]:
        """One for each method: how far the means over the shapes lie apart, from the least to the most, over starts."""
        return [_range(method, [row for row in self.rows if row.method == method]) for method in self.methods]

    def shapes(self) -> list[Summary]:
        """One for each shape and method: the mean over starts."""
        found: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self.rows:
            found[row.shape, row.method].append(row)
        return [_mean(*key, found[key]) for key in sorted(found, key=lambda key: key[0])]

    def to_dict(self) -> dict[str, Any]:
        """Protocol, meaning of the columns, rows of every shape and start, means and ranges."""
        parts: dict[str, Sequence[Row | Summary]] = {"rows": self.rows, "means": self.means(), "ranges": self.ranges()}
        written = {name: [_json(row) for row in part] for name, part in parts.items()}
        return {"protocol": self.protocol, "columns": METRICS, **written}

    def to_text(self) -> str:
        """The table, as wide as it is."""
        console = Console(width=TABLE_WIDTH, file=io.StringIO(), force_terminal=False)
        with console.capture() as captured:
            console.print(self.table())
        return captured.get().rstrip()

    def table(self) -> Table:
        """The means over starts for a terminal, times 1000 as the field prints them."""
        ratio, points, noise, starts = (self.protocol[name] for name in ("ratio", "points", "noise", "starts"))
        what = f"x{ratio:g} from {counted(points, 'point')}, noise {noise:g}"
        title = f"{what}, mean of {counted(starts, 'start')}; values x 1000"
        table = Table(title=title)
        table.add_column("shape")
        table.add_column("method")
        for name in [*METRICS, "seconds"]:
            table.add_column(name.replace("_", "\n"), justify="right", vertical="bottom", no_wrap=True)
        for row in [*self.shapes(), *self.means(), *(self.ranges() if starts > 1 else [])]:
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
        methods: name -> function of a cloud (N, 3), a ratio and a start that gives ratio * N points.
        config: clouds, ratio, noise, starts.
        tell: told how many rows are done.

    Raises:
        InputError: no meshes, a mesh or array that cannot be used, or a method that gives another number of points.
    """
    paths = mesh_files(Path(meshes))
    config = config or EvaluationConfig()
    arrays = None if config.clouds is None else read_arrays(config.clouds)
    everything: dict[str, Upsampler | None] = {"floor": None, "midpoint": midpoints, **methods}
    rows: list[Row] = []
    for path in paths:
        case = _case(path, arrays, config)
        sparse = case.sparse + _noise(case, config.noise, config.seed)
        for name, method in everything.items():
            for start in range(config.starts):
                tell(len(rows), len(paths) * len(everything) * config.starts, f"{path.stem}, {name}")
                rows.append(_measure(case, name, method, sparse, config, start))
    tell(len(rows), len(rows))
    return Evaluation(_protocol(paths, config), rows)


def _protocol(paths: list[Path], config: EvaluationConfig) -> dict[str, Any]:
    drawn = f"{config.sampler or 'even'} samples of the mesh in the unit sphere"
    return {
        "meshes": [path.stem for path in paths],
        "clouds": Path(config.clouds).name if config.clouds else drawn,
        "points": config.input_points,
        "ratio": config.ratio,
        "noise": config.noise,
        "starts": config.starts,
        "seed": config.seed,
        "machine": machine(),
    }


def midpoints(points: Floats, ratio: float, start: int = 0) -> Floats:
    """The baseline without a network: midpoints of neighbours, thinned by farthest point sampling; a round gives x4."""
    target = round(ratio * len(points))
    while len(points) < target:
        count = min(target, int(MIDPOINT_RATIO * len(points)))
        index = nearest(points, points, MIDPOINT_NEIGHBOURS + 1)[1]
        pairs = np.stack([np.repeat(index[:, 0], MIDPOINT_NEIGHBOURS), index[:, 1:].ravel()], axis=1)
        edges = np.unique(np.sort(pairs, axis=1), axis=0)
        candidates = np.concatenate([points, points[edges].mean(axis=1)])
        points = candidates[farthest_points(candidates, count, start=start % len(candidates))]
    return points


def _case(path: Path, arrays: Mapping[str, NDArray[Any]] | None, config: EvaluationConfig) -> Case:
    surface, name, points, seed = read_mesh(path), path.stem, config.input_points, config.seed
    dense = round(config.ratio * points)
    if arrays is None:
        unit = normalise(surface.vertices)
        surface = Surface(unit.points.astype(np.float64), surface.faces)
        draw = surface.sample if config.sampler == "random" else surface.sample_evenly
        samples = draw(points, seed=_seed(seed, name, "sparse"))
        return Case(name, surface, samples.points, surface.sample_evenly(dense, seed=_seed(seed, name, "truth")).points)
    keys = f"{name}|in{points}", f"{name}|gt{dense}"
    if missing := [key for key in keys if key not in arrays]:
        raise InputError(f"The clouds have no array {missing[0]!r}.", "Leave the clouds out to sample new ones.")
    sparse, truth = (arrays[key].astype(np.float64) for key in keys)
    return Case(name, surface, sparse, truth)


def _measure(
    case: Case, name: str, method: Upsampler | None, sparse: Floats, config: EvaluationConfig, start: int
) -> Row:
    """Scores of one method from one start; none stands for the floor, another even sample of the mesh."""
    seed, began = config.seed, time.perf_counter()
    if method is None:
        dense = case.surface.sample_evenly(len(case.truth), seed=_seed(seed, case.name, f"floor {start}")).points
    else:
        dense = method(sparse, config.ratio, _seed(seed, case.name, f"start {start}"))
    seconds = time.perf_counter() - began
    if len(dense) != len(case.truth):
        raise InputError(
            f"{name} gave {counted(len(dense), 'point')} for {case.name}, {len(case.truth)} were asked for."
        )
    everywhere = case.surface.sample(COVERAGE_SAMPLES, seed=_seed(seed, case.name, "coverage")).points
    scores = compare(dense, case.truth) | point_to_face(dense, case.surface) | coverage(dense, everywhere)
    scores["uniformity"] = uniformity(dense, case.surface, seed=_seed(seed, case.name, "disks"))
    return Row(case.name, name, start, seconds, scores)


def _noise(case: Case, level: float, seed: int) -> Floats:
    random = np.random.default_rng(_seed(seed, case.name, "noise"))
    return random.normal(scale=level * normalise(case.sparse).radius, size=case.sparse.shape)


def _seed(seed: int, name: str, role: str) -> int:
    return zlib.crc32(f"{seed} {name} {role}".encode())


def _json(row: Row | Summary) -> dict[str, Any]:
    return asdict(row) | {"scores": finite_or_none(row.scores)}


def _mean(shape: str, method: str, rows: list[Row]) -> Summary:
    scores = {name: float(np.mean([row.scores[name] for row in rows])) for name in METRICS}
    return Summary(shape, method, float(np.mean([row.seconds for row in rows])), scores)


def _range(method: str, rows: list[Row]) -> Summary:
    starts = sorted({row.start for row in rows})
    means = [_mean(RANGE, method, [row for row in rows if row.start == start]) for start in starts]
    scores = {name: float(np.ptp([mean.scores[name] for mean in means])) for name in METRICS}
    return Summary(RANGE, method, float(np.ptp([mean.seconds for mean in means])), scores)
