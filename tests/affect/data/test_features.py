import dataclasses
import json
import os
import pickle
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from media import steady, tone, write_media
from sentio.affect.backbones import EncoderInfo
from sentio.affect.data import features
from sentio.affect.data.clips import Clip, Crops
from sentio.affect.data.extraction import extract, extract_faces, extract_sound
from sentio.affect.data.features import FeatureStore, SoundSteps
from sentio.affect.data.images import read_image
from sentio.affect.data.items import WindowDataset
from sentio.affect.data.tree import scan
from sentio.affect.data.windows import Windows
from sentio.affect.media import open_media
from sentio.affect.models.crossattn import align
from sentio.affect.models.softprompt import at_frames
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


def test_a_folder_is_looked_through_where_its_stamp_is_not_that_of_the_extraction(tmp_path, folders):
    store = FeatureStore(tmp_path / "store", MeanColour())
    extract_faces(store, folders)
    folder = folders["video1"]
    image = next(folder.glob("*.jpg"))
    image.write_bytes(image.read_bytes() + b"more")  # the folder's stamp stays
    store.open("video1", folder)
    assert not store.is_current("video1", folder)
    os.utime(folder, (0, 0))  # as in a copy
    with pytest.raises(InputError, match="was changed since"):
        store.open("video1", folder)
    os.utime(folders["video3"], (0, 0))
    assert len(store.open("video3", folders["video3"]).times)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="open files are counted in /proc")
def test_a_store_of_many_clips_holds_no_file_open(tmp_path):
    store = FeatureStore(tmp_path / "store", MeanColour())
    told = {"source": "", "start_s": "0.0", "rate": "0.0"}
    for number in range(50):
        store.save(f"clip{number}", np.full((4, 3), number, np.float32), np.arange(4.0), **told)
    fds = Path("/proc/self/fd")
    before = len(list(fds.iterdir()))
    found = [store.open(f"clip{number}") for number in range(50)]
    assert len(list(fds.iterdir())) == before
    assert [features.values[3, 2] for features in found] == list(range(50))
    again = pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(store)) < 20_000 and again.open("clip7").values.tolist() == found[7].values.tolist()


def test_what_is_saved_anew_is_read_anew(tmp_path):
    store = FeatureStore(tmp_path / "store", MeanColour())
    for value in (1, 2):
        store.save("clip", np.full((1, 3), value, np.float32), np.zeros(1), source="", start_s="0.0", rate="0.0")
        assert store.open("clip").values.tolist() == [[value] * 3]


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


STUMBLING = [0.5 + 0.04 * k + (0.5 if k >= 20 else 0) + (0.013 if k % 3 == 0 else 0) for k in range(50)]
"""Times of pictures 27 to 53 ms apart, with a pause of half a second."""


def test_pictures_of_a_varying_rate_keep_their_own_times(tmp_path):
    film = write_media(tmp_path / "film.mkv", times=STUMBLING, sound=tone(3), sound_start=0.7)
    store = FeatureStore(tmp_path / "store", Energy())
    assert extract_sound(store, {"film": film}) == []
    found = store.open("film", film)
    with open_media(film) as media:
        shown = [frame.time_s for frame in media]
    np.testing.assert_allclose(found.pictures, shown, atol=1e-9)
    np.testing.assert_allclose(found.picture_times(np.array([3, 20, 49])), np.array(shown)[[3, 20, 49]])
    beyond = found.picture_times(np.array([-2, 51]))
    np.testing.assert_allclose(beyond, [shown[0] - 2 / found.rate, shown[-1] + 2 / found.rate])


def test_steady_pictures_are_told_by_their_rate(tmp_path):
    film = write_media(tmp_path / "film.mkv", times=steady(50, start=0.5), sound=tone(2), sound_start=0.3)
    store = FeatureStore(tmp_path / "store", Energy())
    extract_sound(store, {"film": film})
    found = store.open("film")
    assert not len(found.pictures)
    np.testing.assert_allclose(found.picture_times(np.arange(50)), found.start_s + np.arange(50) / 25, atol=1e-3)


@pytest.mark.parametrize(
    ("take", "begin_s"), [(partial(align, reach_s=0.03), -0.02), (at_frames, 0.005)], ids=["nearest", "newest"]
)
@pytest.mark.parametrize("start", [0.0, 0.7])
def test_a_beep_is_heard_at_the_pictures_it_sounds_at(tmp_path, start, take, begin_s):
    """Windows over a film of varying rate whose sound begins late: the loud steps lie where the beeps are."""
    sound = np.zeros(3 * 48_000, np.float32)
    beeps = [1.1, 1.52, 2.33]
    for beep in beeps:
        begin = round((beep - start) * 48_000)
        sound[begin : begin + 4_800] = tone(0.1)
    film = write_media(tmp_path / "film.mkv", times=STUMBLING, sound=sound, sound_start=start, sound_codec="pcm_s16le")
    folder = tmp_path / "crops/film"
    folder.mkdir(parents=True)
    for number in range(1, 51):
        cv2.imwrite(str(folder / f"{number:05d}.jpg"), np.zeros((8, 8, 3), np.uint8))
    store = FeatureStore(tmp_path / "store", Energy())
    extract_sound(store, {"film": film})
    clip = Clip(name="film", source="expr", split="train", frames=50, media=film,
                crops=Crops(folder, np.ones(50, bool)))  # fmt: skip
    data = WindowDataset([clip], Windows(length=50, answers="all"), [], sound=store, sound_s=3.0, labelled=False)
    item = data[0]
    values, valid, times, at = (
        torch.from_numpy(item[name])[None] for name in ("audio_feature", "audio_valid", "audio_time_s", "time_s")
    )
    shown = np.array(store.open("film").pictures)
    np.testing.assert_allclose(at[0].numpy(), shown, atol=1e-4)
    heard, there = take(values, valid, times, at)
    loud = heard[0, :, 1].numpy() > 0.05
    distance = np.array([min(max(beep - time, time - beep - 0.1, 0) for beep in beeps) for time in shown])
    assert there[0].tolist() == (shown > start + begin_s).tolist()  # before it begins there is none
    assert loud[distance == 0].mean() > 0.7 and not loud[distance > 0.04].any()
    inside = np.array([any(beep + 0.04 <= time <= beep + 0.08 for beep in beeps) for time in shown])
    assert inside.any() and loud[inside].all()
