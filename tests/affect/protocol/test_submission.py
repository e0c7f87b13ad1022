import numpy as np
import pytest

from sentio.affect.protocol import submission
from sentio.affect.protocol.predictions import Prediction
from sentio.affect.protocol.readback import validate
from sentio.core.errors import InputError


def prediction(seed, n=6):
    rng = np.random.default_rng(seed)
    return Prediction(
        valence_arousal=rng.uniform(-1, 1, (n, 2)),
        expression=rng.dirichlet(np.ones(8), n),
        action_units=rng.random((n, 12)),
    )


PREDICTIONS = {"b_left": prediction(0), "a": prediction(1)}
FRAMES = {"b_left": np.arange(1, 7), "a": np.arange(1, 6)}
EVERY = [(track, edition) for track in ("va", "expr", "au", "mtl") for edition in submission.EDITIONS[track]]


def place(folder, files, track):
    return files[0] if files[0].name == f"{track}.txt" else folder


@pytest.mark.parametrize(("track", "edition"), EVERY)
def test_what_is_written_is_valid(tmp_path, track, edition):
    files = submission.write(tmp_path, track, edition, PREDICTIONS, FRAMES)
    for expected in (FRAMES, None):
        assert not list(validate(place(tmp_path, files, track), track, edition, expected))


def test_one_text_a_video_looks_like_the_annotations(tmp_path):
    files = submission.write(tmp_path, "va", 3, PREDICTIONS, FRAMES)
    assert sorted(file.name for file in files) == ["a.txt", "b_left.txt"]
    lines = (tmp_path / "a.txt").read_text().splitlines()
    assert lines[0] == "valence,arousal"
    got = np.array([[float(v) for v in line.split(",")] for line in lines[1:]])
    np.testing.assert_allclose(got, PREDICTIONS["a"].valence_arousal[:5], atol=1e-6)


def test_one_text_a_track_lists_images(tmp_path):
    [file] = submission.write(tmp_path, "expr", 6, PREDICTIONS, FRAMES)
    lines = file.read_text().splitlines()
    assert lines[0] == "image_location,Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
    assert lines[1] == f"b_left/00001.jpg,{PREDICTIONS['b_left'].expression[0].argmax()}"
    assert len(lines) == 12
    assert {k: v.tolist() for k, v in submission.read_frames(file).items()} == {
        k: v.tolist() for k, v in FRAMES.items()
    }


@pytest.mark.parametrize("row", ["a/1.jpg", "a/00000.jpg", "00001.jpg", "a/00001.png", "a/" + "9" * 20 + ".jpg"])
def test_a_row_that_names_no_frame_is_not_passed_over(tmp_path, row):
    path = tmp_path / "images.txt"
    path.write_bytes(f"\ufeffimage_location,valence,arousal\r\na/00002.jpg\r\n\r\n{row},0,0\r\n".encode())
    with pytest.raises(InputError, match=r"images\.txt:4: "):
        submission.read_frames(path)
    path.write_text("a/00002.jpg\na/100000.jpg,\n")
    assert submission.read_frames(path)["a"].tolist() == [2, 100000]


def test_multi_task_rows_have_sixteen_fields(tmp_path):
    [file] = submission.write(tmp_path, "mtl", 4, PREDICTIONS, FRAMES, thresholds=[0.0] * 12)
    lines = file.read_text().splitlines()
    assert lines[0] == "image,valence,arousal,expression,aus"
    assert len(lines[1].split(",")) == 16 and lines[1].endswith(",1" * 12)


def test_abaw2_never_answers_other(tmp_path):
    sure = Prediction(expression=np.tile(np.eye(8)[7] * 0.9 + 0.01, (6, 1)))
    submission.write(tmp_path, "expr", 2, {"a": sure}, {"a": np.arange(1, 7)})
    assert "7" not in (tmp_path / "a.txt").read_text()
    assert not (tmp_path / "a.txt").read_text().splitlines()[0].endswith("Other")


@pytest.mark.parametrize(("track", "edition"), [("va", 3), ("va", 6), ("lsd", 4)])
def test_a_list_that_names_nothing_is_refused(tmp_path, track, edition):
    (tmp_path / "list.txt").write_text("\n\n")
    with pytest.raises(InputError, match="names n"):
        submission.read_asked(tmp_path / "list.txt", track, edition)


def test_lsd(tmp_path):
    path = submission.write_lsd(tmp_path, ["0.jpg", "1.jpg"], np.array([0, 5]))
    assert path.read_text() == "image,expression\n0.jpg,0\n1.jpg,5\n"
    assert not list(validate(path, "lsd", 4, ["0.jpg", "1.jpg"]))
    path.write_text("image,expression\n0.jpg,6\n")
    faults = [fault.what for fault in validate(path, "lsd", 4, ["0.jpg", "1.jpg"])]
    assert faults == ["'6' is not one of 0 to 5", "images: 1 frame missing: 1"]


def test_a_list_may_name_frames_past_the_end(tmp_path):
    [file] = submission.write(tmp_path, "va", 6, {"a": prediction(1)}, {"a": np.array([6, 9])})
    first, last = [line.split(",", 1) for line in file.read_text().splitlines()[1:]]
    assert last[0] == "a/00009.jpg" and last[1] == first[1]


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ({}, "no prediction of valence_arousal for a"),
        ({"a": Prediction(expression=np.ones((6, 8)))}, "no prediction of valence_arousal for a"),
        ({"a": Prediction(valence_arousal=np.full((6, 2), np.nan))}, "Fill gaps"),
    ],
)
def test_incomplete_predictions_are_refused_and_leave_no_file(tmp_path, predictions, message):
    with pytest.raises(InputError, match=message):
        submission.write(tmp_path, "va", 6, predictions, {"a": np.arange(1, 7)})
    assert not list(tmp_path.iterdir())


def test_an_edition_without_the_track_is_refused():
    with pytest.raises(InputError, match="ABAW4 has no VA track"):
        submission.header("va", 4)
