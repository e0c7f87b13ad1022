"""The stream of voice scores with a stand-in that tells what it was given, and the embedded model on made sounds."""

import numpy as np
import pytest
from scipy.signal import lfilter

from media import tone
from sentio.affect.analysis import voice
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.media import AudioBlock, open_media
from sentio.core import weights
from sentio.core.errors import InputError

WINDOW, HOP = 48_000, 4_000


class Recorder:
    """Keeps the windows it is asked about; 'speech' is how loud the window ends."""

    threshold, detector = 0.5, None

    def __init__(self):
        self.windows = []

    def score(self, windows):
        self.windows.extend(windows)
        N = len(windows)
        loud = np.abs(windows[:, -1]).astype(np.float32)
        return voice.VoiceScores(loud, np.full((N, 2), 0.25, np.float32), np.full((N, 8), 1 / 8, np.float32))


def ramp(start: int, count: int) -> np.ndarray:
    return (np.arange(start, start + count) / 1e6).astype(np.float32)


def all_scores(given, model):
    """What a track says of blocks of sound."""
    track = voice.VoiceTrack(model)
    return [score for block in given for score in track.push(block)] + track.flush()


def blocks(sound, origin_s, sizes):
    at = 0
    for size in sizes:
        yield AudioBlock(origin_s + at / 16_000, sound[at : at + size])
        at += size
    yield AudioBlock(origin_s + at / 16_000, sound[at:])


@pytest.mark.parametrize("sizes", [(16_000,) * 7, (1, 3_999, 4_000, 4_001, 70_000), (100,) * 400, ()])
@pytest.mark.parametrize("origin_s", [0.0, 0.1, -0.3, 3600.125])
def test_a_window_is_the_sound_before_its_time_whatever_the_blocks(sizes, origin_s):
    sound, model = ramp(1, 120_000), Recorder()
    rows = all_scores(blocks(sound, origin_s, sizes), model)
    first = round(origin_s * 16_000)
    padded = np.concatenate([np.zeros(WINDOW, np.float32), sound])
    expected = range(HOP * (first // HOP + 1), first + len(sound) + 1, HOP)
    assert [row.time_s for row in rows] == [sample / 16_000 for sample in expected]
    for sample, window in zip(expected, model.windows, strict=True):
        np.testing.assert_array_equal(window, padded[sample - first : sample - first + WINDOW])


def test_a_gap_is_silence_and_an_overlap_counts_once():
    model = Recorder()
    given = [AudioBlock(0, ramp(0, 16_000)), AudioBlock(2, ramp(32_000, 16_000)), AudioBlock(2.5, ramp(40_000, 16_000))]
    rows = all_scores(given, model)
    expected = ramp(0, 56_000)
    expected[16_000:32_000] = 0
    assert rows[-1].time_s == 3.5
    np.testing.assert_array_equal(model.windows[-1], expected[-WINDOW:])


def test_stamps_that_tremble_do_not_cut_the_sound():
    sound, model = ramp(0, 64_000), Recorder()
    given = [AudioBlock(k / 4 + (-1) ** k * 0.004, sound[k * HOP : (k + 1) * HOP]) for k in range(16)]
    all_scores(given, model)
    np.testing.assert_array_equal(model.windows[-1], sound[16_000 - 64 : 64_000 - 64])  # the line began 4 ms late


def test_without_speech_there_is_no_affect():
    sound = np.concatenate([np.full(HOP, 0.4, np.float32), np.full(HOP, 0.6, np.float32)])
    silent, spoken = all_scores([AudioBlock(0, sound)], Recorder())
    assert (silent.valence, silent.arousal, silent.expression) == (None, None, None)
    assert (spoken.valence, spoken.arousal, len(spoken.expression)) == (0.25, 0.25, 8)
    assert silent.speech == pytest.approx(0.4) and spoken.speech == pytest.approx(0.6)


def test_memory_stays_flat():
    track = voice.VoiceTrack(Recorder())
    for k in range(50):
        assert len(track.push(AudioBlock(float(k), ramp(0, 16_000)))) == 4
        track.model.windows.clear()
        assert track._held.size == WINDOW and (track._held.base is None or track._held.base.size <= WINDOW + 16_000)


# --- the embedded model


@pytest.fixture(scope="module")
def model():
    return voice.VoiceModel()


def vowels(pitch: float, seconds: float = 3.0) -> np.ndarray:
    """A buzz through moving formants with pauses: what a simple speech synthesiser says."""
    samples = int(seconds * 16_000)
    time = np.arange(samples) / 16_000
    bent = pitch * (1 + 0.15 * np.sin(2 * np.pi * 0.7 * time))
    buzz = np.diff(np.floor(np.cumsum(bent) / 16_000), prepend=0)
    pieces = []
    formants = [(730, 1090), (270, 2290), (300, 870), (530, 1840), (570, 840)]
    for k, piece in enumerate(np.array_split(buzz, 15)):
        for hertz in formants[k % 5]:
            radius = np.exp(-np.pi * 80 / 16_000)
            piece = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * hertz / 16_000), radius**2], piece)
        pieces.append(piece * np.hanning(len(piece)))
    sound = np.concatenate(pieces)
    return (0.1 * sound / np.abs(sound).max()).astype(np.float32)


def test_scores_have_their_shapes_and_ranges(model):
    for N, S in ((1, 48_000), (3, 20_000), (2, 70_001)):
        found = model.score(np.random.default_rng(0).normal(0, 0.05, (N, S)).astype(np.float32))
        assert found.speech.shape == (N,) and found.valence_arousal.shape == (N, 2) and found.expression.shape == (N, 8)
        np.testing.assert_allclose(found.expression.sum(1), 1, atol=1e-5)
        assert (found.expression[:, EXPRESSIONS.index("Surprise")] == 0).all()
        assert (np.abs(found.valence_arousal) <= 1).all() and ((found.speech >= 0) & (found.speech <= 1)).all()


def test_a_batch_is_its_windows_one_by_one(model):
    windows = np.random.default_rng(1).normal(0, 0.05, (3, 48_000)).astype(np.float32)
    together = model.score(windows)
    for k in range(3):
        alone = model.score(windows[k : k + 1])
        np.testing.assert_allclose(alone.expression[0], together.expression[k], atol=1e-5)


def test_scores_do_not_depend_on_the_blocks_to_the_last_bit(model):
    sound = vowels(150)
    found = [
        all_scores(blocks(sound, 0.0, sizes), model) for sizes in ((), (16_000,) * 2, (1, 3_999, 4_001), (700,) * 60)
    ]
    for other in found[1:]:
        assert [score.time_s for score in other] == [score.time_s for score in found[0]]
        for a, b in zip(found[0], other, strict=True):
            assert (a.speech, a.valence, a.arousal) == (b.speech, b.valence, b.arousal)
            assert np.array_equal(a.expression, b.expression)
    assert any(score.expression is not None for score in found[0])


def test_loudness_hardly_matters(model):
    sound = vowels(120)[None]
    loud, faint = model.score(9 * sound), model.score(sound)
    np.testing.assert_allclose(loud.expression, faint.expression, atol=0.02)


@pytest.mark.parametrize("kind", ["silence", "faint noise", "noise", "tone", "hum"])
def test_there_is_no_speech_in_what_nobody_says(model, kind):
    rng = np.random.default_rng(3)
    sound = {
        "silence": np.zeros(80_000),
        "faint noise": rng.normal(0, 1e-4, 80_000),
        "noise": rng.normal(0, 0.1, 80_000),
        "tone": tone(5, 16_000, 440.0, 0.2),
        "hum": tone(5, 16_000, 50.0, 0.2) + tone(5, 16_000, 150.0, 0.1),
    }[kind].astype(np.float32)
    rows = all_scores([AudioBlock(0, sound)], model)
    assert len(rows) == 20
    assert all(row.valence is None for row in rows)


def test_describe_names_the_weights(model):
    told = model.describe()
    assert told["sha256"] == weights.card("voice").files["onnx"].sha256
    assert told["causal"] and told["window_s"] == 3.0 and told["hop_s"] == 0.25


@pytest.mark.parametrize("bad", [np.zeros(48_000), np.full((1, 48_000), np.nan), np.full((1, 48_000), np.inf)])
def test_what_is_no_window_is_refused(model, bad):
    with pytest.raises(InputError, match="finite"):
        model.score(bad)


def test_speech_of_a_clip_is_heard_and_the_pause_before_it_is_not(model, clips):
    with open_media(clips / "talking.mp4") as media:
        sound, start_s = media.waveform()
    rows = all_scores([AudioBlock(start_s, sound)], model)
    assert all(row.valence is None for row in rows if row.time_s <= 0.5)
    assert np.mean([row.valence is not None for row in rows if row.time_s > 0.8]) > 0.8


def test_real_speech_is_heard_and_the_pause_before_it_is_not(model, shared):
    with open_media(shared / "data/affect/speech/jfk.flac") as media:
        sound = media.waveform()[0]
    rows = all_scores([AudioBlock(0, np.concatenate([np.zeros(32_000, np.float32), sound]))], model)
    assert all(row.valence is None for row in rows if row.time_s <= 2)
    spoken = [row for row in rows if row.time_s > 2.5]
    assert np.mean([row.valence is not None for row in spoken]) > 0.8
