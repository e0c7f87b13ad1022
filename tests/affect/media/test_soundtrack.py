"""The sound of a film is that of its source, at the same moments, whichever codec it was stored in."""

from fractions import Fraction

import av
import numpy as np
import pytest

from media import burst, steady, tone, write_media
from sentio.affect.media import open_media
from sentio.affect.media.film import Film
from sentio.affect.media.soundtrack import Soundtrack

SECONDS = 2.0
STEREO = np.stack([tone(SECONDS), tone(SECONDS, hertz=660)])
MILLISECONDS = Fraction(1, 1000)


def film_of(source, path, start_s=-np.inf, end_s=np.inf):
    """Grey pictures with the sound of a file between two times; its clock begins with the first of them."""
    zero_s = open_media(source).info.begin_s if np.isinf(start_s) else start_s
    sound = Soundtrack(source, start_s, end_s)
    with Film(path, (32, 32), time_base=MILLISECONDS, zero_s=zero_s, rate=25, sound=sound) as film:
        for moment in steady(25):
            film.push(np.full((32, 32, 3), 99, np.uint8), zero_s + moment)
    return sound.copied


def heard(path):
    """Samples at 16 kHz and the moment of each, from the beginning of the file on."""
    with open_media(path) as media:
        samples, first_s = media.waveform()
        return samples, first_s - media.info.begin_s + np.arange(len(samples)) / 16_000


def packets(path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        ("mp4", "aac", {}),
        ("mkv", "flac", {"time_base": MILLISECONDS}),
        ("webm", "libopus", {"codec": "libvpx", "time_base": MILLISECONDS}),
        ("avi", "mp3", {"codec": "mpeg4", "time_base": Fraction(1, 25)}),
    ],
)
def test_packets_are_copied(suffix, codec, options, tmp_path):
    source = write_media(tmp_path / f"a.{suffix}", times=steady(50), sound=tone(SECONDS), sound_codec=codec, **options)
    assert film_of(source, tmp_path / "film.mp4")
    assert packets(tmp_path / "film.mp4") == packets(source)
    (before, then), (after, now) = heard(source), heard(tmp_path / "film.mp4")
    assert abs(then[0] - now[0]) < 0.001 and abs(len(before) - len(after)) < 0.03 * 16_000


def test_sound_of_a_stream_loses_only_its_frames_of_transport(tmp_path):
    source = write_media(tmp_path / "a.ts", times=steady(50), sound=tone(SECONDS))
    assert film_of(source, tmp_path / "film.mp4")
    before, after = heard(source)[0], heard(tmp_path / "film.mp4")[0]
    assert len(before) == len(after) and np.abs(before - after).max() < 1e-6


@pytest.mark.parametrize(("suffix", "codec"), [("mov", "pcm_s16le"), ("mkv", "mp2"), ("mkv", "ac3")])
def test_other_codecs_become_aac(suffix, codec, tmp_path):
    options = {"sound": STEREO, "sound_layout": "stereo", "sound_codec": codec, "time_base": MILLISECONDS}
    source = write_media(tmp_path / f"a.{suffix}", times=steady(50), **options)
    assert not film_of(source, tmp_path / "film.mp4")
    with av.open(str(tmp_path / "film.mp4")) as container:
        stream = container.streams.audio[0].codec_context
        assert (stream.name, stream.sample_rate, stream.layout.name) == ("aac", 48_000, "stereo")
        sounds = np.concatenate([sound.to_ndarray() for sound in container.decode(audio=0)], 1)  # (2, N)
    spectra = np.abs(np.fft.rfft(sounds[:, 24_000:72_000]))  # of a second: its bins are Hertz
    assert spectra.argmax(1).tolist() == [440, 660]
    before, after = heard(source)[0][4000:28_000], heard(tmp_path / "film.mp4")[0][4000:28_000]
    assert np.corrcoef(before, after)[0, 1] > 0.995  # a shift by one sample would make it 0.98


@pytest.mark.parametrize(("rate", "kept"), [(8_000, 8_000), (5_512, 48_000), (96_000, 48_000)])
def test_rates_are_those_that_browsers_play(rate, kept, tmp_path):
    options = {"sound": tone(2, rate), "sound_rate": rate, "sound_codec": "pcm_s16le"}
    film_of(write_media(tmp_path / "a.mov", times=steady(50), **options), tmp_path / "film.mp4")
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert container.streams.audio[0].codec_context.sample_rate == kept
    samples = heard(tmp_path / "film.mp4")[0][8_000:24_000]  # of a second
    assert np.abs(np.fft.rfft(samples)).argmax() == 440


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_sound_that_begins_later_stays_later(codec, tmp_path):
    options = {"sound": tone(1), "sound_start": 0.7, "sound_codec": codec}
    source = write_media(tmp_path / "a.mov", times=steady(50), **options)
    film_of(source, tmp_path / "film.mp4")
    (before, then), (after, now) = heard(source), heard(tmp_path / "film.mp4")
    loud = [
        moments[np.flatnonzero(np.abs(samples) > 0.25)[[0, -1]]] for samples, moments in ((before, then), (after, now))
    ]
    assert loud[0][0] == pytest.approx(0.7, abs=0.025)
    assert np.abs(loud[0] - loud[1]).max() < 0.002


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_a_stretch_is_cut_out(codec, tmp_path):
    louder = tone(SECONDS) * np.linspace(0, 1, round(SECONDS * 48_000), dtype=np.float32)
    source = write_media(tmp_path / "a.mov", times=steady(50), sound=louder, sound_codec=codec)
    film_of(source, tmp_path / "film.mp4", 0.5, 1.5)
    (before, then), (after, now) = heard(source), heard(tmp_path / "film.mp4")
    assert now[-1] - now[0] == pytest.approx(1, abs=0.07)  # a packet at either end, and what AAC adds
    inner = after[(now > 0.2) & (now < 0.8)]
    meant = before[(then > 0.7) & (then < 1.3)]
    assert np.corrcoef(inner[:9000], meant[:9000])[0, 1] > 0.97


def test_damaged_sound_is_encoded_with_silence_in_its_holes(tmp_path):
    source = write_media(tmp_path / "a.ts", times=steady(100), sound=tone(4))
    data = bytearray(source.read_bytes())
    packets = [begin for begin in range(0, len(data), 188) if data[begin + 1] & 0x1F == 1 and data[begin + 2] == 1]
    for begin in packets[len(packets) // 4 : len(packets) // 2]:  # of the stream of sound
        data[begin : begin + 188] = bytes([0x47, 0x1F, 0xFF, 0x10]) + bytes(184)  # stuffing
    source.write_bytes(data)
    assert not film_of(source, tmp_path / "film.mp4")
    before, after = heard(source)[0], heard(tmp_path / "film.mp4")[0]
    quiet = [(np.abs(samples[8000:48_000]) < 1e-3).mean() for samples in (before, after)]
    assert quiet[0] > 0.2 and abs(quiet[0] - quiet[1]) < 0.05


def test_a_burst_of_noise_in_a_file_does_not_stop_it(tmp_path):
    source = burst(write_media(tmp_path / "a.mkv", times=steady(100), sound=tone(4), time_base=MILLISECONDS), size=3000)
    film_of(source, tmp_path / "film.mp4")
    assert len(heard(tmp_path / "film.mp4")[0]) > 2 * 16_000
