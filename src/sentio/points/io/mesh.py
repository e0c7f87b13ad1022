"""obj, off, stl, glb and ply meshes by trimesh; a cloud is sampled from their surface."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from sentio.core.counts import counted
from sentio.core.errors import InputError, require
from sentio.points.io.cloud import Array, Cloud, Source
from sentio.points.surface import Surface

SUFFIXES = ("obj", "off", "stl", "glb", "ply")
STL_HEADER, STL_TRIANGLE = 84, 50  # bytes
SAMPLES = 8192  # the size at which the field's dense ground truth is sampled


def mesh_files(folder: Path) -> list[Path]:
    """The meshes directly in a folder, sorted by name.

    Raises:
        InputError: there are none.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower().lstrip(".") in SUFFIXES)
    if not paths:
        raise InputError(f"{folder} holds no meshes.", f"Give a folder with {', '.join(SUFFIXES)} files.")
    return paths


def read_mesh(path: Path | str) -> Surface:
    """Read a triangle mesh.

    Raises:
        InputError: missing, damaged, of another format, or without triangles.
        MissingExtraError: trimesh is not installed.
    """
    path = Path(path)
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in SUFFIXES:
        raise InputError(f"{path} is no mesh file that can be read.", f"Use one of: {', '.join(SUFFIXES)}.")
    try:
        mesh = _load(path.read_bytes(), suffix)
        return Surface(mesh.vertices, getattr(mesh, "faces", np.empty((0, 3), dtype=np.int64)))
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    except InputError as error:
        raise InputError(f"Cannot read {path}: {error.what}", error.fix) from error


def sample_mesh(data: bytes, suffix: str, *, count: int, seed: int) -> Cloud:
    """``count`` Poisson-disk samples of a mesh, with normals and, where it has them, the colours of its vertices.

    A file without faces gives its vertices.
    """
    mesh = _load(data, suffix)
    if not hasattr(mesh, "faces"):
        return Cloud(np.asarray(mesh.vertices), source=Source(suffix))
    surface = Surface(mesh.vertices, mesh.faces)
    samples = surface.sample_evenly(count, seed=seed)
    attributes: dict[str, Array] = {"normals": surface.normals[samples.face].astype(np.float32)}
    if mesh.visual.kind == "vertex":
        corners = np.asarray(mesh.visual.vertex_colors)[surface.faces[samples.face]]
        attributes["colour"] = np.rint(np.einsum("nc,ncd->nd", samples.weights, corners)).astype(np.uint8)
    return Cloud(samples.points, attributes, Source(suffix))


def _load(data: bytes, suffix: str) -> Any:
    """A trimesh mesh, or point cloud; from memory, so that a file cannot make others be opened."""
    trimesh = require("trimesh", "points")
    if suffix == "off":
        _check_off(data)
    if suffix == "stl":
        _check_stl(data)
    try:
        mesh = trimesh.load(io.BytesIO(data), file_type=suffix, process=False)
        return mesh.to_mesh() if isinstance(mesh, trimesh.Scene) else mesh
    except ImportError as error:  # it would guess the encoding of what is no text
        raise InputError("The mesh is damaged or of another format: it is no text.") from error
    except Exception as error:  # its parsers raise many kinds
        raise InputError(f"The mesh is damaged or of another format: {error}.") from error


def _check_off(data: bytes) -> None:
    """Count the lines: trimesh takes an OFF file that ends early for one with fewer faces."""
    lines = [line.split("#")[0].split() for line in data.decode("ascii", errors="replace").splitlines()]
    lines = [line for line in lines if line]
    head = [word for line in lines[:2] for word in line]
    counts = head[0].removeprefix("OFF").split() + head[1:3] if head else []
    if len(counts) >= 2 and all(count.isdigit() for count in counts[:2]):
        announced = int(counts[0]) + int(counts[1])
        present = len(lines) - (1 if lines[0] != ["OFF"] else 2)
        if present < announced:
            raise InputError(f"The file is cut short: {counted(announced, 'line')} announced, {present} present.")


def _check_stl(data: bytes) -> None:
    """Compare the count of a binary file with its size: trimesh would go on to read any bytes as text."""
    if data.lstrip().startswith(b"solid") and b"facet" in data:
        return
    announced = int.from_bytes(data[80:84], "little")
    present = max(len(data) - STL_HEADER, 0) // STL_TRIANGLE
    if len(data) < STL_HEADER or present < announced:
        raise InputError(
            f"The file is no STL or cut short: {counted(announced, 'triangle')} announced, {present} present."
        )
