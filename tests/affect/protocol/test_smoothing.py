import numpy as np
import pytest

from sentio.affect.protocol.smoothing import Smoothing

nan = np.nan
VALUES = np.random.default_rng(0).normal(size=(60, 3))
GAPPY = VALUES.copy()
GAPPY[[0, 1, 17, 30, 31, 59]] = nan


def naive(values, smoothing):
    out = np.full_like(values, nan)
    average = {"box": np.mean, "median": np.median}[smoothing.kind]
    for i in range(len(values)):
        if not np.isnan(values[i, 0]):
            end = i + 1 if smoothing.causal else i + smoothing.frames + 1
            rows = values[max(0, i - smoothing.frames) : end]
            out[i] = average(rows[~np.isnan(rows[:, 0])], axis=0)
    return out


@pytest.mark.parametrize("kind", ["box", "median"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("frames", [1, 4, 100])
@pytest.mark.parametrize("values", [VALUES, GAPPY], ids=["full", "gaps"])
def test_box_and_median_equal_a_naive_loop(kind, causal, frames, values):
    smoothing = Smoothing(kind, frames, causal)
    np.testing.assert_allclose(smoothing(values), naive(values, smoothing), atol=1e-12)


def test_exponential_has_its_time_constant():
    step = np.zeros((40, 1))
    step[10:] = 1
    smooth = Smoothing("exponential", 5, causal=True)(step)[:, 0]
    assert (smooth[:10] == 0).all()
    assert smooth[14] == pytest.approx(1 - np.exp(-1))  # five frames after the step
    both = Smoothing("exponential", 5)(step)[:, 0]
    assert both[:10].max() > 0.1  # the other way round sees the step before it comes


@pytest.mark.parametrize("kind", ["box", "median", "exponential"])
def test_causal_filters_never_look_ahead(kind):
    smoothing = Smoothing(kind, 6, causal=True)
    changed = GAPPY.copy()
    changed[40:] += 5
    np.testing.assert_array_equal(smoothing(GAPPY)[:40], smoothing(changed)[:40])


@pytest.mark.parametrize("kind", ["box", "median", "exponential"])
@pytest.mark.parametrize("causal", [True, False])
def test_a_constant_stays_and_gaps_stay_gaps(kind, causal):
    values = np.full((30, 2), 0.3)
    values[[3, 4]] = nan
    np.testing.assert_allclose(Smoothing(kind, 5, causal)(values), values)
    assert np.isnan(Smoothing(kind, 5, causal)(np.full((3, 1), nan))).all()


def test_stamp_says_what_was_done():
    assert Smoothing().stamp() == "none"
    assert Smoothing("box", 50).stamp() == "box +-50 frames, looks ahead"
    assert Smoothing("median", 3, causal=True).stamp() == "median last 3 frames, causal"
    assert Smoothing("exponential", 9, causal=True).stamp() == "exponential 9 frames, causal"


@pytest.mark.parametrize("wrong", [("box", 0), ("box", -1), ("none", 5)])
def test_frames_must_fit_the_kind(wrong):
    with pytest.raises(ValueError, match="frames"):
        Smoothing(*wrong)
