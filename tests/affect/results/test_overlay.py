"""Overlays of real files: the times, the sound and the pictures of the source, and the faces where the rows say."""

import errno
import json
import shutil
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from browser import open_browser, open_page, until
from media import burst, number_in, steady, tone, write_media
from sentio.affect.analysis.options import Options
from sentio.affect.media import Media, open_media
from sentio.affect.media import film as film_module
from sentio.affect.results import overlay as overlay_module
from sentio.affect.results.canvas import rgb
from sentio.affect.results.colours import PERSONS
from sentio.affect.results.drawing import Drawing, enlargement
from sentio.affect.results.folder import Analysis
from sentio.affect.results.overlay import film_size
from sentio.core.errors import DiskFullError, InputError, OutputError
from sentio.core.jobs import Job
from sentio.core.results import Table

pytestmark = pytest.mark.usefixtures("tiny_models")
OPTIONS = Options(detector="builtin")


def overlay_of(source: Path, out: Path, options: Options = OPTIONS, **more) -> Path:
    Analysis(out, options, ("parquet", "overlay")).write(out / "result", source, **more)
    return out / "result/overlay.mp4"


def times(path: Path, **stretch) -> np.ndarray:
    """Seconds from the beginning of the file on, as players count."""
    with open_media(path, **stretch) as media:
        return np.array([frame.time_s for frame in media]) - media.info.begin_s


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


SOURCES = {
    "steady": ("mp4", {"times": steady(20), "sound": tone(0.8)}),
    "uneven": ("mkv", {"times": [0, 0.033, 0.067, 0.5, 0.533, 0.9], "time_base": Fraction(1, 1000)}),
    "rotated": ("mp4", {"times": steady(10, 30), "rotation": 90}),
    "wide pixels": ("mp4", {"times": steady(10), "sample_aspect": Fraction(4, 3)}),
    "wide pixels, rotated": ("mp4", {"times": steady(10), "sample_aspect": Fraction(4, 3), "rotation": 90}),
    "odd": ("mkv", {"times": steady(10), "size": (333, 251), "codec": "ffv1", "pix_fmt": "bgr0"}),
    "one": ("mp4", {"times": [0.0]}),
    "sound first": ("mp4", {"times": steady(20, start=0.5), "sound": tone(1.3)}),
    "sound later": ("mp4", {"times": steady(40), "sound": tone(0.8), "sound_start": 0.6}),
    "stream": ("ts", {"times": steady(20), "sound": tone(0.8)}),
}


@pytest.mark.parametrize("name", SOURCES)
def test_times_sizes_and_sound_are_those_of_the_source(name, tmp_path) -> None:
    suffix, options = SOURCES[name]
    source = write_media(tmp_path / f"source.{suffix}", **options)
    made = overlay_of(source, tmp_path)
    assert np.abs(times(made) - times(source)).max() < 1e-6
    with open_media(source) as before, open_media(made) as after:
        factor = enlargement(*before.info.size)
        assert after.info.size == tuple(-(-factor * side // 2) * 2 for side in before.info.size)
        aspect = before.info.sample_aspect
        turned = before.info.rotation % 180
        assert (after.info.rotation, after.info.sample_aspect) == (0, pytest.approx(1 / aspect if turned else aspect))
        assert after.info.has_audio == before.info.has_audio == ("sound" in options)
        if "sound" in options:
            sounds = [(media.waveform(), media.info.begin_s) for media in (before, after)]
            ((one, one_s), one_zero_s), ((other, other_s), other_zero_s) = sounds
            assert one_s - one_zero_s == pytest.approx(other_s - other_zero_s, abs=1e-3)
            assert len(one) == len(other) and np.abs(one - other).max() < 1e-6
            if suffix == "mp4":
                assert packets(made) == packets(source)


def test_a_film_says_how_it_was_made(tmp_path) -> None:
    made = overlay_of(write_media(tmp_path / "source.mp4", times=steady(5)), tmp_path)
    with av.open(str(made)) as container:
        notice, _, provenance = container.metadata["comment"].partition(" {")
    assert "not what somebody feels" in notice
    assert json.loads("{" + provenance)["model"] == Table.read(made.parent / "affect.parquet").header["model"]


def test_very_large_pictures_are_reduced(tmp_path) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"pictures/{number}.jpg"), np.full((1200, 6000, 3), 90, np.uint8))
    with open_media(overlay_of(tmp_path / "pictures", tmp_path)) as media:
        assert media.info.size == (4096, 820) and len(list(media)) == 2
    assert (
        film_size(320, 240) == (640, 480) and film_size(3840, 2160) == (3840, 2160) and film_size(1, 9000) == (1, 4096)
    )


def test_pictures_are_those_of_the_source(tmp_path) -> None:
    source = write_media(tmp_path / "source.mp4", times=steady(30), size=(640, 480))
    with open_media(overlay_of(source, tmp_path)) as media:
        assert [number_in(frame.image) for frame in media] == list(range(30))


@pytest.mark.parametrize(
    "stretch", [{"start": 0.4}, {"end": 0.9}, {"start": 0.3, "end": 1.2, "fps": 10.0}, {"fps": 5.0}]
)
def test_a_stretch_and_a_rate_are_kept(stretch, tmp_path) -> None:
    source = write_media(tmp_path / "source.mp4", times=steady(50), sound=tone(2))
    made = overlay_of(source, tmp_path, replace(OPTIONS, **stretch))
    start, end = stretch.get("start", 0.0), stretch.get("end", 2.0)
    with open_media(made) as media:
        assert np.abs([frame.time_s for frame in media] - (times(source, **stretch) - start)).max() < 1e-6
        samples, first_s = media.waveform()
        assert first_s < 0.025 and first_s + len(samples) / 16_000 == pytest.approx(end - start, abs=0.05)
        last_s = times(made)[-1] + 1 / stretch.get("fps", 25)
        assert media.info.duration_s == pytest.approx(max(last_s, end - start), abs=0.05)


def turned(clip: Path, path: Path) -> Path:
    """The clip with its pictures stored lying on the side, and a note that players are to turn them upright."""
    with open_media(clip) as media, av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", 25, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = media.info.size[1], media.info.size[0], "yuv420p"
        stream.set_display_rotation(-90)
        for number, frame in enumerate(media):
            lying = np.ascontiguousarray(np.rot90(frame.image, 1))
            stored = av.VideoFrame.from_ndarray(lying, "rgb24")
            stored.pts, stored.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(stored))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("is_turned", [False, True])
def test_boxes_of_two_persons_lie_where_the_rows_say(clips, tmp_path, is_turned) -> None:
    source = turned(clips / "pair.mp4", tmp_path / "turned.mp4") if is_turned else clips / "pair.mp4"
    made = overlay_of(source, tmp_path, replace(OPTIONS, end=0.6))
    rows = Table.read(made.parent / "affect.parquet").arrow.to_pylist()
    with open_media(source) as before, open_media(made) as after:
        factor = enlargement(*before.info.size)
        assert before.info.size == (320, 240) and (before.info.rotation != 0) == is_turned
        pictures = {number: frame.image.astype(int) for number, frame in enumerate(after)}
    assert {row["person"] for row in rows} == {0, 1}
    for row in rows[10:]:
        x, y, width, height = (factor * row[f"face_{side}"] for side in "xywh")
        picture, colour = pictures[row["frame"]], np.array(rgb(PERSONS[row["person"]]))
        middles = [(x, y + height / 2), (x + width, y + height / 2), (x + width / 2, y), (x + width / 2, y + height)]
        seen = []
        for across, down in middles:
            around = picture[round(down) - 2 : round(down) + 3, round(across) - 2 : round(across) + 3]
            seen.append(np.abs(around - colour).max(-1).min() < 60)
        assert sum(seen) >= 3, (row["frame"], row["person"])  # a panel may lie on one of them


def test_frames_without_a_face_say_so(tmp_path) -> None:
    source = write_media(tmp_path / "source.mp4", times=steady(3), size=(640, 480))
    with open_media(source) as before, open_media(overlay_of(source, tmp_path)) as after:
        for one, other in zip(before, after, strict=True):
            expected = Drawing().draw(one.image, [{"frame": 0, "reason": "no face"}])
            assert np.abs(expected.astype(int) - other.image).mean() < 3
            assert np.abs(one.image[5:40, 5:80].astype(int) - other.image[5:40, 5:80]).mean() > 10


def test_a_damaged_file_gives_what_could_be_decoded(tmp_path) -> None:
    source = burst(write_media(tmp_path / "source.ts", times=steady(100), sound=tone(4)))
    made = overlay_of(source, tmp_path)
    assert np.abs(times(made) - times(source)).max() < 1e-6
    cut = tmp_path / "cut.mkv"
    whole = write_media(tmp_path / "whole.mkv", times=steady(100), sound=tone(4), time_base=Fraction(1, 1000))
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert np.abs(times(overlay_of(cut, tmp_path)) - times(cut)).max() < 1e-6


def test_a_folder_of_pictures_is_a_film_and_one_picture_is_not(clips, tmp_path) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        shutil.copy(clips / f"portrait{number % 2}.jpg", tmp_path / f"pictures/{number}.jpg")
    cv2.imwrite(str(tmp_path / "pictures/5.jpg"), np.zeros((90, 40, 3), np.uint8))  # of another size
    made = overlay_of(tmp_path / "pictures", tmp_path)
    assert times(made) == pytest.approx([0, 1 / 30, 2 / 30, 3 / 30, 4 / 30], abs=2e-5)
    for still in (clips / "portrait0.jpg", write_media(tmp_path / "a.wav", sound=tone(2), sound_codec="pcm_s16le")):
        record = Analysis(tmp_path, OPTIONS, ("csv", "overlay")).write(tmp_path / "other", still)
        assert record["left_out"] == ["overlay"] and not (tmp_path / "other/overlay.mp4").exists()


def test_progress_rises_to_the_end_and_ends_the_work(tmp_path) -> None:
    source, shares = write_media(tmp_path / "source.mp4", times=steady(40)), []
    overlay_of(source, tmp_path, share_done=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1 and any(0.5 < share < 0.9 for share in shares)

    def stop(share: float) -> None:
        if share > 0.8:
            raise KeyboardInterrupt

    made = tmp_path / "result/overlay.mp4"
    before = made.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        overlay_of(source, tmp_path, share_done=stop)
    assert made.read_bytes() == before and not list(made.parent.glob(".*"))
    with pytest.raises(KeyboardInterrupt):
        overlay_of(source, tmp_path / "new", share_done=stop)
    assert not (tmp_path / "new/result").exists()


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch) -> None:
    class Full:
        def __init__(self, *_, **__) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    source = write_media(tmp_path / "source.mp4", times=steady(5))
    for place, name in ((overlay_module, "TemporaryFile"), (film_module.av, "open")):
        with monkeypatch.context() as patch:
            opened = Full if name == "TemporaryFile" else partial(_open_for_reading, place.open)
            patch.setattr(place, name, opened)
            with pytest.raises(DiskFullError):
                overlay_of(source, tmp_path)
        assert not (tmp_path / "result").exists()


def _open_for_reading(opened, file, mode="r", *more, **options):
    if mode == "w":
        raise av.error.FFmpegError(errno.ENOSPC, "No space left on device")
    return opened(file, mode, *more, **options)


def test_a_file_that_changes_between_the_readings_is_refused(tmp_path, monkeypatch) -> None:
    source = write_media(tmp_path / "source.mp4", times=steady(20))
    shorter = write_media(tmp_path / "shorter.mp4", times=steady(9))
    opened: list[Path] = []

    def swapped(path: Path, **options) -> Media:
        opened.append(path)
        return open_media(shorter, **options)

    monkeypatch.setattr(overlay_module, "open_media", swapped)
    with pytest.raises(InputError, match="changed while it was read"):
        overlay_of(source, tmp_path)
    assert opened == [source] and not (tmp_path / "result").exists()


def test_without_an_encoder_the_work_does_not_begin(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(film_module, "ENCODER", "libx999")
    with pytest.raises(OutputError, match="libx999"):
        overlay_of(write_media(tmp_path / "source.mp4", times=steady(5)), tmp_path)


def test_resume_knows_the_film(tmp_path) -> None:
    source = write_media(tmp_path / "source.mp4", times=steady(5))
    job, analysis = Job(source, Path("result")), Analysis(tmp_path, OPTIONS, ("csv", "overlay"), resume=True)
    assert [analysis(job).state for _ in range(2)] == ["done", "skipped"]
    (tmp_path / "result/overlay.mp4").unlink()
    assert analysis(job).state == "done"


@pytest.mark.parametrize("name", ["uneven", "sound first"])
def test_a_browser_plays_it_and_finds_moments(name, tmp_path) -> None:
    suffix, options = SOURCES[name]
    source = write_media(tmp_path / f"source.{suffix}", **options)
    made = overlay_of(source, tmp_path)
    page_file = tmp_path / "result/index.html"
    page_file.write_text('<!doctype html><body style="margin: 0"><video src="overlay.mp4" muted></video>')
    with open_media(made) as media:
        size, duration_s = media.info.size, media.info.duration_s
    with open_browser() as browser, open_page(browser, page_file.as_uri(), size=size) as page:
        video = "document.querySelector('video')"
        until(page, f"{video}.readyState >= 3")
        assert page.evaluate(f"{video}.duration") == pytest.approx(duration_s, abs=0.01)
        assert page.evaluate(f"[{video}.videoWidth, {video}.videoHeight]") == list(size)
        for number in (4, 1):
            page.evaluate(f"{video}.currentTime = {times(made)[number] + 0.01}")
            until(page, f"!{video}.seeking && {video}.readyState >= 2")
            shown = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
            assert number_in(shown[..., ::-1]) == number
        page.evaluate(f"{video}.play()")
        until(page, f"{video}.ended")
