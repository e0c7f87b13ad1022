"""The join of frames and voice by time, against a plain search, in any order of arrival."""

import tracemalloc

import numpy as np
import pytest

from sentio.affect.analysis.models import FaceScore
from sentio.affect.analysis.rows import DOUBTFUL, Rows, ScoredFrame, frame_rows
from sentio.affect.analysis.voice import HOP_S, VoiceScore
from sentio.affect.faces.alignment import TEMPLATE, align, to_crop, warp
from sentio.affect.faces.quality import Pose, Quality, Reason
from sentio.affect.faces.tracking import FaceFrame, TrackedFace


def frame(time_s: float, number: int = 0) -> ScoredFrame:
    return ScoredFrame(number, False, FaceFrame(number, time_s, (9, 9), ()), ())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_a_frame_has_the_newest_score_that_is_not_later(count, seed) -> None:
    random = np.random.default_rng(seed)
    begin = HOP_S * int(random.integers(-4, 8))
    scores = [VoiceScore(begin + k * HOP_S, k / 100, None, None, None) for k in range(count)]
    times = np.sort(random.uniform(-1, 16, 300)).tolist()
    items = [*scores, *(frame(time_s) for time_s in times)]
    order = random.permutation([0] * count + [1] * len(times))
    queues = [iter(items[:count]), iter(items[count:])]
    rows, found = Rows("x", sound=True), []
    for which in order:
        item = next(queues[which])
        found += rows.push_frame(item) if which else rows.push_score(item)
    found += rows.end_sound()
    assert [row["time_s"] for row in found] == times and not rows.waiting
    for row in found:
        past = [s for s in scores if s.time_s <= row["time_s"] < s.time_s + 2 * HOP_S]
        assert row.get("speech") == (past[-1].speech if past else None)


def seen(time_s: float, opening: float) -> ScoredFrame:
    """A frame with one face whose mouth is open so far, and a bridged person without one."""
    points = np.zeros((68, 2), np.float32)
    points[36:42, 0], points[42:48, 0], points[56:59, 1] = -0.5, 0.5, opening
    quality = Quality(0.5, Reason.NONE, 30.0, 0.1, Pose(0, 0, 0))
    face = TrackedFace(3, (1, 2, 3, 4), 0.9, np.zeros((5, 2)), quality, np.zeros((112, 112, 3), np.uint8))
    faces = FaceFrame(0, time_s, (9, 9), (face,))
    return ScoredFrame(0, False, faces, (FaceScore({"valence": 0.1}, points),), ((5, FaceScore({"valence": 0.2})),))


@pytest.mark.parametrize("seed", range(6))
def test_who_speaks_depends_on_times_alone_and_is_told_of_faces_alone(seed) -> None:
    random = np.random.default_rng(0)
    loudness = random.uniform(0, 1, (12, 10))
    scores = [
        VoiceScore(k * HOP_S, 0.75, 0.0, 0.0, np.eye(8, dtype=np.float32)[1], tuple(loudness[k - 1].tolist()))
        for k in range(1, 13)
    ]
    cells = (np.arange(120) + 0.5) * HOP_S / 10
    frames = [seen(k / 25, float(np.interp(k / 25, cells, loudness.ravel()))) for k in range(100)]

    def run(order) -> list[dict]:
        rows, found, queues = Rows("x", sound=True), [], [iter(scores), iter(frames)]
        for which in order:
            found += rows.push_frame(next(queues[1])) if which else rows.push_score(next(queues[0]))
        return found + rows.end_sound()

    order = [0] * 12 + [1] * 100
    expected = run(order)
    assert run(np.random.default_rng(seed).permutation(order)) == expected
    faces, bridged = expected[::2], expected[1::2]
    said = {row["time_s"]: row["speaking"] for row in faces if row["speaking"] is not None}
    assert min(said) == 0.52 and max(said) == 3.48 and min(list(said.values())[25:50]) > 0.5
    assert max(said.values()) <= 0.75 and all(row["speaking"] is None for row in bridged)
    assert {row["modality"] for row in expected if 0.25 <= row["time_s"] < 3.5} == {"both"}
    assert {row["modality"] for row in expected if not 0.25 <= row["time_s"] < 3.5} == {"face"}


def test_the_modality_of_a_row_without_a_face_is_that_of_its_voice() -> None:
    def told(voice: str | None) -> str:
        rows = Rows("x", sound=True)
        expression = None if voice is None else np.eye(8, dtype=np.float32)[0]
        found = rows.push_frame(frame(0.3))
        return (found + rows.push_score(VoiceScore(0.25, 0.9, 0.0, 0.0, expression)))[0]["modality"]

    assert (told(None), told("Neutral")) == ("none", "voice")
    [row] = Rows("x", pictures=False).push_score(VoiceScore(0.25, 0.1, None, None, None))
    assert row["modality"] == "none" and "speaking" not in row


def test_without_sound_nothing_waits() -> None:
    assert [row["reason"] for row in Rows("x").push_frame(frame(0.5))] == ["no face"]


def test_sound_without_pictures_takes_no_memory() -> None:
    """As of a live page that is hidden: the microphone goes on."""
    rows = Rows("live")
    rows.push_frame(frame(0.0))
    tracemalloc.start()
    for k in range(100_000):
        rows.push_score(VoiceScore(k * HOP_S, 0.5, None, None, None))
    assert tracemalloc.get_traced_memory()[0] < 200_000
    tracemalloc.stop()
    [row] = rows.push_frame(frame(k * HOP_S, 1))
    assert row["speech"] == 0.5


def test_crops_are_black_beyond_the_border_though_the_model_sees_a_reflection() -> None:
    image = np.random.default_rng(0).integers(1, 255, (90, 120, 3), np.uint8)
    landmarks = TEMPLATE @ np.array([[0.9, -0.3], [0.3, 0.9]]) + (-30, 5)
    quality = Quality(0.5, Reason.NONE, 30.0, 0.1, Pose(0, 0, 0))
    face = TrackedFace(0, (1, 2, 3, 4), 0.9, landmarks, quality, align(image, landmarks))
    frame = ScoredFrame(0, False, FaceFrame(0, 0.0, (90, 120), (face,)), (FaceScore({}),))
    [row] = frame_rows("x", frame, crops=True)
    black = (row["crop"] == 0).all(-1)
    assert 0.1 < black.mean() < 0.6 and (face.crop > 0).all()
    assert np.array_equal(row["crop"][~black], face.crop[~black])
    expected = warp(image, to_crop(landmarks), 112)
    assert (black != (expected == 0).all(-1)).mean() < 0.03, "but for the pixels on the border itself"
    assert "crop" not in frame_rows("x", frame)[0]


def test_rows_of_faces_say_where_they_are_and_what_is_doubtful() -> None:
    def face(person: int, reason: Reason) -> TrackedFace:
        quality = Quality(0.5, reason, 30.0, 0.1, Pose(0, 0, 0))
        return TrackedFace(person, (1, 2, 3, 4), 0.9, np.zeros((5, 2)), quality, np.zeros((112, 112, 3), np.uint8))

    faces = FaceFrame(0, 1.5, (9, 9), (face(0, Reason.NONE), face(3, Reason.SMALL)))
    scores = (FaceScore({"valence": 0.25}), FaceScore({"valence": -0.25}))
    clean, doubtful = (frame_rows("x", ScoredFrame(7, marked, faces, scores)) for marked in (False, True))
    assert [row["reason"] for row in clean] == [None, "small"]
    assert [row["reason"] for row in doubtful] == [DOUBTFUL, "small"]
    assert [(row["person"], row["frame"], row["face_w"], row["valence"]) for row in clean] == [
        (0, 7, 3, 0.25),
        (3, 7, 3, -0.25),
    ]
