"""What can be said of a whole file: how long and how each person was seen, and what was read on the average.

A frame lasts until the next one of its file, the last one as long as the one before it; means are over time.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sentio.affect.analysis.rows import BRIDGED, Row
from sentio.affect.analysis.speaking import SPEAKS
from sentio.affect.labels import FRAME_RATE
from sentio.affect.results.episodes import FACE, Episode, Episodes

PERSON_COLUMNS = ("quality", "valence", "arousal")
VOICE_COLUMNS = ("speech", "voice_valence", "voice_arousal")


@dataclass
class Share:
    """Of one person, or of the voice.

    Attributes:
        seconds: with any row, or any score of the voice.
        unfit: seconds by the reason why the face is not fit.
        labels: seconds by expression.
        means: by column, over the time in which it has values.
        episodes: number of episodes and their seconds, by action unit.
        speaks_s: seconds in which this person counts as the one who speaks; None if nothing is known of that.
    """

    seconds: float = 0.0
    unfit: dict[str, float] = field(default_factory=dict)
    labels: dict[str, float] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    episodes: dict[str, tuple[int, float]] = field(default_factory=dict)
    speaks_s: float | None = None

    @property
    def sight_s(self) -> float:
        """Seconds with a face: without those in which it was lost, and only its scores were bridged."""
        return self.seconds - self.unfit.get(BRIDGED, 0.0)

    @property
    def fit_s(self) -> float:
        """Seconds with a face that is fit."""
        return self.seconds - sum(self.unfit.values())


class Summary:
    """Takes the rows of a file in order of time.

    Attributes:
        seconds: of the file.
        persons: by number.
        voice: of the file; its ``seconds`` are 0 without a voice.
        nobody: seconds in which there is no face, by reason.
        modalities: number of rows by `modality`.
        episodes: all of the action units, and the stretches without a face.

    Args:
        thresholds: of the action units, see `unit_thresholds`; without them there are no episodes.
    """

    def __init__(self, thresholds: Mapping[str, float]) -> None:
        self.seconds = 0.0
        self.persons: dict[int, Share] = {}
        self.voice = Share()
        self.nobody: dict[str, float] = {}
        self.modalities: Counter[str] = Counter()
        self.episodes: list[Episode] = []
        self._units = set(thresholds)
        self._episodes = Episodes(thresholds)
        self._frame: list[Row] = []  # the rows of the newest time, whose length is not known yet
        self._length_s = 1 / FRAME_RATE
        self._sums: dict[tuple[int | None, str], tuple[float, float]] = {}  # value times seconds, and these seconds

    def push(self, row: Row) -> None:
        """Take the next row."""
        self._note(self._episodes.push(row))
        if self._frame and row["time_s"] != self._frame[0]["time_s"]:
            self._length_s = row["time_s"] - self._frame[0]["time_s"]
            self._take_frame()
        self._frame.append(row)

    def flush(self) -> None:
        """There are no more."""
        self._take_frame()
        self._note(self._episodes.flush())
        for (person, column), (total, seconds) in self._sums.items():
            share = self.voice if person is None else self.persons[person]
            share.means[column] = total / seconds if seconds else 0.0

    def _note(self, episodes: list[Episode]) -> None:
        for episode in episodes:
            if episode.kind in self._units and episode.person is not None:
                counted = self.persons.setdefault(episode.person, Share()).episodes
                number, seconds = counted.get(episode.kind, (0, 0.0))
                counted[episode.kind] = number + 1, seconds + episode.end_s - episode.start_s
            elif episode.kind != FACE or episode.person is not None:
                continue
            self.episodes.append(episode)

    def _take_frame(self) -> None:
        rows, self._frame = self._frame, []
        if not rows:
            return
        length_s = self._length_s
        self.seconds += length_s
        for row in rows:
            if modality := row.get("modality"):
                self.modalities[modality] += 1
            if (person := row.get("person")) is None:
                _add(self.nobody, row.get("reason") or "no face", length_s)
                continue
            share = self.persons.setdefault(person, Share())
            share.seconds += length_s
            if reason := row.get("reason"):
                _add(share.unfit, reason, length_s)
            if label := row.get("expression"):
                _add(share.labels, label, length_s)
            if (speaking := row.get("speaking")) is not None:
                share.speaks_s = (share.speaks_s or 0.0) + length_s * (speaking >= SPEAKS)
            self._sum(person, PERSON_COLUMNS, row)
        if rows[0].get("speech") is not None:
            self.voice.seconds += length_s
            if label := rows[0].get("voice_expression"):
                _add(self.voice.labels, label, length_s)
            self._sum(None, VOICE_COLUMNS, rows[0])

    def _sum(self, person: int | None, columns: tuple[str, ...], row: Row) -> None:
        for column in columns:
            if (value := row.get(column)) is not None:
                total, seconds = self._sums.get((person, column), (0.0, 0.0))
                self._sums[person, column] = total + value * self._length_s, seconds + self._length_s


def _add(seconds: dict[str, float], key: str, more: float) -> None:
    seconds[key] = seconds.get(key, 0.0) + more
