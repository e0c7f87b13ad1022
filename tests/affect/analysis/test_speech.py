"""Speech by Silero VAD: its published file where it is at hand, and a stand-in of the same form everywhere."""

import json

import numpy as np
import pytest

from sentio.affect.analysis import speech, voice
from sentio.affect.analysis.options import Options
from sentio.affect.media import AudioBlock, open_media
from sentio.cli import main
from sentio.core import weights
from sentio.core.errors import RecipeError, WeightsError
from sentio.core.runtime import onnx_session

RATE = 16_000


def naive(path, sound):
    """Each step's probability, by onnxruntime alone: 64 samples of context, 512 new ones, the state handed on."""
    session, state, chances = onnx_session(path.read_bytes()), np.zeros((2, 1, 128), np.float32), []
    padded = np.concatenate([np.zeros(64, np.float32), sound])
    for start in range(0, len(sound) - 511, 512):
        feed = {"input": padded[None, start : start + 576], "state": state, "sr": np.array(RATE, np.int64)}
        chance, state = session.run(None, feed)
        chances.append(chance.item())
    return np.array(chances)


def expected(path, sound, moments):
    """The highest of the steps that end in the half second before each quarter of one."""
    chances = naive(path, sound)
    ends = (np.arange(len(chances)) + 1) * 512
    times = 4000 * (np.arange(moments) + 1)
    return [max(chances[(ends > time - 8000) & (ends <= time)], default=0.0) for time in times]


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A small recurrent model with the inputs and outputs of the published one, taken for a known file."""
    onnx = pytest.importorskip("onnx", reason="needs the dev extra")
    node, tensor = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        node("Abs", ["input"], ["loud"]),
        node("ReduceMean", ["loud"], ["mean"], axes=[1], keepdims=1),  # (1, 1)
        node("ReduceMean", ["input"], ["shift"], axes=[1], keepdims=1),
        node("Mul", ["state", "half"], ["faded"]),
        node("Add", ["faded", "mean"], ["stateN"]),  # (2, 1, 128)
        node("ReduceMean", ["stateN"], ["level"], axes=[0, 1, 2], keepdims=0),
        node("Add", ["level", "shift"], ["both"]),
        node("Sigmoid", ["both"], ["output"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "stand-in",
        [tensor("input", 1, [1, None]), tensor("state", 1, [2, None, 128]), tensor("sr", 7, [])],
        [tensor("output", 1, [1, 1]), tensor("stateN", 1, [2, None, 128])],
        [onnx.numpy_helper.from_array(np.array(0.5, np.float32), "half")],
    )
    path = tmp_path / "silero_vad.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=9), path)
    monkeypatch.setitem(speech.KNOWN, weights.sha256(path), "0")
    return path


@pytest.fixture
def real(shared):
    path = shared / "data/affect/models/silero-vad/silero_vad.onnx"
    if not path.is_file():
        pytest.skip("needs the published silero_vad.onnx beside the checkout")
    return path


def noise(seconds=3.3):
    rng = np.random.default_rng(4)
    return (rng.standard_normal(round(seconds * RATE)) * np.linspace(0, 0.3, round(seconds * RATE))).astype(np.float32)


def scores(path, sound, sizes):
    track, at, found = voice.VoiceTrack(voice.VoiceModel().gated(f"silero:{path}")), 0, []
    for size in sizes:
        found += track.push(AudioBlock(at / RATE, sound[at : at + size]))
        at += size
    return found


@pytest.mark.parametrize("sizes", [(52_800,), (160,) * 330, (1, 511, 513, 4000, 3999, 43_776)])
def test_speech_is_what_the_model_says_step_by_step_however_the_sound_is_cut(stand_in, sizes):
    sound = noise()
    found = scores(stand_in, sound, sizes)
    assert [score.speech for score in found] == expected(stand_in, sound, 13)
    assert len({score.speech for score in found}) == 13


def test_the_rest_is_the_voice_models_own(stand_in):
    sound = noise()
    plain = voice.VoiceTrack(voice.VoiceModel()).push(AudioBlock(0.0, sound))
    for ours, theirs in zip(scores(stand_in, sound, (len(sound),)), plain, strict=True):
        assert (ours.valence is None) == (ours.speech < 0.5)
        assert ours.own_speech in (None, theirs.speech) and ours.loudness == theirs.loudness
        if theirs.valence is not None and ours.valence is not None:
            assert (ours.valence, ours.arousal) == (theirs.valence, theirs.arousal)
            assert (ours.answers == theirs.answers).all()


def test_the_published_file_hears_speech_where_it_is(real, clips):
    with open_media(clips / "talking.mp4") as media:
        sound, _ = media.waveform()
    found = scores(real, sound, (1000,) * (len(sound) // 1000))
    assert [score.speech for score in found] == expected(real, sound[: len(sound) // 1000 * 1000], len(found))
    assert max(score.speech for score in found) > 0.9
    assert max(score.speech for score in scores(real, np.zeros(RATE * 2, np.float32), (RATE * 2,))) < 0.1


def test_a_file_is_read_with_it_and_says_so(stand_in, clips, tmp_path):
    clip = clips / "talking.mp4"
    assert main(["analyze", str(clip), "--out", str(tmp_path / "a"), "--speech", f"silero:{stand_in}", "--formats",
                 "jsonl", "--no-report", "--quiet"]) == 0  # fmt: skip
    folder = tmp_path / "a/talking.mp4.sentio"
    record = json.loads((folder / "run.json").read_text())
    told = record["voice"]["speech"]
    assert (told["name"], told["sha256"]) == ("silero-vad", weights.sha256(stand_in))
    assert record["options"]["speech"] == f"silero:{stand_in}"
    lines = [json.loads(line) for line in (folder / "affect.jsonl").read_text().splitlines()]
    found = {row["speech"] for row in lines if row["speech"] is not None}
    with open_media(clip) as media:
        track = voice.VoiceTrack(voice.VoiceModel().gated(f"silero:{stand_in}"))
        heard = [score.speech for block in media.audio() for score in track.push(block)]
    assert found and found <= {float(np.float32(value)) for value in heard} | set(heard)


def test_what_is_not_known_is_refused_with_the_way_to_it(tmp_path, capsys):
    other = tmp_path / "other.onnx"
    other.write_bytes(b"something else")
    for path, what in ((other, "no known file of Silero VAD"), (tmp_path / "none.onnx", "Cannot read")):
        with pytest.raises(WeightsError, match=what) as caught:
            voice.VoiceModel().gated(f"silero:{path}")
        assert "version 6.2" in str(caught.value) and speech.PLACE in str(caught.value)
    for wrong in ("silero", "silero:", "vad:x"):
        with pytest.raises(RecipeError, match=r"Choose builtin or silero:PATH"):
            Options(speech=wrong)
    assert main(["analyze", "--demo", "--out", str(tmp_path / "out"), "--speech", f"silero:{other}"]) == 1
    assert "no known file" in capsys.readouterr().err and not (tmp_path / "out").exists()
