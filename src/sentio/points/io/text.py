"""xyz, txt and csv: one point a line; delimiter and names are found out."""

import csv
from pathlib import Path

import numpy as np

from sentio.core.errors import InputError
from sentio.points.io.cloud import AXES, Array, Cloud, Source, from_columns, word

COMMENTS = ("#", "//")
LARGEST_WHOLE = 2**53  # beyond it a float64 cannot hold every integer


def read_text(data: bytes) -> Cloud:
    """Read a text file of points.

    The delimiter is a comma, a semicolon or white space. Names come from a first line of words, or from the last
    comment before the data. Without names the first three columns are x, y, z; three more are colours if they are
    whole numbers up to 255, normals if they have unit length.
    """
    if b"\0" in data:
        raise InputError("This is not a text file.")
    lines = data.decode("utf-8-sig", errors="replace").splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith(COMMENTS)), None)
    if start is None:
        raise InputError("There are no points.")
    comments = tuple(line.lstrip().lstrip("#/").strip() for line in lines[:start] if line.strip())
    words, delimiter = _split(lines[start])
    named = not any(_is_number(word) for word in words)
    body = [line for line in lines[start + named :] if line.strip() and not line.lstrip().startswith(COMMENTS)]
    table = _parse(body, delimiter)
    names = words if named else _names_of(comments, table.shape[1]) or _guess_names(table)
    if len(names) != table.shape[1]:
        raise InputError(f"The first line names {len(names)} columns, but {table.shape[1]} values follow on a line.")
    sample = _split(body[0])[0]
    columns = {name: _narrow(table[:, i], sample[i]) for i, name in enumerate(names)}
    return from_columns(columns, Source("text", comments=comments))


def write_text(cloud: Cloud, path: Path, delimiter: str) -> None:
    """Write one point a line with the fewest digits that read back as the same numbers.

    csv has its names on the first line; with white space they are a comment, and only written if there are attributes.
    """
    import pyarrow as pa
    import pyarrow.csv

    columns = cloud.columns()
    table = pa.table({word(name): np.ascontiguousarray(values) for name, values in columns.items()})
    options = pyarrow.csv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style="none")
    with path.open("wb") as file:
        if delimiter == "," or cloud.attributes:
            mark = "" if delimiter == "," else "# "
            file.write(f"{mark}{delimiter.join(table.column_names)}\n".encode())
        pyarrow.csv.write_csv(table, file, options)


def _split(line: str) -> tuple[list[str], str | None]:
    """The fields of a line, and its delimiter; None stands for white space."""
    delimiter = next((mark for mark in ",;" if mark in line), None)
    fields = next(csv.reader([line], delimiter=delimiter)) if delimiter else line.split()
    return [field.strip().strip('"') for field in fields], delimiter


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _parse(lines: list[str], delimiter: str | None) -> Array:
    if not lines:
        raise InputError("There are no points.")
    try:
        table = np.loadtxt(lines, dtype=np.float64, delimiter=delimiter, comments=COMMENTS, ndmin=2)
    except ValueError as error:
        raise InputError(f"The points are no table of numbers: {error}.") from error
    if table.shape[1] < 3:
        raise InputError(f"A line holds {table.shape[1]} values; at least x, y and z are needed.")
    return table


def _names_of(comments: tuple[str, ...], count: int) -> list[str] | None:
    """The names in the last comment, if it has one for each column and x, y, z among them."""
    names = _split(comments[-1])[0] if comments else []
    return names if len(names) == count and set("xyz") <= {name.lower() for name in names} else None


def _guess_names(table: Array) -> list[str]:
    names = ["x", "y", "z"] + [f"column_{i}" for i in range(4, table.shape[1] + 1)]
    triple = table[:, 3:6]
    if triple.shape[1] == 3:
        if (triple == np.rint(triple)).all() and triple.min() >= 0 and triple.max() <= 255:
            names[3:6] = ["red", "green", "blue"]
        elif np.allclose(np.linalg.norm(triple, axis=1), 1, atol=1e-2):
            names[3:6] = ["nx", "ny", "nz"]
    return names


def _narrow(values: Array, word: str) -> Array:
    """Integers where the text has integers: rings and classes must stay what they are."""
    whole = word.lstrip("+-").isdigit() and bool(((values == np.rint(values)) & (abs(values) < LARGEST_WHOLE)).all())
    return values.astype(np.int64) if whole else values


def parse_rows(lines: list[str], fields: list[tuple[str, str]]) -> dict[str, Array]:
    """Columns from lines of numbers in the types of ``fields``.

    A float32 coordinate keeps the digits of the text where float32 would lose more than a millionth of the extent, as
    it does for map coordinates.
    """
    if not lines:
        raise InputError("There are no points.")
    try:
        table = np.loadtxt(lines, dtype=np.float64, ndmin=2, comments=None)
    except ValueError as error:
        raise InputError(f"The points are no table of numbers: {error}.") from error
    if table.shape[1] != len(fields):
        raise InputError(f"The header announces {len(fields)} values a point, {table.shape[1]} are present.")
    with np.errstate(invalid="ignore", over="ignore"):
        columns = {name: table[:, i].astype(dtype) for i, (name, dtype) in enumerate(fields)}
        exact = {name: table[:, i] for i, (name, dtype) in enumerate(fields) if name in AXES and dtype == "f4"}
        finite = {name: values[np.isfinite(values)] for name, values in exact.items()}
        extent = max((float(np.ptp(values)) for values in finite.values() if len(values)), default=0.0)
        loss = max((float(abs(v - v.astype("f4")).max()) for v in finite.values() if len(v)), default=0.0)
    return columns | exact if loss > 1e-6 * extent else columns
