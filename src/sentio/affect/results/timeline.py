"""The rows of one file in as few bytes as a drawing needs: one for each value, whatever the length of the file."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sentio.affect.analysis.rows import Row
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.table import AFFECT, AU_COLUMNS, FURTHER_COLUMNS, P_COLUMNS
from sentio.core.results import RowBuffer

STEPS = 254
"""A byte is 0 where there is no value, else 1 to 255 from the least value to the greatest."""
LEVELS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("valence", "arousal"), (-1.0, 1.0)),
    **dict.fromkeys(("quality", "speaking", *P_COLUMNS, *AU_COLUMNS, *FURTHER_COLUMNS), (0.0, 1.0)),
}
"""Columns of a person, with the least and the greatest value of each."""
VOICE_LEVELS: dict[str, tuple[float, float]] = {
    "speech": (0.0, 1.0),
    "voice_valence": (-1.0, 1.0),
    "voice_arousal": (-1.0, 1.0),
}
"""Columns of the file."""
LABELS = ("expression", "voice_expression", "reason")
SCHEMA = pa.schema(
    [AFFECT.arrow().field(name) for name in ("time_s", "person", *LEVELS, *VOICE_LEVELS, *LABELS)],
)


@dataclass
class Track:
    """Values over frames, of a person or of the file.

    Attributes:
        frames: numbers of the frames that it has values of, counted from 0 without gaps; uint32, rising.
        columns: by name, a byte for each of these frames: a value (see `STEPS`), or one more than the number of a
            label, and 0 where there is none.
    """

    frames: bytearray = field(default_factory=bytearray)
    columns: dict[str, bytearray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frames) // 4

    def add(self, frames: NDArray[np.uint32], columns: dict[str, NDArray[np.uint8]]) -> None:
        """Go on with further frames."""
        self.frames += frames.tobytes()
        for name, values in columns.items():
            self.columns.setdefault(name, bytearray()).extend(values.tobytes())


class Timeline:
    """Takes the rows of a file in order of time.

    Attributes:
        persons: by number; a row without a person is in none.
        voice: of the file, a value for each frame.
        reasons: why faces are not fit, in the order in which they came; the column ``reason`` counts them from 1.
    """

    def __init__(self) -> None:
        self.persons: dict[int, Track] = {}
        self.voice = Track()
        self.reasons: list[str] = []
        self._times = bytearray()  # float64, of each frame
        self._last_s = np.nan
        self._rows = RowBuffer(SCHEMA, self._take)

    @property
    def times(self) -> NDArray[np.float64]:
        """(F,) seconds on the clock of the table, of each frame."""
        return np.frombuffer(bytes(self._times), np.float64)

    def push(self, row: Row) -> None:
        """Take the next row."""
        self._rows.append(row)

    def flush(self) -> None:
        """There are no more."""
        self._rows.flush()

    def _take(self, batch: pa.RecordBatch) -> None:
        time_s = _numbers(batch, "time_s")
        begins = time_s != np.concatenate([[self._last_s], time_s[:-1]])
        frames = (len(self._times) // 8 - 1 + np.cumsum(begins)).astype(np.uint32)
        self._times += time_s[begins].tobytes()
        self._last_s = time_s[-1]
        voice = {name: quantise(_numbers(batch, name), *levels)[begins] for name, levels in VOICE_LEVELS.items()}
        voice["voice_expression"] = _labels(batch, "voice_expression", list(EXPRESSIONS))[begins]
        self.voice.add(frames[begins], voice)
        columns = {name: quantise(_numbers(batch, name), *levels) for name, levels in LEVELS.items()}
        columns["expression"] = _labels(batch, "expression", list(EXPRESSIONS))
        columns["reason"] = _labels(batch, "reason", self.reasons)
        for person, rows in _by_person(_numbers(batch, "person")):
            own = {name: values[rows] for name, values in columns.items()}
            self.persons.setdefault(person, Track()).add(frames[rows], own)


def quantise(values: NDArray[np.float64], least: float, greatest: float) -> NDArray[np.uint8]:
    """(N,) numbers as bytes, NaN as 0; exact to 1/508 of the range."""
    scaled = (values.clip(least, greatest) - least) / (greatest - least) * STEPS
    return np.where(np.isnan(values), 0, 1 + np.rint(np.nan_to_num(scaled))).astype(np.uint8)


def _numbers(batch: pa.RecordBatch, name: str) -> NDArray[np.float64]:
    return np.asarray(batch.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _labels(batch: pa.RecordBatch, name: str, known: list[str]) -> NDArray[np.uint8]:
    """Numbers of labels from 1 on; those that are not known yet are added to the list."""
    coded = batch.column(name).dictionary_encode()
    words = coded.dictionary.to_pylist()
    known += [word for word in words if word not in known]
    numbers = np.array([0, *(known.index(word) + 1 for word in words)], np.uint8)
    indices: NDArray[np.int32] = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(numbers[indices + 1])


def _by_person(person: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    for number in np.unique(person[~np.isnan(person)]):
        yield int(number), np.flatnonzero(person == number)
