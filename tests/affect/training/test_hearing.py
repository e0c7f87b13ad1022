"""Of each video the answers of a voice model that never heard who speaks in it."""

import json

import numpy as np
import pytest
import torch

import method_data
from sentio.affect.analysis.voice import VoiceModel, VoiceTrack
from sentio.affect.heard import ANSWERS, answers
from sentio.affect.media import open_media
from sentio.affect.training.hearing import CrossFitted, HearingConfig, HearingData
from sentio.core import registry, weights
from sentio.core.errors import InputError, RecipeError

WINDOWS = {"length": 16, "hop": 8, "answers": "all", "padding": "mask"}
SMALL = {"channels": [8, 8], "width": 16, "dilations": [1]}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Four videos as ``sentio synth`` leaves them, with the listing that tells who speaks; in the last one nobody."""
    folder = tmp_path_factory.mktemp("set") / "affwild2"
    method_data.drawn(folder)
    names = sorted(path.stem for path in folder.rglob("*.mp4"))
    said = dict(zip(names, (["03a01Fa"], ["08b02Wc", "08a05Na"], ["03b10Ta"], []), strict=True))
    rows = [{"image": f"{name}/00001.jpg", "said": utterances} for name, utterances in said.items()]
    (folder.parent / "faces.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def voice_run(folder, held_out, seed=0):
    """The folder of a training of the voice model, of random weights."""
    torch.manual_seed(seed)
    folder.mkdir()
    weights.save(folder / "best.safetensors", registry.build("voice", SMALL))
    (folder / "recipe.json").write_text(json.dumps({"system": "voice", "model": SMALL, "data": {"held_out": held_out}}))
    return str(folder)


def test_each_video_is_heard_by_a_model_that_left_out_its_speaker(videos, tmp_path):
    trainings = (voice_run(tmp_path / "one", ["03"], 1), voice_run(tmp_path / "two", ["08", "09"], 2))
    config = HearingConfig(
        sets=("va", "expr", "au"), sound_s=2.0, features=str(tmp_path / "store"), voices=trainings
    )  # fmt: skip
    data = HearingData(videos, config)
    names = sorted(path.stem for path in videos.rglob("*.mp4"))
    for name, number in zip(names, (0, 1, 0, 0), strict=True):
        found, own = data.sound.open(name), CrossFitted(tmp_path / "fresh", (trainings[number],))
        path = next(videos.rglob(f"{name}.mp4"))
        own.listen({name: path}, {name: ""})
        np.testing.assert_array_equal(found.values, own.open(name).values)
    assert data.windows(data.clips, data.config.windows)[0]["audio_feature"].shape[1] == ANSWERS


def test_a_model_that_heard_the_speaker_is_refused(videos, tmp_path):
    with pytest.raises(InputError, match="trained on speaker 08, who speaks in .*mp4") as caught:
        HearingData(videos, HearingConfig(sound_s=2.0, voices=(voice_run(tmp_path / "one", ["03"]),)))
    assert "data.held_out" in str(caught.value)
    with pytest.raises(InputError, match="trained on speaker 03"):
        HearingData(videos, HearingConfig(sound_s=2.0))  # the embedded one heard them all


def test_only_voice_models_are_taken(tmp_path):
    (tmp_path / "best.safetensors").parent.mkdir(exist_ok=True)
    (tmp_path / "recipe.json").write_text(json.dumps({"system": "face"}))
    weights.save(tmp_path / "best.safetensors", registry.build("face", {"encoder": "small"}))
    with pytest.raises(RecipeError, match="is a run of face, not of voice"):
        CrossFitted(tmp_path, (str(tmp_path),))


def test_what_is_learnt_from_is_what_is_heard_in_use(tmp_path):
    folder = tmp_path / "affwild2"
    method_data.drawn(folder)
    path = sorted(folder.rglob("*.mp4"))[0]
    store = CrossFitted(tmp_path / "store", ("voice",))
    store.listen({path.stem: path}, {path.stem: ""})
    learnt, track, model = store.open(path.stem), VoiceTrack(VoiceModel()), VoiceModel()
    model.threshold = track.model.threshold = 0.0  # so that every score tells all
    with open_media(path) as media:
        scores = [score for block in media.audio() for score in track.push(block)]
    assert len(scores) > 4
    np.testing.assert_allclose(learnt.times, [score.time_s for score in scores], atol=1e-6)
    expected = [answers([s.speech], [[s.valence, s.arousal]], [s.expression])[0] for s in scores]
    np.testing.assert_allclose(learnt.values, expected, atol=2e-3)
