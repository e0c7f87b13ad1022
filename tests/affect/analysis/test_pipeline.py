"""From media to table: rows, times, ids, reasons, losses, the model's hook, and the stages' threads."""

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from pyarrow import csv

from media import burst, steady, write_media
from sentio import analyze
from sentio.affect.analysis import pipeline
from sentio.affect.analysis.models import BATCH_FACES, FaceScore, Models, open_models
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.rows import BRIDGED, DOUBTFUL
from sentio.affect.analysis.sources import DEMO_CLIP, DEMO_TRUTH
from sentio.affect.faces.detectors import NAMES
from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS
from sentio.affect.media import MediaError, open_media
from sentio.affect.results.folder import Analysis
from sentio.affect.table import AFFECT, AU_COLUMNS, BOUND_COLUMNS, BOUNDED, FACE_AND_VOICE, P_COLUMNS, SCORES, VOICE
from sentio.core import weights
from sentio.core.errors import InputError, RecipeError
from sentio.core.results import Table

pytestmark = pytest.mark.usefixtures("tiny_models")
HAAR = Options(detector="haar")


@pytest.fixture(scope="module")
def demo(tiny_models) -> Table:
    return analyze(DEMO_CLIP, options=HAAR)


def demo_frames(count: int, step: int = 1) -> list[np.ndarray]:
    with open_media(DEMO_CLIP) as media:
        return [frame.image for frame in media if frame.index < count * step and frame.index % step == 0]


def encode(path: Path, frames: list[np.ndarray], times: list[float], rotation: int = 0) -> Path:
    """An H.264 file of these pictures at these times."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "16"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 90_000)
        if rotation:
            stream.set_display_rotation(rotation)
        for image, moment in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = round(moment * 90_000), Fraction(1, 90_000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def test_columns_are_those_of_the_contract() -> None:
    names = [column.name for column in AFFECT.columns]
    assert names[:4] == ["file", "person", "frame", "time_s"]
    assert names[4:11] == ["face_x", "face_y", "face_w", "face_h", "face_score", "quality", "reason"]
    assert names[11:14] == ["pose_yaw", "pose_pitch", "pose_roll"]
    assert names[14:17] == ["valence", "arousal", "expression"]
    assert names[17:25] == [f"p_{name.lower()}" for name in EXPRESSIONS]
    units = [f"au_{name[2:]}" for name in ACTION_UNITS] + [f"au_{number}" for number in (5, 9, 14, 17, 20, 45)]
    assert names[25:61] == [*units, *(f"{name}_intensity" for name in units)]
    assert names[61:65] == ["valence_lo", "valence_hi", "arousal_lo", "arousal_hi"]
    assert names[65:69] == ["speech", "voice_valence", "voice_arousal", "voice_expression"]
    assert names[69:] == ["modality", "speaking"]


def test_demo_has_a_row_for_every_frame_and_one_person_who_comes_back(demo) -> None:
    assert list(demo["frame"]) == list(range(250))
    assert np.allclose(demo["time_s"], np.arange(250) / 25)
    present, bridged = ~np.isnan(demo["face_x"]), demo["reason"] == BRIDGED
    assert set(demo["person"][present | bridged]) == {0.0}
    assert present[0] and present[-1] and not present.all()
    assert set(demo["reason"][~present]) <= {"no face", BRIDGED} and bridged.sum() > 10
    assert np.isnan(demo["person"][~present & ~bridged]).all()
    assert (demo["quality"][present] > 0.3).mean() > 0.9
    over_time = {"valence", "arousal", "expression", *P_COLUMNS, *AU_COLUMNS, *BOUND_COLUMNS}
    for column in SCORES:
        expected = present | bridged if column.name in over_time else present
        assert (demo.arrow[column.name].is_valid().to_numpy() == expected).all(), "every face has scores"


def test_the_demo_comes_with_what_is_true_of_each_frame(demo) -> None:
    truth = csv.read_csv(DEMO_TRUTH)
    assert truth["frame"].to_pylist() == list(demo["frame"]) and np.allclose(truth["time_s"], demo["time_s"])
    assert {"valence", "arousal", "expression", *AU_COLUMNS} <= set(truth.column_names)
    here = truth["valence"].is_valid().to_numpy()
    assert set(truth["expression"].filter(here).to_pylist()) == {"Neutral", "Happiness", "Anger"}
    assert not here.all() and (here == ~np.isnan(demo["face_x"])).mean() > 0.9


def test_header_says_what_made_the_table(demo) -> None:
    header = demo.header
    assert (header["schema"], header["schema_version"], header["source"]) == ("sentio.affect", 5, "demo.mp4")
    for key, name in (("model", "face"), ("voice", "voice")):
        assert header[key]["name"] == name and header[key]["causal"]
        assert header[key]["sha256"] == weights.sha256(weights.EMBEDDED / f"{name}.onnx")
    assert header["model"]["smoothing"] == "none" and len(header["model"]["thresholds"]) == 12
    assert header["detector"]["name"] == "haar"
    assert header["options"]["detector"] == "haar"
    assert header["media"]["codec"] == "h264" and header["media"]["losses"]["packets"] == 0
    assert header["columns"]["time_s"]["unit"] == "s"


@pytest.mark.slow
def test_written_tables_equal_the_one_in_memory(demo, tmp_path) -> None:
    seen: list[float] = []
    record = Analysis(tmp_path, HAAR, ("parquet", "jsonl")).write(tmp_path, DEMO_CLIP, seen.append)
    table = Table.read(tmp_path / "affect.parquet")
    assert table.arrow.equals(demo.arrow)
    assert table.header == demo.header
    assert (record["rows"], record["frames"], record["persons"]) == (250, 250, 1)
    assert set(record["stages"]) == {"decode", "faces", "model", "time", "voice"}
    assert seen == sorted(seen) and seen[-1] > 0.99
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "affect.jsonl",
        "affect.jsonl.header.json",
        "affect.parquet",
        "run.json",
    ]


def test_variable_rate_keeps_true_times(tmp_path) -> None:
    steps = np.random.default_rng(0).uniform(0.01, 0.2, 29)
    times = [round(moment * 90_000) / 90_000 for moment in np.cumsum([0.0, *steps])]
    table = analyze(encode(tmp_path / "vfr.mp4", demo_frames(30), times), options=HAAR)
    assert np.allclose(table["time_s"], times, atol=1e-6)
    assert table.header["media"]["variable_rate"]
    assert set(table["person"]) == {0}


@pytest.mark.slow
def test_rotated_phone_video_is_read_upright(tmp_path) -> None:
    frames = demo_frames(20)
    upright = analyze(encode(tmp_path / "upright.mp4", frames, steady(20)), options=HAAR)
    turned = encode(tmp_path / "turned.mp4", [np.rot90(frame, -1) for frame in frames], steady(20), rotation=90)
    table = analyze(turned, options=HAAR)
    assert table.header["media"]["rotation"] in (90, 270)
    assert table.header["media"]["size"] == [480, 360]
    assert set(table["person"]) == {0}
    for column in ("face_x", "face_y", "face_w", "face_h"):
        assert np.abs(table[column] - upright[column]).mean() < 10  # the cascade jitters by pixels


@pytest.mark.slow
def test_burst_of_random_bytes_costs_only_its_stretch(tmp_path) -> None:
    whole = write_media(tmp_path / "whole.mp4", times=steady(240), size=(320, 240), gop=12)
    expected = analyze(whole, options=HAAR)["time_s"]
    burst(whole, size=6000)
    table = analyze(whole, options=HAAR)
    assert 160 <= len(table) < 240
    assert set(table["time_s"]) <= set(expected)
    assert (np.diff(table["time_s"]) > 0).all()
    losses = table.header["media"]["losses"]
    assert losses["packets"] + losses["frames_doubtful"] > 0
    assert table.header["media"]["damage"]


@pytest.mark.slow
def test_faces_in_damaged_pictures_are_marked(tmp_path) -> None:
    path = encode(tmp_path / "demo.mp4", demo_frames(60), steady(60))
    burst(path, at=0.5, size=300)
    table = analyze(path, options=HAAR)
    marked = [reason == DOUBTFUL for reason in table["reason"]]
    assert 0 < sum(marked) < len(table)
    assert sum(marked) <= table.header["media"]["losses"]["frames_doubtful"]


def test_video_without_sound_and_one_frame(tmp_path) -> None:
    silent = analyze(write_media(tmp_path / "silent.mp4", times=steady(5)), options=HAAR)
    assert len(silent) == 5 and not silent.header["media"]["has_audio"]
    assert len(analyze(write_media(tmp_path / "one.mp4", times=[0.0]), options=HAAR)) == 1
    picture = tmp_path / "face.png"
    import cv2

    cv2.imwrite(str(picture), demo_frames(1)[0][..., ::-1])
    table = analyze(picture, options=HAAR)
    assert (list(table["person"]), list(table["time_s"])) == ([0], [0.0])


def test_unreadable_files_are_typed_errors(tmp_path) -> None:
    (tmp_path / "empty.mp4").touch()
    whole = write_media(tmp_path / "whole.mp4", times=steady(50)).read_bytes()
    (tmp_path / "half.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mp4").write_text("hello")
    for name in ("empty.mp4", "half.mp4", "text.mp4", "missing.mp4"):
        with pytest.raises(MediaError, match=name):
            analyze(tmp_path / name, options=HAAR)


def test_start_end_and_rate(demo) -> None:
    table = analyze(DEMO_CLIP, options=Options(detector="haar", start=1.0, end=3.0, fps=5))
    assert np.allclose(table["time_s"], np.arange(1.0, 3.0, 0.2))
    assert list(table["frame"]) == [round(moment * 25) for moment in table["time_s"]]


def test_a_folder_has_its_own_name_also_as_a_dot_and_so_has_a_file_whose_name_is_no_text(tmp_path, monkeypatch) -> None:
    import cv2

    pictures = tmp_path / "takes"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "1.png"), demo_frames(1)[0][..., ::-1])
    monkeypatch.chdir(pictures)
    assert set(analyze(".", options=HAAR)["file"]) == {"takes"}
    strange = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    try:
        write_media(tmp_path / "plain.mp4", times=[0.0]).rename(strange)
    except OSError:
        pytest.skip("this file system has only names that are text")
    table = analyze(strange, options=HAAR)
    assert set(table["file"]) == {table.header["source"]} == {r"caf\udce9.mp4"}


def test_a_list_of_files_is_one_table(tmp_path) -> None:
    one, two = (write_media(tmp_path / name / "x.mp4", times=steady(3)) for name in _folders(tmp_path, "one", "two"))
    table = analyze([one, two, DEMO_CLIP], options=Options(detector="haar", end=0.1))
    assert sorted(set(table["file"])) == ["demo.mp4", "one/x.mp4", "two/x.mp4"] and len(table) == 9
    assert [(source["source"], source["temporal"]["name"]) for source in table.header["sources"]] == [
        ("one/x.mp4", "offline"),
        ("two/x.mp4", "offline"),
        ("demo.mp4", "offline-av"),
    ]
    with pytest.raises(MediaError, match="missing"):
        analyze([one, tmp_path / "missing.mp4"], options=HAAR)
    with pytest.raises(InputError, match="list"):
        analyze([])


def _folders(root: Path, *names: str) -> tuple[str, ...]:
    for name in names:
        (root / name).mkdir()
    return names


def test_a_list_is_opened_whole_before_one_is_read_and_each_file_once(tmp_path, monkeypatch) -> None:
    clip = write_media(tmp_path / "a.mp4", times=steady(3))
    assert len(analyze([clip, clip], options=HAAR)) == 3
    monkeypatch.setattr(pipeline.Reading, "read", lambda _: pytest.fail("read"))
    with pytest.raises(InputError, match="no file or folder"):
        analyze([clip, tmp_path / "none.mp4"], options=HAAR)


@pytest.mark.parametrize("source", [[np.zeros((2, 2, 3), np.uint8)], b"clip.mp4"])
def test_what_is_neither_files_nor_pictures_is_refused(source) -> None:
    with pytest.raises(InputError, match="Neither files nor pictures"):
        analyze(source)


def test_a_start_within_a_file_that_does_not_declare_its_length(tmp_path) -> None:
    """FFmpeg guesses the length of raw AAC by the rate of its first bytes."""
    sound = np.concatenate([np.random.default_rng(0).normal(0, 0.3, 8 * 16_000), np.zeros(32 * 16_000)])
    path = write_media(tmp_path / "v.aac", sound=sound.astype(np.float32), sound_rate=16_000)
    times = analyze(path, options=Options(detector="haar", start=30.0))["time_s"]
    assert times.min() >= 30 and times.max() > 38


def test_pictures_in_memory_are_rows_like_those_of_a_file(tmp_path) -> None:
    """With a model that does not hear, for they have no sound."""
    frames, options = np.stack(demo_frames(20)), Options(detector="haar", model="offline")
    table = analyze(frames, times=np.arange(20) / 25, options=options)
    expected = analyze(DEMO_CLIP, options=replace(options, end=0.79))
    own = {column.name for column in AFFECT.columns} - {"file"} - {column.name for column in (*VOICE, *FACE_AND_VOICE)}
    assert all(table.arrow[name].equals(expected.arrow[name]) for name in own)
    assert set(table["file"]) == {"array"} and table.header["media"]["size"] == [480, 360]
    assert list(analyze(frames[0], options=HAAR)["time_s"]) == [0.0]


@pytest.mark.parametrize(
    ("shape", "times"),
    [((2, 8, 8, 3), None), ((2, 8, 8, 3), [0.0]), ((8, 8), [0.0]), ((0, 8, 8, 3), []), ((8, 8, 4), [0])],
)
def test_pictures_without_their_times_are_refused(shape, times) -> None:
    with pytest.raises(InputError):
        analyze(np.zeros(shape, np.uint8), times=times, options=HAAR)


def test_a_table_holds_no_pictures() -> None:
    with pytest.raises(InputError, match="no pictures"):
        analyze(DEMO_CLIP, options=Options(detector="haar", crops=True))


def test_what_is_for_files_or_for_pictures_is_not_for_both() -> None:
    with pytest.raises(InputError, match="for files"):
        analyze(np.zeros((8, 8, 3), np.uint8), options=Options(detector="haar", fps=5))
    with pytest.raises(InputError, match="times of their own"):
        analyze(DEMO_CLIP, times=[0.0])


def test_an_unknown_detector_is_refused() -> None:
    with pytest.raises(RecipeError, match="mtcnn"):
        Options(detector="mtcnn")


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_impossible_intervals_are_refused(value) -> None:
    with pytest.raises(RecipeError, match="interval"):
        Options(search_interval=value)


class Brightness:
    """A model for these tests: valence is the crop's brightness, arousal the time since the file's first face."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.sizes: list[int] = []

    def describe(self):
        return {"name": "brightness", "causal": True}

    def score(self, faces):
        self.sizes.append(len(faces))
        self.first = faces[0][0] if self.first is None else self.first
        return [
            FaceScore({"valence": face.crop.mean() / 255, "arousal": moment - self.first, "expression": "Neutral"})
            for moment, face in faces
        ]


@pytest.mark.slow
def test_a_model_fills_the_affect_columns(demo) -> None:
    model = Brightness()
    table = analyze(DEMO_CLIP, options=HAAR, models=Models(face=model))
    present = ~np.isnan(demo["face_x"])
    assert np.allclose(table["arousal"][present], demo["time_s"][present], atol=1e-6)
    assert np.isnan(table["valence"][~present]).all()
    assert (table["valence"][present] > 0.2).all()
    assert table.header["model"]["name"] == "brightness"
    assert max(model.sizes) == BATCH_FACES
    assert table.header["voice"] is None
    untouched = {column.name for column in (*SCORES, *VOICE)} - {"valence", "arousal", "expression"}
    assert all(table.arrow[name].null_count == len(table) for name in untouched)


def test_a_failing_model_stops_the_run_with_its_own_error(tmp_path) -> None:
    class Broken(Brightness):
        def score(self, faces):
            raise ArithmeticError("no")

    before = threading.active_count()
    with pytest.raises(ArithmeticError):
        models = replace(open_models("face"), face=Broken())
        Analysis(tmp_path, HAAR, models=lambda: models).write(tmp_path / "out", DEMO_CLIP)
    assert not (tmp_path / "out").exists()
    assert threading.active_count() == before


@pytest.mark.slow
def test_nothing_opens_a_socket(tmp_path) -> None:
    code = (
        "import socket, sys\n"
        "class Refused(socket.socket):\n"
        "  def __init__(self, *args, **options): raise AssertionError('a socket was opened')\n"
        "socket.socket = Refused\n"
        "from sentio.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code, "analyze", "--demo", "--out", str(tmp_path), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "demo.mp4.sentio/affect.csv").is_file()


@pytest.fixture(scope="session", params=NAMES)
def options(request, tmp_path_factory) -> Options:
    """All detectors; YuNet as if it had been fetched."""
    if request.param == "yunet":
        cache = tmp_path_factory.mktemp("cache")
        shutil.copy(request.getfixturevalue("shared") / "data/affect/models/yunet/yunet_n_dynamic.onnx", cache)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SENTIO_CACHE", str(cache))
            yield Options(detector="yunet")
    else:
        yield Options(detector=request.param)


GRID = [f"grid_{name}.mpg" for name in ("bbaf2n", "brbk7n", "lbax4n", "lwbsza", "sbwe5n", "swiz3n")]
OTHERS = ["single_face.mp4", "face_noface.mov", "nasa_13013.mp4", "book.mkv", "yes.mkv"]
CLIPS = [*GRID, *OTHERS, "head-pose-face-detection-female.gif"]


RENDERED = {"talking": {0}, "pair": {0, 1}, "returning": {0}, "empty": set()}


@pytest.mark.parametrize("name", RENDERED)
def test_rendered_clips(options, clips, name) -> None:
    table = analyzed_whole(clips / f"{name}.mp4", options)
    person = table["person"]
    assert set(person[~np.isnan(person)]) == RENDERED[name]
    present = set(table["frame"][(person == 0) & ~np.isnan(table["face_x"])])
    assert len(present) == {"talking": 75, "pair": 50, "returning": pytest.approx(63, abs=6), "empty": 0}[name]


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.slow
def test_real_clips(options, shared, name) -> None:
    table = analyzed_whole(shared / "data/affect/clips" / name, options)
    person = table["person"]
    persons, present = set(person[~np.isnan(person)]), ~np.isnan(table["face_x"])
    if name.startswith(("grid", "single")):
        assert present.all() and persons == {0}
    if name == "face_noface.mov":
        assert persons == {0}
        assert np.count_nonzero(np.diff(present.astype(int)) == 1) + present[0] >= 1
        assert not present.all()
    if name.startswith("nasa") and options.detector != "haar":
        assert persons == set()


def analyzed_whole(path: Path, options: Options) -> Table:
    """The table of a clip, which has every frame at its time and nobody twice in one."""
    table = analyze(path, options=options)
    with av.open(str(path)) as container:
        best = container.streams.best("video")  # one of the clips has a second, smaller stream
        stamps = [frame.pts * frame.time_base for frame in container.decode(best)]
    frames, times, person = table["frame"], table["time_s"], table["person"]
    assert sorted(set(frames)) == list(range(len(stamps)))
    assert np.allclose(sorted(set(times)), np.array(stamps, float))
    assert len({*zip(frames, person, strict=True)}) == len(table), "one row for each frame and person"
    return table


@pytest.mark.parametrize("wrong", [{"fps": 0.0}, {"fps": float("nan")}, {"start": 2.0, "end": 1.0}])
def test_impossible_rates_and_stretches_are_refused_once(wrong) -> None:
    with pytest.raises(RecipeError):
        Options(**wrong)


def test_values_have_the_intervals_of_the_model_that_says_them(demo) -> None:
    widths = demo.header["temporal"]["intervals"]
    for name in BOUNDED:
        value, low, high = (demo[column].astype(np.float64) for column in (name, f"{name}_lo", f"{name}_hi"))
        known = ~np.isnan(value)
        assert known.any()
        assert np.allclose(low[known], np.maximum(value[known] - widths[name], -1), atol=1e-6)
        assert np.allclose(high[known], np.minimum(value[known] + widths[name], 1), atol=1e-6)
