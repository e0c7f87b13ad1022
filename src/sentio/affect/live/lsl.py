"""Rows of affect as a stream of the Lab Streaming Layer, beside EEG, eye trackers and markers on one clock.

    with LslOutlet(now_s=clock()) as outlet:  # clock() is what gives the pictures their time_s
        for picture, time_s in pictures:
            outlet.push(stream.push(picture, time_s))

There is one sample for every row, thus for every person of a frame, with the time of the frame; a frame without a face
has one, too. The channels are those columns of the table that are numbers, in its order and under its names and units;
of the texts the expressions are there, as their numbers in `labels.EXPRESSIONS`. What is null in the table is NaN. The
values are float32, which is exact for frame numbers up to 2^24, six days at 30 frames a second.

An outlet is seen by every machine of the network that Lab Streaming Layer's own configuration lets in, and can be read
by all of them: there is no password. ``ResolveScope = machine`` below ``[multicast]`` in ``lsl_api.cfg`` keeps it out
of sight of the others. Needs the extra ``lsl``.
"""

import uuid
from collections.abc import Callable, Iterable
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentio import __version__
from sentio.affect.analysis.rows import Row
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.table import AFFECT
from sentio.core.errors import InputError, MissingExtraError, require

KIND = "Affect"
"""Type of the stream, by which recorders find it."""
CLASSES = ("expression", "voice_expression")
CHANNELS = tuple(
    column
    for column in AFFECT.columns
    if column.name in CLASSES or (column.kind != "string" and column.name != "time_s")
)
"""The columns that are sent; the time is that of the sample."""
CLASS_UNIT = "class: " + ", ".join(f"{number} {name}" for number, name in enumerate(EXPRESSIONS))
_NUMBERS = {name: number for number, name in enumerate(EXPRESSIONS)}


class LslOutlet:
    """An open outlet; it is found on the network until it is closed.

    Args:
        now_s: what the clock of the rows' ``time_s`` shows at this moment, in seconds. Both clocks must run evenly.
        name: of the stream, by which recorders find it.
        model: what makes the values, for the stream's description.

    Raises:
        InputError: the name is empty.
        MissingExtraError: pylsl or its library is not installed.
    """

    def __init__(self, now_s: float, *, name: str = "sentio", model: str = "") -> None:
        if not name.strip():
            raise InputError("A stream of the Lab Streaming Layer needs a name.")
        pylsl = load()
        self._zero_s = float(pylsl.local_clock()) - now_s  # before the outlet is opened, which takes its time
        info = pylsl.StreamInfo(
            name,
            KIND,
            len(CHANNELS),
            pylsl.IRREGULAR_RATE,
            pylsl.cf_float32,
            uuid.uuid4().hex,  # a later session has another clock, so that nobody shall take it for this one
        )
        _describe(info.desc(), model)
        self._outlet: Any = pylsl.StreamOutlet(info)

    def push(self, rows: Iterable[Row]) -> None:
        """Send rows, as `Stream.push` gives them; nothing is sent once the outlet is closed."""
        rows = list(rows)
        if rows and self._outlet is not None:
            times = [self._zero_s + row["time_s"] for row in rows]
            self._outlet.push_chunk(samples(rows), times)

    def close(self) -> None:
        """Take the stream off the network."""
        self._outlet = None  # destroyed with its last reference

    def __enter__(self) -> "LslOutlet":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load() -> ModuleType:
    """The package pylsl, to be called before work begins.

    Raises:
        MissingExtraError: it, or the library that it needs, is not installed.
    """
    try:
        return require("pylsl", "lsl")
    except RuntimeError as error:  # what pylsl says when it finds no library
        raise MissingExtraError(
            "pylsl is installed, but finds no library of the Lab Streaming Layer (liblsl).",
            "Install a pylsl that brings it, or set PYLSL_LIB to its path.",
        ) from error


def samples(rows: Iterable[Row]) -> NDArray[np.float32]:
    """(N, C) values of N rows in the order of `CHANNELS`; NaN for null."""
    values = [[_number(row.get(column.name)) for column in CHANNELS] for row in rows]
    return np.array(values, np.float32).reshape(-1, len(CHANNELS))


def _number(value: float | str | None) -> float:
    if value is None:
        return float("nan")
    return _NUMBERS[value] if isinstance(value, str) else float(value)


def _describe(description: Any, model: str) -> None:
    """Names, units and meaning of the channels, as recorders know them."""
    by = description.append_child("acquisition")
    _values(by, manufacturer="sentio", model=model, version=__version__, schema=f"{AFFECT.name} {AFFECT.version}")
    channels = description.append_child("channels")
    for column in CHANNELS:
        unit = CLASS_UNIT if column.name in CLASSES else column.unit
        _values(channels.append_child("channel"), label=column.name, unit=unit, type=KIND, about=column.about)


def _values(node: Any, **texts: str) -> None:
    append: Callable[[str, str], Any] = node.append_child_value
    for name, text in texts.items():
        append(name, text)
