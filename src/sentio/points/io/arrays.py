"""npy and npz, and the bare float32 records of the KITTI and nuScenes data sets."""

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from sentio.core.counts import counted
from sentio.core.errors import InputError, OutputError
from sentio.points.io.cloud import AXES, Array, Cloud, Source, from_columns

POINT_KEYS = ("points", "xyz", "pos", "vertices", "arr_0")
RECORDS = {"kitti": ("x", "y", "z", "intensity"), "nuscenes": ("x", "y", "z", "intensity", "ring")}
LARGEST_RING = 255
REACH = 200.0
"""Metres that the sensors of cars see."""
BRIGHTEST = 65535
"""Largest intensity that any exporter writes."""
LEAST, MOST = 1e-6, 1e8
"""Coordinates of real clouds, in metres, are 0 or between these; random bits as floats rarely are."""
SHARE = 0.9
"""Share of the points that must be as they should: a few may be noise."""
DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError, ValueError)


def read_npy(data: bytes) -> Cloud:
    """Read an array: (N, 3), (N, C) with further columns, or structured with fields x, y, z."""
    return from_columns(_columns(_load(io.BytesIO(data), len(data))), Source("npy"))


def write_npy(cloud: Cloud, path: Path) -> None:
    """Write (N, 3), or a structured array if there are attributes."""
    points = cloud.stored_points
    if cloud.attributes:
        columns = dict(zip(AXES, points.T, strict=True)) | dict(cloud.attributes)
        points = np.empty(len(points), dtype=[(name, v.dtype, v.shape[1:]) for name, v in columns.items()])
        for name, values in columns.items():
            points[name] = values
    with path.open("wb") as file:
        np.save(file, points, allow_pickle=False)


def read_npz(data: bytes) -> Cloud:
    """Read the points under ``points``, ``xyz``, ``pos`` or ``vertices``, or the only array; others are attributes."""
    arrays = _load_all(data)
    key = next((key for key in (*POINT_KEYS, *(arrays if len(arrays) == 1 else ())) if key in arrays), None)
    if key is None:
        raise InputError(f"None of the arrays {', '.join(arrays) or '(none)'} is called 'points'.")
    columns = _columns(arrays.pop(key))
    count = len(columns["x"]) if "x" in columns else -1
    columns |= {name: values for name, values in arrays.items() if values.ndim in (1, 2) and len(values) == count}
    return from_columns(columns, Source("npz"))


def read_arrays(path: Path | str) -> dict[str, Array]:
    """Every array of an npz file by its name.

    Raises:
        InputError: the file is missing or damaged, or holds Python objects.
    """
    try:
        return _load_all(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    except InputError as error:
        raise InputError(f"Cannot use {path}: {error.what}", error.fix) from error


def write_npz(cloud: Cloud, path: Path) -> None:
    """Write the array ``points`` and one array for each attribute."""
    arrays: dict[str, Any] = {"points": cloud.stored_points, **cloud.attributes}
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read_records(data: bytes, format: str) -> Cloud:
    """Read rows of little-endian float32: ``"kitti"`` x y z intensity, ``"nuscenes"`` with the ring after them."""
    names = RECORDS[format]
    if len(data) % (4 * len(names)):
        size = counted(len(data), "byte is", "bytes are")
        raise InputError(f"{size} no whole number of {format} points of {4 * len(names)} bytes each.")
    table = np.frombuffer(data, dtype="<f4").reshape(-1, len(names)).astype(np.float32)
    columns = dict(zip(names, table.T, strict=True))
    if "ring" in columns and _is_ring(columns["ring"]):
        columns["ring"] = columns["ring"].astype(np.uint8)
    return from_columns(columns, Source(format))


def guess_records(data: bytes) -> str:
    """Tell the two data sets apart by what every fifth number is: nuScenes counts its rings there.

    Raises:
        InputError: the numbers are those of neither.
    """
    if len(data) % 20 == 0 and data and _is_ring(np.frombuffer(data, dtype="<f4")[4::5]) and _is_sweep(data, 5):
        return "nuscenes"
    if len(data) % 16 == 0 and _is_sweep(data, 4):
        return "kitti"
    is_plain = [_is_plain(data, dtype) for dtype in ("<f4", "<f8")]
    if any(is_plain):
        dtype, bits = ("<f4", 32) if is_plain[0] else ("<f8", 64)
        what = f"they look like other floats of {bits} bits"
        fix = f"For 3 numbers a point: numpy.save('cloud.npy', numpy.fromfile('cloud.bin', '{dtype}').reshape(-1, 3))"
    else:
        what, fix = "they do not look like coordinates", "If they are nevertheless, give --format kitti or nuscenes."
    raise InputError(f"The {counted(len(data), 'byte is', 'bytes are')} no records of KITTI or nuScenes: {what}.", fix)


def _is_sweep(data: bytes, width: int) -> bool:
    """Whether x, y and z lie about a sensor, and the number after them is an intensity."""
    table = np.frombuffer(data, dtype="<f4").reshape(-1, width)
    finite = np.isfinite(table[:, :3]).all(axis=1)
    points, intensity = abs(table[finite, :3]), table[finite, 3]
    near = ((points < REACH) & ((points == 0) | (points > LEAST))).all(axis=1)
    bright = (intensity >= 0) & (intensity <= BRIGHTEST)
    return bool(finite.mean() > SHARE and near.mean() > SHARE and bright.all())


def _is_plain(data: bytes, dtype: str) -> bool:
    """Whether nearly all numbers are of a size that coordinates have."""
    if len(data) % np.dtype(dtype).itemsize:
        return False
    values = abs(np.frombuffer(data, dtype=dtype))
    return bool(((values == 0) | ((values > LEAST) & (values < MOST))).mean() > SHARE)


def write_records(cloud: Cloud, path: Path, format: str) -> None:
    """Write float32 records; a missing intensity or ring is 0.

    Raises:
        OutputError: the cloud has an attribute for which the format has no place.
    """
    names = RECORDS[format]
    columns = cloud.columns()
    if extra := [name for name in cloud.attributes if name not in names]:
        raise OutputError(f"{format} records have no place for the attribute {extra[0]!r}.", "Write a .ply file.")
    table = np.zeros((len(cloud.points), len(names)), dtype="<f4")
    for i, name in enumerate(names):
        table[:, i] = columns.get(name, 0)
    path.write_bytes(table.tobytes())


def _is_ring(values: Array) -> bool:
    return bool(((values >= 0) & (values <= LARGEST_RING)).all() and (values == np.rint(values)).all())


def _load_all(data: bytes) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [item for item in archive.infolist() if item.filename.endswith(".npy")]
            return {m.filename.removesuffix(".npy"): _load(archive.open(m), m.file_size) for m in members}
    except DAMAGED as error:
        raise InputError(f"This is no complete npz archive: {error}.") from error


def _load(file: Any, size: int) -> Array:
    """One array, read only if its header fits the ``size`` of the file: a false shape must not claim memory."""
    try:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise InputError(f"The npy version {version} is not supported.")
        shape, fortran, dtype = read_header[version](file)
    except InputError:
        raise
    except Exception as error:  # numpy reads the header as a Python literal: any kind of syntax error
        raise InputError(f"This is no numpy array: {error}.") from error
    if dtype.hasobject:
        raise InputError("The array holds Python objects, which could run code when loaded.", "Save plain numbers.")
    count = 1
    for length in shape:
        count *= int(length)
    body = file.read(count * dtype.itemsize) if count * dtype.itemsize <= size else b""
    if len(body) < count * dtype.itemsize:
        present = counted(size, "byte is", "bytes are")
        raise InputError(f"The array is cut short: the shape {shape} is announced, but only {present} present.")
    return np.frombuffer(body, dtype=dtype).reshape(shape, order="F" if fortran else "C").copy()


def _columns(array: Array) -> dict[str, Array]:
    if array.dtype.names:
        return {name: array[name] for name in array.dtype.names}
    if array.ndim != 2 or array.shape[1] < 3 or array.dtype.kind not in "fiu":
        raise InputError(f"The array has the shape {array.shape} and type {array.dtype}; numbers (N, 3) are needed.")
    names = ["x", "y", "z"] + [f"column_{i}" for i in range(4, array.shape[1] + 1)]
    return dict(zip(names, array.T, strict=True))
