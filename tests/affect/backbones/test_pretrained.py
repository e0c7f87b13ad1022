"""Published architectures on tiny random snapshots in the real format, against transformers' own processing."""

import json
import socket

import numpy as np
import pytest
import torch
import transformers

from sentio.affect.backbones import fingerprint, pretrained
from sentio.affect.backbones.encoders import open_encoder
from sentio.affect.backbones.mel import MelFilterBank
from sentio.affect.backbones.pretrained import (
    AstEncoder,
    ClipImageEncoder,
    ClipTextEncoder,
    VitEncoder,
    Wav2Vec2Encoder,
)
from sentio.core.errors import WeightsError

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def save(model, folder, preprocessor):
    torch.manual_seed(2)
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.2)
    model.eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return model


@pytest.fixture
def vit(tmp_path):
    model = transformers.ViTModel(transformers.ViTConfig(image_size=32, patch_size=16, **SMALL))
    return save(model, tmp_path, {"size": 32, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2}), tmp_path


@pytest.fixture
def clip(tmp_path):
    text = transformers.CLIPTextConfig(vocab_size=40, max_position_embeddings=16, bos_token_id=38, eos_token_id=39,
                                       pad_token_id=39, projection_dim=12, **SMALL)  # fmt: skip
    vision = transformers.CLIPVisionConfig(image_size=32, patch_size=16, projection_dim=12, **SMALL)
    config = transformers.CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=12)
    letters = "abcdefghijklmnopqr"
    words = [*letters, *(f"{letter}</w>" for letter in letters), "ab</w>", "cd</w>", "<|startoftext|>", "<|endoftext|>"]
    (tmp_path / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b</w>\nc d</w>\n")
    settings = {"size": {"shortest_edge": 32}, "image_mean": CLIP_MEAN, "image_std": CLIP_STD, "resample": 3}
    return save(transformers.CLIPModel(config), tmp_path, settings), tmp_path


@pytest.fixture
def wav2vec2(tmp_path):
    config = transformers.Wav2Vec2Config(conv_dim=(8,) * 7, num_conv_pos_embeddings=16,
                                         num_conv_pos_embedding_groups=2, **SMALL)  # fmt: skip
    settings = {"do_normalize": True, "sampling_rate": 16000, "feature_size": 1, "padding_value": 0.0}
    return save(transformers.Wav2Vec2Model(config), tmp_path, settings), tmp_path


@pytest.fixture
def ast(tmp_path):
    config = transformers.ASTConfig(max_length=96, num_mel_bins=128, **SMALL)
    settings = {"sampling_rate": 16000, "num_mel_bins": 128, "max_length": 96, "mean": -4.2677393, "std": 4.5689974}
    return save(transformers.ASTModel(config), tmp_path, settings), tmp_path


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


def test_clip_gives_projected_embeddings_of_pictures_and_sentences(clip, capsys):
    model, folder = clip
    faces = torch.rand(2, 2, 3, 32, 32)
    normalised = (faces.flatten(0, 1) - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(CLIP_STD).view(3, 1, 1)
    capsys.readouterr()
    images = ClipImageEncoder(str(folder))
    texts = ClipTextEncoder(str(folder))
    assert capsys.readouterr() == ("", "")
    with torch.no_grad():
        expected = model.get_image_features(pixel_values=normalised).pooler_output
        torch.testing.assert_close(images(faces), expected.view(2, 2, 12))
        # start, words, end; the shorter sentence is padded and must not notice
        alone = model.get_text_features(input_ids=torch.tensor([[38, 36, 37, 39]])).pooler_output
        torch.testing.assert_close(texts(["ab cd", "e f g h"])[:1], alone)
    assert texts(["ab cd " * 30]).isfinite().all()  # cut at the 16 places of the network
    assert images.info.interpolation == "bicubic" and images.info.mean == pytest.approx(CLIP_MEAN)
    assert images.info.dim == texts.info.dim == 12


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


def test_a_download_happens_only_when_it_is_asked_for(vit, monkeypatch):
    asked = []

    def download(name, *, local_files_only, allow_patterns):
        asked.append((name, local_files_only, allow_patterns))
        return vit[1]

    monkeypatch.setattr(pretrained, "snapshot_download", download)
    open_encoder("vit")
    assert open_encoder("vit", fetch=True).info.provenance == "google/vit-base-patch16-224-in21k"
    assert [(name, local) for name, local, _ in asked] == [
        ("google/vit-base-patch16-224-in21k", local) for local in (True, False)
    ]
    assert not any("bin" in pattern for _, _, patterns in asked for pattern in patterns)


def test_pickled_weights_are_refused(vit):
    model, folder = vit
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="cannot be read"):
        VitEncoder(str(folder))


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
    model = transformers.ViTModel(
        transformers.ViTConfig(image_size=32, patch_size=16, **SMALL), add_pooling_layer=False
    )
    save(model, tmp_path, {"size": 32, "image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    VitEncoder(str(tmp_path), pooling="class")
    with pytest.raises(WeightsError, match="has no weight 'pooler"):
        VitEncoder(str(tmp_path))
