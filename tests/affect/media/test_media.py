"""Pictures: stamps, orientation, colours, selections, images, errors."""

import errno
import gc
import math
import os
import struct
import zlib
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import number_in, picture, steady, write_media
from sentio.affect.media import Damage, MediaError, open_media
from sentio.affect.media.video import Clock
from sentio.core.errors import InputError

CONTAINERS = {
    "mp4": {},
    "mov": {},
    "mkv": {},
    "ts": {},
    "flv": {},
    "webm": {"codec": "libvpx"},
    "avi": {"codec": "mpeg4", "time_base": Fraction(1, 25), "options": {"bf": "2"}},
    "mpg": {"codec": "mpeg1video", "time_base": Fraction(1, 25)},
    "gif": {"codec": "gif", "pix_fmt": "rgb8", "time_base": Fraction(1, 100)},
}


def read(path, **options):
    """Numbers drawn, times and the report of a whole reading."""
    with open_media(path, **options) as media:
        frames = [(number_in(frame.image), frame.time_s) for frame in media]
    return [number for number, _ in frames], [time for _, time in frames], media.damage


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_every_frame_once_and_in_order(tmp_path, suffix):
    path = write_media(tmp_path / f"clip.{suffix}", times=steady(40), **CONTAINERS[suffix])
    numbers, times, damage = read(path)
    assert numbers == list(range(40))
    assert np.allclose(np.diff(times), 0.04, atol=0.0011)  # Matroska and Flash round to milliseconds
    assert not damage


def test_stamps_are_those_of_the_container(tmp_path):
    times = [0.0, 0.04, 0.1, 0.11, 0.5, 0.52, 0.9, 1.7, 1.74, 1.75]
    for suffix in ("mp4", "mkv"):
        numbers, read_times, damage = read(write_media(tmp_path / f"vfr.{suffix}", times=times))
        assert numbers == list(range(10))
        assert np.allclose(read_times, times, atol=0.00051)
        assert not damage  # pauses of a variable rate are no loss
    assert open_media(tmp_path / "vfr.mkv").info.variable_rate
    assert not open_media(write_media(tmp_path / "even.mkv", times=steady(30))).info.variable_rate


@given(st.lists(st.integers(1, 90_000), min_size=1, max_size=12))
@pytest.mark.slow
def test_any_spacing_survives(tmp_path_factory, steps):
    ticks = np.cumsum([0, *steps])
    path = write_media(tmp_path_factory.mktemp("vfr") / "v.mp4", times=list(ticks / 90_000), codec="libx264")
    assert np.allclose(read(path)[1], ticks / 90_000, atol=1e-6)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "ts"])
def test_a_clock_that_begins_late_leaves_no_gap_at_the_end(tmp_path, suffix):
    """FFmpeg writes into Matroska where the file ends, into MP4 how long it is."""
    path = write_media(tmp_path / f"late.{suffix}", times=steady(50, start=3.0), **CONTAINERS[suffix])
    numbers, times, damage = read(path)
    assert numbers == list(range(50)) and not damage
    assert open_media(path).info.duration_s == pytest.approx(2.0, abs=0.05)
    assert times[0] == pytest.approx(open_media(path).info.start_s)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_the_tick_of_a_clock_is_no_rate(tmp_path, suffix):
    path = write_media(tmp_path / f"one.{suffix}", times=[0.0], time_base=Fraction(1, 1000))
    assert open_media(path).info.rate == 25


def test_a_late_first_picture_keeps_its_stamp(tmp_path):
    for suffix in ("mp4", "mkv"):
        path = write_media(tmp_path / f"late.{suffix}", times=steady(10, start=1.5))
        media = open_media(path)
        assert media.info.start_s == pytest.approx(1.5)
        assert [frame.time_s for frame in media] == pytest.approx(steady(10, start=1.5))


def test_an_edit_list_hides_what_lies_before_zero(tmp_path):
    numbers, times, damage = read(write_media(tmp_path / "edit.mp4", times=steady(20, start=-0.4)))
    assert numbers == list(range(10, 20))
    assert times == pytest.approx(steady(10))
    assert not damage


def test_a_stream_without_stamps_runs_at_its_own_rate(tmp_path):
    path = write_media(tmp_path / "raw.h264", times=steady(20), rate=25)
    numbers, times, damage = read(path)
    assert numbers == list(range(20))
    assert times == pytest.approx(steady(20))
    assert damage.stamps_repaired == 20


def test_repeated_stamps_rise(tmp_path):
    path = write_media(tmp_path / "twice.mkv", times=[0, 0.04, 0.08, 0.08, 0.12, 0.16])
    numbers, times, damage = read(path)
    assert numbers == list(range(6))
    assert times == pytest.approx([0, 0.04, 0.08, 0.084, 0.12, 0.16])
    assert damage.stamps_repaired == 1


def test_a_restarted_time_line_goes_on():
    damage = Damage()
    clock = Clock(0.04, damage)
    assert [clock.rise(t) for t in (95_000, 95_000.04, 0, 0.1, None)] == pytest.approx(
        [95_000, 95_000.04, 95_000.08, 95_000.18, 95_000.22]
    )
    assert damage.stamps_repaired == 2


@given(st.lists(st.none() | st.floats(-1e15, 1e15), max_size=50), st.floats(1e-4, 10))
def test_time_always_rises(stamps, period):
    clock = Clock(period, Damage())
    times = [clock.rise(stamp) for stamp in stamps]
    assert all(earlier < later for earlier, later in pairwise(times))


@pytest.mark.parametrize(("suffix", "mirrored"), [("mp4", False), ("mp4", True), ("mkv", False)])
@pytest.mark.parametrize("counterclockwise", [0, 90, 180, 270])
def test_pictures_are_upright(tmp_path, suffix, counterclockwise, mirrored):
    path = tmp_path / f"turned.{suffix}"
    write_media(path, times=steady(3), size=(96, 64), rotation=counterclockwise, mirrored=mirrored)
    media = open_media(path)
    frames = list(media)
    stored = picture(2, 96, 64)
    shown = np.rot90(stored, counterclockwise // 90)
    shown = np.ascontiguousarray(shown[:, ::-1] if mirrored else shown)
    assert frames[2].size == media.info.size == (shown.shape[1], shown.shape[0])
    assert media.info.rotation == (counterclockwise if mirrored else -counterclockwise) % 360
    assert media.info.mirrored == mirrored
    assert np.abs(frames[2].image.astype(int) - shown).mean() < 6
    small = frames[2].scaled(48)
    assert small.shape == (round(shown.shape[0] * 48 / shown.shape[1]), 48, 3)
    reference = cv2.resize(shown, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - reference).mean() < 8


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tenbit.mkv", {"pix_fmt": "yuv420p10le"}),
        ("bt709.mp4", {"bt709": True}),
        ("alpha.mov", {"codec": "qtrle", "pix_fmt": "argb"}),
        ("alpha.mkv", {"codec": "ffv1", "pix_fmt": "yuva420p", "time_base": Fraction(1, 1000)}),
        ("full.mkv", {"codec": "mjpeg", "pix_fmt": "yuvj420p", "time_base": Fraction(1, 25)}),
        ("interlaced.mpg", {"codec": "mpeg2video", "time_base": Fraction(1, 25), "options": {"flags": "+ildct+ilme"}}),
        ("odd.mkv", {"codec": "ffv1", "size": (321, 241), "time_base": Fraction(1, 1000)}),
        ("raw.avi", {"codec": "rawvideo", "pix_fmt": "bgr24", "time_base": Fraction(1, 25)}),
    ],
)
def test_colours(tmp_path, name, options):
    path = write_media(tmp_path / name, **{"times": steady(5), "size": (320, 240), **options})
    media = open_media(path)
    frames = list(media)
    image = frames[4].image
    height, width = image.shape[:2]
    assert (width, height) == media.info.size == options.get("size", (320, 240))
    assert image.dtype == np.uint8
    assert number_in(image) == 4
    assert np.abs(image[height - 20, 20].astype(int) - (220, 30, 30)).max() < 8
    assert np.abs(image[height - 20, width - 20].astype(int) - (30, 30, 220)).max() < 8
    assert media.info.interlaced == name.startswith("interlaced")


def test_grey_is_repeated(tmp_path):
    path = write_media(
        tmp_path / "grey.mkv", times=steady(3), codec="ffv1", pix_fmt="gray", time_base=Fraction(1, 1000)
    )
    image = list(open_media(path))[1].image
    assert number_in(image) == 1
    assert (image == image[..., :1]).all()


def test_sample_aspect_is_noted(tmp_path):
    path = write_media(tmp_path / "wide.mp4", times=steady(3), sample_aspect=Fraction(4, 3))
    info = open_media(path).info
    assert info.sample_aspect == pytest.approx(4 / 3)
    assert info.size == (96, 64)


def test_one_frame(tmp_path):
    for suffix in ("mp4", "mkv", "gif"):
        numbers, times, damage = read(write_media(tmp_path / f"one.{suffix}", times=[0.0], **CONTAINERS[suffix]))
        assert (numbers, times, bool(damage)) == ([0], [0.0], False)


def test_start_and_end(tmp_path):
    path = write_media(tmp_path / "clip.mp4", times=steady(50))
    with open_media(path, start=0.4, end=1.2) as media:
        frames = list(media)
    assert [number_in(frame.image) for frame in frames] == [frame.index for frame in frames] == list(range(10, 30))
    assert frames[0].time_s == pytest.approx(0.4)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_fps_takes_the_first_picture_of_each_tick(tmp_path, suffix):
    times = steady(60, rate=30)
    path = write_media(tmp_path / f"clip.{suffix}", times=times, rate=30)
    numbers, read_times, _ = read(path, fps=15)
    assert numbers == list(range(0, 60, 2))
    assert np.allclose(read_times, times[::2], atol=0.00051)
    numbers, _, _ = read(path, fps=7)
    expected = sorted({next(i for i, t in enumerate(times) if t >= k / 7 - 1e-9) for k in range(14)})
    assert numbers == expected
    assert read(path, fps=100)[0] == list(range(60))


def test_fps_of_a_variable_rate_shows_nothing_twice(tmp_path):
    times = [0.0, 0.02, 0.04, 0.5, 1.0, 1.01, 1.02, 1.1]
    numbers, _, _ = read(write_media(tmp_path / "vfr.mp4", times=times), fps=10)
    assert numbers == [0, 3, 4, 7]


def test_frames_are_lazy_and_outlive_the_file(tmp_path):
    path = write_media(tmp_path / "clip.mp4", times=steady(10))
    with open_media(path) as media:
        frames = list(media)
    assert number_in(frames[7].scaled(96)) == 7
    assert frames[7].image is frames[7].image
    assert frames[7].scaled(1000).shape == (64, 96, 3)


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="needs /proc to weigh the process")
@pytest.mark.slow
def test_memory_is_constant_even_without_the_garbage_collector(tmp_path):
    path = write_media(tmp_path / "clip.mp4", times=steady(400), size=(640, 480), options={"preset": "ultrafast"})

    def megabytes() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    gc.disable()
    try:
        for frame in open_media(path):
            assert frame.image.size
            if frame.index == 50:
                early = megabytes()
    finally:
        gc.enable()
    assert megabytes() - early < 50  # 350 pictures are 470 MB


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to list open files")
def test_no_file_stays_open(tmp_path):
    path = write_media(tmp_path / "clip.mp4", times=steady(10), sound=np.zeros(9600, np.float32))

    def is_open() -> bool:
        return any(
            os.path.samestat(entry.stat(), path.stat()) for entry in Path("/proc/self/fd").glob("*") if entry.exists()
        )

    media = open_media(path)
    assert not is_open()
    frames, blocks = iter(media), media.audio()
    next(frames), next(blocks)
    assert is_open()
    media.close()
    assert not is_open()
    assert next(frames, None) is None
    with pytest.raises(ZeroDivisionError), open_media(path) as media:
        for _ in media:
            raise ZeroDivisionError
    assert not is_open()
    for _ in media:  # it can be read again
        break
    assert not is_open()
    assert len(list(media)) == 10


def test_reading_starts_one_thread_that_waits_for_the_disk(tmp_path):
    path = write_media(tmp_path / "clip.mp4", times=steady(5), size=(640, 480))
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        pytest.skip("needs /proc to count threads")
    before = len(list(tasks.iterdir()))
    for frame in open_media(path):
        assert frame.image.shape == (480, 640, 3)
        assert len(list(tasks.iterdir())) <= before + 1
    assert len(list(tasks.iterdir())) <= before


def test_pictures_and_sound_side_by_side(tmp_path):
    path = write_media(tmp_path / "clip.mp4", times=steady(75), sound=np.zeros(48_000 * 3, np.float32))
    media = open_media(path)
    pairs = list(zip(media, media.audio(), strict=False))
    assert [frame.index for frame, _ in pairs][:3] == [0, 1, 2]
    assert [block.time_s for _, block in pairs][:3] == [0, 1, 2]


# Images


def exif(orientation: int) -> bytes:
    body = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x112, 3, 1, orientation, 0) + bytes(4)
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_photographs(tmp_path, orientation):
    upright = picture(1234)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]
    data = cv2.imencode(".jpg", np.ascontiguousarray(stored[..., ::-1]))[1].tobytes()
    path = tmp_path / "photo.jpg"
    path.write_bytes(data[:2] + exif(orientation) + data[2:])
    [frame] = open_media(path)
    assert frame.size == (96, 64)
    assert number_in(frame.image) == 1234
    assert np.abs(frame.image[50, 5].astype(int) - (220, 30, 30)).max() < 12


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tiff", ".webp"])
def test_one_image_is_one_frame(tmp_path, suffix):
    path = tmp_path / f"a picture %03d{suffix}"
    path.write_bytes(cv2.imencode(suffix, picture(7)[..., ::-1])[1].tobytes())
    with open_media(path) as media:
        [frame] = media
        assert (frame.index, frame.time_s, frame.size) == (0, 0.0, (96, 64))
        assert number_in(frame.image) == 7
        assert frame.scaled(48).shape == (32, 48, 3)
        assert (media.info.has_audio, list(media.audio())) == (False, [])
    assert not media.damage


def write_images(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        (folder / name).write_bytes(cv2.imencode(".png", picture(number)[..., ::-1])[1].tobytes())


def test_a_folder_is_read_in_natural_order(tmp_path):
    write_images(tmp_path, ["1.png", "2.png", "9.png", "10.PNG", "a1.png", "a20.png", "a100.png"])
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._1.png").write_bytes(b"resource fork")
    numbers, times, damage = read(tmp_path)
    assert numbers == list(range(7))
    assert times == pytest.approx([k / 30 for k in range(7)])
    assert not damage
    assert read(tmp_path, image_rate=10, start=0.2, end=0.5)[0] == [2, 3, 4]


def test_a_bad_image_loses_only_itself(tmp_path):
    write_images(tmp_path, ["1.png", "2.png", "3.png", "4.png"])
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:200])
    with open_media(tmp_path) as media:
        frames = list(media)
    assert [frame.index for frame in frames] == [number_in(frame.image) for frame in frames] == [0, 2, 3]
    assert media.damage.packets == media.damage.frames_lost == 1
    assert media.damage.seconds_lost == pytest.approx(1 / 30)


def test_a_damaged_photograph_is_marked(tmp_path):
    data = bytearray(cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3)))[1].tobytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    (tmp_path / "photo.jpg").write_bytes(data)
    with open_media(tmp_path / "photo.jpg") as media:
        [frame] = media
    assert frame.doubtful
    assert media.damage.frames_doubtful == 1


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


# Errors


def failing(path: Path) -> MediaError:
    with pytest.raises(MediaError) as caught:
        open_media(path)
    assert str(path) in caught.value.what
    assert caught.value.fix
    return caught.value


def test_files_that_are_no_media(tmp_path):
    whole = write_media(tmp_path / "whole.mp4", times=steady(30)).read_bytes()
    for name, content, words in [
        ("empty.mp4", b"", "empty"),
        ("half.mp4", whole[: len(whole) // 2], "cut off"),
        ("text.mp4", b"hello, world\n" * 500, "not a video"),
        ("noise.mkv", np.random.default_rng(0).bytes(50_000), "not a video"),
        ("words.srt", b"1\n00:00:01,000 --> 00:00:02,000\nhi\n\n" * 5, "not a video"),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nwhole.mp4\n#EXT-X-ENDLIST\n", "not a video"),
        ("list.txt", b"ffconcat version 1.0\nfile whole.mp4\n", "not a video"),
        ("bomb.png", png_header(50_000, 50_000), "megapixels"),
        ("wide.png", png_header(20_000, 8_000), "megapixels"),
    ]:
        path = tmp_path / name
        path.write_bytes(content)
        assert words in failing(path).what, name


def test_a_header_without_pictures(tmp_path):
    path = write_media(tmp_path / "clip.mp4", times=steady(30), container={"movflags": "frag_keyframe+empty_moov"})
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moof") - 4])
    assert "no picture" in failing(path).what


def test_paths_that_cannot_be_read(tmp_path):
    assert "no file" in failing(tmp_path / "missing.mp4").what
    assert "no images" in failing(tmp_path).what
    assert "cannot be opened" in failing(tmp_path / ("x" * 300)).what
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in failing(tmp_path / "pipe").what


def test_a_file_without_permission(tmp_path, monkeypatch):
    path = write_media(tmp_path / "clip.mp4", times=steady(2))

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read any file, whatever its mode
    assert "may not be read" in failing(path).what


def test_names_that_mislead(tmp_path):
    for name in [
        "concat:a|b.mp4",
        "clip%03d.mp4",
        "http:x.mp4",
        "-i",
        "no suffix",
        "wrong.png",
        os.fsdecode(b"\xff.mp4"),
    ]:
        path = tmp_path / name
        whole = write_media(tmp_path / "clip.mp4", times=steady(3)).read_bytes()
        path.write_bytes(whole)
        assert read(path)[0] == [0, 1, 2]


def test_options_out_of_range(tmp_path):
    path = write_media(tmp_path / "clip.mp4", times=steady(2))
    for options in [{"fps": 0}, {"fps": math.nan}, {"image_rate": -1}, {"start": 2, "end": 1}, {"start": math.nan}]:
        with pytest.raises(InputError):
            open_media(path, **options)


def test_cover_art_is_no_video(tmp_path):
    cover = cv2.imencode(".jpg", picture(1))[1].tobytes()
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as output:
        sound = output.add_stream("libmp3lame", rate=44_100)
        art = output.add_stream("mjpeg", rate=25)
        art.width, art.height, art.pix_fmt = 96, 64, "yuvj420p"
        art.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44_100
        packet = av.Packet(cover)
        packet.stream, packet.pts, packet.dts, packet.time_base = art, 0, 0, Fraction(1, 25)
        output.mux(packet)
        output.mux([*sound.encode(frame), *sound.encode(None)])
    info = open_media(path).info
    assert (info.has_video, info.has_audio) == (False, True)


# Clips of people


def test_rendered_clips_in_full(clips):
    found = sorted(clips.glob("*.mp4"))
    assert len(found) == 7
    assert_whole_pictures(found)


@pytest.mark.slow
def test_real_clips_in_full(shared):
    found = sorted((shared / "data/affect/clips").iterdir())
    assert len(found) >= 12
    assert_whole_pictures(found)


def assert_whole_pictures(paths):
    for path in paths:
        with av.open(str(path)) as container:
            counted = sum(1 for _ in container.decode(container.streams.best("video")))
        with open_media(path) as media:
            times = [frame.time_s for frame in media]
        assert len(times) == counted, path.name
        assert all(earlier < later for earlier, later in pairwise(times)), path.name
        assert not media.damage, path.name
