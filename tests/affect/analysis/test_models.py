"""The models behind the affect columns: a row says what the network says of that face, at that time and no later."""

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from media import burst, steady, tone, write_media
from sentio import analyze
from sentio.affect.analysis import models
from sentio.affect.analysis.models import OUTPUTS, FaceModel, open_models, roll_in_picture
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.rows import NO_PICTURE, points_in_picture
from sentio.affect.analysis.sources import DEMO_CLIP
from sentio.affect.analysis.stream import Stream
from sentio.affect.analysis.voice import HOP_S
from sentio.affect.faces.alignment import TEMPLATE, align, apply, to_crop
from sentio.affect.faces.haar import Haar
from sentio.affect.faces.quality import HEAD, Pose, Quality, Reason
from sentio.affect.faces.tracking import FaceTracker, TrackedFace
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.media import open_media
from sentio.affect.results.folder import Analysis
from sentio.affect.synth.appearance import rotation
from sentio.affect.table import AU_COLUMNS, BOUND_COLUMNS, P_COLUMNS, SCORES, VOICE
from sentio.core import weights
from sentio.core.errors import RecipeError, WeightsError
from sentio.core.jobs import Job
from sentio.core.results import Table
from sentio.core.runtime import onnx_session

tiny = pytest.importorskip("tiny_models", reason="needs the dev extra")
pytestmark = pytest.mark.usefixtures("tiny_models")
HAAR = Options(detector="haar", model="face")
NAMES = [column.name for column in (*SCORES, *VOICE)]


@pytest.fixture(scope="module")
def demo(tiny_models) -> Table:
    return analyze(DEMO_CLIP, options=HAAR)


@pytest.fixture
def swapped(tmp_path, monkeypatch):
    """A folder of models that may be spoilt."""
    yield tiny.install(tmp_path, monkeypatch)
    monkeypatch.undo()
    weights.cards.cache_clear()


@pytest.mark.slow
def test_rows_are_what_the_network_says_of_each_crop(demo, tiny_models) -> None:
    tracker = FaceTracker(Haar())
    with open_media(DEMO_CLIP) as media:
        decided = [faces for frame in media for faces in tracker.push(frame.image, frame.time_s)] + tracker.flush()
    crops = {frame.time_s: face.crop for frame in decided for face in frame.faces}
    session = onnx_session(tiny_models / "face.onnx")
    outputs = {name: columns for name, columns in OUTPUTS.items() if name != "pose"}  # of the crop, not the picture
    rows = demo.arrow.to_pylist()
    assert sum(row["person"] is not None for row in rows) == len(crops) > 100
    for row in rows:
        if row["person"] is None:
            assert row["valence"] is row["expression"] is row["au_12"] is None
            continue
        pixels = cv2.resize(crops[row["time_s"]], (80, 80), interpolation=cv2.INTER_AREA)
        feed = {"face": pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255}
        for columns, found in zip(outputs.values(), session.run(list(outputs), feed), strict=True):
            assert np.allclose([row[name] for name in columns], found[0], atol=1e-5)
        assert row["expression"] == EXPRESSIONS[np.argmax([row[name] for name in P_COLUMNS])]


def tracked(landmarks: np.ndarray, crop: np.ndarray | None = None) -> TrackedFace:
    quality = Quality(0.5, Reason.NONE, 30.0, 0.1, Pose(0, 0, 0))
    crop = np.random.default_rng(1).integers(0, 255, (112, 112, 3), np.uint8) if crop is None else crop
    return TrackedFace(0, (1, 2, 3, 4), 0.9, landmarks, quality, crop)


def turned(degrees: float, scale: float = 1.0) -> np.ndarray:
    """The transform of a picture that is turned counter-clockwise, as it is seen, then scaled and moved."""
    cos, sin = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[cos, sin, 31.0], [-sin, cos, -7.0]])


def test_every_output_has_its_columns(tiny_models) -> None:
    [score] = FaceModel("face").score([(0.0, tracked(TEMPLATE))])
    pixels = models.face_pixels([tracked(TEMPLATE).crop], 80)
    names = [*OUTPUTS, "landmarks"]
    found = dict(zip(names, onnx_session(tiny_models / "face.onnx").run(names, {"face": pixels}), strict=True))
    for output, columns in OUTPUTS.items():
        assert [score.columns[name] for name in columns] == pytest.approx(found[output][0].tolist(), abs=1e-5)
    assert len(found["further_units"][0]) == 6 and len(found["intensities"][0]) == 18
    assert score.columns["au_45"] == found["further_units"][0, 5]
    assert score.columns["au_26_intensity"] == found["intensities"][0, 11]
    assert score.columns["au_5_intensity"] == found["intensities"][0, 12]
    assert np.allclose(score.landmarks, found["landmarks"][0], atol=1e-5)
    where = points_in_picture(score.landmarks, to_crop(TEMPLATE))
    assert np.allclose(where, (score.landmarks + 1) * 56 - 0.5, atol=1e-4), "the crop is the picture"
    assert score.columns.keys() == {column.name for column in SCORES} - set(BOUND_COLUMNS)


@pytest.mark.parametrize("scale", [1.0, 0.4, 3.0])
@pytest.mark.parametrize("degrees", [0.0, 20.0, -35.0, 90.0, 179.0])
def test_pose_and_landmarks_are_those_of_the_picture(degrees, scale) -> None:
    """The same crop cut from a picture and from that picture turned, scaled and moved."""
    move = turned(degrees, scale)
    faces = [tracked(TEMPLATE), tracked(apply(move, TEMPLATE))]
    there, here = FaceModel("face").score([(0.0, face) for face in faces])
    for name in ("pose_yaw", "pose_pitch", "au_45", "valence"):
        assert here.columns[name] == there.columns[name]
    difference = here.columns["pose_roll"] - there.columns["pose_roll"] - degrees
    assert (difference + 180) % 360 - 180 == pytest.approx(0, abs=1e-4)
    assert -180 <= here.columns["pose_roll"] < 180
    before, after = (
        points_in_picture(score.landmarks, to_crop(face.landmarks))
        for score, face in zip((there, here), faces, strict=True)
    )
    assert np.allclose(after, apply(move, before), atol=1e-6)


@pytest.mark.parametrize("roll", [-50.0, 0.0, 15.0, 80.0])
def test_the_roll_of_an_upright_crop_is_that_of_the_studio(roll) -> None:
    """A head turned as the renderer turns it: its crop is upright, and all of the roll is in the crop's transform."""
    head = HEAD * (1, -1, -1)  # y up, z to the camera
    seen = (head @ rotation(0, 0, np.radians(roll)).T)[:, :2] * (1, -1) * 40 + 200
    frontal = to_crop(HEAD[:, :2] * 40 + 200)
    tilt = np.degrees(np.arctan2(frontal[1, 0], frontal[0, 0]))  # of the mean head, which is not quite symmetrical
    assert roll_in_picture(0.0, to_crop(seen)) == pytest.approx(roll + tilt, abs=1e-3)


@pytest.mark.parametrize(("degrees", "scale"), [(0.0, 1.0), (25.0, 0.6), (-100.0, 1.7), (170.0, 3.1)])
def test_what_is_seen_at_a_place_of_the_crop_is_at_that_place_of_the_picture(degrees, scale) -> None:
    """A spot in a picture, sought in the crop that is cut from it."""
    landmarks = apply(turned(degrees, scale), TEMPLATE - 56) + 200
    spot = landmarks[2] + (4.3 * scale, -2.6 * scale)
    y, x = np.mgrid[:400, :500]
    light = 250 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * (2.2 * scale) ** 2))
    crop = align(np.repeat(light.astype(np.uint8)[..., None], 3, axis=2), landmarks)[..., 0].astype(float)
    y, x = np.mgrid[:112, :112]
    seen = (np.array([(crop * x).sum(), (crop * y).sum()]) / crop.sum() + 0.5) / 56 - 1  # as a network says it
    [found] = points_in_picture(seen[None].astype(np.float32), to_crop(landmarks))
    assert np.linalg.norm(found - spot) < 0.15 * scale


def test_what_a_card_does_not_promise_is_null_and_landmarks_are_then_refused(tmp_path) -> None:
    old = tiny.write_face(tmp_path, outputs={name: tiny.FACE[name] for name in ("expression", "action_units")})
    [score] = FaceModel(str(old)).score([(0.0, tracked(TEMPLATE))])
    assert score.columns.keys() == {*P_COLUMNS, *AU_COLUMNS, "expression"} and score.landmarks is None
    for model in (str(old), "none"):
        with pytest.raises(WeightsError, match="landmarks"):
            Stream(Options(detector="haar", model=model, landmarks=True))
    assert open_models("face", landmarks=True).face.has_landmarks


def test_faces_that_are_no_use_are_scored_all_the_same(tmp_path) -> None:
    with open_media(DEMO_CLIP) as media:
        face = next(iter(media)).image
    cv2.imwrite(str(tmp_path / "blurred.png"), cv2.GaussianBlur(face, (0, 0), 6)[..., ::-1])
    row = analyze(tmp_path / "blurred.png", options=HAAR).arrow.to_pylist()[0]
    assert row["reason"] == "blurred" and row["valence"] is not None and row["au_1"] is not None


@pytest.mark.slow
def test_what_comes_later_changes_nothing_before(demo) -> None:
    cut = analyze(DEMO_CLIP, options=replace(HAAR, end=5.0))
    undecided = 8  # frames for which new faces are held back
    rows, expected = (table.arrow.to_pylist() for table in (cut, demo))
    assert len(rows) == 125
    for row, whole in zip(rows[:-undecided], expected, strict=False):
        assert [row[name] for name in NAMES] == pytest.approx([whole[name] for name in NAMES], abs=1e-6)
    assert any(row["voice_valence"] is not None for row in rows[:-undecided])


def test_the_voice_of_a_frame_is_the_newest_that_is_not_later(demo, tiny_models) -> None:
    """Against the network on the three seconds of sound before each quarter of a second."""
    with open_media(DEMO_CLIP) as media:
        sound, start = media.waveform()
    session = onnx_session(tiny_models / "voice.onnx")
    padded = np.concatenate([np.zeros(48_000, np.float32), sound])
    for row in demo.arrow.to_pylist():
        moment = np.floor(row["time_s"] / HOP_S + 1e-9) * HOP_S
        end = round((moment - start) * 16_000)
        if end <= 0:
            assert row["speech"] is None
            continue
        end = min(end, len(sound) // 4000 * 4000)
        speech, affect, classes = session.run(None, {"sound": padded[None, end : end + 48_000]})[:3]
        assert row["speech"] == pytest.approx(speech[0], abs=1e-4)
        if speech[0] >= 0.5:
            assert row["voice_valence"] == pytest.approx(affect[0, 0], abs=1e-3)
            assert row["voice_expression"] == EXPRESSIONS[classes[0].argmax()]
        else:
            assert row["voice_valence"] is row["voice_arousal"] is row["voice_expression"] is None


@pytest.mark.slow
def test_two_persons_have_scores_of_their_own_and_one_voice(tmp_path) -> None:
    with open_media(DEMO_CLIP) as media:
        frames = [frame.image for frame in media if frame.index < 20]
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as out:
        stream, audio = out.add_stream("ffv1", rate=25), out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        stream.width, stream.height, stream.pix_fmt = 960, 360, "bgr0"
        for number, image in enumerate(frames):
            darker = (image[:, ::-1] * 0.6).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.concatenate([image, darker], 1), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        sound = av.AudioFrame.from_ndarray((tone(1.0, 16_000)[None] * 32_000).astype(np.int16), layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = 16_000, 0, Fraction(1, 16_000)
        out.mux([*audio.encode(sound), *stream.encode(None), *audio.encode(None)])
    rows = analyze(path, options=HAAR).arrow.to_pylist()
    assert len(rows) == 40
    for left, right in zip(rows[::2], rows[1::2], strict=True):
        assert left["frame"] == right["frame"] and left["person"] != right["person"]
        assert left["valence"] != right["valence"] and left["au_1"] != right["au_1"]
        assert [left[column.name] for column in VOICE] == [right[column.name] for column in VOICE]
    assert rows[-1]["voice_expression"] in EXPRESSIONS


def test_sound_without_pictures_has_a_row_for_every_score(tmp_path) -> None:
    sound = np.concatenate([np.zeros(16_000), tone(2.0, 16_000)]).astype(np.float32)
    path = write_media(tmp_path / "sound.wav", sound=sound, sound_rate=16_000, sound_codec="pcm_s16le")
    table = analyze(path, options=HAAR)
    assert list(table["time_s"]) == [k / 4 for k in range(1, 13)]
    assert table.arrow["frame"].null_count == table.arrow["person"].null_count == 12
    assert set(table["reason"]) == {NO_PICTURE}
    assert (table["speech"][:4] == 0).all() and (table["speech"][4:] > 0.5).all()
    assert np.isnan(table["voice_valence"][:4]).all() and not np.isnan(table["voice_valence"][4:]).any()


def test_sound_without_a_face_fills_the_voice_alone(tmp_path) -> None:
    path = write_media(tmp_path / "a.mp4", times=steady(50), sound=tone(1.0))
    table = analyze(path, options=HAAR)
    assert set(table["reason"]) == {"no face"} and np.isnan(table["valence"]).all()
    speech, times = table["speech"], table["time_s"]
    assert (~np.isnan(speech) == ((times > 0.24) & (times < 1.5))).mean() > 0.95, "null before and after the sound"
    assert all(name in EXPRESSIONS for name in table["voice_expression"][10:25])


def test_pictures_without_sound_have_no_voice(tmp_path) -> None:
    write_media(tmp_path / "silent.mp4", times=steady(30))
    (tmp_path / "takes").mkdir()
    cv2.imwrite(str(tmp_path / "takes/1.png"), np.full((40, 40, 3), 100, np.uint8))
    for name, count in (("silent.mp4", 30), ("takes", 1), ("takes/1.png", 1)):
        table = analyze(tmp_path / name, options=HAAR)
        assert all(table.arrow[column.name].null_count == len(table) == count for column in VOICE)


@pytest.mark.slow
def test_a_broken_sound_track_costs_no_picture(tmp_path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 12 * 48_000).astype(np.float32)
    path = write_media(tmp_path / "a.mkv", times=steady(300), sound=noise, container={"cluster_time_limit": "500"})
    whole = analyze(path, options=HAAR)
    for at in (0.3, 0.5, 0.7):
        burst(path, at=at, size=4000)
    table = analyze(path, options=HAAR)
    assert len(table) >= 0.8 * len(whole)
    assert table.header["media"]["sound_losses"]["packets"] > 0 and table.header["media"]["sound_damage"]
    assert np.isfinite(table["speech"]).mean() > 0.8


@pytest.mark.slow
def test_the_report_of_the_sound_is_complete_when_it_outlasts_the_pictures(tmp_path) -> None:
    path = write_media(tmp_path / "a.mkv", times=steady(10), sound=tone(30.0))
    burst(path, at=0.9, size=3000)
    reports = [analyze(path, options=HAAR).header["media"]["sound_losses"] for _ in range(3)]
    assert reports[0] == reports[1] == reports[2] and reports[0]["packets"] > 0


def test_features_are_handed_on_where_the_graph_has_them(tmp_path, tiny_models) -> None:
    with open_media(DEMO_CLIP) as media:
        frame = next(iter(media))
    tracker = FaceTracker(Haar())
    faces = [(0.0, face) for found in [*tracker.push(frame.image, 0.0), *tracker.flush()] for face in found.faces]
    scores = FaceModel("face").score(faces)
    assert [score.features.shape for score in scores] == [(48,)] and scores[0].columns["valence"] is not None
    session = onnx_session(tiny_models / "face.onnx")
    pixels = models.face_pixels([face.crop for _, face in faces], 80)
    assert np.array_equal(session.run(["features"], {"face": pixels})[0][0], scores[0].features)
    plain = tiny.write_face(tmp_path, features=False)
    assert [score.features for score in FaceModel(str(plain)).score(faces)] == [None]


def test_own_weights_by_the_path_of_their_card(demo, tmp_path) -> None:
    own = tiny.write_face(tmp_path, seed=7, side=112, name="mine")
    table = analyze(DEMO_CLIP, options=Options(detector="haar", end=0.5, model=str(own)))
    assert (table.header["model"]["name"], table.header["options"]["model"]) == ("mine", str(own))
    assert not np.allclose(table["valence"], demo["valence"][: len(table)])
    half = tiny.write_face(tmp_path, outputs={"valence_arousal": 2})
    table = analyze(DEMO_CLIP, options=Options(detector="haar", end=0.2, model=str(half)))
    assert table.arrow["valence"].null_count == 0
    rest = {column.name for column in SCORES} - {"valence", "arousal"}
    assert all(table.arrow[name].null_count == len(table) for name in rest)


def test_none_finds_faces_only(demo) -> None:
    table = analyze(DEMO_CLIP, options=Options(detector="haar", end=1.0, model="none"))
    assert list(table["person"]) == list(demo["person"][: len(table)])
    assert all(table.arrow[name].null_count == len(table) == 25 for name in NAMES)
    assert table.header["model"] is table.header["voice"] is None


@pytest.mark.parametrize("name", ["face", "voice"])
def test_missing_damaged_and_foreign_weights_are_refused(swapped, name) -> None:
    models._open.cache_clear()
    model = swapped / f"{name}.onnx"
    content = model.read_bytes()
    model.write_bytes(content[:-1] + b"x")
    with pytest.raises(WeightsError, match=f"{name}.onnx is damaged: SHA-256"):
        open_models("face")
    model.unlink()
    with pytest.raises(WeightsError, match=f"The weights '{name}' are not on this machine"):
        open_models("face")
    (swapped / f"{name}.json").unlink()
    weights.cards.cache_clear()
    with pytest.raises(WeightsError, match=f"no weights named '{name}'"):
        open_models("face")


def test_models_of_another_kind_are_refused(tmp_path) -> None:
    for card in (
        tiny.write_face(tmp_path, promised={"face": ["n", 8, 3, 80, 80]}),
        tiny.write_face(tmp_path, outputs={}),
        tiny.write_face(tmp_path, outputs={"expression": 7}),
        tiny.write_face(tmp_path, outputs={"expression": 8, "landmarks": (5, 2)}),
        tiny.write_face(tmp_path, outputs={"landmarks": (68, 2)}),
        tiny.write_voice(tmp_path),
    ):
        with pytest.raises(WeightsError, match="do not score single faces"):
            FaceModel(str(card))
    with pytest.raises(WeightsError, match="There are no weights named 'nobody'"):
        FaceModel("nobody")
    with pytest.raises(WeightsError, match="choose one of: auto, none, (?!.*pu-any).*offline-av"):
        open_models("nobody")
    with pytest.raises(RecipeError, match="nowhere.json"):
        FaceModel(str(tmp_path / "nowhere.json"))


def test_resume_redoes_what_other_weights_have_made(swapped, tmp_path) -> None:
    clip = write_media(tmp_path / "clip.mp4", times=steady(4))
    job = Job(clip, Path("clip.mp4.sentio"))

    def run(*outputs: str) -> str:
        return Analysis(tmp_path / "out", HAAR, outputs or ("parquet", "csv"), resume=True)(job).state

    assert [run(), run()] == ["done", "skipped"]
    for write in (tiny.write_face, tiny.write_voice):
        write(swapped, seed=1)
        weights.cards.cache_clear()
        assert [run(), run()] == ["done", "skipped"]
    assert [run("csv", "plot"), run("csv", "plot"), run("csv")] == ["done", "skipped", "skipped"]
    (tmp_path / "out/clip.mp4.sentio/affect.svg").unlink()
    assert run("csv", "plot") == "done"


@pytest.mark.slow
def test_a_batch_without_its_weights_fails_at_once(tmp_path) -> None:
    command = [sys.executable, "-m", "sentio", "analyze", "--demo", "--out", str(tmp_path / "out")]
    done = subprocess.run([*command, "--model", "nobody"], capture_output=True, text=True)
    assert done.returncode == 1 and "There are no weights named 'nobody'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_run_json_says_whose_scores_these_are(tmp_path) -> None:
    options = Options(detector="haar", end=0.5)
    Analysis(tmp_path, options, ("parquet", "csv", "plot")).write(tmp_path, DEMO_CLIP)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["model"]["sha256"] == weights.card("face").files["onnx"].sha256
    assert record["voice"]["window_s"] == 3.0
    assert ">true<" in (tmp_path / "affect.svg").read_text(), "the demo's truth is known"
    assert record["columns"]["speech"]["about"].startswith("probability that somebody speaks; of the file")
    assert {Path(name).name for name in tmp_path.iterdir()} == {
        "affect.csv",
        "affect.csv.header.json",
        "affect.parquet",
        "affect.svg",
        "run.json",
    }
