"""Sound: rate, level, place, channels, gaps."""

from fractions import Fraction

import av
import numpy as np
import pytest
from scipy.signal import resample_poly

from media import steady, tone, write_media
from sentio.affect.media import SAMPLE_RATE, open_media


def sweep(seconds: float, rate: int) -> np.ndarray:
    """200 Hz to 2 kHz: unlike a tone, it fits itself at one place only."""
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * (200 * time + 900 / seconds * time**2))).astype(np.float32)


def lag(heard: np.ndarray, expected: np.ndarray) -> int:
    """Samples by which `heard` is late, from the highest cross-correlation."""
    size = min(len(heard), len(expected))
    middle = expected[2000 : size - 2000]
    scores = [float(middle @ heard[2000 + k : 2000 + k + len(middle)]) for k in range(-1500, 1500)]
    return int(np.argmax(scores)) - 1500


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_agrees_with_scipy(tmp_path, rate):
    sound = sweep(3, rate)
    path = write_media(tmp_path / "a.wav", sound=sound, sound_rate=rate, sound_codec="pcm_f32le")
    samples, start_s = open_media(path).waveform()
    ratio = Fraction(SAMPLE_RATE, rate)
    expected = resample_poly(sound, ratio.numerator, ratio.denominator)
    assert samples.dtype == np.float32
    assert start_s == 0
    assert abs(len(samples) - 3 * SAMPLE_RATE) <= 1
    assert lag(samples, expected) == 0
    size = min(len(samples), len(expected))
    assert np.sqrt(np.mean((samples[100 : size - 100] - expected[100 : size - 100]) ** 2)) < 2e-3


def test_a_tone_keeps_its_pitch_and_level(tmp_path):
    path = write_media(
        tmp_path / "a.wav", sound=tone(2, 44_100, 1000, 0.25), sound_rate=44_100, sound_codec="pcm_s16le"
    )
    samples, _ = open_media(path).waveform()
    spectrum = np.abs(np.fft.rfft(samples[:SAMPLE_RATE])) / (SAMPLE_RATE / 2)
    assert spectrum.argmax() == 1000
    assert spectrum[1000] == pytest.approx(0.25, rel=0.01)
    assert np.delete(spectrum, range(990, 1011)).max() < 1e-3


def test_what_16_khz_cannot_hold_is_filtered_out(tmp_path):
    path = write_media(tmp_path / "a.wav", sound=tone(1, 48_000, 12_000), sound_codec="pcm_s16le")
    samples, _ = open_media(path).waveform()
    assert np.abs(samples[200:-200]).max() < 0.01


@pytest.mark.parametrize(
    ("name", "codec", "tolerance"),
    [
        ("a.m4a", "aac", 0),
        ("a.mkv", "libopus", 0),
        ("a.ogg", "libopus", 0),
        ("a.flac", "flac", 0),
        ("a.mp3", "libmp3lame", 2),
    ],
)
def test_codecs_keep_their_place(tmp_path, name, codec, tolerance):
    sound = sweep(3, 48_000)
    samples, start_s = open_media(write_media(tmp_path / name, sound=sound, sound_codec=codec)).waveform()
    late = lag(samples, resample_poly(sound, 1, 3))
    assert abs(late) <= tolerance
    assert abs(len(samples) - 3 * SAMPLE_RATE) <= 200
    assert start_s == pytest.approx(0.023 if name == "a.mp3" else 0, abs=0.001)


@pytest.mark.parametrize(
    ("layout", "channels", "level"),
    [
        ("mono", [1], 0.5),
        ("stereo", [1, 1], 0.5),
        ("stereo", [1, 0], 0.25),
        ("stereo", [1, -1], 0.0),
        ("5.1", [1, 1, 1, 0, 1, 1], 0.5),
        ("5.1", [0, 0, 0, 1, 0, 0], 0.0),  # the low-frequency channel is left out
    ],
)
def test_channels_are_mixed(tmp_path, layout, channels, level):
    sound = np.stack([tone(1) * weight for weight in channels])
    path = write_media(tmp_path / "a.wav", sound=sound, sound_layout=layout, sound_codec="pcm_s16le")
    samples, _ = open_media(path).waveform()
    assert np.abs(samples[200:-200]).max() == pytest.approx(level, abs=0.005)
    assert open_media(path).info.audio_channels == len(channels)


def test_silence_clipping_and_nan(tmp_path):
    silent = write_media(tmp_path / "silent.wav", sound=np.zeros(48_000, np.float32), sound_codec="pcm_s16le")
    assert not open_media(silent).waveform()[0].any()
    clipped = write_media(tmp_path / "loud.wav", sound=tone(1, level=3), sound_codec="pcm_s16le")
    assert np.abs(open_media(clipped).waveform()[0]).max() == pytest.approx(1, abs=0.2)  # ringing of the filter
    sound = tone(1)
    sound[24_000:] = np.nan
    samples, _ = open_media(write_media(tmp_path / "nan.wav", sound=sound, sound_codec="pcm_f32le")).waveform()
    assert np.isfinite(samples).all()
    assert samples[:7900].any()
    assert not samples[8100:].any()


def test_blocks_are_one_second_without_gaps(tmp_path):
    path = write_media(tmp_path / "a.wav", sound=tone(3.5), sound_codec="pcm_s16le")
    media = open_media(path)
    blocks = list(media.audio())
    assert [block.time_s for block in blocks] == [0, 1, 2, 3]
    assert [len(block.samples) for block in blocks] == [16_000, 16_000, 16_000, 8_000]
    assert np.array_equal(np.concatenate([block.samples for block in blocks]), media.waveform()[0])


def test_start_and_end_cut_at_samples(tmp_path):
    path = write_media(tmp_path / "a.wav", sound=sweep(3, 48_000), sound_codec="pcm_s16le")
    whole, _ = open_media(path).waveform()
    part, start_s = open_media(path, start=0.5, end=2.25).waveform()
    assert start_s == 0.5
    assert np.array_equal(part, whole[8_000:36_000])
    assert len(open_media(path, start=5).waveform()[0]) == 0


def test_sound_that_starts_late_keeps_its_time(tmp_path):
    path = write_media(tmp_path / "a.mkv", times=steady(50), sound=tone(1), sound_start=0.7, sound_codec="flac")
    media = open_media(path)
    samples, start_s = media.waveform()
    assert start_s == pytest.approx(0.7, abs=0.001)
    assert len(samples) == pytest.approx(16_000, abs=2)
    assert next(iter(media)).time_s == 0


def test_sound_and_pictures_of_different_length(tmp_path):
    for seconds in (0.5, 4.0):
        path = write_media(tmp_path / f"{seconds}.mkv", times=steady(50), sound=tone(seconds), sound_codec="flac")
        media = open_media(path)
        assert len(list(media)) == 50
        assert len(media.waveform()[0]) == pytest.approx(seconds * SAMPLE_RATE, abs=2)
        assert not media.damage
        assert not media.audio_damage


def write_pieces(path, pieces, rate=16_000):
    """Sound of several (start in seconds, samples) in one stream."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("pcm_f32le", rate=rate, layout="mono")
        for start, samples in pieces:
            frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="flt", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(start * rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def test_a_hole_is_filled_with_silence(tmp_path):
    path = write_pieces(tmp_path / "a.mkv", [(0.0, tone(1, 16_000)), (2.5, tone(1, 16_000))])
    media = open_media(path)
    samples, _ = media.waveform()
    assert len(samples) == 56_000
    assert samples[15_000:16_000].any()
    assert not samples[16_000:40_000].any()
    assert np.allclose(samples[40_000:], tone(1, 16_000), atol=1e-6)
    assert media.audio_damage.seconds_lost == pytest.approx(1.5, abs=0.001)


def test_sound_told_twice_is_heard_once(tmp_path):
    path = write_pieces(tmp_path / "a.mkv", [(0.0, tone(1, 16_000)), (0.5, np.full(16_000, 0.1))])
    samples, _ = open_media(path).waveform()
    assert len(samples) == 24_000
    assert np.allclose(samples[:16_000], tone(1, 16_000), atol=1e-6)
    assert np.allclose(samples[16_000:], 0.1, atol=1e-6)


def test_a_false_stamp_is_not_filled_with_hours_of_silence(tmp_path):
    path = write_pieces(tmp_path / "a.mkv", [(0.0, tone(1, 16_000)), (9000, tone(1, 16_000)), (9001, tone(1, 16_000))])
    media = open_media(path)
    assert len(media.waveform()[0]) == 48_000
    assert media.audio_damage.stamps_repaired == 1


def test_stamps_rounded_to_milliseconds_leave_no_seams(tmp_path):
    sound = sweep(3, 44_100)
    path = write_media(tmp_path / "a.mkv", sound=sound, sound_rate=44_100, sound_codec="flac")
    samples, _ = open_media(path).waveform()
    expected = resample_poly(sound, 160, 441)
    assert np.abs(samples[100:-100] - expected[100:-100]).max() < 0.01


def test_sound_without_pictures_and_pictures_without_sound(tmp_path):
    with open_media(write_media(tmp_path / "a.m4a", sound=tone(1))) as media:
        assert (media.info.has_video, media.info.has_audio, media.info.codec) == (False, True, "")
        assert list(media) == []
        assert (media.info.audio_codec, media.info.audio_rate, media.info.audio_channels) == ("aac", 48_000, 1)
    with open_media(write_media(tmp_path / "v.mp4", times=steady(3))) as media:
        assert (media.info.has_video, media.info.has_audio) == (True, False)
        samples, start_s = media.waveform()
        assert (len(samples), start_s) == (0, 0.0)


def test_speech_has_the_length_of_its_clip(clips):
    assert_whole_sound(clips / "talking.mp4")


def test_real_speech_has_the_length_of_its_clip(shared):
    for path in sorted((shared / "data/affect/clips").glob("grid_*.mpg")):
        assert_whole_sound(path)


def assert_whole_sound(path):
    media = open_media(path)
    samples, start_s = media.waveform()
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    seconds = sum(frame.samples for frame in frames) / frames[0].sample_rate
    assert len(samples) / SAMPLE_RATE == pytest.approx(seconds, abs=0.001)
    assert start_s == pytest.approx(frames[0].time)
    assert 0.01 < np.sqrt(np.mean(samples**2)) < 0.5
    assert not media.audio_damage
