"""What media made to do harm, or a disk that dies, may do to a reading: nothing but what is promised."""

import os
import signal
import struct
import subprocess
import sys
import threading
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from media import number_in, picture, steady, tone, write_media
from sentio.affect.analysis.sources import MEDIA_NAME
from sentio.affect.media import MediaError, open_media, source
from sentio.affect.media.container import FORMATS
from sentio.affect.media.exif import exif_orientation
from sentio.affect.media.source import Source
from sentio.affect.media.stamps import believed

QUARTER = Fraction(1, 25)
CONTAINERS = {
    "mp4": {}, "m4v": {}, "mov": {}, "mkv": {}, "3gp": {}, "flv": {}, "ts": {}, "mts": {}, "m2ts": {},
    "webm": {"codec": "libvpx", "sound_codec": "libopus"},
    "avi": {"codec": "mpeg4", "time_base": QUARTER, "sound_codec": "libmp3lame"},
    "mpg": {"codec": "mpeg1video", "time_base": QUARTER, "sound_codec": "mp2"},
    "mpeg": {"codec": "mpeg2video", "time_base": QUARTER, "sound_codec": "mp2"},
    "wmv": {"codec": "wmv2", "time_base": QUARTER, "sound_codec": "libmp3lame"},
    "ogv": {"codec": "libvpx", "sound_codec": "libopus"},
    "gif": {"codec": "gif", "pix_fmt": "rgb8", "time_base": Fraction(1, 100), "sound": None},
    "apng": {"codec": "apng", "pix_fmt": "rgb24", "time_base": QUARTER, "sound": None},
    "mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "time_base": QUARTER, "sound": None},
    "mxf": {"codec": "mpeg2video", "time_base": QUARTER, "sound_codec": "pcm_s16le"},
    "ivf": {"codec": "libvpx", "time_base": QUARTER, "sound": None},
    "h264": {"time_base": QUARTER, "sound": None},
}  # fmt: skip
SOUNDS = {
    "wav": "pcm_s16le", "w64": "pcm_s16le", "aiff": "pcm_s16be", "caf": "pcm_s16le", "au": "pcm_s16be", "flac": "flac",
    "mp3": "libmp3lame", "m4a": "aac", "aac": "aac", "oga": "flac", "ogg": "libopus", "opus": "libopus",
    "wma": "libmp3lame", "ac3": "ac3", "eac3": "eac3",
}  # fmt: skip


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_videos_of_every_container_are_read(tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    write_media(path, **{"times": steady(10), "sound": tone(0.4), **CONTAINERS[suffix]})
    with open_media(path) as media:
        numbers = [number_in(frame.image) for frame in media]
        heard = sum(len(block.samples) for block in media.audio())
    assert numbers == list(range(10))
    assert heard > 5_000 if CONTAINERS[suffix].get("sound", True) is not None else heard == 0


@pytest.mark.parametrize("suffix", SOUNDS)
def test_sounds_of_every_container_are_read(tmp_path, suffix):
    path = write_media(tmp_path / f"tone.{suffix}", sound=tone(0.5), sound_codec=SOUNDS[suffix])
    with open_media(path) as media:
        assert not media.info.has_video
        assert len(media.waveform()[0]) == pytest.approx(8_000, abs=1_200)


def test_digital_video_is_read(tmp_path):
    options = {"codec": "dvvideo", "size": (720, 576), "time_base": QUARTER}
    path = write_media(tmp_path / "clip.dv", times=steady(5), **options)
    assert [number_in(frame.image) for frame in open_media(path)] == list(range(5))


def test_what_a_folder_is_searched_for_is_tried_here():
    named = MEDIA_NAME.pattern.partition("(")[2].rpartition(")")[0]
    tried = {*CONTAINERS, *SOUNDS, "dv"}
    expected = named.replace("mpe?g", "mpg|mpeg").replace("m?ts", "ts|mts").replace("og[ga]", "ogg|oga").split("|")
    assert set(expected) <= tried


def test_no_demuxer_that_opens_other_files():
    assert not {"concat", "hls", "dash", "sdp", "rtsp", "image2", "applehttp", "imf", "tty", "lavfi"} & set(FORMATS)
    assert all(name in av.formats_available or f"{name}," in str(av.formats_available) for name in FORMATS)


# Reads that stall


class Hanging:
    """A file whose reads never come back, after the first few bytes."""

    def __init__(self, file, let: threading.Event) -> None:
        self.file, self.let, self.reads = file, let, 0

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        if self.reads > 1:
            self.let.wait(60)
        return self.file.read(size)

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.fixture
def hanging(tmp_path, monkeypatch):
    path = write_media(tmp_path / "clip.mp4", times=steady(5))
    let, opened = threading.Event(), Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **o: Hanging(opened(self, *a, **o), let))
    yield path
    let.set()


def test_a_read_that_stalls_is_given_up(hanging, monkeypatch):
    monkeypatch.setattr(source, "STALL_S", 0.3)
    with pytest.raises(MediaError, match="its disk or network stalls"):
        open_media(hanging)


def test_a_drive_that_stalls_is_waited_for_once_not_for_each_picture(tmp_path, monkeypatch):
    for name in "abc":
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture(0))
    let, opened, opens = threading.Event(), Path.open, []

    def open_hanging(self, *arguments, **options):
        opens.append(self)
        return Hanging(opened(self, *arguments, **options), let)

    monkeypatch.setattr(Path, "open", open_hanging)
    monkeypatch.setattr(source, "STALL_S", 0.3)
    with pytest.raises(MediaError, match="its disk or network stalls"):
        open_media(tmp_path)
    let.set()
    assert len(opens) == 1


@pytest.fixture
def heard():
    """Ctrl-C is heard, also where the shell that started the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_ends_a_read_that_stalls(hanging):
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        open_media(hanging)


def test_a_pipe_that_takes_the_place_of_a_file_is_given_up(tmp_path, monkeypatch):
    path = write_media(tmp_path / "clip.mp4", times=steady(5))
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(source, "STALL_S", 0.3)
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **o: opened(tmp_path / "pipe", *a, **o))
    with pytest.raises(MediaError, match="stalls"):
        open_media(path)


def test_a_source_is_its_file(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(100)))
    opened = Source(path)
    assert (opened.read(3), opened.tell(), opened.seek(98), opened.read(9), opened.read(9)) == (
        b"\0\1\2", 3, 98, b"\x62\x63", b"",
    )  # fmt: skip
    opened.close()


# Stamps that cannot be true


def stamps_of(stamps: list[float | None], end_s: float = 100.0) -> list[float | None]:
    return [stamp for _, stamp in believed(enumerate(stamps), end_s)] if stamps else []


@pytest.mark.parametrize(
    ("stamps", "kept"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([0, 0.5, 50, 1.0, 1.5], [0, 0.5, None, 1.0, 1.5]),  # alone
        ([0, 0.5, 500, 501, 1.0], [0, 0.5, None, None, 1.0]),  # beyond the end
        ([0, 0.5, 50, 50.5, 51], [0, 0.5, 50, 50.5, 51]),  # a gap
        ([0, 5, 10, 15], [0, 5, 10, 15]),  # slides
        ([99, 100, 101, 102, 103], [99, 100, 101, 102, 103]),  # longer than declared
        ([40, 0, 0.5, 1.0], [None, 0, 0.5, 1.0]),  # the first
        ([40, 40.5, 20, 41.0, 41.5], [40, 40.5, None, 41.0, 41.5]),  # back and again
        ([40, 40.5, 0, 0.5], [40, 40.5, 0, 0.5]),  # a time line that starts anew
        ([0, 2, 0.5, 2.1, 0.6, 2.2], [0, 2, 0.5, 2.1, 0.6, 2.2]),  # a decoder that lost its order
        ([0, None, 30, None], [0, None, 30, None]),
        ([7], [7]),
        ([], []),
    ],
)
def test_only_stamps_that_cannot_be_true_are_taken_away(stamps, kept):
    assert stamps_of(stamps) == kept


@pytest.mark.parametrize("suffix", ["flv", "mkv", "ts", "wmv"])
@pytest.mark.slow
def test_damaged_bytes_do_not_stretch_time(tmp_path, suffix):
    options = {"codec": "mpeg4", "time_base": Fraction(1, 1000)} if suffix == "wmv" else {}
    path = write_media(tmp_path / f"clip.{suffix}", times=steady(92), size=(320, 240), sound=tone(3.7), **options)
    whole = path.read_bytes()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        damaged = bytearray(whole)
        for place in rng.integers(2_000, len(whole), 400):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with open_media(path) as media:
            times = [frame.time_s for frame in media]
            heard = sum(len(block.samples) for block in media.audio()) / 16_000
        end_s = max(3.7, media.info.start_s + (media.info.duration_s or 0)) + 1.5  # the container's own word
        assert max(times, default=0) < end_s
        assert heard < end_s
        assert media.damage.seconds_lost < end_s


# Pictures


def with_exif(data: bytes, orientation: int) -> bytes:
    block = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x112, 3, 1, orientation, 0) + bytes(4)
    if data.startswith(b"\x89PNG"):
        chunk = b"eXIf" + block
        return data[:33] + struct.pack(">I", len(block)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    if data.startswith(b"RIFF"):
        header = (
            b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + (95).to_bytes(3, "little") + (63).to_bytes(3, "little")
        )
        body = b"WEBP" + header + data[12:] + b"EXIF" + struct.pack("<I", len(block)) + block
        return b"RIFF" + struct.pack("<I", len(body)) + body
    segment = b"Exif\0\0" + block
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_that_of_opencv(tmp_path, suffix, orientation):
    data = with_exif(cv2.imencode(suffix, picture(1234)[..., ::-1])[1].tobytes(), orientation)
    (tmp_path / f"photo{suffix}").write_bytes(data)
    [frame] = open_media(tmp_path / f"photo{suffix}")
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert frame.image.shape == shown.shape
    assert np.abs(frame.image.astype(int) - shown).mean() < 3


def test_a_damaged_orientation_is_upright():
    whole = with_exif(cv2.imencode(".jpg", picture(1))[1].tobytes(), 6)
    assert exif_orientation(whole).transposed
    for length in range(40):
        exif_orientation(whole[:length])
    assert not exif_orientation(whole.replace(b"MM\0*", b"QQ\0*")).transposed


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "bmp"])
def test_damaged_pictures_make_no_noise(tmp_path, suffix):
    whole = cv2.imencode(f".{suffix}", picture(5, 320, 240)[..., ::-1])[1].tobytes()
    rng = np.random.default_rng(0)
    for number in range(20):
        damaged = bytearray(whole[: len(whole) * 2 // 3] if number % 4 == 0 else whole)
        for place in rng.integers(20, len(damaged), 8):
            damaged[place] = rng.integers(256)
        (tmp_path / f"{number}.{suffix}").write_bytes(damaged)
    program = f"from sentio.affect.media import open_media\nprint(len(list(open_media({str(tmp_path)!r}))))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "MediaError" in done.stderr or done.stderr == ""
    assert not any(word in done.stderr for word in ("libpng", "Corrupt JPEG", "WARN:", "ERROR:"))


def test_text_of_a_file_may_be_long(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as output:
        output.metadata["title"] = "\N{SNOWMAN}" * 300_000
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        output.mux([*stream.encode(av.VideoFrame.from_ndarray(picture(0))), *stream.encode(None)])
    assert len(list(open_media(path))) == 1


@pytest.mark.parametrize(("width", "height"), [(65_535, 65_535), (40_000, 40_000)])
def test_a_huge_canvas_is_refused(tmp_path, width, height):
    path = write_media(tmp_path / "clip.gif", times=steady(3), codec="gif", pix_fmt="rgb8", time_base=Fraction(1, 100))
    data = bytearray(path.read_bytes())
    data[6:10] = struct.pack("<HH", width, height)
    path.write_bytes(data)
    with pytest.raises(MediaError, match="megapixels"):
        open_media(path)


def test_false_channels_and_rates_claim_no_memory(tmp_path):
    whole = write_media(tmp_path / "tone.wav", sound=tone(0.3), sound_codec="pcm_s16le").read_bytes()
    at = whole.index(b"fmt ") + 10
    for channels, rate in [(65_535, 48_000), (1, 2**32 - 1), (1, 1), (0, 0), (8, 2**31 - 1)]:
        path = tmp_path / f"{channels}-{rate}.wav"
        path.write_bytes(whole[:at] + struct.pack("<HI", channels, rate) + whole[at + 6 :])
        try:
            samples, _ = open_media(path).waveform()
        except MediaError:
            continue
        assert len(samples) <= 16 * 14_400  # the samples of the file, at worst at 1 kHz
