"""Point clouds from files and to files, with all their attributes.

    cloud = read_cloud("scan.ply")
    write_cloud(carry(cloud, new_points), "dense.ply")

The format is told by the suffix. Text, pts, ply, pcd, npy, npz and the bare records of KITTI and nuScenes need no
further package; las, laz, e57 and meshes need the extra ``points``.
"""

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sentio.core.errors import InputError, OutputError
from sentio.core.writers import TEMPORARY, atomic_path, refusals_told
from sentio.points.io.arrays import (
    guess_records,
    read_npy,
    read_npz,
    read_records,
    write_npy,
    write_npz,
    write_records,
)
from sentio.points.io.cloud import Cloud, Source, carry
from sentio.points.io.e57 import read_e57
from sentio.points.io.las import read_las, write_las
from sentio.points.io.mesh import SAMPLES, read_mesh, sample_mesh
from sentio.points.io.pcd import read_pcd, write_pcd
from sentio.points.io.ply import has_faces, read_ply, write_ply
from sentio.points.io.pts import read_pts, write_pts
from sentio.points.io.text import read_text, write_text

__all__ = ["Cloud", "Source", "carry", "read_cloud", "read_mesh", "suffix_format", "try_writing", "write_cloud"]


class Format(NamedTuple):
    """How one format is read and written; a writer returns what it had to change, if anything."""

    read: Callable[[bytes], Cloud]
    write: Callable[[Cloud, Path], str | None]


FORMATS = {
    "xyz": Format(read_text, partial(write_text, delimiter=" ")),
    "txt": Format(read_text, partial(write_text, delimiter=" ")),
    "asc": Format(read_text, partial(write_text, delimiter=" ")),
    "csv": Format(read_text, partial(write_text, delimiter=",")),
    "pts": Format(read_pts, write_pts),
    "ply": Format(read_ply, write_ply),
    "pcd": Format(read_pcd, write_pcd),
    "las": Format(read_las, partial(write_las, compress=False)),
    "laz": Format(read_las, partial(write_las, compress=True)),
    "npy": Format(read_npy, write_npy),
    "npz": Format(read_npz, write_npz),
    "kitti": Format(partial(read_records, format="kitti"), partial(write_records, format="kitti")),
    "nuscenes": Format(partial(read_records, format="nuscenes"), partial(write_records, format="nuscenes")),
}
MESHES = ("obj", "off", "stl", "glb")
READ_ONLY = (*MESHES, "e57")
FEW = 10_000
"""Points that are written to see whether all can be."""


def read_cloud(path: Path | str, *, format: str | None = None, samples: int = SAMPLES, seed: int = 0) -> Cloud:
    """Read a point cloud, or sample one from a mesh.

    Args:
        path: the file.
        format: its format, where the suffix does not tell: ``"kitti"`` or ``"nuscenes"`` for a ``.bin``, or any other
            suffix without its dot. A ``.pcd.bin`` is nuScenes; another ``.bin`` is looked into.
        samples: how many points to sample if the file is a mesh.
        seed: of that sampling.

    Raises:
        InputError: the file is missing, empty, cut short or damaged, of an unknown format, or has no finite point.
        MissingExtraError: the format needs a package that is not installed.
    """
    path = Path(path)
    kind = format or suffix_format(path)
    if kind not in (*FORMATS, *READ_ONLY, "bin"):
        raise InputError(f"{path} has the unknown format {kind!r}.", f"Use one of: {_choices()}.")
    try:
        if kind == "e57":
            return read_e57(path)
        data = path.read_bytes()
        if not data:
            raise InputError("it is empty.")
        if kind in MESHES or (kind == "ply" and has_faces(data)):
            return sample_mesh(data, kind, count=samples, seed=seed)
        return FORMATS[guess_records(data) if kind == "bin" else kind].read(data)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    except InputError as error:
        raise InputError(f"Cannot use {path}: {error.what}", error.fix) from error


def write_cloud(cloud: Cloud, path: Path | str, *, format: str | None = None) -> str:
    """Write a point cloud with all its attributes, whole or not at all.

    Coordinates are stored in the float type of the cloud's source. ply and pcd are written binary.

    Args:
        cloud: what to write.
        path: where to; its suffix tells the format. A ``.bin`` is written as the cloud's source was, KITTI otherwise.
        format: as for ``read_cloud``.

    Returns:
        What the format made necessary to change, in a sentence; mostly nothing.

    Raises:
        OutputError: unknown format, the format has no place for an attribute, or the file cannot be written.
        MissingExtraError: the format needs a package that is not installed.
    """
    path = Path(path)
    kind = _format_of(cloud, written_format(path, format))
    with atomic_path(path) as temporary:
        return FORMATS[kind].write(cloud, temporary) or ""


def try_writing(cloud: Cloud, path: Path, count: int, *, format: str | None = None) -> None:
    """See, before work is put into them, that ``count`` points with what ``cloud`` has can be written.

    Some of its points are written beside the target, and taken away again.

    Raises:
        OutputError, MissingExtraError: as :func:`write_cloud` would, or there is not enough room.
    """
    kind = _format_of(cloud, written_format(path, format))
    some = slice(None, None, -(-len(cloud.points) // FEW))
    few = Cloud(cloud.points[some], {name: v[some] for name, v in cloud.attributes.items()}, cloud.source)
    above = next(parent for parent in path.absolute().parents if parent.exists())
    with refusals_told(path), tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=above) as folder:
        trial = Path(folder) / path.name
        FORMATS[kind].write(few, trial)
        needed, free = trial.stat().st_size * count // len(few.points), shutil.disk_usage(folder).free
    if needed > free:
        what = f"Cannot write {path}: it would take about {needed // 2**20:,} MiB; {free // 2**20:,} MiB are free."
        raise OutputError(what, "Free some space, or choose another place.")


def written_format(path: Path, format: str | None = None) -> str:
    """The format in which a file is to be written.

    Raises:
        OutputError: it is not known, or only read.
    """
    if path.name.lower().endswith(".copc.laz"):
        raise OutputError(f"Cannot write {path}: COPC is read, but not written.", "Let the name end in .laz alone.")
    kind = format or suffix_format(path)
    if kind not in (*FORMATS, "bin"):
        what = f"{kind!r} is only read" if kind in READ_ONLY else f"{kind!r} is no known format"
        raise OutputError(f"Cannot write {path}: {what}.", f"Use: {', '.join(FORMATS)}.")
    return kind


def _format_of(cloud: Cloud, kind: str) -> str:
    """Which of the two formats a ``.bin`` is written in."""
    if kind == "bin":
        return "nuscenes" if cloud.source.format == "nuscenes" else "kitti"
    return kind


def suffix_format(path: Path) -> str:
    """The format that the name of a file tells; ``bin`` may be one of two."""
    name = path.name.lower()
    return "nuscenes" if name.endswith(".pcd.bin") else name.rpartition(".")[2] if "." in name else ""


def _choices() -> str:
    return ", ".join([*FORMATS, "bin", *READ_ONLY])
