"""Files of points in, denser ones out, with attributes, pictures and a page to look at."""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sentio.core.errors import InputError, OutputError, SentioError, require
from sentio.core.progress import Tell
from sentio.points.io import FORMATS, MESHES, Cloud, carry, read_cloud, suffix_format, write_cloud
from sentio.points.preview import check_picture, draw_attention, draw_preview
from sentio.points.upsample import attention, upsample
from sentio.points.view import write_view

LIDAR = ("kitti", "nuscenes", "las", "laz")
"""Formats of laser scanners: every point was measured, so the originals are kept by default."""
DENSE = ".dense"
"""In the name of a result; a folder's clouds with it in their names are passed over."""
PACKAGES = {"las": "laspy", "laz": "laspy"} | dict.fromkeys(MESHES, "trimesh")
"""Packages of the extra ``points`` that formats need."""


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
class Job:
    """A cloud and where its dense one goes."""

    source: Path
    target: Path


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
    """

    ratio: float = 4.0
    count: int | None = None
    keep_input: bool | None = None
    model: Literal["pu-any", "pu-mfa"] = "pu-any"
    format: str | None = None
    outputs: Outputs = Outputs()
    overwrite: bool = False


@dataclass
class Summary:
    """What came of a run: a JSON object for each cloud done; file, error and what to do for each that failed."""

    done: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)

    def fail(self, source: Path, error: SentioError) -> None:
        """Note a cloud that could not be made denser."""
        self.failed.append({"file": str(source), "error": error.what, "fix": error.fix})

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    def text(self) -> str:
        """A line a cloud, then one for the whole."""
        lines = [
            f"{run['target']}: {run['points_before']:,} -> {run['points_after']:,} points, {run['seconds']:.1f} s"
            for run in self.done
        ]
        lines += [f"failed: {entry['file']}: {entry['error']}\n  {entry['fix']}".rstrip() for entry in self.failed]
        return "\n".join([*lines, f"{len(self.done)} done, {len(self.failed)} failed"])


def upsample_files(paths: Sequence[Path], out: Path | None, options: Options, tell: Tell) -> Summary:
    """Make clouds denser, one after the other; one that fails does not stop the others.

    All that can be known beforehand is looked at before the first is computed: formats, packages, targets.

    Args:
        paths: clouds, and folders that are walked for clouds.
        out: folder for the results, or, for a single cloud, its file; beside the sources if None.
        options: how.
        tell: told how far the work has come, in clouds.

    Raises:
        InputError: there is no cloud.
        OutputError: one picture is asked for of many clouds, or a picture cannot be written.
        MissingExtraError: a page is asked for without plotly.
    """
    summary = Summary()
    jobs = plan(find(paths, summary), out)
    _check_outputs(options, jobs)
    shared = Counter(job.target.resolve() for job in jobs)
    ready = [job for job in jobs if _is_ready(job, options, shared[job.target.resolve()], summary)]
    for number, job in enumerate(ready):

        def told(done: float, total: float, number: int = number, job: Job = job) -> None:
            tell(number + done / total, len(ready), job.source.name)

        told(0, 1)
        try:
            summary.done.append(upsample_file(job, options, told))
        except SentioError as error:
            summary.fail(job.source, error)
    tell(len(ready), len(ready))
    return summary


def find(paths: Sequence[Path], summary: Summary) -> list[tuple[Path, Path]]:
    """The clouds that ``paths`` name, each once, with the folder that was given for it (its own for a file).

    Folders are walked, in order of names; hidden files, results and what is no cloud are passed over.
    """
    found: dict[Path, tuple[Path, Path]] = {}
    for path in paths:
        if not path.is_dir():
            found.setdefault(path.resolve(), (path, path.parent))
        elif inside := sorted(file for file in path.rglob("*") if _is_cloud(file, path)):
            for file in inside:
                found.setdefault(file.resolve(), (file, path))
        else:
            summary.fail(path, InputError(f"{path} holds no cloud.", f"Known are: {', '.join(_suffixes())}."))
    if not paths:
        raise InputError("Nothing to read.", "Name clouds, or folders of them.")
    return list(found.values())


def _is_cloud(file: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return file.is_file() and not hidden and DENSE not in file.name and file.suffix.lower()[1:] in _suffixes()


def _suffixes() -> list[str]:
    return [name for name in (*FORMATS, *MESHES, "bin") if name not in ("kitti", "nuscenes")]


def plan(found: Sequence[tuple[Path, Path]], out: Path | None) -> list[Job]:
    """Where each result goes; below ``out`` they lie as their sources do below the folder that was given.

    Raises:
        OutputError: ``out`` is a file, or looks like one, and there are several clouds.
    """
    if out is None:
        return [Job(source, default_target(source)) for source, _ in found]
    if len(found) == 1 and out.suffix and not out.is_dir() and found[0][0].parent == found[0][1]:
        return [Job(found[0][0], out)]
    if out.is_file() or out.suffix.lower()[1:] in _suffixes():
        raise OutputError(f"{out} is one file, but several clouds or a folder are given.", "Give a folder as --out.")
    return [Job(source, out / default_target(source).relative_to(root)) for source, root in found]


def default_target(source: Path) -> Path:
    """``scan.ply`` gives ``scan.dense.ply``; a mesh gives a ply, a ``.pcd.bin`` keeps both suffixes."""
    suffix = ".pcd.bin" if source.name.lower().endswith(".pcd.bin") else source.suffix
    stem = source.name[: len(source.name) - len(suffix)]
    written = ".ply" if suffix.lower().removeprefix(".") in MESHES else suffix
    return source.with_name(stem + DENSE + written)


def _check_outputs(options: Options, jobs: Sequence[Job]) -> None:
    """Refuse, before anything is computed, pictures and pages that could not be written."""
    outputs = options.outputs
    if outputs.given() and len(jobs) > 1:
        raise OutputError(f"{outputs.given()[0]} is for one cloud, but there are {len(jobs)}.", "Name one cloud.")
    if outputs.preview:
        check_picture(outputs.preview)
    if outputs.view:
        require("plotly.offline", "view")
    for path in outputs.given():
        check_target(path, options.overwrite or (path.is_dir() and not any(path.iterdir())))


def _is_ready(job: Job, options: Options, claims: int, summary: Summary) -> bool:
    """Whether a cloud can be worked on; if not, why is noted."""
    try:
        if job.target.resolve() == job.source.resolve():
            raise OutputError(f"{job.target} is the source itself.", "Give another --out.")
        if claims > 1:
            raise OutputError(f"{job.target} would be the result of {claims} clouds.", "Do them one by one.")
        read, written = options.format or suffix_format(job.source), _written_format(job, options)
        if written not in (*FORMATS, "bin"):
            raise OutputError(
                f"Cannot write {job.target}: {written!r} is no known format.", f"Use: {', '.join(FORMATS)}."
            )
        for format in {read, written} & set(PACKAGES):
            require(PACKAGES[format], "points")
        check_target(job.target, options.overwrite)
    except SentioError as error:
        summary.fail(job.source, error)
        return False
    return True


def _written_format(job: Job, options: Options) -> str:
    """The format that was given is the source's; the target has it, too, if it has the same suffix."""
    same = job.target.suffix == job.source.suffix
    return options.format if options.format and same else suffix_format(job.target)


def check_target(path: Path, overwrite: bool) -> None:
    """Refuse a file that cannot be written or, unless told otherwise, is there.

    Raises:
        OutputError: it is so.
    """
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists.", "Give --overwrite to replace it.")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"Cannot write {path}: {folder} cannot be written to.", "Give another place.")


def upsample_file(
    job: Job, options: Options, progress: Callable[[float, float], None] = lambda done, total: None
) -> dict[str, Any]:
    """Read a cloud, up-sample it, carry its attributes to the new points, and write it.

    Args:
        job: which cloud.
        options: how.
        progress: called with the points done and the points in all.

    Returns:
        A JSON object: files, points before and after, points left out, seconds.

    Raises:
        InputError: the source cannot be used, or what is asked cannot be had.
        OutputError: a file cannot be written.
    """
    source, target = job.source, job.target
    before = read_cloud(source, format=options.format)
    keep = before.source.format in LIDAR if options.keep_input is None else options.keep_input
    start = time.perf_counter()
    points = upsample(
        before.points, options.ratio, count=options.count, keep_input=keep, model=options.model, progress=progress
    )
    seconds = time.perf_counter() - start
    after = _with_attributes(before, points, keep)
    write_cloud(after, target, format=_written_format(job, options))
    return {
        "source": str(source),
        "target": str(target),
        "model": options.model,
        "points_before": len(before.points),
        "points_after": len(after.points),
        "points_left_out": before.source.dropped,
        "input_kept": keep,
        "seconds": round(seconds, 3),
        **_draw(before, after, options.outputs),
    }


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
