"""PLY: ascii and binary of both byte orders, every property of the vertices.

Written after the format description by Greg Turk (1994). A file with faces is a mesh and is sampled.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sentio.core.counts import counted
from sentio.core.errors import InputError
from sentio.points.io.cloud import Array, Cloud, Source, from_columns, word
from sentio.points.io.text import parse_rows

TYPES = {
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4",
    "float64": "f8", "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "float": "f4", "double": "f8",
}  # fmt: skip
NAMES = {dtype: name for name, dtype in TYPES.items()}  # the later ones are the classic names
ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass
class Element:
    """One element of the header; ``fields`` is None once a list property makes its rows differ in size."""

    name: str
    count: int
    fields: list[tuple[str, str]] | None


def read_ply(data: bytes) -> Cloud:
    """Read the vertices of a PLY file."""
    order, elements, comments, body = _read_header(data)
    before: list[Element] = []
    for element in elements:
        if element.name == "vertex":
            break
        before.append(element)
    else:
        raise InputError("The file has no element 'vertex'.")
    if element.fields is None or any(other.fields is None for other in before):
        raise InputError("A list property before or in the vertices is not supported.")
    read = _read_ascii if order == "=" else _read_binary
    columns = read(data, body, before, element, order)
    return from_columns(columns, Source("ply", comments=comments))


def has_faces(data: bytes) -> bool:
    """Whether the header announces faces or triangle strips."""
    return any(element.count and element.name in ("face", "tristrips") for element in _read_header(data)[1])


def write_ply(cloud: Cloud, path: Path) -> None:
    """Write a binary little-endian PLY file."""
    columns = {word(name): _storable(values) for name, values in cloud.columns().items()}
    table = np.empty(len(cloud.points), dtype=[(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        table[name] = values
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {line}" for line in cloud.source.comments)]
    lines += [f"element vertex {len(table)}"]
    lines += [f"property {NAMES[values.dtype.str[1:]]} {name}" for name, values in columns.items()]
    with path.open("wb") as file:
        file.write(("\n".join([*lines, "end_header"]) + "\n").encode("ascii", errors="replace"))
        file.write(table.tobytes())


def _storable(values: Array) -> Array:
    """In a type that PLY has; integers of 64 bits do not exist there."""
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind == "b":
        target = "u1"
    elif kind == "f":
        target = "f4" if size <= 4 else "f8"
    elif size <= 4:
        target = f"{kind}{size}"
    else:
        info = np.iinfo(np.int32)
        target = "i4" if info.min <= values.min() and values.max() <= info.max else "f8"
    return values.astype(f"<{target}")


def _read_header(data: bytes) -> tuple[str, list[Element], tuple[str, ...], int]:
    """Byte order, elements, comments and where the body begins."""
    end = data.find(b"end_header")
    line_end = data.find(b"\n", end)
    if not data.startswith(b"ply") or end < 0 or line_end < 0:
        raise InputError("This is no complete PLY header.")
    order, elements, comments = "", list[Element](), list[str]()
    for number, line in enumerate(data[:end].decode("ascii", errors="replace").splitlines()[1:], start=2):
        match line.split():
            case ["format", name, *_] if name in ORDERS:
                order = ORDERS[name]
            case ["comment" | "obj_info", *_]:
                comments.append(line.partition(" ")[2].strip())
            case ["element", name, count] if count.isdigit():
                elements.append(Element(name, int(count), []))
            case ["property", "list", *_] if elements:
                elements[-1].fields = None
            case ["property", kind, name] if elements and kind in TYPES:
                if elements[-1].fields is not None:
                    elements[-1].fields.append((name, TYPES[kind]))
            case []:
                pass
            case _:
                raise InputError(f"Line {number} of the header is not understood: {line.strip()!r}.")
    if not order:
        raise InputError("The header names no format.")
    return order, elements, tuple(comments), line_end + 1


def _read_binary(data: bytes, body: int, before: list[Element], vertex: Element, order: str) -> dict[str, Array]:
    def row(element: Element) -> np.dtype[np.void]:
        return np.dtype([(name, order + dtype) for name, dtype in element.fields or []])

    body += sum(other.count * row(other).itemsize for other in before)
    present = max(len(data) - body, 0) // max(row(vertex).itemsize, 1)
    if present < vertex.count:
        raise InputError(
            f"The file is cut short: {counted(vertex.count, 'vertex', 'vertices')} announced, {present} present."
        )
    table = np.frombuffer(data, dtype=row(vertex), count=vertex.count, offset=body)
    return {name: table[name].astype(dtype) for name, dtype in vertex.fields or []}


def _read_ascii(data: bytes, body: int, before: list[Element], vertex: Element, _order: str) -> dict[str, Array]:
    lines = [line for line in data[body:].decode("ascii", errors="replace").splitlines() if line.strip()]
    lines = lines[sum(other.count for other in before) :][: vertex.count]
    if len(lines) < vertex.count:
        raise InputError(
            f"The file is cut short: {counted(vertex.count, 'vertex', 'vertices')} announced, {len(lines)} present."
        )
    return parse_rows(lines, vertex.fields or [])
