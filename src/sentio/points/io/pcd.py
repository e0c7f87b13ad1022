"""PCD: ascii, binary and binary_compressed, every field.

Colours packed into one 32-bit ``rgb`` or ``rgba`` field become (N, 3) or (N, 4) bytes. Points of an organised cloud
that are not finite are left out.
"""

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sentio.core.counts import counted
from sentio.core.errors import InputError
from sentio.points.io.cloud import AXES, Array, Cloud, Source, from_columns, word
from sentio.points.io.text import parse_rows

KEYS = ("VERSION", "FIELDS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "VIEWPOINT", "POINTS", "DATA")
NO_VIEWPOINT = ["0", "0", "0", "1", "0", "0", "0"]  # translation and quaternion of the sensor
PADDING = "_"  # the name of fields that only fill up a row; it may stand there more than once
KINDS = {"I": "i", "U": "u", "F": "f"}


class Field(NamedTuple):
    """A field of the header: ``length`` values of ``dtype`` a point."""

    name: str
    dtype: str
    length: int

    @property
    def size(self) -> int:
        """Bytes a point."""
        return self.length * np.dtype(self.dtype).itemsize


def read_pcd(data: bytes) -> Cloud:
    """Read a PCD file."""
    header, comments, body = _read_header(data)
    fields = _fields(header)
    count = _integer(header, "POINTS") if "POINTS" in header else _integer(header, "WIDTH") * _integer(header, "HEIGHT")
    readers = {"ascii": _read_ascii, "binary": _read_binary, "binary_compressed": _read_compressed}
    kind = " ".join(header["DATA"])
    if kind not in readers:
        raise InputError(f"The header names the unknown data format {kind!r}.")
    columns = readers[kind](data[body:], fields, count)
    columns = _unpack_colour({name: columns[name] for name in columns if not name.startswith(PADDING)})
    source = Source(
        "pcd",
        width=_integer(header, "WIDTH"),
        height=_integer(header, "HEIGHT"),
        comments=comments,
        header=header.get("VIEWPOINT", NO_VIEWPOINT),
    )
    return from_columns(columns, source)


def write_pcd(cloud: Cloud, path: Path) -> None:
    """Write a binary PCD file; colours are packed into 8 bits a channel, as the format has it."""
    columns: dict[str, Array] = dict(zip(AXES, cloud.stored_points.T, strict=True))
    for name, values in cloud.attributes.items():
        if name == "colour":
            columns |= _pack_colour(values)
        elif name == "normals":
            columns |= dict(zip(("normal_x", "normal_y", "normal_z"), values.T, strict=True))
        else:
            columns[word(name)] = values.astype("u1") if values.dtype.kind == "b" else values
    rows = [(name, v.dtype.newbyteorder("<"), v.shape[1:]) for name, v in columns.items()]
    table = np.empty(len(cloud.points), dtype=rows)
    for name, values in columns.items():
        table[name] = values
    lines = {
        "VERSION": ["0.7"],
        "FIELDS": list(columns),
        "SIZE": [str(v.itemsize) for v in columns.values()],
        "TYPE": [v.dtype.kind.upper() for v in columns.values()],
        "COUNT": [str(v[0].size) for v in columns.values()],
        "WIDTH": [str(len(table))],
        "HEIGHT": ["1"],
        "VIEWPOINT": cloud.source.header if cloud.source.format == "pcd" else NO_VIEWPOINT,
        "POINTS": [str(len(table))],
        "DATA": ["binary"],
    }
    with path.open("wb") as file:
        file.write("".join(f"{key} {' '.join(values)}\n" for key, values in lines.items()).encode())
        file.write(table.tobytes())


def _read_header(data: bytes) -> tuple[dict[str, list[str]], tuple[str, ...], int]:
    header: dict[str, list[str]] = {}
    comments = []
    start = 0
    while "DATA" not in header:
        end = data.find(b"\n", start)
        if end < 0:
            raise InputError("This is no complete PCD header.")
        line = data[start:end].decode("ascii", errors="replace").strip()
        start = end + 1
        key, *values = line.split() or ["#"]
        if key.startswith("#"):
            comments.append(line.lstrip("# "))
        elif key in KEYS or key == "COLUMNS":  # the name of FIELDS in old versions
            header["FIELDS" if key == "COLUMNS" else key] = values
        else:
            raise InputError(f"The header has a line that is not understood: {line[:60]!r}.")
    if missing := [key for key in ("FIELDS", "SIZE", "TYPE", "WIDTH", "HEIGHT") if key not in header]:
        raise InputError(f"The header has no line {missing[0]}.")
    return header, tuple(line for line in comments if line), start


def _integer(header: dict[str, list[str]], key: str) -> int:
    if len(header[key]) != 1 or not header[key][0].isdigit():
        raise InputError(f"The header's {key} is no number: {' '.join(header[key])!r}.")
    return int(header[key][0])


def _fields(header: dict[str, list[str]]) -> list[Field]:
    names, sizes, kinds = header["FIELDS"], header["SIZE"], header["TYPE"]
    counts = header.get("COUNT", ["1"] * len(names))
    if not len(names) == len(sizes) == len(kinds) == len(counts):
        raise InputError("FIELDS, SIZE, TYPE and COUNT of the header differ in length.")
    fields = []
    for i, (name, size, kind, count) in enumerate(zip(names, sizes, kinds, counts, strict=True)):
        allowed = ("4", "8") if kind == "F" else ("1", "2", "4", "8")
        if kind not in KINDS or size not in allowed or not count.isdigit():
            raise InputError(f"The field {name!r} of the header has an unknown type: {kind} {size} {count}.")
        fields.append(Field(f"{PADDING}{i}" if name == PADDING else name, f"<{KINDS[kind]}{size}", int(count)))
    if len({field.name for field in fields}) < len(fields):
        raise InputError(f"The header names a field twice: {' '.join(names)}.")
    return fields


def _read_ascii(body: bytes, fields: list[Field], count: int) -> dict[str, Array]:
    lines = [line for line in body.decode("ascii", errors="replace").splitlines() if line.strip()][:count]
    _check_count(count, len(lines))
    parts = {field: [f"{field.name} {i}".removesuffix(" 0") for i in range(field.length)] for field in fields}
    flat = parse_rows(lines, [(name, field.dtype[1:]) for field, names in parts.items() for name in names])
    stacked = {field.name: np.stack([flat[name] for name in names], axis=1) for field, names in parts.items()}
    return {name: values[:, 0] if values.shape[1] == 1 else values for name, values in stacked.items()}


def _read_binary(body: bytes, fields: list[Field], count: int) -> dict[str, Array]:
    row = np.dtype([(field.name, field.dtype, (field.length,) if field.length > 1 else ()) for field in fields])
    _check_count(count, len(body) // row.itemsize)
    table = np.frombuffer(body, dtype=row, count=count)
    return {field.name: table[field.name].astype(field.dtype[1:]) for field in fields}


def _read_compressed(body: bytes, fields: list[Field], count: int) -> dict[str, Array]:
    if len(body) < 8:
        raise InputError("The file is cut short: the sizes of the compressed data are missing.")
    packed, unpacked = struct.unpack_from("<II", body)
    if unpacked != count * sum(field.size for field in fields):
        announced = counted(count, "point is", "points are")
        raise InputError(f"{announced} announced, but the compressed data unpack to {counted(unpacked, 'byte')}.")
    if len(body) - 8 < packed:
        raise InputError(
            f"The file is cut short: {counted(packed, 'compressed byte')} announced, {len(body) - 8} present."
        )
    raw = decompress(body[8 : 8 + packed])
    if len(raw) != unpacked:
        raise InputError(f"The compressed data unpack to {counted(len(raw), 'byte')}, {unpacked} are announced.")
    columns, start = {}, 0
    for field in fields:  # one field after the other, not one point after the other
        values = np.frombuffer(raw, dtype=field.dtype, count=count * field.length, offset=start)
        columns[field.name] = values.astype(field.dtype[1:]).reshape(
            (count, field.length) if field.length > 1 else count
        )
        start += count * field.size
    return columns


def decompress(data: bytes) -> bytes:
    """Unpack LZF: runs of up to 32 literal bytes, and copies of up to 264 earlier bytes, which may overlap themselves.

    Raises:
        InputError: the data end within a run, or a copy points before the beginning.
    """
    out = bytearray()
    i = 0
    try:
        while i < len(data):
            control = data[i]
            if control < 32:
                out += data[i + 1 : i + 2 + control]
                i += 2 + control
                continue
            length = control >> 5
            if length == 7:
                i += 1
                length += data[i]
            distance = ((control & 31) << 8 | data[i + 1]) + 1
            i += 2
            start, length = len(out) - distance, length + 2
            if start < 0:
                raise InputError("The compressed data are damaged: a copy points before the beginning.")
            block = out[start : start + length]
            out += (block * (length // len(block) + 1))[:length]
    except IndexError as error:
        raise InputError("The compressed data are damaged: they end within a copy.") from error
    return bytes(out)


def _check_count(announced: int, present: int) -> None:
    if present < announced:
        raise InputError(f"The file is cut short: {counted(announced, 'point')} announced, {present} present.")


def _unpack_colour(columns: dict[str, Array]) -> dict[str, Array]:
    """Bytes from the packed field; its float type is only a container for the bits 0xAARRGGBB."""
    for name, channels in (("rgb", 3), ("rgba", 4)):
        packed = columns.get(name)
        if packed is None or packed.ndim != 1 or packed.dtype.itemsize != 4:
            continue
        bits = np.ascontiguousarray(packed).view(np.uint32)
        colour = np.stack([bits >> shift & 255 for shift in (16, 8, 0, 24)[:channels]], axis=1).astype(np.uint8)
        columns = {key: values for key, values in columns.items() if key != name} | {"colour": colour}
    return columns


def _pack_colour(colour: Array) -> dict[str, Array]:
    if colour.dtype == np.uint16:
        colour = colour >> 8
    elif colour.dtype.kind == "f":
        colour = np.rint(np.clip(colour, 0, 1) * 255)
    red, green, blue, *alpha = colour.T.astype(np.uint32)
    bits = red << 16 | green << 8 | blue
    return {"rgba": bits | alpha[0] << 24} if alpha else {"rgb": bits.view(np.float32)}
