"""E57 by libE57: all scans of a file in one frame, with intensities and colours.

Written after ASTM E2807. Points that the scanner marks as invalid are left out, and counted.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from sentio.core.counts import counted
from sentio.core.errors import InputError, require
from sentio.points.io.cloud import AXES, COLOURS, Array, Cloud, Source, from_columns

AT_ONCE = 1 << 20  # points; read in pieces so that a false count claims no memory
HEADER = struct.Struct("<8sIIQQQQ")  # signature, versions, file length, XML offset and length, page size
CHECKSUM = 4  # bytes at the end of each page
CARTESIAN = ("cartesianX", "cartesianY", "cartesianZ")
SPHERICAL = ("sphericalRange", "sphericalAzimuth", "sphericalElevation")
COLOUR = ("colorRed", "colorGreen", "colorBlue")
TYPES = dict.fromkeys(CARTESIAN + SPHERICAL, "f8") | dict.fromkeys(COLOUR, "u2") | {"intensity": "f4"}
STATES = ("cartesianInvalidState", "sphericalInvalidState", "isIntensityInvalid")
TYPES |= dict.fromkeys(STATES, "i1")


def read_e57(path: Path) -> Cloud:
    """Read all scans of an E57 file, each where its pose puts it; ``scan`` tells them apart if there are several.

    Intensities and colours are taken where every scan has them.
    """
    lib = require("pye57", "points").libe57
    _check_structure(path)
    try:
        image = lib.ImageFile(str(path), "r", lib.CHECKSUM_POLICY_ALL)
        try:
            scans = image.root()["data3D"]
            parts = [_read_scan(lib, image, scans[i], path.stat().st_size) for i in range(len(scans))]
        finally:
            image.close()
    except InputError:
        raise
    except Exception as error:  # the library raises several kinds
        raise InputError(f"The file is damaged or no E57 file: {str(error).strip()}.") from error
    return _together([part for part in parts if len(part["x"])])


def _together(parts: Sequence[dict[str, Array]]) -> Cloud:
    if not parts:
        raise InputError("There are no points.")
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in shared}
    if "red" in columns and max(columns[name].max() for name in COLOURS[0][:3]) <= 255:
        columns |= {name: columns[name].astype(np.uint8) for name in COLOURS[0][:3]}
    if len(parts) > 1:
        columns["scan"] = np.repeat(np.arange(len(parts), dtype=np.uint16), [len(part["x"]) for part in parts])
    lost = sorted({name for part in parts for name in part} - set(shared))
    notes = (f"Not every scan has: {', '.join(lost)}; left out.",) if lost else ()
    return from_columns(columns, Source("e57", notes=notes))


def _check_structure(path: Path) -> None:
    """Refuse a description with a document type, by which XML can open files and unfold without end."""
    with path.open("rb") as file:
        head = file.read(HEADER.size)
        if len(head) < HEADER.size or not head.startswith(b"ASTM-E57"):
            raise InputError("This is no E57 file.")
        *_, offset, length, page = HEADER.unpack(head)
        if not CHECKSUM < page <= 1 << 20 or offset + length > path.stat().st_size:
            raise InputError("The file is cut short, or its header is damaged.")
        file.seek(offset)
        data = file.read(length + (length // (page - CHECKSUM) + 2) * CHECKSUM)
    first = page - CHECKSUM - offset % page
    starts = range(first + CHECKSUM, len(data), page)
    text = data[: max(first, 0)] + b"".join(data[start : start + page - CHECKSUM] for start in starts)
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text or b"\0" in text[:length]:
        raise InputError("The description in the file is not plain XML.")


def _read_scan(lib: Any, image: Any, scan: Any, size: int) -> dict[str, Array]:
    """Columns of one scan; x, y and z are not a number where the scanner says that they are invalid."""
    vector = scan["points"]
    prototype = lib.StructureNode(vector.prototype())
    nodes = [prototype.get(i) for i in range(prototype.childCount())]
    names = [node.elementName() for node in nodes]
    least = sum(_bits(lib, prototype[name]) for name in names)
    if not any(set(axes) <= set(names) for axes in (CARTESIAN, SPHERICAL)) or not least:
        raise InputError(f"A scan has no coordinates, but: {', '.join(names)}.")
    if vector.childCount() * least > 8 * size:
        raise InputError(
            f"The file is cut short: {counted(vector.childCount(), 'point')} announced, which it has no room for."
        )
    values = _read_points(lib, image, vector, [name for name in names if name in TYPES])
    if set(CARTESIAN) <= set(names):
        points, state = np.stack([values[name] for name in CARTESIAN], 1), values.get("cartesianInvalidState")
    else:
        points, state = _unfolded(*(values[name] for name in SPHERICAL)), values.get("sphericalInvalidState")
    if state is not None:
        points[state != 0] = np.nan
    columns = dict(zip(AXES, _posed(points, scan).T, strict=True))
    if "intensity" in values:
        columns["intensity"] = values["intensity"]
        if "isIntensityInvalid" in values:
            columns["intensity"][values["isIntensityInvalid"] != 0] = np.nan
    if set(COLOUR) <= set(names):
        columns |= dict(zip(COLOURS[0], (values[name] for name in COLOUR), strict=False))
    return columns


def _bits(lib: Any, node: Any) -> int:
    """Bits that a number takes in the file."""
    if isinstance(node, lib.FloatNode):
        return 32 if node.precision() == lib.E57_SINGLE else 64
    if isinstance(node, lib.IntegerNode | lib.ScaledIntegerNode):
        return int(node.maximum() - node.minimum()).bit_length()
    return 0


def _read_points(lib: Any, image: Any, vector: Any, names: Sequence[str]) -> dict[str, Array]:
    count = vector.childCount()
    pieces: dict[str, list[Array]] = {name: [np.empty(0, TYPES[name])] for name in names}
    rooms = {name: np.empty(min(count, AT_ONCE), TYPES[name]) for name in names}
    buffers = lib.VectorSourceDestBuffer()
    for name, room in rooms.items():
        buffers.append(lib.SourceDestBuffer(image, name, room, len(room), True, True))
    reader = vector.reader(buffers) if count else None
    while reader and (got := reader.read()):
        for name, room in rooms.items():
            pieces[name].append(room[:got].copy())
    if reader:
        reader.close()
    values = {name: np.concatenate(parts) for name, parts in pieces.items()}
    if any(len(column) != count for column in values.values()):
        raise InputError(
            f"The file is cut short: {counted(count, 'point')} announced, {len(values[names[0]])} present."
        )
    return values


def _unfolded(distance: Array, azimuth: Array, elevation: Array) -> Array:
    """Cartesian coordinates (N, 3); the azimuth runs from x to y, the elevation from their plane to z."""
    flat = distance * np.cos(elevation)
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), distance * np.sin(elevation)], 1)


def _posed(points: Array, scan: Any) -> Array:
    """Points (N, 3) of a scanner in the frame of the file."""
    if not scan.isDefined("pose"):
        return points
    pose = scan["pose"]
    if pose.isDefined("rotation"):
        turn = Rotation.from_quat([pose["rotation"][part].value() for part in ("x", "y", "z", "w")])
        points = points @ turn.as_matrix().T
    if pose.isDefined("translation"):
        points = points + [pose["translation"][axis].value() for axis in AXES]
    return points
