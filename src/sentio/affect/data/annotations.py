"""The annotation texts of one person in one video: a header, then a line for each frame.

A bad line leaves its frame without a label and is reported; all others keep their frame. A file whose header is not
that of its task is an error: nothing in it can be trusted.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sentio.affect.data.problems import Problem
from sentio.affect.labels import (
    ACTION_UNITS,
    ACTION_UNITS_ABAW1,
    EXPRESSIONS,
    EXPRESSIONS_ABAW2,
    FILE_INVALID,
    FILE_INVALID_VALENCE_AROUSAL,
    VALENCE_AROUSAL,
    valid_action_units,
    valid_valence_arousal,
)
from sentio.core.counts import counted
from sentio.core.errors import InputError

Task = Literal["va", "expr", "au"]
_HEADERS: dict[Task, tuple[tuple[str, ...], ...]] = {
    "va": (VALENCE_AROUSAL,),
    "expr": (EXPRESSIONS, EXPRESSIONS_ABAW2),
    "au": (ACTION_UNITS, ACTION_UNITS_ABAW1),
}
_SHOWN = 20
"""Bad lines of a file that are reported one by one."""


def read(path: Path, task: Task) -> tuple[NDArray[Any], list[Problem]]:
    """Read the annotation of one clip.

    Returns:
        The labels as in :class:`~sentio.affect.data.clips.Clip` (``va`` (N, 2), ``expr`` (N,), ``au`` (N, 12)) and
        what is wrong with single lines. ABAW1's eight action units fill seven of the twelve; AU20 is left out.

    Raises:
        InputError: the file cannot be read, is empty, or has another header.
    """
    lines = read_lines(path)
    header = tuple(name.strip() for name in lines[0].split(","))
    if header not in _HEADERS[task]:
        expected = " or ".join(repr(",".join(names)) for names in _HEADERS[task])
        raise InputError(f"{path}:1: the header is {lines[0]!r}, expected {expected}.")
    numbers, problems = parse(path, lines[1:], columns=1 if task == "expr" else len(header))
    values: NDArray[Any]
    if task == "va":
        values = valence_arousal(path, numbers, problems)
    elif task == "expr":
        values = expression(path, numbers[:, 0], problems, classes=len(header))
    else:
        values = action_units(path, _twelve(header, numbers), problems)
    return values, shortened(path, problems)


def read_lines(path: Path) -> list[str]:
    """Lines of a text without empty ones at its end.

    Raises:
        InputError: the file cannot be read or is empty.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read {path}: {error}.") from error
    if not lines:
        raise InputError(f"{path} is empty.")
    return lines


def parse(path: Path, lines: list[str], columns: int) -> tuple[NDArray[np.float64], list[Problem]]:
    """(N, columns) numbers of N comma-separated lines that begin in line 2; a bad line is a row of NaN."""
    if not lines:
        return np.empty((0, columns)), []
    try:
        numbers = np.loadtxt(lines, delimiter=",", dtype=np.float64, comments=None, ndmin=2)
        if numbers.shape == (len(lines), columns):  # NumPy skips empty lines without a word
            return numbers, []
    except ValueError:
        pass  # some line is bad: find out which
    numbers = np.full((len(lines), columns), np.nan)
    problems: list[Problem] = []
    for row, line in enumerate(lines):
        fields = line.split(",")
        if len(fields) != columns:
            problems.append(Problem("warning", path, f"{counted(len(fields), 'value')}, expected {columns}", row + 2))
            continue
        try:
            numbers[row] = [float(field) for field in fields]
        except ValueError:
            problems.append(Problem("warning", path, f"{line!r} is not made of numbers", row + 2))
    return numbers, problems


def valence_arousal(path: Path, numbers: NDArray[np.float64], problems: list[Problem]) -> NDArray[np.float32]:
    """(N, 2) labels; either value missing drops the frame. Adds values out of range to ``problems``."""
    missing = (numbers == FILE_INVALID_VALENCE_AROUSAL).any(axis=1)
    usable = valid_valence_arousal(numbers)
    _report(path, numbers, missing | usable, problems, "valence and arousal lie in [-1, 1] or are -5")
    return np.where(usable[:, None], numbers, np.nan).astype(np.float32)


def expression(path: Path, numbers: NDArray[np.float64], problems: list[Problem], *, classes: int) -> NDArray[np.int8]:
    """(N,) labels. Adds values out of range to ``problems``."""
    usable = np.isin(numbers, np.arange(classes))
    fine = usable | (numbers == FILE_INVALID)
    _report(path, numbers[:, None], fine, problems, f"an expression is an integer from 0 to {classes - 1} or -1")
    return np.where(usable, numbers, FILE_INVALID).astype(np.int8)


def action_units(path: Path, numbers: NDArray[np.float64], problems: list[Problem]) -> NDArray[np.int8]:
    """(N, 12) labels. Adds values out of range to ``problems``."""
    usable = valid_action_units(numbers)
    fine = (usable | (numbers == FILE_INVALID)).all(axis=1)
    _report(path, numbers, fine, problems, "an action unit is 0, 1 or -1")
    return np.where(usable, numbers, FILE_INVALID).astype(np.int8)


def _twelve(header: tuple[str, ...], numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """The columns of a file in the places of the twelve action units; those it lacks are missing."""
    units = np.full((len(numbers), len(ACTION_UNITS)), float(FILE_INVALID))
    for name, column in zip(header, numbers.T, strict=True):
        if name in ACTION_UNITS:
            units[:, ACTION_UNITS.index(name)] = column
    return units


def _report(
    path: Path, numbers: NDArray[np.float64], fine: NDArray[np.bool_], problems: list[Problem], rule: str
) -> None:
    """Add the rows that are not ``fine`` to ``problems``, but for those that are there already."""
    known = {problem.line for problem in problems}
    problems += [
        Problem("warning", path, f"{', '.join(f'{value:g}' for value in numbers[row])}: {rule}", int(row) + 2)
        for row in np.flatnonzero(~fine)
        if row + 2 not in known
    ]


def shortened(path: Path, problems: list[Problem]) -> list[Problem]:
    """The first problems of a file, in the order of its lines, and how many more there are."""
    problems = sorted(problems, key=lambda problem: problem.line or 0)
    rest = len(problems) - _SHOWN
    if rest <= 0:
        return problems
    return [*problems[:_SHOWN], Problem("warning", path, f"{counted(rest, 'more line')} like these")]
