"""Point clouds from files and to files, with all their attributes.

    cloud = read_cloud("scan.ply")
    write_cloud(carry(cloud, new_points), "dense.ply")

The format is told by the suffix. Text, ply, pcd, npy, npz and the bare records of KITTI and nuScenes need no further
package; las, laz and meshes need the extra ``points``.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sentio.core.errors import InputError, OutputError
from sentio.core.writers import atomic_path
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
from sentio.points.io.las import read_las, write_las
from sentio.points.io.mesh import SAMPLES, read_mesh, sample_mesh
from sentio.points.io.pcd import read_pcd, write_pcd
from sentio.points.io.ply import has_faces, read_ply, write_ply
from sentio.points.io.text import read_text, write_text

__all__ = ["Cloud", "Source", "carry", "read_cloud", "read_mesh", "suffix_format", "write_cloud"]


class Format(NamedTuple):
    """How one format is read and written."""

    read: Callable[[bytes], Cloud]
    write: Callable[[Cloud, Path], None]


FORMATS = {
    "xyz": Format(read_text, partial(write_text, delimiter=" ")),
    "txt": Format(read_text, partial(write_text, delimiter=" ")),
    "csv": Format(read_text, partial(write_text, delimiter=",")),
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
    if kind not in (*FORMATS, *MESHES, "bin"):
        raise InputError(f"{path} has the unknown format {kind!r}.", f"Use one of: {_choices()}.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    if not data:
        raise InputError(f"{path} is empty.")
    try:
        if kind in MESHES or (kind == "ply" and has_faces(data)):
            return sample_mesh(data, kind, count=samples, seed=seed)
        return FORMATS[guess_records(data) if kind == "bin" else kind].read(data)
    except InputError as error:
        raise InputError(f"Cannot use {path}: {error.what}", error.fix) from error


def write_cloud(cloud: Cloud, path: Path | str, *, format: str | None = None) -> None:
    """Write a point cloud with all its attributes, whole or not at all.

    Coordinates are stored in the float type of the cloud's source. ply and pcd are written binary.

    Args:
        cloud: what to write.
        path: where to; its suffix tells the format. A ``.bin`` is written as the cloud's source was, KITTI otherwise.
        format: as for ``read_cloud``.

    Raises:
        OutputError: unknown format, the format has no place for an attribute, or the file cannot be written.
        MissingExtraError: the format needs a package that is not installed.
    """
    path = Path(path)
    kind = format or suffix_format(path)
    if kind == "bin":
        kind = cloud.source.format if cloud.source.format == "nuscenes" else "kitti"
    if kind not in FORMATS:
        raise OutputError(f"Cannot write {path}: the format {kind!r} is unknown.", f"Use one of: {', '.join(FORMATS)}.")
    with atomic_path(path) as temporary:
        FORMATS[kind].write(cloud, temporary)


def suffix_format(path: Path) -> str:
    """The format that the name of a file tells; ``bin`` may be one of two."""
    name = path.name.lower()
    return "nuscenes" if name.endswith(".pcd.bin") else name.rpartition(".")[2] if "." in name else ""


def _choices() -> str:
    return ", ".join([*FORMATS, "bin", *MESHES])
