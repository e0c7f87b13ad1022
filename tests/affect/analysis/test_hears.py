"""A model over time that hears, in the whole stream: file, stream and live give the same, whatever the sound is like.

The face and the voice are those of the package, on a clip of somebody who talks; the model over time is a small random
one that changes its answers when a voice is heard.
"""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

import tiny_models
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.pipeline import analyze
from sentio.affect.analysis.stream import Stream
from sentio.affect.heard import ANSWERS
from sentio.affect.media import SAMPLE_RATE, AudioBlock, Frame, open_media
from sentio.affect.table import AFFECT, P_COLUMNS
from sentio.core.errors import WeightsError

NAMES = [column.name for column in AFFECT.columns]
KINDS = {column.name: column.kind for column in AFFECT.columns}
STEADY = np.arange(75) / 25
UNEVEN = np.round(STEADY + np.random.default_rng(0).uniform(0, 0.03, 75), 3)
FILMS = {
    "as it is": {},
    "uneven times": {"times": UNEVEN},
    "sound that begins late": {"begin": 0.4},
    "sound that ends early": {"count": 20_000},
    "sound that goes on": {"longer": 16_000},
    "no sound": {"count": 0},
}


@pytest.fixture(scope="module")
def films(clips, tmp_path_factory) -> dict[str, Path]:
    """The clip with other times and other sound, each without loss."""
    folder = tmp_path_factory.mktemp("films")
    with open_media(clips / "talking.mp4") as media:
        pictures, (sound, _) = [frame.image for frame in media], media.waveform()
    return {name: write(folder / f"{name}.mkv", pictures, sound, **changes) for name, changes in FILMS.items()}


def write(path, pictures, sound, *, times=STEADY, begin=0.0, count=None, longer=0) -> Path:
    sound = np.concatenate([sound[:count], sound[:longer]])
    with av.open(str(path), "w") as file:
        video = file.add_stream("ffv1", rate=25)
        audio = file.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono") if len(sound) else None
        video.height, video.width, video.pix_fmt = *pictures[0].shape[:2], "bgr0"
        video.codec_context.time_base = Fraction(1, 1000)
        for time_s, picture in zip(times, pictures, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
        if audio is not None:
            block = av.AudioFrame.from_ndarray((np.clip(sound, -1, 1)[None] * 32_767).astype(np.int16), layout="mono")
            block.sample_rate, block.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
            block.pts = round(begin * SAMPLE_RATE)
            file.mux([*audio.encode(block), *audio.encode(None)])
    return path


@pytest.fixture(scope="module")
def cards(tmp_path_factory) -> dict[bool, str]:
    """Of models that hear, by whether they are causal."""
    folder = tmp_path_factory.mktemp("cards")
    return {
        causal: str(tiny_models.write_temporal(folder, f"mine{causal}", causal=causal, features=256, hears=True))
        for causal in (False, True)
    }


def options(cards, causal: bool) -> Options:
    return Options(detector="builtin", model=cards[causal], causal=causal)


def whole(rows: list[dict], file: str) -> list[dict]:
    """Every column of every row, in the table's own precision."""

    def value(name, given):
        return float(np.float32(given)) if KINDS[name] == "float32" and given is not None else given

    return [{name: value(name, (row | {"file": file}).get(name)) for name in NAMES} for row in rows]


def pushed(path: Path, asked: Options, chunk: int, first: str) -> list[dict]:
    """Rows of a film whose frames are pushed ``chunk`` at a time, between blocks of sound of changing length."""
    with open_media(path) as media:
        frames, (sound, origin_s) = list(media), media.waveform()
    sizes = np.random.default_rng(chunk).integers(1, 400 * chunk, len(sound))
    edges = [0, *(edge for edge in np.cumsum(sizes) if edge < len(sound)), len(sound)]
    blocks = [AudioBlock(origin_s + a / SAMPLE_RATE, sound[a:b]) for a, b in pairwise(edges) if b > a]
    groups = [frames[k : k + chunk] for k in range(0, len(frames), chunk)]
    share = -(-len(blocks) // len(groups))
    portions = {
        "frames": [*groups, blocks],
        "sound": [blocks, *groups],
        "both": [part for k, group in enumerate(groups) for part in (group, blocks[k * share : (k + 1) * share])],
    }[first]
    stream = Stream(asked, sound=len(sound) > 0)
    rows = [row for portion in portions for item in portion for row in stream.push(item)]
    return rows + stream.flush()


@pytest.mark.parametrize(
    ("name", "chunk", "first", "causal"),
    [
        ("as it is", 1, "both", True),
        ("as it is", 64, "sound", False),
        pytest.param("uneven times", 7, "both", False, marks=pytest.mark.slow),
        pytest.param("sound that begins late", 64, "sound", True, marks=pytest.mark.slow),
        pytest.param("sound that ends early", 2, "both", False, marks=pytest.mark.slow),
        pytest.param("sound that goes on", 7, "frames", True, marks=pytest.mark.slow),
        ("no sound", 2, "frames", False),
    ],
)
def test_the_stream_is_the_file(films, cards, name, chunk, first, causal) -> None:
    """To the last bit."""
    asked = options(cards, causal)
    expected = analyze(films[name], options=asked)
    assert whole(pushed(films[name], asked, chunk, first), films[name].name) == expected.arrow.to_pylist()
    told = expected.arrow.to_pylist()
    assert any(row["modality"] == "both" for row in told) == (name != "no sound")
    assert expected.header["temporal"]["hears"] == "voice"


@pytest.mark.parametrize("causal", [False, True])
def test_what_is_heard_changes_what_is_said_of_the_one_who_speaks(films, cards, causal) -> None:
    with_sound, without = (
        analyze(films[name], options=options(cards, causal)).arrow.to_pylist() for name in ("as it is", "no sound")
    )
    both = [row["modality"] == "both" for row in with_sound]
    assert 20 < sum(both) < 70
    assert all(row["speaking"] >= 0.5 and row["voice_expression"] for row in with_sound if row["modality"] == "both")
    pairs = zip(with_sound, without, strict=True)
    differs = [any(one[column] != other[column] for column in P_COLUMNS) for one, other in pairs]
    if causal:
        assert differs == both, "this model hears frame by frame"
    else:
        assert np.mean(np.array(differs)[both]) > 0.9


def test_causal_rows_rest_on_nothing_that_comes_later(films, cards) -> None:
    """Neither on pictures nor on sound: with another end of both the rows before are the same."""
    asked = options(cards, True)
    with open_media(films["as it is"]) as media:
        frames, (sound, origin_s) = list(media), media.waveform()
    cut = round((1.5 - origin_s) * SAMPLE_RATE)
    noise = np.random.default_rng(0).normal(0, 0.1, len(sound) - cut).astype(np.float32)
    dark = [Frame(f.index, f.time_s, f.size, lambda _: np.zeros((240, 320, 3), np.uint8)) for f in frames]
    rows = []
    for heard, seen in ((sound, frames), (np.concatenate([sound[:cut], noise]), dark)):
        stream = Stream(asked, sound=True)
        found = stream.push(heard, origin_s)
        for own, other in zip(frames, seen, strict=True):
            found += stream.push(own if own.time_s < 1.5 else other)
        rows.append([row for row in found if row["time_s"] < 1.5])
        assert found != rows[-1]
    assert rows[0] == rows[1] and any(row["modality"] == "both" for row in rows[0])


def test_live_rows_are_those_of_the_file_while_the_sound_is_ahead(films, cards) -> None:
    """And wait for no sound: each picture is answered at once, with the newest score that there is."""
    asked = options(cards, True)
    expected = analyze(films["as it is"], options=asked).arrow.to_pylist()
    with open_media(films["as it is"]) as media:
        frames, (sound, origin_s) = list(media), media.waveform()
    ahead, late, given = Stream(asked, sound=True, live=True), Stream(asked, sound=True, live=True), 0
    rows, others = [], []
    for frame in frames:
        upto = round((frame.time_s - origin_s) * SAMPLE_RATE)
        if upto > given:
            block, given = AudioBlock(origin_s + given / SAMPLE_RATE, sound[given:upto]), upto
            assert ahead.push(block) == []
        rows += ahead.push(frame)
        others += late.push(frame)
        assert len(rows) == len(others) == frame.index + 1
        if upto >= SAMPLE_RATE:  # of the other one the sound comes a second late
            start = max(0, upto - SAMPLE_RATE - 640)
            late.push(AudioBlock(origin_s + start / SAMPLE_RATE, sound[start : upto - SAMPLE_RATE]))
    assert whole(rows, expected[0]["file"]) == expected
    assert "both" not in {row["modality"] for row in others}, "what is older than half a second is not what is heard"


@pytest.mark.parametrize("change", [{"voice": [1, ANSWERS + 1]}, {"voice": None}])
def test_a_card_of_another_voice_is_refused(tmp_path, monkeypatch, change) -> None:
    own = tiny_models._write

    def write_other(folder, file, nodes, constants, inputs, outputs, **given):
        promised = {key: shape for key, shape in (inputs | change).items() if shape is not None}
        return own(folder, file, nodes, constants, inputs, outputs, promised=promised, **given)

    monkeypatch.setattr(tiny_models, "_write", write_other)
    card = tiny_models.write_temporal(tmp_path, "other", causal=True, hears=True, features=256)
    with pytest.raises(WeightsError):
        Stream(Options(detector="haar", model=str(card), causal=True))
