"""Stretches of time in which the same is read: of a person's face, expression and action units, and of the voice.

A frame lasts until the next one of its file, the last one as long as the one before it. In every moment of the file
there is one label of each kind and person: what is read, or that nothing is, for the person is out of sight, too. A
label holds where it is read for the shortest length without a break. What flickers in between, in which no label holds,
goes to the stretch before it (or behind it, if it is the first) when it is shorter than that in all; else it is a
stretch of its own, of the label that most of it has. So what is lost for a moment goes on, what flashes up does not
count, and no stretch is shorter than the shortest length unless the file is.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sentio.affect.analysis.rows import Row
from sentio.affect.labels import ACTION_UNITS, FRAME_RATE, UNIT_COLUMNS
from sentio.core.errors import WeightsError

SHORTEST_S = 0.2
"""Seconds that a label must hold [CHOSEN]: six frames of thirty a second; single frames flicker, a blink takes less."""
TOLERANCE_S = 1e-6
"""Time stamps are rounded: a length that falls short by no more than this is reached."""

FACE, EXPRESSION, VOICE = "face", "expression", "voice"
"""Kinds of episodes; the others are the names of the action units."""
FIT = "fit"
"""Label of a face that the table gives no reason against."""
AVERAGED = {
    FACE: ("quality",),
    EXPRESSION: ("valence", "arousal"),
    VOICE: ("voice_valence", "voice_arousal"),
    **{unit: (UNIT_COLUMNS[unit], f"{UNIT_COLUMNS[unit]}_intensity") for unit in ACTION_UNITS},
}
"""The columns whose means an episode of each kind tells."""


@dataclass(frozen=True)
class Episode:
    """One stretch.

    Attributes:
        person: number of the person; None for what is of the file: the voice, and the frames without a face.
        kind: `FACE`, `EXPRESSION`, `VOICE`, or an action unit.
        label: the reason why the face is not fit, or `FIT`; the expression; that of the voice; the action unit.
        start_s: on the clock of the table, in seconds.
        end_s: of its last frame, later than ``start_s``.
        means: over its time, by column (see `AVERAGED`); without those that the model does not tell.
    """

    person: int | None
    kind: str
    label: str
    start_s: float
    end_s: float
    means: Mapping[str, float]


def unit_thresholds(header: Mapping[str, Any]) -> dict[str, float]:
    """Probabilities from which on the twelve action units count as seen, by name, as a table's header tells.

    Those of a model that reads faces over time come before those of the one that reads single pictures.

    Returns:
        Nothing if neither has any.

    Raises:
        WeightsError: they are not twelve numbers.
    """
    told = ((header.get(model) or {}).get("thresholds") for model in ("temporal", "model"))
    thresholds = next((found for found in told if found is not None), None)
    if thresholds is None:
        return {}
    try:
        return dict(zip(ACTION_UNITS, map(float, thresholds), strict=True))
    except (TypeError, ValueError) as error:
        what = f"The model's thresholds are no {len(ACTION_UNITS)} numbers: {thresholds!r}."
        raise WeightsError(what, "Mend the details of its card.") from error


class Episodes:
    """Rows of one file become episodes; those of a person and kind come in order of time.

    Args:
        thresholds: of the action units, see `unit_thresholds`; one that is not there has no episodes.
        shortest_s: seconds that a label must hold.
    """

    def __init__(self, thresholds: Mapping[str, float], shortest_s: float = SHORTEST_S) -> None:
        self._units = [(unit, f"au_{unit.removeprefix('AU')}", value) for unit, value in thresholds.items()]
        self._shortest_s = shortest_s
        self._frame: list[Row] = []  # the rows of the newest time, whose length is not known yet
        self._length_s = 1 / FRAME_RATE  # of the frame before it
        self._begin_s: float | None = None  # of the file
        self._tracks: dict[tuple[int | None, str], _Track] = {}

    def push(self, row: Row) -> list[Episode]:
        """Take the next row, in order of time; gives the episodes that are decided by now."""
        time_s: float = row["time_s"]
        decided: list[Episode] = []
        if self._begin_s is None:
            self._begin_s = time_s
        if self._frame and time_s != self._frame[0]["time_s"]:
            self._length_s = time_s - self._frame[0]["time_s"]
            decided = self._take_frame(time_s)
        self._frame.append(row)
        return decided

    def flush(self) -> list[Episode]:
        """The episodes that last until the end."""
        if not self._frame:
            return []
        end_s = self._frame[0]["time_s"] + self._length_s
        decided = self._take_frame(end_s)
        return decided + [episode for track in self._tracks.values() for episode in track.end(end_s)]

    def _take_frame(self, end_s: float) -> list[Episode]:
        """Hand the labels of the newest frame on to their tracks; those of who is not in it need not be told."""
        decided: list[Episode] = []
        for person, kind, label, row in self._labels():
            track = self._tracks.get((person, kind))
            if track is None:
                assert self._begin_s is not None
                track = self._tracks[person, kind] = _Track(person, kind, self._begin_s, self._shortest_s)
            decided += track.push(label, row, end_s)
        self._frame = []
        return decided

    def _labels(self) -> Iterator[tuple[int | None, str, str | None, Row]]:
        """What is read in the newest frame: person, kind, label, and the row that tells it."""
        for row in self._frame:
            person = row.get("person")
            yield person, FACE, row.get("reason") or FIT, row
            if person is not None:
                yield person, EXPRESSION, row.get("expression"), row
                for unit, column, threshold in self._units:
                    probability = row.get(column)
                    yield person, unit, unit if probability is not None and probability >= threshold else None, row
        yield None, VOICE, self._frame[0].get("voice_expression"), self._frame[0]


class _Piece:
    """A stretch of time that grows: its labels by the seconds that each has, and its columns' sums over time."""

    def __init__(self, start_s: float) -> None:
        self.start_s = self.end_s = start_s
        self.seconds: dict[str | None, float] = {}
        self._sums: dict[str, tuple[float, float]] = {}  # by column: value times seconds, and these seconds

    def add(self, label: str | None, end_s: float, values: Mapping[str, Any], columns: Iterable[str]) -> None:
        """Go on until ``end_s`` with a label and the values of these columns, of which some may be null."""
        length_s, self.end_s = end_s - self.end_s, end_s
        self.seconds[label] = self.seconds.get(label, 0.0) + length_s
        for column in columns:
            value = values.get(column)
            if value is not None:
                total, seconds = self._sums.get(column, (0.0, 0.0))
                self._sums[column] = total + value * length_s, seconds + length_s

    def join(self, later: "_Piece") -> None:
        """Take in the piece that follows."""
        self.end_s = later.end_s
        for label, seconds in later.seconds.items():
            self.seconds[label] = self.seconds.get(label, 0.0) + seconds
        for name, (total, seconds) in later._sums.items():
            before = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = before[0] + total, before[1] + seconds

    @property
    def label(self) -> str | None:
        """That of most of its time; of several, the first."""
        return max(self.seconds, key=lambda label: self.seconds[label])

    @property
    def means(self) -> dict[str, float]:
        return {name: total / seconds for name, (total, seconds) in self._sums.items()}


class _Track:
    """The labels of one kind and person from the beginning of the file."""

    def __init__(self, person: int | None, kind: str, begin_s: float, shortest_s: float) -> None:
        self._person, self._kind = person, kind
        self._columns = AVERAGED[kind]
        self._reached_s = begin_s
        self._shortest_s = shortest_s - TOLERANCE_S
        self._stretch: tuple[str | None, _Piece] | None = None  # the last one whose label is decided
        self._unsettled: _Piece | None = None  # behind it, in which no label holds
        self._run: tuple[str | None, _Piece] | None = None  # the newest label, for as long as it is the same

    def push(self, label: str | None, row: Row, end_s: float) -> list[Episode]:
        """Take a later frame; from the one before it until now there was nothing."""
        start_s: float = row["time_s"]
        decided = self._extend(None, {}, start_s) if self._reached_s < start_s else []
        return decided + self._extend(label, row, end_s)

    def end(self, end_s: float) -> list[Episode]:
        """The file ends."""
        decided = self._extend(None, {}, end_s) if self._reached_s < end_s else []
        decided += self._end_run()
        if self._unsettled is not None:  # all there is, or what comes last
            decided += self._settle(self._unsettled.label, self._unsettled)
        return decided + self._episode()

    def _extend(self, label: str | None, row: Row, end_s: float) -> list[Episode]:
        decided: list[Episode] = []
        if self._run is None or self._run[0] != label:
            decided = self._end_run()
            self._run = label, _Piece(self._reached_s)
        self._run[1].add(label, end_s, row, self._columns)
        self._reached_s = end_s
        return decided

    def _end_run(self) -> list[Episode]:
        if self._run is None:
            return []
        label, run = self._run
        if not self._is_long(run):
            self._unsettled = _joined(self._unsettled, run)
            return []
        decided: list[Episode] = []
        if self._unsettled is not None:
            if self._stretch is None and not self._is_long(self._unsettled):
                run = _joined(self._unsettled, run)
            else:
                decided = self._settle(self._unsettled.label, self._unsettled)
            self._unsettled = None
        return decided + self._settle(label, run)

    def _settle(self, label: str | None, piece: _Piece) -> list[Episode]:
        """A piece goes on with the last stretch, or begins the next one."""
        if self._stretch is not None and (self._stretch[0] == label or not self._is_long(piece)):
            self._stretch[1].join(piece)
            return []
        decided = self._episode()
        self._stretch = label, piece
        return decided

    def _episode(self) -> list[Episode]:
        """The last stretch, if it has a label."""
        label, piece = self._stretch or (None, None)
        if label is None or piece is None:
            return []
        return [Episode(self._person, self._kind, label, piece.start_s, piece.end_s, piece.means)]

    def _is_long(self, piece: _Piece) -> bool:
        return piece.end_s - piece.start_s >= self._shortest_s


def _joined(first: _Piece | None, later: _Piece) -> _Piece:
    if first is not None:
        first.join(later)
    return first or later
