"""xyz, asc, txt and csv: one point a line; delimiter, decimal sign and names are found out."""

import csv
import re
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sentio.core.counts import counted
from sentio.core.errors import InputError
from sentio.points.io.cloud import AXES, Array, Cloud, Source, from_columns, word

COMMENTS = ("#", "//")
COUNT = re.compile(r"\d{1,18}", re.ASCII)
"""A line that announces the number of points."""
LARGEST_WHOLE = 2**53  # beyond it a float64 cannot hold every integer
WITH_COMMA = re.compile(r"[+-]?\d+(,\d+)?([eE][+-]?\d+)?")
SURVEYING = {"easting": "x", "northing": "y", "elevation": "z", "height": "z", "altitude": "z"}
LOOKED_AT = 100  # lines that show what commas mean


class Dialect(NamedTuple):
    """How a line is taken apart: a delimiter, None for white space, and whether numbers have decimal commas."""

    delimiter: str | None
    commas: bool


def read_text(data: bytes) -> Cloud:
    """Read a text file of points.

    The delimiter is a comma, a semicolon or white space; with the latter two, numbers may have decimal commas. Lines of
    words and a count may stand before the points. Names come from the last line of words, or from the last comment
    before the data. Without names the first three columns are x, y, z; three more are colours if they are whole
    numbers up to 255, normals if they have unit length.
    """
    if b"\0" in data:
        raise InputError("This is not a text file.")
    lines = data.decode("utf-8-sig", errors="replace").splitlines()
    comments, head, body = _parts(lines)
    dialects = [_dialect(line) for line in islice(body, LOOKED_AT)]
    dialect = next((found for found in dialects if found.commas), dialects[0])
    table = _parse(body, dialect)
    _check_head(head, table)
    words = _split(head[-1], _dialect(head[-1])) if head and not _counts(head[-1]) else []
    named = len(words) == table.shape[1] or set(AXES) <= {name.lower() for name in words}
    names = words if named else _names_of(comments, table.shape[1]) or guess_names(table)
    if dialect == (",", False):
        _refuse_ambiguous(body, len(words))
    if len(names) != table.shape[1]:
        named, found = counted(len(names), "column"), counted(table.shape[1], "value follows", "values follow")
        raise InputError(f"The first line names {named}, but {found} on a line.")
    sample = _split(body[0], dialect)
    columns = {name: narrow(table[:, i], sample[i]) for i, name in enumerate(_axes_named(names))}
    notes = ("Numbers have decimal commas.",) if dialect.commas else ()
    return from_columns(columns, Source("text", comments=comments, notes=notes))


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


def _parts(lines: list[str]) -> tuple[tuple[str, ...], list[str], list[str]]:
    """Comments before the points, lines of words or counts before them, and the lines of points."""
    texts = [text for line in lines if (text := line.strip())]
    start = next((i for i, text in enumerate(texts) if not text.startswith(COMMENTS) and _is_row(text)), len(texts))
    comments = tuple(text.lstrip("#/").strip() for text in texts[:start] if text.startswith(COMMENTS))
    head = [text for text in texts[:start] if not text.startswith(COMMENTS)]
    body = [text for text in texts[start:] if not text.startswith(COMMENTS)]
    if head and head[0].lower().startswith("ncols"):
        raise InputError("This is an Esri grid of heights, not a list of points.", "Convert it to x y z lines first.")
    if not body:
        found = f" No line begins with three numbers; the first is {head[0][:60]!r}." if head else ""
        raise InputError(f"There are no points.{found}")
    return comments, head, body


def _counts(line: str) -> bool:
    """Whether a line is a single whole number, which announces the points."""
    return COUNT.fullmatch(line) is not None


def _is_row(line: str) -> bool:
    """Whether a line begins with numbers, with decimal commas and thousands separators, too."""
    dialect = _dialect(line)
    fields = _split(line, dialect)[:3]
    if dialect.commas:
        fields = [field.replace(".", "").replace(",", ".") for field in fields]
    return not _counts(line) and all(map(_is_number, fields))


def _dialect(line: str) -> Dialect:
    if ";" in line:
        return Dialect(";", "," in line)
    fields = line.split()
    if "," in line and len(fields) > 1 and all(WITH_COMMA.fullmatch(field) for field in fields):
        return Dialect(None, True)
    return Dialect("," if "," in line else None, False)


def _split(line: str, dialect: Dialect) -> list[str]:
    """The fields of a line."""
    try:
        fields = next(csv.reader([line], delimiter=dialect.delimiter)) if dialect.delimiter else line.split()
    except csv.Error as error:
        raise InputError(f"The line {line[:40]!r} cannot be taken apart: {error}.") from error
    return [field.strip().strip('"') for field in fields]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _parse(lines: list[str], dialect: Dialect) -> Array:
    if dialect.commas:
        if any("." in line for line in islice(lines, LOOKED_AT)):
            fix = "Write numbers with a decimal point and without thousands separators."
            raise InputError("The numbers have both points and commas.", fix)
        lines = [line.replace(",", ".") for line in lines]
    return read_table(lines, dialect.delimiter, COMMENTS)


def read_table(lines: list[str], delimiter: str | None = None, comments: tuple[str, ...] | None = None) -> Array:
    """Lines of at least three numbers each as float64 (N, C).

    Raises:
        InputError: they are none, or not all of the same length.
    """
    try:
        table = np.loadtxt(lines, dtype=np.float64, delimiter=delimiter, comments=comments, ndmin=2)
    except ValueError as error:  # what follows the semicolon is advice for callers of numpy
        raise InputError(f"The points are no table of numbers: {str(error).partition(';')[0].rstrip('.')}.") from error
    if table.shape[1] < 3:
        raise InputError(f"A line holds {counted(table.shape[1], 'value')}; at least x, y and z are needed.")
    return table


def _check_head(head: list[str], table: Array) -> None:
    """Refuse fewer points than a count before them announces."""
    for line in head:
        if _counts(line) and int(line) > len(table):
            raise InputError(f"The file is cut short: {counted(int(line), 'point')} announced, {len(table)} present.")


def _refuse_ambiguous(lines: list[str], named: int) -> None:
    """Refuse decimal commas between commas, 1,05,2,30,3,07: where a number ends cannot be told.

    They show in whole numbers that begin with a zero after every other comma, or in twice as many as there are names.
    """
    rows = [line.replace(" ", "").split(",") for line in islice(lines, LOOKED_AT)]
    whole = all(field.lstrip("+-").isdigit() for row in rows for field in row)
    fractions = [field for row in rows for field in row[1::2]]
    zeros = any(len(field) > 1 and field[0] == "0" for field in fractions)
    even = all(len(row) % 2 == 0 and len(row) >= 6 for row in rows)
    if whole and even and all(field.isdigit() for field in fractions) and (zeros or 2 * named == len(rows[0])):
        fix = "Write numbers with decimal points, or semicolons between them."
        raise InputError("The numbers seem to have decimal commas, with commas between them, too.", fix)


def _axes_named(names: list[str]) -> list[str]:
    """The names, those of the axes without units, or from surveying, if there is no plain x, y and z."""
    if set(AXES) <= {name.lower() for name in names}:
        return names
    plain = [re.sub(r"\s*[\[(].*", "", name) for name in names]
    plain = [SURVEYING.get(name.lower(), name) for name in plain]
    return plain if sorted(name.lower() for name in plain if name.lower() in AXES) == sorted(AXES) else names


def _names_of(comments: tuple[str, ...], count: int) -> list[str] | None:
    """The names in the last comment, if it has one for each column and x, y, z among them."""
    names = _axes_named(_split(comments[-1], _dialect(comments[-1]))) if comments else []
    return names if len(names) == count and set(AXES) <= {name.lower() for name in names} else None


def guess_names(table: Array) -> list[str]:
    """x, y, z; then colours or normals, if the next three columns look like them."""
    names = ["x", "y", "z"] + [f"column_{i}" for i in range(4, table.shape[1] + 1)]
    triple = table[:, 3:6]
    if triple.shape[1] == 3:
        if (triple == np.rint(triple)).all() and triple.min() >= 0 and triple.max() <= 255:
            names[3:6] = ["red", "green", "blue"]
        elif np.allclose(np.linalg.norm(triple, axis=1), 1, atol=1e-2):
            names[3:6] = ["nx", "ny", "nz"]
    return names


def narrow(values: Array, word: str) -> Array:
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
    table = read_table(lines)
    if table.shape[1] != len(fields):
        raise InputError(f"The header announces {counted(len(fields), 'value')} a point, {table.shape[1]} are present.")
    with np.errstate(invalid="ignore", over="ignore"):
        columns = {name: table[:, i].astype(dtype) for i, (name, dtype) in enumerate(fields)}
        exact = {name: table[:, i] for i, (name, dtype) in enumerate(fields) if name in AXES and dtype == "f4"}
        finite = {name: values[np.isfinite(values)] for name, values in exact.items()}
        extent = max((float(np.ptp(values)) for values in finite.values() if len(values)), default=0.0)
        loss = max((float(abs(v - v.astype("f4")).max()) for v in finite.values() if len(v)), default=0.0)
    return columns | exact if loss > 1e-6 * extent else columns
