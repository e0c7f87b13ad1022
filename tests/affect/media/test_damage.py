"""Damaged files: what is lost, what is told, and that nothing hangs or crashes."""

import json
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media import burst, number_in, picture, steady, tone, write_media
from sentio.affect.media import Damage, Gap, MediaError, open_media

COUNT = 240


def read(path):
    media = open_media(path)
    frames = list(media)
    times = [frame.time_s for frame in frames]
    assert all(earlier < later for earlier, later in pairwise(times))
    return frames, media.damage


def noisy_clip(path: Path, **options) -> Path:
    """About a megabyte of moving noise, so that 20 kB are a few frames."""
    rng = np.random.default_rng(0)
    still = rng.integers(0, 255, (300, 400, 3), np.uint8)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30, options={"crf": "24", "preset": "veryfast", **options})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.gop_size = 12
        for number in range(COUNT):
            image = picture(number, 320, 240)
            image[80:120] = np.roll(still, number * 5, axis=1)[:40, :320]
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return noisy_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


def test_a_burst_loses_only_itself(clip, tmp_path):
    damaged = tmp_path / "burst.mp4"
    damaged.write_bytes(clip.read_bytes())
    burst(damaged)
    frames, damage = read(damaged)
    share = 20_000 / clip.stat().st_size
    assert len(frames) > COUNT * (1 - share) - 24  # the burst, and at most the groups of pictures it touches
    assert damage.packets > 0
    assert len(frames) + damage.frames_lost == COUNT
    assert damage.seconds_lost == pytest.approx(damage.frames_lost / 30, abs=0.002)
    for gap in damage.gaps:
        assert not any(gap.start_s <= frame.time_s < gap.end_s - 1e-6 for frame in frames)
    for frame in frames:
        if not frame.doubtful:
            assert number_in(frame.image) == round(frame.time_s * 30)
    plain = sum(1 for _ in plain_loop(damaged))
    assert plain < len(frames)


def plain_loop(path: Path) -> Iterator[object]:
    with av.open(str(path)) as container:
        try:
            yield from container.decode(video=0)
        except av.FFmpegError:
            return


@pytest.mark.parametrize("suffix", ["mkv", "mov", "ts", "flv", "webm", "mpg", "avi"])
@pytest.mark.slow
def test_shown_and_lost_add_up(tmp_path, suffix):
    codec = {"webm": "libvpx", "mpg": "mpeg1video", "avi": "mpeg4"}.get(suffix, "libx264")
    base = Fraction(1, 30) if suffix in ("mpg", "avi") else Fraction(1, 90_000)
    path = tmp_path / f"clip.{suffix}"
    write_media(path, times=steady(COUNT, 30), rate=30, size=(320, 240), codec=codec, time_base=base)
    burst(path, size=path.stat().st_size // 12)
    frames, damage = read(path)
    assert COUNT // 2 < len(frames) < COUNT
    assert len(frames) + damage.frames_lost == pytest.approx(COUNT, abs=2)
    if suffix != "ts":  # its stamps lie among the damaged bytes
        assert damage.stamps_repaired == 0  # a picture that comes late is dropped, not moved to another time


@pytest.mark.parametrize("suffix", ["mkv", "flv"])
def test_a_file_cut_in_half_tells_what_is_missing(tmp_path, suffix):
    path = write_media(tmp_path / f"clip.{suffix}", times=steady(100), size=(320, 240), sound=tone(4))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, damage = read(path)
    assert 30 < len(frames) < 70
    assert [number_in(frame.image) for frame in frames] == list(range(len(frames)))
    assert len(frames) + damage.frames_lost == pytest.approx(100, abs=4)
    assert damage.gaps[-1].end_s == pytest.approx(4, abs=0.15)  # Flash starts late by the encoder's delay


def test_a_cut_mp4_with_its_index_at_the_front_plays_as_far_as_it_goes(tmp_path):
    path = tmp_path / "clip.mp4"
    write_media(path, times=steady(100), size=(320, 240), container={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, damage = read(path)
    assert 20 < len(frames) < 80
    assert len(frames) + damage.frames_lost == 100


def test_a_short_picture_track_is_no_damage(tmp_path):
    path = write_media(tmp_path / "clip.mkv", times=steady(25), sound=tone(4))
    frames, damage = read(path)
    assert (len(frames), bool(damage)) == (25, False)


def test_the_report_reads_well():
    damage = Damage()
    assert str(damage) == "no damage"
    damage.add_gap(1.0, 1.5, 15)
    damage.add_gap(1.5, 2.0, 15)
    damage.packets = 3
    assert damage.gaps == [Gap(1.0, 2.0)]
    assert str(damage) == "3 unreadable packets; about 30 frames, 1.000 s missing (1.000-2.000 s)"


def test_damaged_sound_keeps_its_place(tmp_path):
    rate = 16_000
    sound = tone(8, rate, hertz=300)
    path = write_media(tmp_path / "clip.mkv", sound=sound, sound_rate=rate, sound_codec="flac")
    burst(path, at=0.5, size=path.stat().st_size // 10)
    media = open_media(path)
    samples, _ = media.waveform()
    assert media.audio_damage.seconds_lost > 0.2
    assert abs(len(samples) - len(sound)) < 1600
    heard = np.abs(samples - sound[: len(samples)]) < 1e-3  # silence is wrong except at zero crossings
    assert heard[: rate * 3].all()
    assert heard[-rate * 3 :].all()
    assert (~heard).mean() * len(samples) / rate < media.audio_damage.seconds_lost + 0.2  # and a packet on either side


# Random damage, read in a process of its own that is watched from here

READER = """
import json, sys
from sentio.affect.media import MediaError, open_media
for line in sys.stdin:
    try:
        with open_media(line.rstrip("\\n")) as media:
            times = []
            for frame in media:
                times.append(frame.time_s)
                image = frame.image if frame.index % 5 else frame.scaled(40)
                assert image.dtype == "uint8" and image.shape[2] == 3
            sound = sum(len(block.samples) for block in media.audio())
            told = {"frames": len(times), "rising": all(a < b for a, b in zip(times, times[1:])),
                    "sound": sound, "damage": str(media.damage)}
    except MediaError as error:
        told = {"error": error.what}
    print(json.dumps(told), flush=True)
"""
LIMIT_S = 20


class Watched:
    """A child process that reads media files, one path a line."""

    def __init__(self, errors: Path) -> None:
        self.errors = errors
        self.start()

    def start(self) -> None:
        self.log = self.errors.open("wb")
        self.child = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", READER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def read(self, path: Path) -> dict:
        self.child.stdin.write(f"{path}\n")
        self.child.stdin.flush()
        ready, _, _ = select.select([self.child.stdout], [], [], LIMIT_S)
        line = self.child.stdout.readline() if ready else ""
        if not line:
            why = "died" if ready else "hangs"
            self.stop()
            told = self.errors.read_text()[-2000:]
            self.start()
            pytest.fail(f"the reader {why} on {path}: {told}")
        return json.loads(line)

    def stop(self) -> None:
        self.child.kill()
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()
        self.log.close()


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    watched = Watched(tmp_path_factory.mktemp("reader") / "stderr.txt")
    yield watched
    watched.stop()


@cache
def samples() -> dict[str, bytes]:
    folder = Path(tempfile.mkdtemp())
    kinds = {
        "mp4": {"rotation": 90},
        "mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
        "mkv": {"codec": "mpeg4", "time_base": Fraction(1, 25)},
        "avi": {"codec": "mpeg4", "time_base": Fraction(1, 25), "sound_codec": "libmp3lame"},
        "mpg": {"codec": "mpeg1video", "time_base": Fraction(1, 25), "sound_codec": "mp2"},
        "ts": {"codec": "mpeg2video", "time_base": Fraction(1, 25)},
        "webm": {"codec": "libvpx", "sound_codec": "libopus"},
        "gif": {"codec": "gif", "pix_fmt": "rgb8", "time_base": Fraction(1, 100)},
    }
    files = {}
    for suffix, options in kinds.items():
        sound = None if suffix == "gif" else tone(0.4)
        path = write_media(folder / f"clip.{suffix}", **{"times": steady(10), "sound": sound, **options})
        files[suffix] = path.read_bytes()
    for suffix in ("png", "jpg", "tiff", "webp"):
        files[suffix] = cv2.imencode(f".{suffix}", picture(5)[..., ::-1])[1].tobytes()
    files["wav"] = write_media(folder / "tone.wav", sound=tone(0.3), sound_codec="pcm_s16le").read_bytes()
    shutil.rmtree(folder)
    return files


KINDS = ["mp4", "mov", "mkv", "avi", "mpg", "ts", "webm", "gif", "png", "jpg", "tiff", "webp", "wav"]


@pytest.mark.parametrize("kind", KINDS)
def test_whole_samples_are_whole(kind, reader, tmp_path):
    path = tmp_path / f"whole.{kind}"
    path.write_bytes(samples()[kind])
    told = reader.read(path)
    assert "error" not in told
    assert told["damage"] == "no damage"


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_damage_gives_frames_or_a_typed_error(kind, reader, tmp_path, data):
    whole = bytearray(samples()[kind])
    flips = st.lists(
        st.tuples(st.integers(0, len(whole) - 1) | st.integers(0, min(400, len(whole) - 1)), st.integers(0, 255)),
        max_size=20,
    )
    for place, value in data.draw(flips, "bytes"):
        whole[place] = value
    cut = data.draw(st.just(len(whole)) | st.integers(0, len(whole)), "length")
    path = tmp_path / f"damaged.{kind}"
    path.write_bytes(whole[:cut])
    told = reader.read(path)
    assert told.get("rising", True)
    assert told.get("error", str(path)).count(str(path))


def test_a_missing_file_is_told_in_the_child_too(reader, tmp_path):
    assert "no file" in reader.read(tmp_path / "gone.mp4")["error"]
    with pytest.raises(MediaError):
        open_media(tmp_path / "gone.mp4")
