"""The join of frames and voice by time, against a plain search, in any order of arrival."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from sentio.affect.analysis.hearing import Hearing
from sentio.affect.analysis.models import FaceScore, ScoredFrame
from sentio.affect.analysis.voice import HOP_S, VoiceScore
from sentio.affect.faces.quality import Pose, Quality, Reason
from sentio.affect.faces.tracking import FaceFrame, TrackedFace

ANGER = np.eye(8, dtype=np.float32)[1]


def frame(time_s: float, number: int = 0) -> ScoredFrame:
    return ScoredFrame(number, False, FaceFrame(number, time_s, (9, 9), ()), ())


def seen(time_s: float, *openings: float) -> ScoredFrame:
    """A frame with faces whose mouths are open so far, persons 3, 4, ..."""
    quality = Quality(0.5, Reason.NONE, 30.0, 0.1, Pose(0, 0, 0))
    crop, faces, scores = np.zeros((112, 112, 3), np.uint8), [], []
    for person, opening in enumerate(openings, 3):
        points = np.zeros((68, 2), np.float32)
        points[36:42, 0], points[42:48, 0], points[56:59, 1] = -0.5, 0.5, opening
        faces.append(TrackedFace(person, (1, 2, 3, 4), 0.9, np.zeros((5, 2)), quality, crop))
        scores.append(FaceScore({"valence": 0.1}, points))
    return ScoredFrame(0, False, FaceFrame(0, time_s, (9, 9), tuple(faces)), tuple(scores))


def joined(scores: list[VoiceScore], frames: list[ScoredFrame], order) -> list[ScoredFrame]:
    """What comes of both, taken in an order of 0 for a score and 1 for a frame."""
    hearing, found, queues = Hearing(sound=True), [], (iter(scores), iter(frames))
    for which in order:
        found += hearing.push(next(queues[1])) if which else hearing.push_score(next(queues[0]))
    found += hearing.end_sound()
    assert not hearing.waiting
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_a_frame_has_the_newest_score_that_is_not_later(count, seed) -> None:
    random = np.random.default_rng(seed)
    begin = HOP_S * int(random.integers(-4, 8))
    scores = [VoiceScore(begin + k * HOP_S, k / 100, None, None, None) for k in range(count)]
    times = np.sort(random.uniform(-1, 16, 300)).tolist()
    order = random.permutation([0] * count + [1] * len(times))
    found = joined(scores, [frame(time_s) for time_s in times], order)
    assert [given.faces.time_s for given in found] == times
    for given in found:
        past = [s for s in scores if s.time_s <= given.faces.time_s < s.time_s + 2 * HOP_S]
        assert given.voice is (past[-1] if past else None)


LOUDNESS = np.random.default_rng(0).uniform(0, 1, (12, 10))
CELLS = (np.arange(120) + 0.5) * HOP_S / 10
SCORES = [VoiceScore(k * HOP_S, 0.75, 0.5, -0.5, ANGER, tuple(LOUDNESS[k - 1].tolist())) for k in range(1, 13)]


def talking(*who: bool) -> list[ScoredFrame]:
    """Four seconds of people whose mouths follow the sound, or rest."""
    frames = []
    for k in range(100):
        opening = float(np.interp(k / 25, CELLS, LOUDNESS.ravel()))
        frames.append(seen(k / 25, *(opening if speaks else 0.3 for speaks in who)))
    return frames


def told(given: ScoredFrame) -> tuple:
    return given.faces.time_s, given.voice and given.voice.time_s, given.speaking, given.heard


@pytest.mark.parametrize("seed", range(6))
def test_who_speaks_depends_on_times_alone(seed) -> None:
    order = [0] * 12 + [1] * 100
    expected = joined(SCORES, talking(True), order)
    other = joined(SCORES, talking(True), np.random.default_rng(seed).permutation(order))
    assert [told(given) for given in other] == [told(given) for given in expected]
    said = {given.faces.time_s: given.speaking[3] for given in expected if given.speaking}
    assert min(said) == 0.52 and max(said) == 3.48 and min(list(said.values())[25:50]) > 0.5
    assert max(said.values()) <= 0.75


def test_a_voice_is_credited_to_the_one_who_speaks() -> None:
    found = joined(SCORES, talking(False, True), [0] * 12 + [1] * 100)
    late = [given for given in found if 1.5 < given.faces.time_s < 3]
    assert {given.heard for given in late} == {frozenset([4])}
    assert all(not given.heard for given in found if given.voice is None or not given.speaking)


def test_without_speech_nothing_is_credited() -> None:
    """However much a mouth moves with what is no voice."""
    silent = [replace(score, expression=None, valence=None, arousal=None) for score in SCORES]
    found = joined(silent, talking(True), [0] * 12 + [1] * 100)
    assert any(given.speaking.get(3, 0) >= 0.5 for given in found) and not any(given.heard for given in found)


def test_without_sound_nothing_waits() -> None:
    [given] = Hearing().push(frame(0.5))
    assert given.voice is None and not given.speaking


def test_sound_without_pictures_takes_no_memory() -> None:
    """As of a live page that is hidden: the microphone goes on."""
    hearing = Hearing()
    hearing.push(frame(0.0))
    tracemalloc.start()
    for k in range(100_000):
        hearing.push_score(VoiceScore(k * HOP_S, 0.5, None, None, None))
    assert tracemalloc.get_traced_memory()[0] < 200_000
    tracemalloc.stop()
    [given] = hearing.push(frame(k * HOP_S, 1))
    assert given.voice is not None and given.voice.speech == 0.5
