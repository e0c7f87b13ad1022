"""Files of points in, denser ones out, with attributes, pictures and a page to look at."""

import math
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sentio.core import weights
from sentio.core.cluster import workplace
from sentio.core.counts import counted
from sentio.core.errors import InputError, OutputError, RecipeError, SentioError, require
from sentio.core.jobs import Job, Outcome, ShareDone, Summary, run
from sentio.points.io import (
    FORMATS,
    MESHES,
    READ_ONLY,
    Cloud,
    carry,
    read_cloud,
    suffix_format,
    try_writing,
    write_cloud,
    written_format,
)
from sentio.points.networks import NETWORKS
from sentio.points.preview import check_picture, draw_attention, draw_preview
from sentio.points.sources import find, plan
from sentio.points.upsample import attention, upsample
from sentio.points.view import write_view

LIDAR = ("kitti", "nuscenes", "las", "laz", "e57", "pts")
"""Formats of laser scanners: every point was measured, so the originals are kept by default."""
PACKAGES = {"las": "laspy", "laz": "laspy", "e57": "pye57"} | dict.fromkeys(MESHES, "trimesh")
"""Packages of the extra ``points`` that formats need."""
BYTES_A_POINT = 400
"""Memory for each point of a result: bench/points.py measures 1.2 GB for 400,000 of them and 2.5 GB for 4,000,000."""
USUAL_MEMORY = 16 << 30
"""Bytes of memory where the system does not tell."""


@dataclass(frozen=True)
class Outputs:
    """What to write beside the cloud; None for nothing.

    Attributes:
        preview: picture of before and after.
        view: HTML page to turn the cloud about.
        attention: folder for pictures of what PU-MFA looks at, in the patch around the first point.
    """

    preview: Path | None = None
    view: Path | None = None
    attention: Path | None = None

    def given(self) -> list[Path]:
        """What is to be written."""
        return [path for path in (self.preview, self.view, self.attention) if path]


@dataclass(frozen=True)
class Options:
    """How clouds are made denser.

    Attributes:
        ratio: points out for each point in.
        count: points out, instead of ``ratio``.
        keep_input: keep the original points as they are; None keeps those of LiDAR sensors.
        model: see :func:`sentio.points.upsample.upsample`.
        format: of the sources, where their suffixes do not tell.
        outputs: what else to write.
        overwrite: replace files that are there.

    Raises:
        RecipeError: there is no such model or format, or no such number of points.
    """

    ratio: float = 4.0
    count: int | None = None
    keep_input: bool | None = None
    model: Literal["pu-any", "pu-mfa"] = "pu-any"
    format: str | None = None
    outputs: Outputs = Outputs()
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.ratio) and self.ratio > 0):
            raise RecipeError(f"The ratio must be a finite number above 0, not {self.ratio}.")
        if self.count is not None and self.count < 1:
            raise RecipeError(f"At least 1 point must be asked for, not {self.count}.")
        formats = (None, *FORMATS, *READ_ONLY)
        for what, value, known in (("model", self.model, (*NETWORKS,)), ("format", self.format, formats)):
            if value not in known:
                raise RecipeError(f"There is no {what} {value!r}.", f"Choose among: {', '.join(filter(None, known))}.")


def upsample_files(
    paths: Sequence[Path], out: Path | None, options: Options, *, show: bool = False, ray: str | None = None
) -> Summary:
    """Make clouds denser; one that fails does not stop the others.

    All that can be known beforehand is looked at before the first is computed: formats, packages, targets.

    Args:
        paths: clouds, patterns, and folders that are walked for clouds.
        out: folder for the results, which then lists failures, too; or, for a single cloud, its file; beside the
            sources if None.
        options: how.
        show: show how far the work has come.
        ray: address of a Ray cluster that does them, see :func:`sentio.core.cluster.workplace`.

    Raises:
        InputError: there is no cloud.
        OutputError: one picture is asked for of many clouds, or a picture or the folder cannot be written.
        DiskFullError: there is no room in the folder to begin with.
        MissingExtraError: a page is asked for without plotly, or a cluster without Ray.
        ClusterError: the cluster cannot do the work.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the cloud that was in hand leaves nothing half.
    """
    folder, jobs = plan(find(paths), out)
    work = Upsampling(options, folder)
    if options.outputs.given():
        _check_outputs(work, jobs)
    jobs = _checked(work, jobs)
    with workplace(ray, show=show) as each:
        return run(jobs, work, folder, title="up-sampling", show=show, each=each)


@dataclass(frozen=True)
class Upsampling:
    """What is done with each cloud of a batch: called with a job, it reads the source and writes its result.

    Attributes:
        options: how.
        folder: in which the results lie, if they share one.
    """

    options: Options
    folder: Path | None = None

    def target(self, job: Job) -> Path:
        """The file of a result."""
        return (self.folder or Path()) / job.result

    def __call__(self, job: Job, share_done: ShareDone = lambda share: None) -> Outcome:
        """Read a cloud, up-sample it, carry its attributes to the new points, and write it.

        Returns:
            Done, with files, points before and after, points left out, seconds.

        Raises:
            InputError: the source cannot be used, or what is asked cannot be had.
            OutputError: a file cannot be written.
        """
        options, target = self.options, self.target(job)
        before = read_cloud(job.source, format=options.format)
        wanted = check_size(len(before.points), options)
        try_writing(before, target, wanted, format=self.written_format(job))
        keep = before.source.format in LIDAR if options.keep_input is None else options.keep_input
        start = time.perf_counter()
        after = self._denser(before, keep, share_done)
        seconds = time.perf_counter() - start
        changed = write_cloud(after, target, format=self.written_format(job))
        record = {
            "source": str(job.source),
            "target": str(target),
            "model": options.model,
            "points_before": len(before.points),
            "points_after": len(after.points),
            "points_left_out": before.source.dropped,
            "input_kept": keep,
            "seconds": round(seconds, 3),
            "notes": [note for note in (*before.source.notes, *after.source.notes, changed) if note],
        }
        return Outcome(str(job.source), "done", record | _draw(before, after, options.outputs))

    def made_with(self) -> dict[str, str]:
        """The weights of the network."""
        return {kind: file.sha256 for kind, file in weights.card(self.options.model).files.items()}

    def _denser(self, before: Cloud, keep: bool, share_done: ShareDone) -> Cloud:
        points = upsample(
            before.points,
            self.options.ratio,
            count=self.options.count,
            keep_input=keep,
            model=self.options.model,
            progress=lambda done, total: share_done(done / total),
        )
        return _with_attributes(before, points, keep)

    def written_format(self, job: Job) -> str:
        """The format that was given is the source's; the target has it, too, if it has the same suffix."""
        given, target = self.options.format, self.target(job)
        return written_format(target, given if given and target.suffix == job.source.suffix else None)


def _checked(work: Upsampling, jobs: Sequence[Job]) -> list[Job]:
    """The jobs, those that cannot be done with the reason."""
    sources = {job.source.resolve() for job in jobs}
    claims = Counter(work.target(job).resolve() for job in jobs if not job.refusal)

    def refusal(job: Job) -> SentioError | None:
        target = work.target(job)
        try:
            if target.resolve() in sources:
                raise OutputError(f"{target} is a source itself.", "Give another --out.")
            if (count := claims[target.resolve()]) > 1:
                raise OutputError(f"{target} would be the result of {count} clouds.", "Do them one by one.")
            _check_formats(work, job)
            check_target(target, work.options.overwrite)
        except SentioError as error:
            return error
        return None

    return [job if job.refusal else replace(job, refusal=refusal(job)) for job in jobs]


def _check_formats(work: Upsampling, job: Job) -> None:
    """Refuse a target of no known format, and a format whose package is not installed."""
    read, written = work.options.format or suffix_format(job.source), work.written_format(job)
    for format in {read, written} & set(PACKAGES):
        require(PACKAGES[format], "points")


def _check_outputs(work: Upsampling, jobs: Sequence[Job]) -> None:
    """Refuse, before anything is computed, pictures and pages that could not be written."""
    outputs = work.options.outputs
    if len(jobs) > 1:
        raise OutputError(f"{outputs.given()[0]} is for one cloud, but there are {len(jobs)}.", "Name one cloud.")
    if outputs.preview:
        check_picture(outputs.preview)
    if outputs.view:
        if outputs.view.suffix.lower() != ".html":
            raise OutputError(f"Cannot write {outputs.view}: it is a page.", "Let its name end in .html.")
        require("plotly.offline", "view")
    taken = {jobs[0].source.resolve(): "the source", work.target(jobs[0]).resolve(): "the result"}
    for path in outputs.given():
        if other := taken.get(path.resolve()):
            raise OutputError(f"{path} is {other} already.", "Give another name.")
        taken[path.resolve()] = "another output"
        check_target(path, work.options.overwrite, folder=path == outputs.attention)


def check_target(path: Path, overwrite: bool, *, folder: bool = False) -> None:
    """Refuse what cannot be written or, unless told otherwise, is there.

    Args:
        path: what is to be written.
        overwrite: it may be there.
        folder: it is a folder, which may be there if it is empty.

    Raises:
        OutputError: it is so.
    """
    if path.exists() and path.is_dir() != folder:
        raise OutputError(f"{path} is {'no' if folder else 'a'} folder.", "Give another name.")
    if path.exists() and not overwrite and not (folder and not any(path.iterdir())):
        raise OutputError(f"{path} exists.", "Give --overwrite to replace it.")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(f"Cannot write {path}: {above} cannot be written to.", "Give another place.")


def line(record: dict[str, Any]) -> str:
    """What a record of a cloud that is done says: one line, and one for each note."""
    before, after = record["points_before"], record["points_after"]
    first = f"{record['target']}: {before:,} -> {counted(after, 'point')}, {record['seconds']:.1f} s"
    if left_out := record["points_left_out"]:
        first += f"\n  {counted(left_out, 'point was', 'points were')} left out: a coordinate was not finite."
    return "\n  ".join([first, *record["notes"]])


def check_size(points: int, options: Options) -> int:
    """How many points are wanted; refuse a result that the machine has no memory for.

    Raises:
        InputError: it is so.
    """
    wanted = options.count or round(points * Fraction(options.ratio))
    needed, there = wanted * BYTES_A_POINT, _memory()
    if needed > there:
        raise InputError(
            f"{wanted:,} points would take about {needed // 10**9:,} GB of memory; here are {there // 10**9:,} GB.",
            "Ask for fewer points.",
        )
    return wanted


def _memory() -> int:
    """Bytes of memory of this machine."""
    if not hasattr(os, "sysconf"):  # Windows
        return USUAL_MEMORY
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _with_attributes(before: Cloud, points: NDArray[np.float64], keep: bool) -> Cloud:
    """Carried attributes; those of kept points are their own, also where two points share a place."""
    after = carry(before, points)
    if keep:
        for name, values in before.attributes.items():
            after.attributes[name][: len(values)] = values
    return after


def _draw(before: Cloud, after: Cloud, outputs: Outputs) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    if outputs.preview:
        draw_preview(before, after, outputs.preview)
        drawn["preview"] = str(outputs.preview)
    if outputs.view:
        write_view(before, after, outputs.view)
        drawn["view"] = str(outputs.view)
    if outputs.attention:
        index, weights = attention(before.points)
        pictures = draw_attention(before.points[index], weights.astype(np.float64), outputs.attention)
        drawn["attention"] = [str(path) for path in pictures]
    return drawn
