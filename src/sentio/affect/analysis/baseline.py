"""A person's rest is taken from what is read of the face: valence and action units become 0 where the face rests.

Rows go through it in order of time. What rest is comes from a stretch of the file, from the first seconds in which
each person is seen, or from another file; how rows of before are treated is told at `Baseline`.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sentio.affect.analysis.rows import Row
from sentio.affect.table import AU_COLUMNS, FURTHER_COLUMNS, INTENSITY_COLUMNS
from sentio.core.errors import InputError, RecipeError

LONGEST_S = 300.0
"""Where a stretch may end: the rows before it wait in memory, 5 kB each [CHOSEN]."""
FEWEST = 5
"""Frames that a rest is made of at least [CHOSEN]."""
SHIFTED = ("valence", *AU_COLUMNS, *FURTHER_COLUMNS, *INTENSITY_COLUMNS)
"""The columns from which rest is taken."""
BOUNDS = ("valence_lo", "valence_hi")
"""The ends of an interval, from which that of the value between them is taken."""
RESTS = {name: name for name in SHIFTED} | dict.fromkeys(BOUNDS, "valence")
LEAST = dict.fromkeys(SHIFTED, 0.0) | dict.fromkeys(("valence", *BOUNDS), -1.0)

Rest = Mapping[str, float]
"""The median of each column over the frames in which a face rests."""


@dataclass(frozen=True)
class Span:
    """From when to when faces rest: seconds of the file, or, without a beginning, of each person's time in view."""

    start_s: float | None
    end_s: float


def parse(text: str) -> Span | None:
    """Read ``A:B``, seconds of the file, or ``N``, the first seconds in which each person is seen.

    Returns:
        None if it is neither, and so the path of a file.

    Raises:
        RecipeError: the stretch is empty, or ends too late.
    """
    match = re.fullmatch(r"(?:(\d+\.?\d*):)?(\d+\.?\d*)", text)
    if match is None:
        return None
    span = Span(None if match[1] is None else float(match[1]), float(match[2]))
    if not (span.start_s or 0.0) < span.end_s <= LONGEST_S:
        what = f"The baseline {text} is no stretch between 0 and {LONGEST_S:g} s."
        raise RecipeError(what, "Give A:B in seconds, as 0:10, or a file that shows the person at rest.")
    return span


def check(text: str | None) -> None:
    """See that a baseline is one.

    Raises:
        RecipeError: it is neither a stretch, see `parse`, nor a file that is there.
    """
    if text is not None and parse(text) is None and not Path(text).is_file():
        what = f"The baseline {text} is neither a stretch of time nor a file that is there."
        raise RecipeError(what, "Give A:B or N in seconds, as 0:10, or a file that shows the person at rest.")


def rest_of(rows: Iterable[Row]) -> Rest | None:
    """The rest of the one whose rows these are; None if fewer than `FEWEST` show a fit face with scores."""
    fit = [row for row in rows if row.get("reason") is None and row.get("valence") is not None]
    if len(fit) < FEWEST:
        return None
    return {name: float(np.median([row[name] for row in fit])) for name in SHIFTED if fit[0].get(name) is not None}


def taken(value: float, rest: float, least: float) -> float:
    """A value in [least, 1] with rest at 0: what is above rest fills (0, 1], what is below it [least, 0).

    Examples:
        >>> taken(0.6, 0.2, 0.0), taken(0.1, 0.2, 0.0), taken(-0.6, 0.2, -1.0)
        (0.5, 0.0, -0.6666666666666666)
    """
    if value >= rest:
        return (value - rest) / (1 - rest) if rest < 1 else 0.0
    return (value - rest) / (rest - least) if least < 0 else 0.0


class Baseline:
    """Takes rows in order of time, gives them with each person's rest taken.

    Where the rest of a person is not known, the columns are null: there is no telling what a value is above. With a
    span of the file the rows of before its end wait for it, unless the work is causal.

    Args:
        span: when faces rest.
        rest: known beforehand, of everybody; then there is no span.
        causal: no row waits.
    """

    def __init__(self, span: Span | None = None, rest: Rest | None = None, *, causal: bool = False) -> None:
        self._span, self._rest, self._causal = span, rest, causal
        self._resting: dict[int, list[Row]] = {}  # rows of those whose rest is being seen
        self._since: dict[int, float] = {}
        self._known: dict[int, Rest | None] = {}
        self._waiting: list[Row] = []
        self._over = span is None or span.start_s is None

    def push(self, row: Row) -> list[Row]:
        """Take the next row; gives those that are decided by now."""
        decided = []
        if not self._over and row["time_s"] >= self._end_s:
            decided = self._end()
        self._observe(row)
        if self._over or self._causal:
            return [*decided, self._taken(row)]
        self._waiting.append(row)
        return decided

    def flush(self) -> list[Row]:
        """The rows still held back."""
        return [] if self._over else self._end()

    def describe(self) -> dict[str, Any]:
        """The rest of each person as far as it is known, by number."""
        if self._rest is not None:
            return {"all": dict(self._rest)}
        return {str(person): None if rest is None else dict(rest) for person, rest in sorted(self._known.items())}

    @property
    def _end_s(self) -> float:
        return self._span.end_s if self._span else -math.inf

    def _observe(self, row: Row) -> None:
        """Keep what shows a person at rest; of the first seconds in view, the rest is known when they are over."""
        person = row.get("person")
        if self._span is None or person is None or person in self._known:
            return
        if self._span.start_s is not None:
            if self._span.start_s <= row["time_s"] < self._span.end_s:
                self._resting.setdefault(person, []).append(row)
            return
        self._since.setdefault(person, row["time_s"])
        if row["time_s"] - self._since[person] < self._span.end_s:
            self._resting.setdefault(person, []).append(row)
        else:
            self._known[person] = rest_of(self._resting.pop(person))

    def _end(self) -> list[Row]:
        self._over = True
        self._known = {person: rest_of(rows) for person, rows in self._resting.items()}
        self._resting.clear()
        waiting, self._waiting = self._waiting, []
        return [self._taken(row) for row in waiting]

    def _taken(self, row: Row) -> Row:
        """A new row, for the old one may still be what a rest is made of."""
        if row.get("person") is None:
            return row
        rest = self._rest if self._rest is not None else self._known.get(row["person"])
        values = {name: row[name] for name in RESTS if row.get(name) is not None}
        if rest is None:
            return row | dict.fromkeys(values)
        return row | {
            name: taken(value, rest[RESTS[name]], LEAST[name]) for name, value in values.items() if RESTS[name] in rest
        }


def baseline(text: str | None, rest: Rest | None, *, causal: bool) -> Baseline | None:
    """What options ask for; None if they ask for none.

    Args:
        text: as `parse` reads it, or the path of a file whose rest is given.
        rest: of that file.
        causal: no row waits.

    Raises:
        InputError: the file was not read, as of a stream that knows no files.
    """
    if text is None:
        return None
    span = parse(text)
    if span is None and rest is None:
        raise InputError(f"The baseline {text} is a file, and none is read here.", "Give A:B or N in seconds.")
    return Baseline(span, rest, causal=causal)
