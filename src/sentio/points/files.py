"""A file of points in, a denser one out, with attributes, pictures and a page to look at."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sentio.core.errors import OutputError
from sentio.points.io import MESHES, Cloud, carry, read_cloud, write_cloud
from sentio.points.preview import draw_attention, draw_preview
from sentio.points.upsample import attention, upsample
from sentio.points.view import write_view

LIDAR = ("kitti", "nuscenes", "las", "laz")
"""Formats of laser scanners: every point was measured, so the originals are kept by default."""


@dataclass(frozen=True)
class Outputs:
    """What to write beside the cloud; None for nothing.

    Attributes:
        preview: PNG of before and after.
        view: HTML page to turn the cloud about.
        attention: folder for pictures of what PU-MFA looks at, in the patch around the first point.
    """

    preview: Path | None = None
    view: Path | None = None
    attention: Path | None = None


def upsample_file(
    source: Path,
    target: Path | None = None,
    *,
    ratio: float = 4.0,
    count: int | None = None,
    keep_input: bool | None = None,
    model: Literal["pu-any", "pu-mfa"] = "pu-any",
    format: str | None = None,
    outputs: Outputs | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Read a cloud, up-sample it, carry its attributes to the new points, and write it.

    Args:
        source: a file that :func:`sentio.points.io.read_cloud` reads.
        target: where to; beside the source as ``NAME.dense.SUFFIX`` if None.
        ratio: points out for each point in.
        count: points out, instead of ``ratio``.
        keep_input: keep the original points as they are; None keeps those of LiDAR sensors.
        model: see :func:`sentio.points.upsample.upsample`.
        format: of the source, where its suffix does not tell.
        outputs: what else to write.
        progress: called with the points done and the points in all.

    Returns:
        A JSON object: files, points before and after, points left out, seconds.

    Raises:
        InputError: the source cannot be used, or what is asked cannot be had.
        OutputError: a file cannot be written, or the target would replace the source.
    """
    target, outputs = target or default_target(source), outputs or Outputs()
    if target.resolve() == source.resolve():
        raise OutputError(f"{target} is the source itself.", "Give another --out.")
    before = read_cloud(source, format=format)
    keep = before.source.format in LIDAR if keep_input is None else keep_input
    start = time.perf_counter()
    points = upsample(before.points, ratio, count=count, keep_input=keep, model=model, progress=progress)
    seconds = time.perf_counter() - start
    after = _with_attributes(before, points, keep)
    write_cloud(after, target, format=format if target.suffix == source.suffix else None)
    return {
        "source": str(source),
        "target": str(target),
        "model": model,
        "points_before": len(before.points),
        "points_after": len(after.points),
        "points_left_out": before.source.dropped,
        "input_kept": keep,
        "seconds": round(seconds, 3),
        **_draw(before, after, outputs),
    }


def default_target(source: Path) -> Path:
    """``scan.ply`` gives ``scan.dense.ply``; a mesh gives a ply, a ``.pcd.bin`` keeps both suffixes."""
    suffix = ".pcd.bin" if source.name.lower().endswith(".pcd.bin") else source.suffix
    stem = source.name[: len(source.name) - len(suffix)]
    written = ".ply" if suffix.lower().removeprefix(".") in MESHES else suffix
    return source.with_name(f"{stem}.dense{written}")


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
