"""A paper's own claim, tried: variants and seeds, each pair trained and scored, a table with intervals, a verdict.

An experiment is a leaf: one file in ``sentio/affect/experiments`` or ``sentio/points/experiments``, found by its name.
OUT gets ``cells/`` (one JSON for each variant and seed), ``work/`` (the runs), and at the end ``results.json``,
``table.md`` and ``plot.svg``. What is there already is not done again.
"""

import hashlib
import importlib
import json
import math
import os
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sentio.core import bench, runs
from sentio.core.config import read_json, to_dict
from sentio.core.counts import counted
from sentio.core.errors import InputError, RecipeError
from sentio.core.experiment_plot import draw
from sentio.core.progress import duration, progress
from sentio.core.report import Report, finite_or_none
from sentio.core.runs import Recipe
from sentio.core.writers import try_folder, write_json, write_text

PACKAGES = ("sentio.affect.experiments", "sentio.points.experiments")
CONFIDENCE = 0.95
FEWEST = 3
"""Seeds below which nothing is called shown."""
STAMP = "stamp.json"
"""In ``work``: experiment, form, settings and data, once they are known."""
OTHER = {
    "experiment": "another experiment",
    "quick": "the other form (quick)",
    "settings": "other settings",
    "data_hash": "other data",
}
"""What differs, by its key in the stamp."""
DERIVED = "features"
"""Folder of stored features in a data folder: made of the data, and so no part of what tells them apart."""


@dataclass(frozen=True)
class Claim:
    """One variant is better than another in a score.

    Attributes:
        text: the claim in a sentence.
        better, worse: names of variants.
        score: in which.
        higher: of which more is better.
    """

    text: str
    better: str
    worse: str
    score: str
    higher: bool = True


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its interval at `CONFIDENCE`; a single seed has none (NaN)."""

    mean: float
    low: float
    high: float


class Experiment(ABC):
    """What one experiment is; a frozen dataclass, whose fields are its settings.

    Attributes:
        name: the file's, with hyphens.
        claim: of the paper, in a sentence.
        published: the paper's figure, what it is measured on, why the two can or cannot be compared.
        baseline: the variant that the others are held against.
        scores: names of what :meth:`run` gives, in the order of the columns.
        claims: what the verdicts are about.
        protocol: lines below the table by title: metric, split, smoothing, causal or not.
        paper: the published figure of a score, where there is one.
    """

    name: ClassVar[str]
    claim: ClassVar[str]
    published: ClassVar[str]
    baseline: ClassVar[str]
    scores: ClassVar[tuple[str, ...]]
    claims: ClassVar[tuple[Claim, ...]]
    protocol: ClassVar[Mapping[str, str]] = {}
    paper: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def variants(self, quick: bool) -> tuple[str, ...]:
        """The rows of the table."""

    @abstractmethod
    def seeds(self, quick: bool) -> int:
        """How many seeds each variant is trained with."""

    @abstractmethod
    def prepare(self, data: Path | None, work: Path, quick: bool) -> Path:
        """The folder of the data: ``data``, or what is made of it in ``work``, or drawn there without it."""

    def further_data(self) -> tuple[Path, ...]:
        """Folders besides the data that the settings name; their content is part of the result's hash."""
        return ()

    @abstractmethod
    def run(self, variant: str, seed: int, data: Path, work: Path, quick: bool) -> dict[str, float]:
        """Train and score one variant with one seed; NaN is undefined. Its runs in ``work`` are gone on with."""


@dataclass(frozen=True)
class Result:
    """All cells of an experiment, and what they come to.

    Attributes:
        header: experiment, form, settings, data, machine.
        cells: scores by variant, one mapping a seed.
    """

    experiment: Experiment
    header: dict[str, Any]
    cells: dict[str, list[dict[str, float]]]

    def values(self, variant: str, score: str) -> list[float]:
        """A score of all seeds."""
        return [cell[score] for cell in self.cells[variant]]

    def interval(self, variant: str, score: str) -> Interval:
        """Mean and interval over seeds."""
        return interval(self.values(variant, score))

    def difference(self, claim: Claim) -> Interval:
        """By how much ``claim.better`` is better, seed by seed."""
        pairs = zip(self.values(claim.better, claim.score), self.values(claim.worse, claim.score), strict=True)
        return interval([(a - b) if claim.higher else (b - a) for a, b in pairs])

    def verdict(self, claim: Claim) -> str:
        """``shown`` if the whole interval of the difference is above 0."""
        if math.isnan(self.difference(claim).mean):
            return "not measured"
        if len(self.cells[claim.better]) < FEWEST:
            return "too few seeds to say"
        return "shown" if self.difference(claim).low > 0 else "not shown"

    def to_dict(self) -> dict[str, Any]:
        """JSON values; what is undefined is None."""
        claims = [
            {**asdict(claim), "difference": finite_or_none(asdict(self.difference(claim)))}
            | {"verdict": self.verdict(claim)}
            for claim in self._claims()
        ]
        table = {
            variant: {score: finite_or_none(asdict(self.interval(variant, score))) for score in self.experiment.scores}
            for variant in self.cells
        }
        cells = {variant: [finite_or_none(cell) for cell in cells] for variant, cells in self.cells.items()}
        return self.header | {"table": table, "claims": claims, "cells": cells}

    def to_text(self) -> str:
        """The table in Markdown, with all that it depends on below it."""
        names = self.experiment.scores
        lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for variant in self.cells:
            marked = f"{variant} (baseline)" if variant == self.experiment.baseline else variant
            lines.append(f"| {marked} | {' | '.join(_shown(self.interval(variant, name)) for name in names)} |")
        lines.append(f"| *paper* | {' | '.join(self.experiment.paper.get(name, '') for name in names)} |")
        return "\n".join([*lines, "", *self._verdicts(), "", *self._notes()]) + "\n"

    def _claims(self) -> list[Claim]:
        """Those whose variants were both tried."""
        return [claim for claim in self.experiment.claims if {claim.better, claim.worse} <= self.cells.keys()]

    def _verdicts(self) -> list[str]:
        found = []
        for claim in self._claims():
            gap = self.difference(claim)
            if math.isnan(gap.mean):
                continue
            between = f" [{gap.low:+.3f}, {gap.high:+.3f}]" if math.isfinite(gap.low) else ""
            which = f"{claim.better} against {claim.worse}, {claim.score}: {gap.mean:+.3f}{between}"
            found.append(f"- {claim.text}: **{self.verdict(claim)}** ({which})")
        return found

    def _notes(self) -> list[str]:
        form = "quick form, " if self.header["quick"] else ""
        machine = self.header["machine"]
        packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
        notes = {
            "Published": self.experiment.published,
            "Here": f"mean ± half width of the 95 % t interval over seeds 0 to {self.header['seeds'] - 1}, {form}"
            f"a claim is shown if the interval of its difference, paired by seed, is above 0",
            **self.experiment.protocol,
            "Data": f"{self.header['data']}, hash {self.header['data_hash']}",
            "Machine": f"{machine['processor']}, {counted(machine['usable_cores'], 'core')}, "
            f"threads {machine['omp_threads']}, Python {machine['python']}, {packages}, commit {machine['commit']}",
            "Time": duration(self.header["seconds"]),
        }
        return [f"- {title}: {text}" for title, text in notes.items()]


def names() -> dict[str, str]:
    """Modules of all experiments by name."""
    root = Path(__file__).resolve().parents[1]
    files = [(package, file) for package in PACKAGES for file in root.glob(f"{package.split('.')[1]}/experiments/*.py")]
    found = {file.stem.replace("_", "-"): f"{package}.{file.stem}" for package, file in files if file.stem[0] != "_"}
    return dict(sorted(found.items()))


def find(name: str) -> type[Experiment]:
    """The experiment of this name; no other's file is read.

    Raises:
        RecipeError: there is none; the message lists those there are.
    """
    if name not in names():
        raise RecipeError(f"There is no experiment named {name!r}.", f"Choose one of: {', '.join(names())}.")
    values = vars(importlib.import_module(names()[name])).values()
    found: type[Experiment] = next(value for value in values if getattr(value, "name", None) == name)
    return found


def reproduce(
    experiment: Experiment, data: Path | None, out: Path, *, quick: bool = False, seeds: int | None = None
) -> Result:
    """Run an experiment, or the rest of it, and write what it came to into ``out``.

    Args:
        data: the data; None has them drawn.
        quick: the form that takes minutes.
        seeds: how many, in place of the experiment's own number.

    Raises:
        InputError: ``out`` holds the cells of other settings or other data, ``data`` is not there, or no seeds.
        OutputError: ``out`` cannot be written.
    """
    count = experiment.seeds(quick) if seeds is None else seeds
    if count < 1:
        raise InputError(f"{count} seeds are none.", "Give --seeds 1 or more.")
    if data is not None and not data.exists():
        raise InputError(f"There is no {data}.", "Give --data the folder of the data, or leave it out.")
    further = experiment.further_data()
    if absent := [folder for folder in further if not folder.is_dir()]:
        raise InputError(f"{absent[0]} is no folder.", "Name in --set the folder of the data.")
    try_folder(out)
    stamp = {"experiment": experiment.name, "quick": quick, "settings": to_dict(experiment)}
    _hold_to(out, stamp)
    root = experiment.prepare(data, out / "work", quick)
    stamp["data_hash"] = fingerprint(root, *further)
    _hold_to(out, stamp)
    variants = experiment.variants(quick)
    cells: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    seconds = 0.0
    for number, (seed, variant) in enumerate((seed, variant) for seed in range(count) for variant in variants):
        place = f"{experiment.name}, cell {number + 1} of {count * len(variants)}"
        cell = _cell(experiment, variant, seed, root, out, stamp, place)
        cells[variant].append({name: _number(cell["scores"][name]) for name in experiment.scores})
        seconds += cell["seconds"]
    header = stamp | {"data": data.name if data else "drawn by the experiment", "seeds": count, "seconds": seconds}
    header |= {"claim": experiment.claim, "published": experiment.published, "protocol": dict(experiment.protocol)}
    result = Result(experiment, header | {"machine": bench.machine()}, cells)
    _write(result, out)
    return result


def train(plan: Recipe, data: Path, out: Path) -> Path:
    """Train a recipe, or go on with its run in ``out``, or find it done; its best weights."""
    return runs.train(plan, data, out, resume=out.exists())


def evaluate(run: Path | str, data: Path, settings: Sequence[str] = ()) -> Report:
    """Measure a run, or weights by name, by the metrics of its domain, see :func:`sentio.core.runs.evaluate`."""
    with progress("evaluating") as tell:
        return runs.evaluate(run, data, settings, tell=tell)


def make(folder: Path, draw: Callable[[Path], Any]) -> Path:
    """A folder that ``draw`` fills: whole, or not there; it is filled once."""
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
        draw(partial)
        partial.rename(folder)
    return folder


def interval(values: Sequence[float]) -> Interval:
    """Mean of independent values and Student's t interval of it."""
    from scipy import stats  # takes half a second

    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return Interval(mean, math.nan, math.nan)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * np.std(values, ddof=1) / math.sqrt(count)
    return Interval(mean, mean - float(half), mean + float(half))


def fingerprint(*data: Path) -> str:
    """Twelve digits that tell folders of data apart: names and sizes of all files, and what stands in the texts."""
    digest = hashlib.sha256()
    for folder in data:
        for place, folders, files in os.walk(folder, followlinks=True):
            folders[:] = sorted(name for name in folders if name != DERIVED)
            for path in (Path(place, file) for file in sorted(files)):
                is_file = path.is_file()  # and no link to nothing, or pipe
                name, size = path.relative_to(folder).as_posix(), path.stat().st_size if is_file else None
                digest.update(f"{name} {size}\n".encode("utf-8", "surrogateescape"))
                if is_file and path.suffix in (".txt", ".csv", ".json"):
                    digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _cell(
    experiment: Experiment, variant: str, seed: int, data: Path, out: Path, stamp: dict[str, Any], place: str
) -> dict[str, Any]:
    """Scores and seconds of a variant and seed, from its file or made now."""
    path = out / "cells" / f"{variant.replace(' ', '-').replace('/', '-')}-{seed}.json"
    if path.exists():
        return read_json(path, what="cell")
    print(f"{place}: {variant}, seed {seed}", file=sys.stderr, flush=True)
    start = time.perf_counter()
    scores = experiment.run(variant, seed, data, out / "work", stamp["quick"])
    cell = {"stamp": stamp, "variant": variant, "seed": seed, "scores": finite_or_none(scores)}
    write_json(path, cell | {"seconds": round(time.perf_counter() - start, 1)})
    return read_json(path, what="cell")


def _hold_to(out: Path, stamp: Mapping[str, Any]) -> None:
    """See that what there is was made as the rest will be, cells and what was drawn or trained before the first."""
    wanted, place = json.loads(json.dumps(stamp)), out / "work" / STAMP
    begun = read_json(place, what="stamp") if place.exists() else {}
    made = [(path, read_json(path, what="cell").get("stamp", {})) for path in sorted((out / "cells").glob("*.json"))]
    for path, found in [(place, wanted | begun), *made]:
        for key, value in wanted.items():
            if found.get(key) != value:
                raise InputError(
                    f"{path} is of {OTHER[key]}: {found.get(key)!r}, and not {value!r}.",
                    "Give another --out, or what was begun there.",
                )
    write_json(place, begun | wanted)


def _write(result: Result, out: Path) -> None:
    write_json(out / "results.json", result.to_dict())
    write_text(out / "table.md", result.to_text())
    panels = {
        name: {row: (result.values(row, name), astuple(result.interval(row, name))) for row in result.cells}
        for name in result.experiment.scores
    }
    write_text(out / "plot.svg", draw(f"{result.experiment.name}: {result.experiment.claim}", panels))


def _shown(value: Interval) -> str:
    if math.isnan(value.mean):
        return ""
    return f"{value.mean:.3f}" + (f" ± {value.high - value.mean:.3f}" if math.isfinite(value.high) else "")


def _number(value: float | None) -> float:
    return math.nan if value is None else value
