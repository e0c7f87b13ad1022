"""LAS and LAZ by laspy: every dimension, and the scales, offsets and coordinate system of the header.

A COPC file is a LAZ file with an index; the index is left out.
"""

import copy
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np

from sentio.core.counts import counted
from sentio.core.errors import InputError, OutputError, require
from sentio.points.geometry import count_distinct, nearest
from sentio.points.io.cloud import AXES, COLOURS, Array, Cloud, Source, from_columns, word

AT_ONCE = 1 << 20  # points; read in pieces so that a false count in the header claims no memory
FIRST_HEADER, LAST_HEADER = 227, 375  # bytes of the header of LAS 1.0 and 1.4
COMPRESSED = 0x80  # bit of the point format that marks LAZ
CHUNK_SIZE = 64  # bytes from the name of the compressor's record to its points per chunk
SHORT_RECORD, LONG_RECORD = 54, 60  # least bytes of a variable-length record and of an extended one
LONGEST_NAME = 32  # bytes of the name of an extra dimension
LARGEST_INTEGER = 2**31 - 1
COARSEST, FINEST = 0.1, 0.001
"""Steps of the coordinates, in units of the usual distance of a point to its nearest: never coarser than the first, and
not refined beyond the second for points that nearly coincide."""
LOOKED_AT = 1000  # points whose distance to their nearest is measured


def read_las(data: bytes) -> Cloud:
    """Read a LAS or LAZ file."""
    laspy = require("laspy", "points")
    require("lazrs", "points")
    _check_counts(data)
    try:
        with laspy.open(io.BytesIO(data)) as reader:
            parts = [_columns(part) for part in reader.chunk_iterator(AT_ONCE)]
            header = reader.header
    except Exception as error:  # laspy and its decoder raise many kinds
        raise InputError(f"The file is damaged or no LAS file: {error}.") from error
    present = sum(len(part["x"]) for part in parts)
    if present < header.point_count:
        raise InputError(f"The file is cut short: {counted(header.point_count, 'point')} announced, {present} present.")
    if not parts:
        raise InputError("There are no points.")
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return from_columns(columns, Source("las", header=header))


def write_las(cloud: Cloud, path: Path, *, compress: bool) -> str:
    """Write LAS or LAZ with the header of the source; attributes that are no standard dimension become extra ones.

    Returns:
        What was changed: a scale of the source in which new points would fall together is made finer.
    """
    laspy = require("laspy", "points")
    require("lazrs", "points")
    columns = {word(name)[:LONGEST_NAME]: values for name, values in cloud.columns().items() if name not in AXES}
    kept = cloud.source.header if cloud.source.format == "las" else None
    header = _without_index(copy.deepcopy(kept)) if kept else _new_header(laspy, cloud)
    note = _refine(header, cloud.points)
    columns = _settle(laspy, header, columns)
    record = laspy.ScaleAwarePointRecord.zeros(len(cloud.points), header=header)
    try:
        record.x, record.y, record.z = cloud.points.T
        for name, values in columns.items():
            record[name] = values
    except OverflowError as error:
        raise OutputError(
            f"The coordinates do not fit into LAS integers of the scale {header.scales}: {error}."
        ) from error
    with path.open("wb") as file:
        laspy.LasData(header, record).write(file, do_compress=compress)
    return note


def _without_index(header: Any) -> Any:
    """The header of a COPC file without the records that say where in the file which points lie."""
    header.vlrs = [record for record in header.vlrs if record.user_id != "copc"]
    if header.evlrs is not None:
        header.evlrs = [record for record in header.evlrs if record.user_id != "copc"]
    return header


def _refine(header: Any, points: Array) -> str:
    """Divide the scales by ten until different points stay apart; what was changed, or nothing.

    The offsets are moved by whole steps of the old scales, and only where 32 bits would not hold the coordinates, so
    that old points stay exactly where they are.
    """
    before, low, extent = header.scales.copy(), points.min(axis=0), np.ptp(points, axis=0)
    distance = nearest(points, points[:: max(1, len(points) // LOOKED_AT)], 2)[0][:, 1]
    usual = float(np.median(distance[distance > 0])) if distance.any() else np.inf
    distinct = count_distinct(points)
    while True:
        coarse = header.scales > COARSEST * usual
        if not coarse.any() and count_distinct(np.rint((points - header.offsets) / header.scales)) < distinct:
            coarse = header.scales > FINEST * usual
        coarse &= extent / (header.scales / 10) < LARGEST_INTEGER
        if not coarse.any():
            break
        header.scales = np.where(coarse, header.scales / 10, header.scales)
    if (header.scales == before).all():
        return ""
    if (abs(points - header.offsets) / header.scales).max() > LARGEST_INTEGER:
        header.offsets = header.offsets + np.floor((low - header.offsets) / before) * before
    old, new = (" ".join(f"{step:g}" for step in sorted(set(scales))) for scales in (before, header.scales))
    return f"The scale of the coordinates is {new}, not {old} as in the source, for points lie {usual:.2g} apart."


def _check_counts(data: bytes) -> None:
    """Refuse counts for which the file has no room: laspy would go through all of them, or claim memory for them."""
    if len(data) < FIRST_HEADER or not data.startswith(b"LASF"):
        raise InputError("This is no complete LAS header.")
    header, start, records, kind, length, count = struct.unpack_from("<HIIBHI", data, 94)
    rooms = [(records * SHORT_RECORD, start - header)]
    if data[25] >= 4 and len(data) >= LAST_HEADER:  # LAS 1.4 counts with 64 bits and has a second kind of records
        first, long_records, count = struct.unpack_from("<QIQ", data, 235)
        rooms.append((long_records * LONG_RECORD, len(data) - first))
    if kind & COMPRESSED:
        chunks, most = _chunks(data, start)
        rooms += [(chunks * length, len(data)), (count, chunks * most)]  # a chunk begins with a whole point
    else:
        rooms.append((count * length, len(data) - start))
    if any(needed > room for needed, room in rooms):
        raise InputError("The file is cut short, or its header announces more points or records than there are.")


def _chunks(data: bytes, start: int) -> tuple[int, int]:
    """Number of the LAZ chunks and how many points are in one, from their table and the record of the compressor."""
    place = data.find(b"laszip encoded", 0, start)
    try:
        (most,) = struct.unpack_from("<I", data, place + CHUNK_SIZE)
        (table,) = struct.unpack_from("<q", data, start)
        table = table if table >= 0 else struct.unpack_from("<q", data, len(data) - 8)[0]
        return struct.unpack_from("<I", data, table + 4)[0] if place >= 0 and table >= 0 else 0, most
    except struct.error:
        return 0, 0


def _columns(part: Any) -> dict[str, Array]:
    names = [name for name in part.point_format.dimension_names if name not in ("X", "Y", "Z")]
    scaled = {"x": part.x, "y": part.y, "z": part.z} | {name: part[name] for name in names}
    return {name: np.array(values) for name, values in scaled.items()}


def _new_header(laspy: Any, cloud: Cloud) -> Any:
    """LAS 1.4 with the finest decimal scale at which 32 bits hold the extent."""
    header = laspy.LasHeader(version="1.4", point_format=7 if "colour" in cloud.attributes else 6)
    header.offsets = np.floor(cloud.points.min(axis=0))
    extent = float((cloud.points.max(axis=0) - header.offsets).max())
    header.scales = np.full(3, 10.0 ** np.ceil(np.log10(max(extent, 1e-12) / LARGEST_INTEGER)))
    return header


def _settle(laspy: Any, header: Any, columns: dict[str, Array]) -> dict[str, Array]:
    """Give each column a dimension that holds its values; one that fits no standard dimension gets an extra one."""
    standard = {info.name: info for info in header.point_format.standard_dimensions}
    present = set(header.point_format.dimension_names)
    settled = {}
    for name, values in columns.items():
        if name in COLOURS[0]:
            values = _colour_to_16_bits(values)
        if name in standard and not _fits(values, standard[name]):
            name = f"{name}_value"
        if name not in present:
            dtype = "u1" if values.dtype.kind == "b" else values.dtype
            dtype = np.dtype("f4") if dtype == np.float16 else dtype
            header.add_extra_dim(laspy.ExtraBytesParams(name, dtype))
        settled[name] = values
    return settled


def _fits(values: Array, info: Any) -> bool:
    if info.kind.name == "FloatingPoint":
        return True
    return bool(((values >= info.min) & (values <= info.max) & (values == np.rint(values))).all())


def _colour_to_16_bits(values: Array) -> Array:
    if values.dtype.kind == "f":
        values = np.rint(np.clip(values, 0, 1) * 65535)
        return values.astype(np.uint16)
    return np.multiply(values, 257, dtype=np.uint16) if values.dtype == np.uint8 else values
