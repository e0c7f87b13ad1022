"""Frames and scores as rows of the table."""

import numpy as np
import pytest

from sentio.affect.analysis.models import FaceScore, ScoredFrame
from sentio.affect.analysis.rows import DOUBTFUL, Rows, bounds, frame_rows
from sentio.affect.analysis.voice import VoiceScore
from sentio.affect.faces.alignment import TEMPLATE, align, to_crop, warp
from sentio.affect.faces.quality import Pose, Quality, Reason
from sentio.affect.faces.tracking import FaceFrame, TrackedFace
from sentio.affect.table import AFFECT, BOUND_COLUMNS


def score(speech: bool = True) -> VoiceScore:
    """That of a voice, or of silence."""
    if not speech:
        return VoiceScore(0.25, 0.1, None, None, None)
    return VoiceScore(0.25, 0.9, 0.5, -0.5, np.eye(8, dtype=np.float32)[1])


def seen(voice: VoiceScore | None, *persons: int) -> ScoredFrame:
    """A frame of these persons, of whom the voice is the first one's, and one who is bridged."""
    quality = Quality(0.5, Reason.NONE, 30.0, 0.1, Pose(0, 0, 0))
    crop = np.zeros((112, 112, 3), np.uint8)
    faces = tuple(TrackedFace(person, (1, 2, 3, 4), 0.9, np.zeros((5, 2)), quality, crop) for person in persons)
    scores = (FaceScore({"valence": 0.1}),) * len(persons)
    bridged = ((9, FaceScore({"valence": 0.2})),) if persons else ()
    return ScoredFrame(
        0, False, FaceFrame(0, 0.3, (9, 9), faces), scores,
        voice, {persons[0]: 0.75} if persons else {}, frozenset(persons[:1]), bridged
    )  # fmt: skip


@pytest.mark.parametrize(
    ("voice", "hears", "persons", "told"),
    [
        (score(), False, (3, 5), ["both", "both", "both"]),
        (score(), True, (3, 5), ["both", "face", "face"]),
        (score(False), True, (3, 5), ["face", "face", "face"]),
        (None, False, (3, 5), ["face", "face", "face"]),
        (score(), True, (), ["voice"]),
        (score(False), False, (), ["none"]),
        (None, True, (), ["none"]),
    ],
)
def test_modality_is_what_an_affect_follows_from(voice, hears, persons, told) -> None:
    """Of a model that hears only the person's own voice counts; of another whatever is heard in the frame."""
    rows = Rows("x", hears=hears).of_frame(seen(voice, *persons))
    assert [row["modality"] for row in rows] == told


def test_the_voice_is_in_all_rows_of_a_frame_and_who_speaks_in_its_own() -> None:
    rows = Rows("x").of_frame(seen(score(), 3, 5))
    assert [row["person"] for row in rows] == [3, 5, 9] and [row["speaking"] for row in rows] == [0.75, None, None]
    assert {(row["speech"], row["voice_valence"], row["voice_expression"]) for row in rows} == {(0.9, 0.5, "Anger")}
    assert "speech" not in Rows("x").of_frame(seen(None, 3))[0]


def test_a_file_of_sound_has_rows_of_scores() -> None:
    heard, silent = Rows("x").of_score(score()), Rows("x").of_score(score(False))
    assert (heard["time_s"], heard["reason"], heard["modality"]) == (0.25, "no picture", "voice")
    assert silent["modality"] == "none" and "speaking" not in silent


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


def test_bounds_stay_on_the_scale() -> None:
    row = {"valence": 0.9, "arousal": -0.5}
    ends = bounds(row, {"valence": 0.25, "arousal": 0.3})
    assert ends == pytest.approx({"valence_lo": 0.65, "valence_hi": 1.0, "arousal_lo": -0.8, "arousal_hi": -0.2})
    assert bounds({"valence": None}, {"valence": 0.25}) == {}


def test_the_ends_of_an_interval_say_what_they_are_of() -> None:
    about = {column.name: column.about.partition(";")[0] for column in AFFECT.columns if column.name in BOUND_COLUMNS}
    assert about["valence_lo"] == "lower end of the interval of valence"
    assert about["arousal_hi"] == "upper end of the interval of arousal"
