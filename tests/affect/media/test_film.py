"""Films written and read again: the times, colours and sizes of the pictures, and what a full disk leaves."""

import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from media import number_in, picture, steady, tone, write_media
from sentio.affect.media import film as film_module
from sentio.affect.media import open_media
from sentio.affect.media.film import Film, check_encoder, fitted, tick_of
from sentio.affect.media.soundtrack import Soundtrack
from sentio.core.errors import OutputError

UNEVEN = [0.0, 0.04, 0.1, 0.3, 0.34, 0.9, 1.0]
MILLISECONDS = Fraction(1, 1000)


def copied(source, path):
    """The pictures and the sound of a file as a film, whose clock begins with that of the file."""
    with open_media(source) as media:
        sound = Soundtrack(source) if media.info.has_audio else None
        options = {"time_base": tick_of(source), "zero_s": media.info.begin_s, "rate": media.info.rate}
        with Film(path, media.info.size, sound=sound, **options) as film:
            for frame in media:
                film.push(frame.image, frame.time_s)
    return path


def times(path) -> np.ndarray:
    """From the beginning of the file on, as players count."""
    with open_media(path) as media:
        return np.array([frame.time_s for frame in media]) - media.info.begin_s


SOURCES = {
    "steady": ("mp4", {"times": steady(30)}),
    "ntsc": ("mp4", {"times": steady(30, 30000 / 1001), "time_base": Fraction(1001, 30000)}),
    "uneven": ("mp4", {"times": UNEVEN}),
    "milliseconds": ("mkv", {"times": [0, 0.033, 0.067, 0.1, 0.5, 0.533], "time_base": MILLISECONDS}),
    "coarse": ("avi", {"times": steady(20), "codec": "mpeg4", "time_base": Fraction(1, 25)}),
    "rotated": ("mp4", {"times": UNEVEN, "rotation": 90}),
    "one": ("mp4", {"times": [0.0]}),
    "late": ("mp4", {"times": steady(20, start=0.5), "sound": tone(1.5)}),
    "stream": ("ts", {"times": steady(20), "sound": tone(1)}),
}


@pytest.mark.parametrize("name", SOURCES)
def test_pictures_have_the_times_of_the_source(name, tmp_path):
    suffix, options = SOURCES[name]
    source = write_media(tmp_path / f"source.{suffix}", **options)
    made = copied(source, tmp_path / "film.mp4")
    assert len(times(made)) == len(options["times"])
    assert np.abs(times(made) - times(source)).max() < 1e-6
    numbers = [number_in(frame.image) for frame in open_media(made)]
    if "rotation" not in options:  # its bar code stands upright in the picture as stored
        assert numbers == list(range(len(options["times"])))


@pytest.mark.parametrize("moments", [steady(25), UNEVEN, [0.0]])
def test_film_lasts_until_its_last_picture_was_shown(moments, tmp_path):
    with Film(tmp_path / "film.mp4", (96, 64), time_base=Fraction(1, 90_000), rate=25) as film:
        for number, moment in enumerate(moments):
            film.push(picture(number), moment)
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert container.duration / av.time_base == pytest.approx(moments[-1] + 1 / 25, abs=1e-4)


def test_times_that_fall_on_one_tick_still_rise(tmp_path):
    with Film(tmp_path / "film.mp4", (96, 64), time_base=Fraction(1, 25), rate=25) as film:
        for number, moment in enumerate([0.0, 0.04, 0.0400001, 0.08]):
            film.push(picture(number), moment)
    found = times(tmp_path / "film.mp4")
    assert (np.diff(found) > 0).all()
    assert found[[0, 1, 3]].tolist() == pytest.approx([0, 0.04, 0.08])


def test_rotated_pictures_stand_upright_in_the_film(tmp_path):
    source = write_media(tmp_path / "source.mp4", times=steady(3), rotation=90)
    made = copied(source, tmp_path / "film.mp4")
    with open_media(source) as before, open_media(made) as after:
        assert after.info.rotation == 0 and after.info.size == before.info.size == (64, 96)
        for one, other in zip(before, after, strict=True):
            assert np.abs(one.image.astype(int) - other.image).mean() < 3


def test_colours_come_back(tmp_path):
    flat = np.full((64, 96, 3), 128, np.uint8)
    flat[:, :48], flat[:32, 48:] = (200, 40, 60), (20, 90, 230)
    with Film(tmp_path / "film.mp4", (96, 64), time_base=Fraction(1, 25), rate=25) as film:
        film.push(flat, 0.0)
    shown = next(iter(open_media(tmp_path / "film.mp4"))).image.astype(int)
    for y, x in ((32, 20), (12, 80), (52, 80)):
        assert np.abs(shown[y, x] - flat[y, x]).max() <= 4


def test_film_is_laid_out_for_browsers(tmp_path):
    with Film(tmp_path / "film.mp4", (97, 65), time_base=Fraction(1, 25), rate=25, aspect=1.5, comment="Zoë") as film:
        for number in range(120):
            film.push(picture(number, 97, 65), number / 25)
    data = (tmp_path / "film.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # what a player needs first comes first
    with av.open(str(tmp_path / "film.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.sample_aspect_ratio) == (98, 66, Fraction(3, 2))
        assert container.metadata["comment"] == "Zoë"
        keys = [float(packet.pts * packet.time_base) for packet in container.demux(stream) if packet.is_keyframe]
    assert max(np.diff(keys)) <= film_module.KEY_S + 1e-6


def test_pictures_of_other_sizes_are_fitted():
    white = np.full((50, 100, 3), 255, np.uint8)
    assert fitted(white, (100, 50)) is white
    assert fitted(white[:49, :99], (100, 50)).shape == (50, 100, 3)
    assert fitted(white[:49, :99], (100, 50)).min() == 255  # the missing row and column are repeated
    boxed = fitted(white, (60, 60))
    assert boxed.shape == (60, 60, 3)
    assert boxed[15:45].min() == 255 and boxed[:15].max() == boxed[45:].max() == 0


def test_a_limit_on_the_size_of_files_is_a_plain_refusal(tmp_path):
    script = f"""
import resource
from fractions import Fraction
from pathlib import Path
import numpy as np
from sentio.affect.media.film import Film
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
noise = np.random.default_rng(0)
with Film(Path({str(tmp_path)!r}) / "film.mp4", (320, 240), time_base=Fraction(1, 25), rate=25) as film:
    for number in range(50):
        film.push(noise.integers(0, 255, (240, 320, 3), np.uint8), number / 25)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "OutputError: Cannot write" in ended.stderr and "large" in ended.stderr


def test_a_folder_that_is_not_there_and_an_encoder_that_is_not_there(tmp_path, monkeypatch):
    with (
        pytest.raises(OutputError, match="Cannot write"),
        Film(tmp_path / "none" / "film.mp4", (96, 64), time_base=Fraction(1, 25), rate=25) as film,
    ):
        film.push(picture(0), 0.0)
    check_encoder()
    monkeypatch.setattr(film_module, "ENCODER", "libx999")
    with pytest.raises(OutputError, match="libx999"):
        check_encoder()
