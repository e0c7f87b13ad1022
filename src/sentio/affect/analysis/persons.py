"""Scored frames become frames scored over time: a track for each person, and the rows of those it bridges."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import inf

from sentio.affect.analysis.models import FaceScore, ScoredFrame
from sentio.affect.analysis.temporal import Arrays, Moment, OverTime, Track, columns_of
from sentio.core.errors import WeightsError

ROUNDING_S = 1e-3
"""Seconds by which a container may have rounded a time stamp."""


@dataclass
class _Waiting:
    """A frame, the number of tracks whose answers it waits for, and those it has, by person."""

    frame: ScoredFrame
    open: int
    values: dict[int, Arrays] = field(default_factory=dict)

    def decided(self) -> ScoredFrame:
        """The frame with the answers in the place of the single faces' scores."""
        faces = self.frame.faces.faces
        scores = tuple(
            replace(score, columns=score.columns | columns_of(self.values.pop(face.person)))
            for face, score in zip(faces, self.frame.scores, strict=True)
        )
        bridged = tuple((person, FaceScore(columns_of(values))) for person, values in self.values.items())
        return replace(self.frame, scores=scores, bridged=bridged)


@dataclass
class _Person:
    """A track, and the frames it was pushed and has not decided."""

    track: Track
    frames: deque[_Waiting] = field(default_factory=deque)


class TemporalScorer:
    """A model over time on every person: what it answers replaces the scores of single faces.

    Somebody out of sight for longer than the model bridges, or when a new shot begins, is forgotten: so nobody is
    bridged while another place is shown, and memory does not grow with the number of persons in a file.
    """

    def __init__(self, model: OverTime) -> None:
        self._model = model
        self._persons: dict[int, _Person] = {}
        self._waiting: deque[_Waiting] = deque()
        self._last_s = -inf  # time of the last frame

    def push(self, frame: ScoredFrame) -> list[ScoredFrame]:
        """Take the next frame; gives those that are decided by now.

        Raises:
            WeightsError: the network for faces leaves no features.
        """
        time_s, here = frame.faces.time_s, {face.person for face in frame.faces.faces}
        for number, person in list(self._persons.items()):
            seen_s = person.track.seen_s
            gap = number not in here or seen_s < self._last_s
            if time_s - seen_s > self._model.bridge_s + ROUNDING_S or (gap and frame.faces.cut):
                self._take(number, person, person.track.flush())
                del self._persons[number]
        self._last_s = time_s
        seen = dict(zip((face.person for face in frame.faces.faces), frame.scores, strict=True))
        for number in sorted(seen.keys() - self._persons.keys()):
            self._persons[number] = _Person(self._model.track(time_s))
        waiting = _Waiting(frame, len(self._persons))
        self._waiting.append(waiting)
        voice = frame.voice.answers if frame.voice and self._model.hears else None
        for number, person in self._persons.items():
            features = None
            if number in seen and (features := seen[number].features) is None:
                raise WeightsError("The face model leaves no features for a model over time.")
            person.frames.append(waiting)
            self._take(number, person, person.track.push(time_s, features, voice if number in frame.heard else None))
        return self._decided()

    def flush(self) -> list[ScoredFrame]:
        """The frames held back."""
        for number, person in self._persons.items():
            self._take(number, person, person.track.flush())
        self._persons.clear()
        return self._decided()

    def _take(self, number: int, person: _Person, moments: Iterable[Moment]) -> None:
        """Hand what a track has decided to the frames that wait for it."""
        for moment in moments:
            waiting = person.frames.popleft()
            waiting.open -= 1
            if moment.values is not None:
                waiting.values[number] = moment.values

    def _decided(self) -> list[ScoredFrame]:
        decided = []
        while self._waiting and not self._waiting[0].open:
            decided.append(self._waiting.popleft().decided())
        return decided
