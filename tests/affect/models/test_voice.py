"""The voice model, its front end and EMO-DB: real sound made by the tests, real utterances where there are."""

import numpy as np
import onnxruntime
import pytest
import torch

import method_data
from sentio.affect.backbones import fingerprint
from sentio.affect.backbones import voice as hearing
from sentio.affect.backbones.encoders import open_encoder
from sentio.affect.backbones.mel import MelFilterBank
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.models import voice
from sentio.affect.synth import noise
from sentio.affect.training import emodb
from sentio.core import export, registry, runs, weights
from sentio.core.config import from_dict
from sentio.core.errors import InputError, RecipeError

TINY = {"channels": [8, 8], "width": 16, "dilations": [1]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("emodb")
    method_data.spoken(root)
    return root


def tiny() -> voice.Voice:
    torch.manual_seed(0)
    return registry.build("voice", TINY).eval()


# --- front end


@pytest.mark.parametrize("samples", [400, 719, 720, 16_000, 48_000])
def test_energies_are_those_of_the_mel_filter_bank(samples):
    torch.manual_seed(samples)
    sound = torch.randn(2, samples) * torch.tensor([[0.3], [0.003]]) + 0.05
    mine = hearing.FrontEnd()(sound)
    other = MelFilterBank(bins=hearing.BINS)(sound)[:, ::2]
    assert mine.shape == (2, 1 + (samples - 400) // 320, hearing.BINS)
    torch.testing.assert_close(mine, other, atol=2e-3, rtol=1e-4)


def test_silence_is_finite_and_flat():
    heard = hearing.normalise(hearing.FrontEnd()(torch.zeros(1, 16_000)))
    assert torch.isfinite(heard).all() and len(heard.unique()) == 1


# --- network


def test_the_encoder_gives_what_the_emotion_comes_from(tmp_path):
    sound = 0.1 * torch.randn(2, 3, 48_000, generator=torch.Generator().manual_seed(2))
    model = tiny()
    with torch.no_grad():
        features = model.encoder(sound)
        assert features.shape == (2, 3, model.encoder.info.dim) and model.encoder.info.rate == 16_000
        torch.testing.assert_close(model.emotion(features[1]), model.hear(sound[1]).emotion)
        weights.save(tmp_path / "voice.safetensors", model)
        opened = open_encoder(str(tmp_path / "voice.safetensors"))
        assert opened.info.provenance == "voice.safetensors" and not opened.training
        assert fingerprint(opened) == fingerprint(model.encoder)
        torch.testing.assert_close(opened(sound), features)


def test_gain_changes_nothing_above_silence():
    sound = 0.1 * torch.randn(1, 48_000, generator=torch.Generator().manual_seed(1))
    model = tiny()
    torch.testing.assert_close(model.hear(sound).emotion, model.hear(sound / 10).emotion, atol=1e-3, rtol=1e-3)


def test_hidden_bands_are_zero_and_the_rest_is_untouched():
    heard = torch.ones(4, 100, 64)
    masked = hearing.mask(heard, 2)
    assert set(masked.unique().tolist()) <= {0.0, 1.0}
    assert (masked == 0).float().mean() < 0.5
    assert torch.equal(hearing.mask(heard, 0), heard)


def test_a_coloured_spectrum_keeps_its_detail_and_its_rhythm():
    energies = torch.randn(3, 50, 64)
    changed = hearing.tilt(energies, 1.5) - energies
    torch.testing.assert_close(changed, changed[:, :1].expand_as(changed), atol=1e-5, rtol=1e-5)  # the same all along
    assert 0.05 < changed.abs().max() <= 1.5 * 1.5 and changed.diff(dim=-1).abs().max() < 0.2


def test_windows_without_speech_teach_no_emotion():
    model = tiny()
    heard = torch.randn(2, 149, 64)
    batch = emodb.SoundBatch(heard, torch.zeros(2, 7), torch.zeros(2, 75))
    terms = model.loss(batch, 0.0)
    assert terms["emotion"] == 0 and terms["affect"] == 0 and terms["cells"] > 0


def test_valence_and_arousal_are_the_expected_place():
    model = tiny()
    sure = torch.eye(7)
    for k, name in enumerate(emodb.EMOTIONS):
        assert model.valence_arousal(sure)[k].tolist() == pytest.approx(emodb.PLACES[name])


def test_rows_that_cannot_be_halved_are_refused():
    with pytest.raises(RecipeError, match="halved"):
        registry.build("voice", {"channels": [4] * 7})


# --- data


def test_the_listeners_table_and_the_names_are_read(folder):
    found = emodb.read(folder)
    assert [each.name for each in found] == sorted(each.name for each in found)
    assert {each.speaker for each in found} == {"03", "08"}
    anger = next(each for each in found if each.name == "03a01Wa")
    assert emodb.EMOTIONS[anger.emotion] == "Anger" and anger.agreement == pytest.approx(0.9)
    assert np.sqrt(np.mean(anger.sound**2)) == pytest.approx(0.06, rel=1e-3)


def test_a_missing_table_or_line_is_told(folder, tmp_path):
    for path in folder.glob("*.wav"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"erkennung\.txt"):
        emodb.read(tmp_path)
    (tmp_path / "erkennung.txt").write_text("Nr.\tSatz\n1\t03a01Wa.wav\t90,00\t80,00\n")
    with pytest.raises(InputError, match="no line"):
        emodb.read(tmp_path)


@pytest.mark.slow
def test_speakers_held_out_are_in_the_validation_alone(folder):
    data = tiny().open_data(folder, {"held_out": ["08"]})
    assert {each.speaker for each in data.validation} == {"08"}
    assert {each.speaker for kind in data.train.classes for each in kind} == {"03"}
    with pytest.raises(InputError, match="99"):
        tiny().open_data(folder, {"held_out": ["99"]})
    with pytest.raises(InputError, match="held out"):
        tiny().open_data(folder, {"held_out": ["03", "08"]})
    with pytest.raises(RecipeError, match="held"):
        tiny().open_data(folder, {"holdout": []})


@pytest.mark.slow
def test_an_item_depends_on_seed_round_and_index_alone(folder):
    one, two = (tiny().open_data(folder, {"rounds": 2}).train for _ in range(2))
    two[3], two[1]
    for index in (0, len(one) - 1):
        for a, b in zip(one[index], two[index], strict=True):
            assert torch.equal(a, b)
    first = one[0][0]
    one.set_epoch(1)
    assert not torch.equal(one[0][0], first)
    one.set_epoch(2)
    assert torch.equal(one[0][0], first)


@pytest.mark.slow
def test_speech_is_marked_where_it_is(folder):
    windows = tiny().open_data(folder, {"clean": 1.0}).train
    for index in range(6):
        sound, emotion, cells = windows.draw(np.random.default_rng(index), index)
        levels = np.sqrt(np.mean(sound.reshape(75, -1) ** 2, 1))
        assert levels[cells == 1].min() > 10 * levels[cells == 0].max(initial=1e-9) or (cells == 1).all()
        assert 0.95 < emotion.sum() < 1.05 and emotion.max() in np.float32([0.8, 0.9, 1.0])
    sound, emotion, cells = windows.draw(np.random.default_rng(0), windows.spoken)
    assert not emotion.any() and not cells.any()


def test_noise_has_its_level_and_inverted_voices_their_mirror_image():
    rng = np.random.default_rng(0)
    for _ in range(20):
        sound = noise.noise(16_000, [np.sin(np.arange(9_000) / 9)], rng)
        assert sound.shape == (16_000,) and np.sqrt(np.mean(sound**2)) == pytest.approx(1)
    low = np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000)
    mirrored = np.abs(np.fft.rfft(noise.inverted([low], 16_000, rng)))
    assert mirrored.argmax() == 7_500


def test_recalls():
    true, found = np.array([0, 0, 1, 1, 1, 6]), np.array([0, 1, 1, 1, 0, 6])
    values = emodb.recalls(found, true)
    assert values[[0, 1, 6]].tolist() == pytest.approx([0.5, 2 / 3, 1.0])
    assert np.isnan(values[2:6]).all()


# --- training and export


@pytest.mark.slow
def test_a_recipe_is_trained_resumed_and_exported(folder, tmp_path):
    plan = from_dict(
        runs.Recipe,
        {"system": "voice", "model": TINY, "fit": {"epochs": 2, "batch_size": 4, "device": "cpu"}},
    )
    best = runs.train(plan, folder, tmp_path / "run")
    (card,) = export.export(best, tmp_path / "made")
    method = weights.load(best).eval()
    module = method.graphs()[0].module.eval()
    session = onnxruntime.InferenceSession(str(tmp_path / "made" / "voice.onnx"))
    for N, S in ((1, 48_000), (3, 20_000), (2, 61_234)):
        sound = torch.randn(N, S, generator=torch.Generator().manual_seed(S)) / 10
        found = session.run(None, {"sound": sound.numpy()})
        with torch.no_grad():
            expected = module(sound)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b.numpy(), atol=1e-4)
    assert card.name == "voice.json" and (tmp_path / "made" / "voice.onnx").stat().st_size < 10e6


def test_the_embedded_weights_are_one_model():
    method = weights.load("voice").eval()
    session = weights.session("voice")
    sound = torch.randn(2, 48_000, generator=torch.Generator().manual_seed(2)) / 20
    with torch.no_grad():
        expected = method.graphs()[0].module.eval()(sound)
    for a, b in zip(session.run(None, {"sound": sound.numpy()}), expected, strict=True):
        np.testing.assert_allclose(a, b.numpy(), atol=1e-4)
    assert sum(value.numel() for value in method.parameters()) < 500_000
    assert weights.card("voice").details["threshold"] == method.config.threshold


def test_the_embedded_model_knows_the_voices_it_was_taught(shared):
    """No measure of its worth (that is on other speakers, by bench/voice.py): only that the file is a trained one."""
    from sentio.affect.analysis.voice import VoiceModel

    model = VoiceModel()
    utterances = emodb.read(shared / "data/affect/speech-emodb")[::8]
    order = [EXPRESSIONS.index(name) for name in emodb.EMOTIONS]
    found = np.array([model.score(each.sound[None]).expression[0, order].argmax() for each in utterances])
    assert np.nanmean(emodb.recalls(found, np.array([each.emotion for each in utterances]))) > 0.8
