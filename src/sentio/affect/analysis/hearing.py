"""Frames and voice are joined by their times alone: what the voice says at a frame, who speaks, whose voice it is."""

from collections import deque
from dataclasses import replace

from sentio.affect.analysis.models import ScoredFrame
from sentio.affect.analysis.speaking import SPEAKS, Speakers, mouth_opening
from sentio.affect.analysis.voice import HOP_S, VoiceScore
from sentio.affect.heard import STALE_S

MOST_SCORES = 240
"""Scores of the voice, a minute of them, that are kept for frames that do not wait for sound."""


class Hearing:
    """Frames in order of time get the newest score of the voice that is not later, whichever of the two comes first.

    So they wait until the sound has come so far, or has ended. There is no score before the first one, and from half a
    second after the last one on. Who speaks follows from the scores and the mouths up to the frame; see
    :class:`Speakers`.

    Args:
        sound: whether to wait for the scores of a voice; those that come anyway are taken, too.
    """

    def __init__(self, *, sound: bool = False) -> None:
        self._sound_over = not sound
        self._scores: deque[VoiceScore] = deque()  # later than the last frame given on
        self._newest: VoiceScore | None = None  # that is not
        self._held: deque[ScoredFrame] = deque()
        self._speakers = Speakers()

    @property
    def waiting(self) -> bool:
        """Whether frames wait for sound."""
        return bool(self._held)

    def push(self, frame: ScoredFrame) -> list[ScoredFrame]:
        """Take the next frame; gives those whose sound is known by now."""
        self._held.append(frame)
        return self._decided()

    def push_score(self, score: VoiceScore) -> list[ScoredFrame]:
        """Take the next score of the voice, `HOP_S` after the last one; gives the frames that waited for it."""
        self._scores.append(score)
        if self._sound_over and len(self._scores) > MOST_SCORES:  # sound goes on where pictures have paused
            self._scores.popleft()
        return self._decided()

    def end_sound(self) -> list[ScoredFrame]:
        """No more scores will come; gives the frames that waited for them."""
        self._sound_over = True
        return self._decided()

    def _decided(self) -> list[ScoredFrame]:
        frames = []
        while self._held and (self._sound_over or self._reached(self._held[0].faces.time_s)):
            frames.append(self._heard(self._held.popleft()))
        return frames

    def _reached(self, time_s: float) -> bool:
        """Whether no score to come can be the newest one at a time."""
        last = self._scores[-1] if self._scores else self._newest
        return last is not None and time_s < last.time_s + HOP_S

    def _heard(self, frame: ScoredFrame) -> ScoredFrame:
        voice = self._voice_at(frame.faces.time_s)
        speaking = self._speakers.push(frame.faces.time_s, mouths_of(frame))
        return replace(frame, voice=voice, speaking=speaking, heard=heard_of(frame, voice, speaking))

    def _voice_at(self, time_s: float) -> VoiceScore | None:
        while self._scores and self._scores[0].time_s <= time_s:
            self._newest = self._scores.popleft()
            self._speakers.hear(self._newest)
        fresh = self._newest is not None and time_s < self._newest.time_s + STALE_S
        return self._newest if fresh else None


def mouths_of(frame: ScoredFrame) -> dict[int, float]:
    """How far the mouths are open whose landmarks are known, by person."""
    pairs = zip(frame.faces.faces, frame.scores, strict=True)
    return {face.person: mouth_opening(score.landmarks) for face, score in pairs if score.landmarks is not None}


def heard_of(frame: ScoredFrame, voice: VoiceScore | None, speaking: dict[int, float]) -> frozenset[int]:
    """The persons in view whose voice it is: of those who are likely to speak, nobody without speech."""
    if voice is None or voice.expression is None:
        return frozenset()
    return frozenset(face.person for face in frame.faces.faces if speaking.get(face.person, 0.0) >= SPEAKS)
