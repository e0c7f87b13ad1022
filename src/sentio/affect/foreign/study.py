"""What another tool's file holds, and how a table of text is read."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TextIO

from sentio.affect.labels import UNIT_COLUMNS
from sentio.core.counts import counted
from sentio.core.errors import InputError

Row = dict[str, Any]
"""A row of our table; what is left out is null."""
NO_FACE = "no face"
TWO_DIGIT_UNITS = {f"AU{int(unit.removeprefix('AU')):02d}": column for unit, column in UNIT_COLUMNS.items()}
"""Columns of action units as several tools write them, ``AU01``, and ours."""
STRONGEST = 5.0
"""The largest strength of an action unit in the tables of others, by FACS: A to E."""
JSON = ["JSON"]
"""What stands for the columns of a file of JSON."""
LARGEST_HEADER = 1 << 20
"""Characters of a first line that are looked at; the longest header known has some 15,000."""

LARGEST = 1e9
"""No frame, time, place or score is farther from 0."""
MISSING = ("nan", "na", "none", "null")
"""What tools write where there is no value, besides nothing."""
ROUNDING = 1e-6
"""By so much a score may pass its range: 32 bits know 1 no better."""


@dataclass(frozen=True)
class Fault:
    """A score that is none: no number, or out of its range. It is left empty.

    Attributes:
        place: the line or the frame.
        column: its name there.
        value: as it is written.
        wanted: what it had to be.
    """

    place: str
    column: str
    value: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.place}: {self.column} is {self.value}, not {self.wanted}"


class Fields(dict[str, str]):
    """A row of a table of text by column; what is wrong in it is added to the faults of the file."""

    def __init__(self, values: Mapping[str, str], line: int, faults: list[Fault]) -> None:
        super().__init__(values)
        self.line, self.faults = line, faults


@dataclass(frozen=True)
class Study:
    """What a tool says of one media file.

    Attributes:
        tool: who wrote it.
        media: the file's name, as far as it is told.
        rows: in order of frame, then person, with at least ``frame``, from 0; without ``time_s`` if the tool keeps no
            times.
        left_out: its columns that have no place in our table.
        faults: of the tool's file: scores that are none.
    """

    tool: str
    media: str | None
    rows: list[Row]
    left_out: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def has_times(self) -> bool:
        """Whether every row has its time."""
        return all("time_s" in row for row in self.rows)


@dataclass(frozen=True)
class Tool:
    """A tool whose files can be read.

    Attributes:
        name: as its authors write it.
        knows: whether a file with this header, see `header_of`, is its own.
        read: reads a file.
    """

    name: str
    knows: Callable[[list[str]], bool]
    read: Callable[[Path], list[Study]]


def header_of(path: Path) -> list[str]:
    """The columns of a table of text, stripped; `JSON` for what is none.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    with _opened(path) as file:
        first = file.readline(LARGEST_HEADER)
        if first.lstrip("\ufeff \n").startswith(("[", "{")):
            return JSON
        return [name.strip() for name in next(csv.reader([first.lstrip("\ufeff")]), [])]


def table_rows(path: Path, faults: list[Fault]) -> Iterator[Fields]:
    """The rows of a table of text by column, all stripped; ``faults`` takes what `score` finds in them.

    Raises:
        InputError: a row has another number of fields than the header; the file is no text.
    """
    with _opened(path) as file:
        lines = csv.reader(file)
        names = [name.strip() for name in next(lines, [])]
        for number, fields in enumerate(lines, 2):
            if not fields:
                continue
            if len(fields) != len(names):
                what = f"{path}, line {number}: {counted(len(fields), 'field')} under {counted(len(names), 'column')}."
                raise InputError(what, "The file is damaged or was cut off; leave that line out, or export it anew.")
            yield Fields({name: field.strip() for name, field in zip(names, fields, strict=True)}, number, faults)


def table_study(tool: str, path: Path, row: Callable[[Fields, Path], Row], is_used: Callable[[str], bool]) -> Study:
    """What a table of text says of one media file, which it does not name.

    Args:
        row: makes ours of one of its rows.
        is_used: whether a column of this name has a place in our table.
    """
    faults: list[Fault] = []
    rows = in_order(row(fields, path) for fields in table_rows(path, faults))
    return Study(tool, None, rows, tuple(name for name in header_of(path) if not is_used(name)), tuple(faults))


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """A file of text; what is wrong with it is an InputError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        fix = "Give the CSV or JSON that the tool wrote."
        raise InputError(f"{path} is no table of text: {error}.", fix) from error


def number(fields: Mapping[str, str], name: str) -> float | None:
    """A number of a row; None if the column or the value is missing, is no number, or beyond `LARGEST`."""
    try:
        value = float(fields.get(name, ""))
    except ValueError:
        return None
    return value if abs(value) <= LARGEST else None


def score(fields: Fields, name: str, least: float = 0.0) -> float | None:
    """A score from ``least`` to 1; None if it is missing, or a fault, which is told."""
    text = fields.get(name, "")
    if not text or text.lower() in MISSING:
        return None
    return within(number(fields, name), text, f"line {fields.line}", name, least, fields.faults)


def within(value: float | None, text: str, place: str, column: str, least: float, faults: list[Fault]) -> float | None:
    """The value, if it is one from ``least`` to 1; else None, and a fault that says so."""
    if value is None or not least - ROUNDING <= value <= 1 + ROUNDING:
        faults.append(Fault(place, column, text[:20], f"from {least:g} to 1"))
        return None
    return min(max(value, least), 1.0)


def strength(fields: Mapping[str, str], name: str) -> float | None:
    """A strength of an action unit from 0 to `STRONGEST`, as one from 0 to 1; None as for `number`."""
    value = number(fields, name)
    return None if value is None else min(max(value / STRONGEST, 0.0), 1.0)


def whole(fields: Mapping[str, str], name: str, path: Path, least: int = 0) -> int:
    """A whole number, from ``least`` on, that a row cannot do without.

    Raises:
        InputError: there is none.
    """
    value = number(fields, name)
    if value is None or value != int(value) or value < least:
        raise InputError(f"{path}: {name} is {fields.get(name, '')!r}, which is no whole number from {least} on.")
    return int(value)


def media_name(path: str) -> str | None:
    """The name of a media file by its path on any system, without what a name cannot hold; None if nothing is left."""
    return "".join(filter(str.isprintable, PurePath(path.replace("\\", "/")).name)) or None


def told(values: Mapping[str, float | None]) -> Row:
    """Without what is missing."""
    return {name: value for name, value in values.items() if value is not None}


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Rows by frame, then person, nobody first."""
    return sorted(rows, key=lambda row: (row["frame"], row.get("person", -1)))
