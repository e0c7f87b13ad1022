"""Who speaks: made mouths and voices with a known speaker, a plain computation beside it, a film of two people."""

from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sentio import analyze
from sentio.affect.analysis import speaking
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.speaking import Speakers, agreement, mouth_opening
from sentio.affect.analysis.voice import CELL_S, CELLS, HOP_S, VoiceScore
from sentio.affect.media import open_media

FPS, SECONDS = 25, 8.0
TIMES = (np.arange(int(SECONDS * FPS)) / FPS).tolist()


def syllables(seed: int):
    """A smooth random course over time, 0 to 1: loudness of a voice, or a mouth."""
    random = np.random.default_rng(seed)
    knots = random.uniform(0, 1, int(SECONDS / 0.12) + 3)
    return lambda moments: np.interp(moments, np.arange(len(knots)) * 0.12 - 0.2, knots)


def scores_of(course, *, speech: float = 1.0, begin: float = 0.0, end: float = SECONDS) -> list[VoiceScore]:
    """Scores of a voice as loud as the course."""
    found = []
    for k in range(round(begin / HOP_S) + 1, round(end / HOP_S) + 1):
        centres = k * HOP_S - CELL_S * (np.arange(CELLS)[::-1] + 0.5)
        found.append(VoiceScore(k * HOP_S, speech, 0.0, 0.0, None, tuple(course(centres).tolist())))
    return found


def told(mouths: dict[int, object], scores: list[VoiceScore], times=TIMES) -> list[dict[int, float]]:
    """What is said at each time of mouths that follow a course, and are seen where it is not NaN."""
    speakers, waiting, said = Speakers(), list(scores), []
    for time_s in times:
        while waiting and waiting[0].time_s <= time_s:
            speakers.hear(waiting.pop(0))
        seen = {person: float(course(time_s)) for person, course in mouths.items()}
        said.append(speakers.push(time_s, {person: v for person, v in seen.items() if np.isfinite(v)}))
    return said


def mean(said: list[dict[int, float]], person: int, begin: float = 1.5) -> float:
    return float(np.mean([row[person] for row, time_s in zip(said, TIMES, strict=True) if time_s >= begin]))


def still(_) -> float:
    return 0.2


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("late_s", [0.0, 0.05, 0.1])
def test_the_voice_is_that_of_the_mouth_which_follows_it(seed, late_s) -> None:
    voice, other = syllables(2 * seed), syllables(2 * seed + 1)
    mouths = {0: lambda t: 0.15 * other(t), 7: lambda t: 0.15 * voice(t + late_s)}
    said = told(mouths, scores_of(voice))
    assert mean(said, 7) > 0.8 and mean(said, 0) < 0.2
    assert all(sum(row.values()) <= 1 for row in said)


def test_a_mouth_at_rest_does_not_speak_and_a_voice_may_be_from_off_the_screen() -> None:
    said = told({0: still, 1: still}, scores_of(syllables(0)))
    assert mean(said, 0) == mean(said, 1) < 0.25
    assert mean(told({0: still}, scores_of(syllables(0))), 0) < 0.25
    assert mean(told({0: lambda t: 0.15 * syllables(0)(t)}, scores_of(syllables(0))), 0) > 0.9


@pytest.mark.parametrize("speech", [0.0, 0.25, 1.0])
def test_without_speech_nobody_speaks_whatever_the_mouths_do(speech) -> None:
    voice = syllables(3)
    rows = [row for row in told({0: lambda t: 0.15 * voice(t)}, scores_of(voice, speech=speech)) if row]
    assert len(rows) > 150 and all(row[0] <= speech for row in rows)
    assert speech == 0 or max(row[0] for row in rows) > 0.9 * speech


def test_nothing_is_said_without_sound_nor_of_somebody_who_has_just_come() -> None:
    voice = syllables(4)
    assert told({0: voice}, []) == [{}] * len(TIMES)
    said = told({0: voice, 1: lambda t: voice(t) if 3 <= t < 5 else np.nan}, scores_of(voice, begin=1.0, end=6.0))
    first = next(time_s for time_s, row in zip(TIMES, said, strict=True) if 0 in row)
    assert 1.0 + speaking.LEAST_S <= first <= 1.0 + speaking.LEAST_S + HOP_S
    newcomer = [time_s for time_s, row in zip(TIMES, said, strict=True) if 1 in row]
    assert 3 + speaking.LEAST_S <= newcomer[0] <= 3 + speaking.LEAST_S + HOP_S and newcomer[-1] == 4.96
    assert max(time_s for time_s, row in zip(TIMES, said, strict=True) if row) == 6.48, "half a second after the end"


def test_somebody_out_of_sight_begins_anew_and_a_blink_of_the_detector_does_not_matter() -> None:
    voice = syllables(5)

    def seen(gap_s: float):
        return lambda t: np.nan if 4 <= t < 4 + gap_s else float(voice(t))

    short, long = (told({0: seen(gap_s)}, scores_of(voice)) for gap_s in (0.2, 0.6))
    assert 0 in short[TIMES.index(4.2)] and 0 not in long[TIMES.index(4.6)]
    assert 0 in long[TIMES.index(5.4)]


def test_a_gap_in_the_sound_begins_anew() -> None:
    voice = syllables(6)
    scores = [score for score in scores_of(voice) if not 3 < score.time_s < 4]
    said = told({0: voice}, scores)
    assert 0 in said[TIMES.index(3.4)] and 0 not in said[TIMES.index(3.6)], "the last score is too old"
    assert 0 not in said[TIMES.index(4.2)] and 0 in said[TIMES.index(4.52)]


def test_what_comes_later_changes_nothing_before() -> None:
    voice, other = syllables(7), syllables(8)
    whole = told({0: voice, 1: other}, scores_of(voice))
    cut = told({0: voice, 1: other}, scores_of(voice, end=4.0), TIMES[:107])  # up to the next score
    assert cut == whole[:107]
    changed = told({0: lambda t: voice(t) if t < 4 else 0.0, 1: other}, scores_of(voice))
    assert changed[:100] == whole[:100] and changed != whole


def test_memory_is_that_of_a_second_and_of_those_in_view() -> None:
    speakers = Speakers()
    for k in range(4000):
        if k % 50 == 0:
            speakers.hear(VoiceScore(k / 200, 1.0, 0.0, 0.0, None, (0.1,) * CELLS))
        speakers.push(k / 200, {k // 100: 0.1, -1: 0.2})
    kept_s = speaking.WINDOW_S + max(speaking.DELAYS_S) + 2 * HOP_S
    assert len(speakers._mouths) == 2 and len(speakers._mouths[-1]) <= kept_s * 200 + 2
    assert len(speakers._sound) == 4


@pytest.mark.parametrize("seed", range(10))
def test_agreement_is_that_of_a_plain_loop(seed) -> None:
    random = np.random.default_rng(seed)
    times = np.cumsum(random.uniform(0.01, 0.1, 30))
    openings, loudness = random.uniform(0, 1, 30), random.uniform(0, 1, 40)
    centres = np.arange(40) * CELL_S + 0.3

    def mouth(moment: float) -> float:
        if moment <= times[0] or moment >= times[-1]:
            return openings[0] if moment <= times[0] else openings[-1]
        k = max(k for k in range(30) if times[k] <= moment)
        return openings[k] + (openings[k + 1] - openings[k]) * (moment - times[k]) / (times[k + 1] - times[k])

    best = -1.0
    for delay_s in speaking.DELAYS_S:
        best = max(best, np.corrcoef([mouth(c - delay_s) for c in centres], loudness)[0, 1])
    follows, moves = agreement(times, openings, centres, loudness)
    assert follows == pytest.approx(best) and moves == pytest.approx(np.std([mouth(c) for c in centres]))
    assert agreement(times, np.full(30, 0.3), centres, loudness) == (0.0, pytest.approx(0.0, abs=1e-12))
    assert agreement(times, openings, centres, np.zeros(40))[0] == 0.0


def test_the_opening_is_that_of_the_lips_at_any_size_and_turn() -> None:
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = (-1.0, 0.0), (1.0, 0.0)
    points[50:53], points[56:59] = (0.0, 2.0), (0.0, 2.5)
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    assert mouth_opening(points) == pytest.approx(0.25)
    assert mouth_opening(7 * points @ turn + 30) == pytest.approx(0.25)
    assert np.isfinite(mouth_opening(np.zeros((68, 2), np.float32)))


def write_two(left: Path, right: Path, out: Path) -> None:
    """Two films side by side, with the sound of the left one."""
    with open_media(left) as a, open_media(right) as b:
        pictures = [np.concatenate([x.image, y.image], 1) for x, y in zip(a, b, strict=False)]
        sound, _ = a.waveform()
    with av.open(str(out), "w") as file:
        video, audio = file.add_stream("ffv1", rate=25), file.add_stream("pcm_s16le", rate=16_000, layout="mono")
        video.height, video.width, video.pix_fmt = *pictures[0].shape[:2], "bgr0"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            file.mux(video.encode(frame))
        block = av.AudioFrame.from_ndarray((np.clip(sound, -1, 1)[None] * 32_767).astype(np.int16), layout="mono")
        block.sample_rate, block.pts, block.time_base = 16_000, 0, Fraction(1, 16_000)
        file.mux([*video.encode(None), *audio.encode(block), *audio.encode(None)])


def test_of_two_people_in_a_film_the_one_is_named_whose_voice_it_is(clips, tmp_path) -> None:
    """With the embedded models; the other one leaves the picture after a while."""
    write_two(clips / "talking.mp4", clips / "returning.mp4", tmp_path / "two.mkv")
    by_time = defaultdict(dict)
    for row in analyze(tmp_path / "two.mkv", options=Options(detector="builtin")).arrow.to_pylist():
        if row["speech"] is not None and row["speech"] > 0.5 and row["speaking"] is not None:
            by_time[row["time_s"]]["left" if row["face_x"] < 300 else "right"] = row["speaking"]
    pairs = [sides for sides in by_time.values() if "left" in sides]
    assert len(pairs) > 25 and any("right" in sides for sides in pairs)
    assert np.mean([sides["left"] > max(0.5, sides.get("right", 0)) for sides in pairs]) > 0.9
