import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from sentio.affect.backbones import EncoderInfo
from sentio.affect.data import features
from sentio.affect.data.extraction import extract, extract_faces, extract_sound
from sentio.affect.data.features import FeatureStore, SoundSteps
from sentio.affect.data.images import read_image
from sentio.affect.data.tree import scan
from sentio.affect.media import open_media
from sentio.core.errors import InputError


class MeanColour(nn.Module):
    """Face -> its mean colour, scaled."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.info = EncoderInfo(name="colour", dim=3, licence="none", provenance="test")
        self.calls = 0

    def forward(self, faces):
        self.calls += 1
        return faces.mean((3, 4)) * self.scale


class Energy(nn.Module):
    """Sound -> mean and mean square of each 20 ms."""

    def __init__(self, hop_s=0.02):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.info = EncoderInfo(
            name="energy", dim=2, licence="none", provenance="test", rate=16_000, hop_s=hop_s, offset_s=0.01
        )

    def forward(self, sound):
        parts = sound[:, : sound.shape[1] // 320 * 320].reshape(len(sound), -1, 320)
        return torch.stack([parts.mean(-1), (parts**2).mean(-1)], -1)


class Stretch(nn.Module):
    """Stretches of sound (B, T, S) -> mean and length of each."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.info = EncoderInfo(name="stretch", dim=2, licence="none", provenance="test", rate=16_000)

    def forward(self, sound):
        return torch.stack([sound.mean(-1), torch.full(sound.shape[:2], float(sound.shape[-1]))], -1)


@pytest.fixture
def folders(copy):
    return scan(copy).crops


@pytest.mark.slow
def test_every_crop_has_its_features(tmp_path, folders):
    store = FeatureStore(tmp_path / "store", MeanColour())
    assert extract_faces(store, folders) == []
    for name, folder in folders.items():
        found = store.open(name, folder)
        files = sorted(folder.glob("*.jpg"))
        assert found.times.tolist() == [int(file.stem) - 1 for file in files]
        expected = [read_image(file).mean((0, 1)) / 255 for file in files]
        np.testing.assert_allclose(found.values, expected, atol=1e-6)


def test_extraction_goes_on_where_it_was_broken_off(tmp_path, folders):
    class Breaking(MeanColour):
        def forward(self, faces):
            if self.calls == 7:  # three batches a clip
                raise KeyboardInterrupt
            return super().forward(faces)

    with pytest.raises(KeyboardInterrupt):
        extract_faces(FeatureStore(tmp_path / "store", Breaking()), folders)
    encoder = MeanColour()
    store = FeatureStore(tmp_path / "store", encoder)
    done = {path.stem: path.stat().st_mtime_ns for path in store.folder.iterdir()}
    assert done and len(done) < len(folders) and not list(store.folder.glob("*.part"))
    extract_faces(store, folders)
    assert len(done) == 2 and encoder.calls == 3 * (len(folders) - len(done))
    assert all((store.path(name)).stat().st_mtime_ns == stamp for name, stamp in done.items())


def test_extract_takes_faces_or_sound_as_the_encoder_wants(tmp_path, copy):
    faces, sound = FeatureStore(tmp_path / "store", MeanColour()), FeatureStore(tmp_path / "store", Energy())
    assert extract(copy, faces) == extract(copy, sound) == []
    assert {path.stem for path in faces.folder.iterdir()} == set(scan(copy).crops)
    assert {path.stem for path in sound.folder.iterdir()} == set(scan(copy).media)
    for path in (copy / "batch1").iterdir():
        path.unlink()
    for path in (copy / "batch2").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="holds no videos"):
        extract(copy, sound)


def test_two_encoders_do_not_mix(tmp_path, folders):
    first, second = (FeatureStore(tmp_path / "store", MeanColour(scale)) for scale in (1.0, 2.0))
    assert first.folder != second.folder
    extract_faces(first, folders)
    with pytest.raises(InputError, match="There are no colour features of video1"):
        second.open("video1", folders["video1"])
    second.folder.mkdir()
    first.path("video1").rename(second.path("video1"))
    with pytest.raises(InputError, match="another encoder"):
        second.open("video1", folders["video1"])


def test_another_way_of_leading_the_encoder_is_another_key(tmp_path):
    stores = [FeatureStore(tmp_path, Stretch(), SoundSteps(stretch_s=s)) for s in (2.0, 4.0)]
    assert stores[0].key != stores[1].key


def test_a_changed_crop_folder_is_noticed_and_done_again(tmp_path, folders):
    store = FeatureStore(tmp_path / "store", MeanColour())
    extract_faces(store, folders)
    folder = folders["video1"]
    gone = sorted(folder.glob("*.jpg"))[3]
    gone.unlink()
    with pytest.raises(InputError, match="was changed since"):
        store.open("video1", folder)
    extract_faces(store, folders)
    assert int(gone.stem) - 1 not in store.open("video1", folder).times


def test_an_image_that_does_not_decode_is_left_out_and_reported(tmp_path, folders):
    spoilt = sorted(folders["video1"].glob("*.jpg"))[5]
    spoilt.write_bytes(b"spoilt")
    store = FeatureStore(tmp_path / "store", MeanColour())
    [problem] = extract_faces(store, folders)
    assert problem.path == spoilt
    found = store.open("video1", folders["video1"])
    assert int(spoilt.stem) - 1 not in found.times and len(found.times) == len(found.values) > 100


def test_a_folder_without_any_good_image_has_no_features(tmp_path, folders):
    for path in folders["video1"].glob("*.jpg"):
        path.write_bytes(b"")
    store = FeatureStore(tmp_path / "store", MeanColour())
    extract_faces(store, {"video1": folders["video1"]})
    assert store.open("video1").values.shape == (0, 3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b"\x80\x04\x95pickle or anything"),
        lambda path: save_file(load_file(path), path),
        lambda path: save_file({"values": np.zeros(3, np.int8)}, path, {"format": features.FORMAT}),
    ],
)
def test_damaged_files_are_refused(tmp_path, folders, spoil):
    store = FeatureStore(tmp_path / "store", MeanColour())
    extract_faces(store, {"video1": folders["video1"]})
    spoil(store.path("video1"))
    with pytest.raises(InputError, match="no feature file, or damaged"):
        store.open("video1", folders["video1"])
    assert not store.is_current("video1", folders["video1"])


def test_the_header_tells_the_encoder(tmp_path, folders):
    store = FeatureStore(tmp_path / "store", MeanColour())
    extract_faces(store, {"video1": folders["video1"]})
    raw = store.path("video1").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]
    assert json.loads(header["encoder"])["name"] == "colour" and header["key"] == store.key


# sound


def test_sound_in_chunks_equals_sound_at_once(tmp_path, copy):
    videos = scan(copy).media
    encoder = Energy()
    whole = FeatureStore(tmp_path / "a", encoder, SoundSteps(chunk_s=100))
    chunks = FeatureStore(tmp_path / "b", encoder, SoundSteps(chunk_s=1.0, context_s=0.2))
    assert extract_sound(whole, videos) == extract_sound(chunks, videos) == []
    with open_media(videos["video1"]) as media:
        samples, start_s = media.waveform()
    one, many = whole.open("video1", videos["video1"]), chunks.open("video1", videos["video1"])
    np.testing.assert_allclose(one.values, encoder(torch.from_numpy(samples)[None])[0].detach(), atol=1e-7)
    np.testing.assert_allclose(one.times, start_s + 0.01 + 0.02 * np.arange(len(one.times)))
    np.testing.assert_allclose(many.times, one.times, atol=1e-9)
    np.testing.assert_allclose(many.values, one.values, atol=1e-6)
    assert one.rate == pytest.approx(30, abs=0.01)


def test_stretches_end_at_their_time_and_see_nothing_later(tmp_path, copy):
    videos = scan(copy).media
    store = FeatureStore(tmp_path / "a", Stretch(), SoundSteps(stretch_s=1.0, hop_s=0.5))
    extract_sound(store, videos)
    found = store.open("video1", videos["video1"])
    with open_media(videos["video1"]) as media:
        samples, start_s = media.waveform()
    assert (found.values[:, 1] == 16_000).all()
    for value, time in zip(found.values[:, 0], found.times, strict=True):
        end = round((time - start_s) * 16_000)
        before = samples[max(end - 16_000, 0) : end]
        assert value == pytest.approx(before.sum() / 16_000, abs=1e-6)


def test_a_video_without_sound_or_that_cannot_be_opened(tmp_path, copy):
    videos = scan(copy).media
    videos["video3"].write_bytes(b"no video")
    store = FeatureStore(tmp_path / "a", Energy())
    [problem] = extract_sound(store, videos)
    assert problem.level == "error" and problem.path == videos["video3"]
    assert store.is_current("video1", videos["video1"])


def test_info_is_part_of_the_key(tmp_path):
    encoder, other = MeanColour(), MeanColour()
    other.info = dataclasses.replace(other.info, mean=(0.5, 0.5, 0.5))
    assert FeatureStore(tmp_path, encoder).key != FeatureStore(tmp_path, other).key
