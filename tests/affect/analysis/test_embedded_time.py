"""The embedded models over time: torch and ONNX say the same through the same tracks, and the stream is the file."""

import numpy as np
import pytest

from sentio.affect.analysis.models import CAUSAL, FACE, HEARING, OVER_TIME, choose, open_models
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.pipeline import analyze
from sentio.affect.analysis.sources import DEMO_CLIP
from sentio.affect.analysis.stream import Stream
from sentio.affect.analysis.temporal import INPUTS, CausalTrack, OfflineTrack, TemporalModel
from sentio.affect.heard import answers
from sentio.affect.media import open_media
from sentio.affect.table import AU_COLUMNS, P_COLUMNS
from sentio.core import weights

NAMES = ("offline", "causal", "capnet", "offline-av", "causal-av")
NOT_CAUSAL = ("offline", "offline-av")
READ = ("valence", "arousal", "expression", *P_COLUMNS, *AU_COLUMNS)


class Torch:
    """The graph of a trained model, as torch has it, in the place of its exported form."""

    def __init__(self, name: str) -> None:
        exported = TemporalModel(name)
        self.names, self.length, self.hop, self.dim = exported.names, exported.length, exported.hop, exported.dim
        self.hears, self.start = exported.hears, exported.start
        (self.graph,) = weights.load(name).eval().graphs()

    def run(self, inputs):
        import torch

        with torch.no_grad():
            found = self.graph.module(*(torch.from_numpy(inputs[key]) for key in self.graph.inputs))
        return {
            key: value.numpy()
            for key, value in zip(self.graph.outputs, found if isinstance(found, tuple) else (found,), strict=True)
        }


def faces(frames: int, dim: int) -> list[np.ndarray | None]:
    """Features that wander, with gaps of half a second and of one and a half."""
    steps = np.random.default_rng(0).normal(size=(frames, dim)).cumsum(0) / np.sqrt(np.arange(1, frames + 1))[:, None]
    missing = {*range(60, 75), *range(200, 245)}
    return [None if k in missing else step.astype(np.float32) for k, step in enumerate(steps)]


def voices(frames: int) -> list[np.ndarray | None]:
    """What a voice says that changes four times a second, and is heard in seven of ten seconds."""
    random = np.random.default_rng(1)
    said = answers(
        random.uniform(0.5, 1, frames), random.uniform(-1, 1, (frames, 2)), random.dirichlet(np.ones(8), frames)
    )
    return [said[k // 8] if k % 100 < 70 else None for k in range(frames)]


SILENT: list[np.ndarray | None] = [None] * 330
HEARD = (SILENT, SILENT, voices(330))


def track(graph, rate: float, heard: list[np.ndarray | None]):
    chosen, moments = OfflineTrack(graph, 1.0) if graph.length else CausalTrack(graph, 1.0), []
    for k, (face, voice) in enumerate(zip(faces(330, graph.dim), heard, strict=True)):
        moments += chosen.push(1 + k / rate, face, None if face is None else voice)
    return moments + chosen.flush()


@pytest.mark.parametrize("rate", [30, 25, 60])
@pytest.mark.parametrize("name", NAMES)
def test_torch_and_onnx_say_the_same(name, rate) -> None:
    pytest.importorskip("torch", reason="needs the train extra")
    graphs = TemporalModel(name), Torch(name)
    pairs = list(zip(*(track(graph, rate, voices(330)) for graph in graphs), strict=True))
    assert len(pairs) == 330
    for one, other in pairs:
        assert one.time_s == other.time_s and (one.values is None) == (other.values is None)
        for key in one.values or {}:
            np.testing.assert_allclose(one.values[key], other.values[key], atol=1e-4)


@pytest.mark.parametrize(("name", "hearing"), HEARING.items())
def test_what_hears_nobody_says_what_the_model_below_says(name, hearing) -> None:
    """To the last bit; and something else where somebody is heard."""
    below, silent, heard = (
        track(TemporalModel(weight), 30, of) for weight, of in zip((name, hearing, hearing), HEARD, strict=True)
    )
    differ = 0
    for one, two, three in zip(below, silent, heard, strict=True):
        assert (one.values is None) == (two.values is None)
        for key in one.values or {}:
            assert np.array_equal(one.values[key], two.values[key]), key
            differ += not np.allclose(one.values[key], three.values[key], atol=1e-3)
    assert differ > 100


@pytest.mark.parametrize("name", NAMES)
def test_a_model_over_time_stands_on_the_embedded_face_model(name) -> None:
    model = TemporalModel(name)
    assert set(INPUTS) <= model.card.inputs.keys() and model.is_causal == (name not in NOT_CAUSAL)
    assert model.hears == (name in HEARING.values())
    assert all(weights.promised(place) == sha256 for place, sha256 in model.card.details["stands_on"].items())
    assert sum(file.bytes for file in model.card.files.values()) < 10e6
    assert all(file.bytes <= 5e6 for file in model.card.files.values())
    assert model.card.scores and model.card.command and model.card.training_data


def test_what_is_chosen_follows_from_time_and_causality() -> None:
    assert choose("auto") == OVER_TIME and choose("auto", causal=True) == CAUSAL
    assert choose("auto", sound=True) == HEARING[OVER_TIME]
    assert choose("auto", causal=True, sound=True) == HEARING[CAUSAL]
    assert (
        choose("auto", timed=False, sound=True)
        == choose("auto", timed=False)
        == choose("auto", timed=False, causal=True)
        == FACE
    )
    assert choose("capnet", timed=False) == "capnet"
    assert open_models("auto", causal=True).temporal is None or open_models("auto", causal=True).temporal.is_causal


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_the_stream_is_the_file_in_any_portions(name) -> None:
    """With the embedded weights, to the last bit."""
    options = Options(detector="builtin", model=name, causal=name not in NOT_CAUSAL, end=4.5)
    expected = analyze(DEMO_CLIP, options=options)
    with open_media(DEMO_CLIP, end=4.5) as media:
        frames, (sound, origin_s) = list(media), media.waveform()
    whole = expected.arrow.select(["person", "frame", "reason", *READ]).to_pylist()
    assert len({row["valence"] for row in whole}) > 50
    for chunk in (1, 2, 7, 64):
        stream = Stream(options, sound=True)
        rows = stream.push(sound, origin_s)
        for k in range(0, len(frames), chunk):
            rows += [row for frame in frames[k : k + chunk] for row in stream.push(frame)]
        plain = [{key: row.get(key) for key in whole[0]} for row in rows + stream.flush()]
        for row in plain:
            row |= {key: float(np.float32(row[key])) for key in READ if isinstance(row[key], float)}
        assert plain == whole
