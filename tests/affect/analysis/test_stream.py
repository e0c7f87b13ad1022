"""Pushed pictures and sound give the rows of the file, bit for bit, however they are cut and whichever comes first."""

import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import sentio
from sentio.affect.analysis.models import BATCH_FACES, FaceScore, Models, open_models
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.pipeline import analyze
from sentio.affect.analysis.sources import DEMO_CLIP
from sentio.affect.analysis.stream import BATCH_FRAMES, FaceScorer, Stream
from sentio.affect.faces.tracking import FaceFrame
from sentio.affect.media import AudioBlock, open_media
from sentio.affect.table import AFFECT
from sentio.core.errors import InputError

NAMES = [column.name for column in AFFECT.columns]
KINDS = {column.name: column.kind for column in AFFECT.columns}


def whole(rows: list[dict], file: str) -> list[dict]:
    """Every column of every row, in the table's own precision."""

    def value(name, given):
        return float(np.float32(given)) if KINDS[name] == "float32" and given is not None else given

    return [{name: value(name, (row | {"file": file}).get(name)) for name in NAMES} for row in rows]


def pushed(path: Path, options: Options, chunk: int, first: str) -> list[dict]:
    """Rows of a file whose frames are pushed ``chunk`` at a time, between blocks of sound of changing length."""
    with open_media(path, end=options.end) as media:
        frames = list(media)
        sound, origin_s = media.waveform()
    stream = Stream(options, sound=len(sound) > 0)
    sizes = np.random.default_rng(chunk).integers(1, 400 * chunk, len(sound))
    edges = [0, *(edge for edge in np.cumsum(sizes) if edge < len(sound)), len(sound)]
    blocks = [AudioBlock(origin_s + a / 16_000, sound[a:b]) for a, b in pairwise(edges)]
    groups = [frames[k : k + chunk] for k in range(0, len(frames), chunk)]
    portions = {"frames": [*groups, blocks], "sound": [blocks, *groups]}.get(first)
    if portions is None:  # a bit of each in turn
        share = -(-len(blocks) // len(groups))
        portions = [part for k, group in enumerate(groups) for part in (group, blocks[k * share : (k + 1) * share])]
    rows = [row for portion in portions for item in portion for row in stream.push(item)]
    return rows + stream.flush()


CASES = [(1, "both"), (2, "sound"), (7, "frames"), (64, "both")]


@pytest.mark.parametrize(
    ("chunk", "first"), [pytest.param(*case, marks=pytest.mark.slow) if case[0] != 7 else case for case in CASES]
)
def test_the_stream_is_the_file(chunk, first) -> None:
    """With the embedded models on the demo clip: faces that come and go, and a voice."""
    options = Options(detector="builtin", end=5.0)
    rows = whole(pushed(DEMO_CLIP, options, chunk, first), DEMO_CLIP.name)
    expected = analyze(DEMO_CLIP, options=options).arrow.to_pylist()
    assert rows == expected
    assert len({row["valence"] for row in rows}) > 50 and any(row["voice_valence"] is not None for row in rows)


@pytest.mark.parametrize("clip", ["grid_bbaf2n.mpg", "face_noface.mov", "nasa_13013.mp4"])
@pytest.mark.slow
def test_the_stream_is_the_file_on_real_clips(shared, clip) -> None:
    path, options = shared / "data/affect/clips" / clip, Options(detector="builtin", end=3.0)
    expected = analyze(path, options=options).arrow.to_pylist()
    for chunk, first in ((1, "both"), (2, "sound"), (7, "both"), (64, "frames")):
        assert whole(pushed(path, options, chunk, first), path.name) == expected


@pytest.mark.usefixtures("tiny_models")
@pytest.mark.slow
def test_what_is_decided_never_changes_and_nothing_waits_for_long() -> None:
    options = Options(detector="haar", model="face")
    with open_media(DEMO_CLIP) as media:
        frames = list(media)
    stream, given = Stream(options), []
    for number, frame in enumerate(frames):
        given += stream.push(frame)
        assert len(given) >= number + 1 - BATCH_FRAMES - 8
    cut = Stream(options)
    first = [row for frame in frames[:60] for row in cut.push(frame)]
    assert given[: len(first)] == first
    assert len(given + stream.flush()) == len(frames)


@pytest.mark.usefixtures("tiny_models")
def test_rows_wait_for_the_sound_of_their_time_and_no_longer() -> None:
    with open_media(DEMO_CLIP) as media:
        frames, (sound, origin_s) = list(media)[:60], media.waveform()
    stream = Stream(Options(detector="haar", model="face"), sound=True)
    assert [row for frame in frames for row in stream.push(frame)] == []
    rows = stream.push(sound[:16_000], origin_s)
    reached = origin_s + 1.25 if origin_s % 0.25 == 0 else origin_s + 1
    assert rows and all(row["time_s"] < reached for row in rows)
    assert all(row["time_s"] >= rows[-1]["time_s"] for row in stream.push(sound[16_000:32_000], origin_s + 1))


@pytest.mark.usefixtures("tiny_models")
def test_live_rows_wait_for_nothing_and_have_the_newest_score() -> None:
    with open_media(DEMO_CLIP) as media:
        frames = list(media)[:40]
    sound = np.linspace(0, 0.05, 16_000, dtype=np.float32) * np.tile([1, -1], 8_000).astype(np.float32)  # ever louder
    stream = Stream(Options(detector="haar", causal=True), sound=True, live=True)
    early = [stream.push(frame) for frame in frames[:10]]
    assert all(len(rows) == 1 and rows[0].get("speech") is None for rows in early)
    assert stream.push(sound, frames[10].time_s - 0.6) == []
    late = [row for frame in frames[10:] for row in stream.push(frame)]
    scored = [row["frame"] for row in late if row.get("speech") is not None]
    assert len(late) == 30 and scored == list(range(10, 32)), "up to half a second after the last score, of 0.75 s"
    assert len({row["speech"] for row in late[:22]}) > 1
    assert stream.flush() == []


@pytest.mark.usefixtures("tiny_models")
def test_the_public_stream_takes_arrays_with_times() -> None:
    with open_media(DEMO_CLIP) as media:
        pictures = [frame.image for frame in media if frame.index < 12]
    stream = sentio.stream(Options(detector="haar", landmarks=True, crops=True))
    rows = [row for k, picture in enumerate(pictures) for row in stream.push(picture, k / 25)] + stream.flush()
    assert [row["frame"] for row in rows] == list(range(12)) and rows[5]["time_s"] == 0.2
    assert all(row["crop"].shape == (112, 112, 3) and isinstance(row["y_67"], float) for row in rows)
    assert stream.describe()["detector"]["name"] == "haar"


@pytest.mark.usefixtures("tiny_models")
@pytest.mark.parametrize(
    ("item", "time_s", "what"),
    [
        (np.zeros((4, 4), np.uint8), 0.0, "Neither"),
        (np.zeros((4, 4, 3), np.float32), 0.0, "Neither"),
        (np.zeros((4, 4, 3), np.uint8), None, "time"),
        (np.zeros((4, 4, 3), np.uint8), float("nan"), "time"),
        (np.zeros(100, np.float32), 0.0, "without sound"),
    ],
)
def test_what_is_neither_picture_nor_sound_is_refused(item, time_s, what) -> None:
    with pytest.raises(InputError, match=what):
        Stream(Options(detector="haar")).push(item, time_s)


class Recorder:
    """Notes how many faces it gets at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def describe(self):
        return {"name": "recorder"}

    def score(self, faces):
        self.sizes.append(len(faces))
        return [FaceScore({"valence": face}) for _, face in faces]


def test_batches_follow_from_the_order_of_the_faces_alone() -> None:
    random, model = np.random.default_rng(0), Recorder()
    counts = [int(n) for n in random.choice([0, 0, 1, 2, 11], 100)]
    frames, face = [], 0
    for number, count in enumerate(counts):
        frames.append((number, False, FaceFrame(number, number / 25, (9, 9), tuple(range(face, face + count)))))
        face += count
    scorer = FaceScorer(model)
    given = [frame for found in frames for frame in scorer.push(found)] + scorer.flush()
    assert [frame.number for frame in given] == list(range(100))
    assert [score.columns["valence"] for frame in given for score in frame.scores] == list(range(face))
    assert max(model.sizes) == BATCH_FACES and sum(model.sizes) == face
    assert scorer.flush() == []


@pytest.mark.usefixtures("tiny_models")
def test_frames_that_wait_for_sound_take_little_memory() -> None:
    """No pictures of their faces, unless they are asked for."""
    with open_media(DEMO_CLIP) as media:
        frames = list(media)[:60]
    sizes = []
    for crops in (False, True):
        stream = Stream(Options(detector="builtin", model="face", crops=crops), sound=True)
        tracemalloc.start()
        assert not any(stream.push(frame) for frame in frames)
        sizes.append(sum(trace.size for trace in tracemalloc.take_snapshot().traces if trace.size == 112 * 112 * 3))
        tracemalloc.stop()
        assert len(stream.push(np.zeros(48_000, np.float32), 0.0)) > 30
    assert sizes[0] <= 16 * 112 * 112 * 3 < sizes[1]


def test_without_a_model_the_scores_are_empty() -> None:
    scorer = FaceScorer(None)
    frames = [(k, False, FaceFrame(k, k / 25, (9, 9), (k,))) for k in range(20)]
    given = [frame for found in frames for frame in scorer.push(found)] + scorer.flush()
    assert [frame.scores for frame in given] == [(FaceScore({}),)] * 20


@pytest.mark.usefixtures("tiny_models")
def test_sound_alone_has_a_row_for_every_score() -> None:
    stream = Stream(Options(detector="haar"), Models(voice=open_models("face").voice), pictures=False, sound=True)
    rows = stream.push(np.zeros(20_000, np.float32), 0.0) + stream.flush()
    assert [row["time_s"] for row in rows] == [0.25, 0.5, 0.75, 1.0, 1.25]


def test_a_refused_picture_leaves_the_stream_in_step() -> None:
    stream, picture = Stream(Options(detector="haar", model="none")), np.zeros((40, 40, 3), np.uint8)
    rows = stream.push(picture, 0.0)
    with pytest.raises(InputError):
        stream.push(picture, -1.0)
    rows += stream.push(picture, 1.0) + stream.flush()
    assert [(row["frame"], row["time_s"]) for row in rows] == [(0, 0.0), (1, 1.0)]
