"""Published architectures on tiny random snapshots in the real format, against transformers' own processing."""

import os
import shlex
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers

import snapshots
from sentio.affect.backbones import fingerprint
from sentio.affect.backbones import snapshots as reading
from sentio.affect.backbones.encoders import open_encoder, open_face_network, open_text_encoder
from sentio.affect.backbones.mel import MelFilterBank
from sentio.affect.backbones.pretrained import (
    AstEncoder,
    ClipImageEncoder,
    VitEncoder,
    Wav2Vec2Encoder,
    WhisperEncoder,
)
from sentio.core.errors import RecipeError, WeightsError
from snapshots import CLIP_MEAN, CLIP_STD


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def vit(tmp_path):
    return snapshots.write_vit(tmp_path), tmp_path


@pytest.fixture
def clip(tmp_path):
    return snapshots.write_clip(tmp_path), tmp_path


@pytest.fixture
def wav2vec2(tmp_path):
    return snapshots.write_wav2vec2(tmp_path).wav2vec2, tmp_path


@pytest.fixture
def ast(tmp_path):
    return snapshots.write_ast(tmp_path).audio_spectrogram_transformer, tmp_path


@pytest.fixture
def whisper(tmp_path):
    return snapshots.write_whisper(tmp_path).model.encoder, tmp_path


def test_vit_pools_as_asked_and_normalises_as_its_snapshot_says(vit):
    model, folder = vit
    faces = torch.rand(2, 3, 3, 32, 32)
    with torch.no_grad():
        expected = model(pixel_values=(faces.flatten(0, 1) - 0.5) / 0.5)
    tokens = expected.last_hidden_state
    for pooling, vectors in {
        "pooler": expected.pooler_output,
        "class": tokens[:, 0],
        "mean": tokens[:, 1:].mean(1),
    }.items():
        encoder = VitEncoder(str(folder), pooling=pooling)
        torch.testing.assert_close(encoder(faces), vectors.view(2, 3, 16))
    assert encoder(torch.rand(1, 1, 3, 50, 50)).shape == (1, 1, 16)


def test_clip_gives_projected_embeddings_of_pictures(clip, capsys):
    model, folder = clip
    faces = torch.rand(2, 2, 3, 32, 32)
    normalised = (faces.flatten(0, 1) - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(CLIP_STD).view(3, 1, 1)
    capsys.readouterr()
    images = ClipImageEncoder(str(folder))
    assert capsys.readouterr() == ("", "")  # that it holds two networks and old buffers is no news
    with torch.no_grad():
        expected = model.get_image_features(pixel_values=normalised).pooler_output
        torch.testing.assert_close(images(faces), expected.view(2, 2, 12))
    assert images.info.interpolation == "bicubic" and images.info.mean == pytest.approx(CLIP_MEAN)
    assert images.info.dim == 12


def test_wav2vec2_normalises_each_sound_and_knows_its_times(wav2vec2):
    model, folder = wav2vec2
    encoder = Wav2Vec2Encoder(str(folder))
    sound = torch.randn(2, 8000) * torch.tensor([[0.1], [0.5]]) + 0.2
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    inputs = extractor(list(sound.numpy()), sampling_rate=16000, return_tensors="pt").input_values
    with torch.no_grad():
        torch.testing.assert_close(encoder(sound), model(inputs).last_hidden_state, rtol=1e-4, atol=1e-5)
    assert (encoder.info.hop_s, encoder.info.offset_s) == (0.02, 0.0125)  # strides 5 2 2 2 2 2 2, reach 400 samples
    assert encoder(sound).shape[1] == (8000 - 400) // 320 + 1


def test_wav2vec2_vectors_lie_at_their_times(wav2vec2):
    """A change of one stretch of the sound reaches first the convolutional vectors whose times lie in it."""
    _, folder = wav2vec2
    encoder = Wav2Vec2Encoder(str(folder))
    encoder.normalises = False
    sound = torch.randn(1, 16000) * 0.1
    changed = sound.clone()
    changed[:, 8000:8160] = 0
    with torch.no_grad():
        difference = (encoder.model.feature_extractor(sound) - encoder.model.feature_extractor(changed)).abs().sum(1)[0]
    # the first layer's group norm spreads a trace everywhere: take what stands out
    touched = torch.nonzero(difference > 0.2 * difference.max())[:, 0]
    times = encoder.info.offset_s + encoder.info.hop_s * touched
    assert (times > 0.5 - 0.0125 - 0.02).all() and (times < 0.51 + 0.0125 + 0.02).all() and len(times)


def naive_mel(sound, bins):
    """Kaldi's filter bank by its definition: explicit frames, an explicit Fourier sum, explicit triangles."""
    window = [0.5 - 0.5 * np.cos(2 * np.pi * k / 399) for k in range(400)]
    mel = lambda hertz: 1127 * np.log(1 + hertz / 700)  # noqa: E731
    low, high = mel(20.0), mel(8000.0)
    width = (high - low) / (bins + 1)
    angles = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512)
    rows = []
    for start in range(0, len(sound) - 399, 160):
        frame = sound[start : start + 400].astype(np.float64)
        frame = frame - frame.mean()
        emphasised = [frame[0] - 0.97 * frame[0]] + [frame[k] - 0.97 * frame[k - 1] for k in range(1, 400)]
        power = np.abs(angles @ (np.array(emphasised) * window)) ** 2
        row = []
        for b in range(bins):
            total = 0.0
            for k in range(257):
                place = (mel(k * 16000 / 512) - low) / width - b
                total += power[k] * max(0.0, min(place, 2 - place))
            row.append(np.log(max(total, 1.1920929e-07)))
        rows.append(row)
    return np.array(rows)


def test_mel_front_end_is_what_its_definition_computes():
    generator = np.random.default_rng(0)
    sound = (0.3 * np.sin(np.arange(1500) * 0.2) + 0.05 * generator.normal(size=1500) + 0.1).astype("float32")
    sound[1100:] = 0  # silence meets the floor
    for bins in (128, 40):
        found = MelFilterBank(bins=bins)(torch.from_numpy(sound)[None])[0].numpy()
        np.testing.assert_allclose(found, naive_mel(sound, bins), rtol=1e-3, atol=2e-3)
    assert MelFilterBank()(torch.zeros(2, 399)).shape == (2, 0, 128)


@pytest.mark.filterwarnings("ignore:At least one mel filter")
def test_ast_sees_what_the_published_feature_extractor_gives(ast):
    model, folder = ast
    encoder = AstEncoder(str(folder))
    sound = torch.randn(2, 3, 12000) * 0.2
    extractor = transformers.ASTFeatureExtractor.from_pretrained(folder)
    expected = extractor(list(sound.flatten(0, 1).numpy()), sampling_rate=16000, return_tensors="pt").input_values
    torch.testing.assert_close(encoder.spectrogram(sound.flatten(0, 1)), expected, rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        vectors = model(expected).pooler_output.view(2, 3, 16)
    torch.testing.assert_close(encoder(sound), vectors, rtol=1e-2, atol=1e-2)
    assert encoder.spectrogram(torch.randn(1, 30000)).shape == (1, 96, 128)  # cut, where it is too long


def test_whisper_sees_what_the_published_feature_extractor_gives(whisper):
    model, folder = whisper
    encoder = WhisperEncoder(str(folder))
    sound = torch.randn(2, 25_000) * torch.tensor([[0.01], [0.3]])
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
    expected = extractor(list(sound.numpy()), sampling_rate=16000, return_tensors="pt").input_features
    padded = torch.nn.functional.pad(sound, (0, 7000))
    torch.testing.assert_close(encoder.spectrogram(padded), expected, rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        vectors = model(expected).last_hidden_state[:, :79]
        torch.testing.assert_close(encoder(sound), vectors, rtol=1e-2, atol=1e-2)
        longer = encoder(torch.cat([padded, sound], 1))  # in pieces as long as the network knows
        torch.testing.assert_close(longer[:, 100:], vectors, rtol=1e-2, atol=1e-2)
    assert (encoder.info.dim, encoder.info.rate, encoder.info.hop_s, encoder.info.offset_s) == (16, 16000, 0.02, 0.0)
    assert not any("decoder" in name for name, _ in encoder.named_parameters())


def test_whisper_vectors_lie_at_their_times(whisper):
    """A click reaches those states after the two convolutions whose times are near it."""
    encoder = WhisperEncoder(str(whisper[1]))
    quiet = torch.randn(1, 32_000) * 1e-3
    clicked = quiet.clone()
    clicked[:, 16_000:16_016] += 0.001
    states = []
    for sound in (quiet, clicked):
        x = torch.nn.functional.gelu(encoder.model.conv1(encoder.spectrogram(sound)))
        states.append(torch.nn.functional.gelu(encoder.model.conv2(x))[0])  # (D, T)
    difference = (states[0] - states[1]).abs().sum(0)
    touched = torch.nonzero(difference > 1e-3 * difference.max())[:, 0]
    times = encoder.info.offset_s + encoder.info.hop_s * touched
    assert (
        len(times) and (times - 1.0).abs().max() < 0.05 and float((times - 1.0).mean()) == pytest.approx(0, abs=0.011)
    )


def test_the_real_whisper_hears_the_same_in_its_own_words(shared):
    """The published tiny.en: its states are far from those of noise, and as transformers' own pipeline has them."""
    folder = shared / "data/affect/models/whisper-tiny-en"
    if not (folder / "model.safetensors").is_file():
        pytest.skip("needs the snapshot of whisper-tiny.en beside the checkout")
    encoder = open_encoder(f"whisper:{folder}")
    assert encoder.info.dim == 384 and encoder.info.provenance == "whisper-tiny-en"
    assert fingerprint(encoder) == fingerprint(open_encoder(f"whisper:{folder}"))
    sound = 0.3 * torch.sin(torch.arange(48_000) * 0.1) * (torch.arange(48_000) % 8000 < 4000)
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
    expected = extractor(sound.numpy(), sampling_rate=16000, return_tensors="pt").input_features
    with torch.no_grad():
        found = encoder(sound[None])
        states = encoder.model(expected).last_hidden_state[:, :150]
    assert found.shape == (1, 150, 384)
    torch.testing.assert_close(found, states, rtol=1e-2, atol=2e-2)


@pytest.mark.parametrize("kind", ["vit", "clip", "wav2vec2", "ast", "whisper"])
def test_published_snapshots_are_read_as_they_are_and_always_the_same(kind, tmp_path):
    """Heads, other halves and old names included; what is not there (and not used) does not come from chance."""
    getattr(snapshots, f"write_{kind}")(tmp_path)
    assert fingerprint(open_encoder(f"{kind}:{tmp_path}")) == fingerprint(open_encoder(f"{kind}:{tmp_path}"))


@pytest.mark.parametrize("kind", ["vit", "clip", "wav2vec2", "ast", "whisper"])
def test_a_folder_tells_its_own_architecture(kind, tmp_path):
    getattr(snapshots, f"write_{kind}")(tmp_path)
    assert fingerprint(open_encoder(str(tmp_path))) == fingerprint(open_encoder(f"{kind}:{tmp_path}"))
    if kind in ("vit", "clip"):
        assert fingerprint(open_face_network(str(tmp_path))) == fingerprint(open_encoder(str(tmp_path)))
    else:
        with pytest.raises(RecipeError, match="takes sound, and not faces"):
            open_face_network(str(tmp_path))
    if kind == "clip":
        assert open_text_encoder(str(tmp_path))(["ab cd"]).shape == (1, 12)
    else:
        with pytest.raises(RecipeError, match=f"no text encoder '{kind}'"):
            open_text_encoder(str(tmp_path))


def test_a_published_name_alone_is_looked_for_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for opened in (open_encoder, open_face_network, open_text_encoder):
        with pytest.raises(WeightsError, match="hf download openai/clip-vit-base-patch32"):
            opened("openai/clip-vit-base-patch32")


def test_a_folder_that_is_called_as_a_kind_is_not_taken_for_it(clip, tmp_path, monkeypatch):
    (tmp_path / "clip").mkdir()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for opened in (open_encoder, open_face_network, open_text_encoder):
        with pytest.raises(WeightsError, match="hf download openai/clip-vit-base-patch32"):
            opened("clip")


def test_another_architecture_is_named(vit):
    config = vit[1] / "config.json"
    config.write_text(config.read_text().replace('"model_type": "vit"', '"model_type": "bert"'))
    with pytest.raises(WeightsError, match="of the architecture 'bert'"):
        open_encoder(str(vit[1]))
    config.write_text("[]")
    with pytest.raises(WeightsError, match="cannot be read"):
        open_encoder(str(vit[1]))
    with pytest.raises(RecipeError, match="no encoder 'bert'"):
        open_encoder("bert")


def test_wav2vec2_reads_the_old_names_of_its_norm(wav2vec2):
    model, folder = wav2vec2
    encoder = Wav2Vec2Encoder(str(folder))
    theirs, ours = model.state_dict(), encoder.model.state_dict()
    assert theirs.keys() == ours.keys()
    assert [name for name in ours if not torch.equal(theirs[name], ours[name])] == ["masked_spec_embed"]
    assert not ours["masked_spec_embed"].any()


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("wav2vec2", "wav2vec2.encoder.layers.1.final_layer_norm.bias"),
        ("whisper", "model.encoder.conv2.weight"),
        ("clip", "visual_projection.weight"),
        ("ast", "audio_spectrogram_transformer.layernorm.weight"),
        ("vit", "pooler.dense.weight"),
    ],
)
def test_a_weight_that_is_used_must_be_there(kind, missing, tmp_path):
    getattr(snapshots, f"write_{kind}")(tmp_path)
    snapshots.rewrite(tmp_path, lambda tensors: {name: tensors[name] for name in tensors if name != missing})
    with pytest.raises(WeightsError, match=r"has no weight .* \(1 are missing\)"):
        open_encoder(f"{kind}:{tmp_path}")


def test_pretrained_encoders_are_frozen_and_stay_in_eval_mode(vit):
    encoder = open_encoder(f"vit:{vit[1]}")
    encoder.train()
    assert not encoder.training and not encoder.model.training
    assert not any(value.requires_grad for value in encoder.parameters())
    assert fingerprint(encoder) == fingerprint(open_encoder(f"vit:{vit[1]}"))


def test_a_snapshot_that_is_not_here_says_how_to_get_it_and_asks_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="hf download openai/clip-vit-base-patch32"):
        open_encoder("clip")


def test_a_download_without_a_network_says_so(monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(reading, "snapshot_download", fail)
    with pytest.raises(WeightsError, match=r"'some/one' cannot be fetched.*ConnectionError") as caught:
        open_encoder("wav2vec2:some/one", fetch=True)
    assert "on the network" in str(caught.value) and "folder of a snapshot" in str(caught.value)


def test_a_download_happens_only_when_it_is_asked_for(vit, monkeypatch):
    asked = []

    def download(name, *, local_files_only, allow_patterns):
        asked.append((name, local_files_only, allow_patterns))
        return vit[1]

    monkeypatch.setattr(reading, "snapshot_download", download)
    open_encoder("vit")
    assert open_encoder("vit", fetch=True).info.provenance == "google/vit-base-patch16-224-in21k"
    assert [(name, local) for name, local, _ in asked] == [
        ("google/vit-base-patch16-224-in21k", local) for local in (True, False)
    ]
    assert not any("bin" in pattern for _, _, patterns in asked for pattern in patterns)


def test_pickled_weights_are_refused_with_a_command_that_converts_them(wav2vec2):
    folder = wav2vec2[1]
    before = fingerprint(Wav2Vec2Encoder(str(folder)))
    snapshots.pickle(folder)
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin alone") as caught:
        Wav2Vec2Encoder(str(folder))
    command = shlex.split(str(caught.value).partition("Convert it once: ")[2])
    assert command[:2] == ["python", "-c"]
    subprocess.run([sys.executable, *command[1:]], check=True, env=os.environ)
    assert fingerprint(Wav2Vec2Encoder(str(folder))) == before


def test_a_snapshot_without_any_weights_is_refused(vit):
    (vit[1] / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="no safetensors weights"):
        VitEncoder(str(vit[1]))


def test_damaged_and_foreign_snapshots_are_refused(vit, tmp_path):
    folder = vit[1]
    with pytest.raises(WeightsError, match=r"has no weight|cannot be read"):
        Wav2Vec2Encoder(str(folder))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-200])
    with pytest.raises(WeightsError, match="cannot be read"):
        VitEncoder(str(folder))


def test_a_snapshot_without_its_preprocessor_is_refused(vit):
    (vit[1] / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json"):
        VitEncoder(str(vit[1]))


def test_a_pooler_that_the_snapshot_lacks_is_not_made_up(tmp_path):
    snapshots.write_vit(tmp_path, pooler=False)
    VitEncoder(str(tmp_path), pooling="class")
    with pytest.raises(WeightsError, match="has no weight 'pooler"):
        VitEncoder(str(tmp_path))
