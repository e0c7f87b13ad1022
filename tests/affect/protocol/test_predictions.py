import numpy as np
import pytest

from sentio.affect.protocol.predictions import Prediction, fill
from sentio.core.errors import InputError

nan = np.nan


def test_nearest_takes_the_earlier_of_two_equally_near():
    values = np.array([[nan], [1], [nan], [2], [nan], [nan], [nan], [3], [nan]])
    assert fill(values, "nearest", np.zeros(1))[:, 0].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_previous_never_looks_ahead():
    values = np.array([[nan], [1], [nan], [2], [nan]])
    assert fill(values, "previous", np.array([9.0]))[:, 0].tolist() == [9, 1, 1, 2, 2]
    later = values.copy()
    later[4] = 5
    assert (fill(later, "previous", np.array([9.0]))[:4] == fill(values, "previous", np.array([9.0]))[:4]).all()


@pytest.mark.parametrize("how", ["nearest", "previous"])
def test_a_clip_without_any_prediction_gets_the_neutral_values(how):
    empty = Prediction(valence_arousal=np.full((3, 2), nan), expression=np.full((3, 8), nan, np.float32))
    filled = empty.filled(how)
    assert (filled.valence_arousal == 0).all()
    assert filled.expression.argmax(1).tolist() == [0, 0, 0]


@pytest.mark.parametrize("how", ["nearest", "previous"])
def test_fill_equals_a_naive_loop(how):
    rng = np.random.default_rng(0)
    for _ in range(50):
        values = rng.normal(size=(20, 2))
        values[rng.random(20) < 0.6] = nan
        expected = []
        for i in range(20):
            present = [j for j in range(20) if not np.isnan(values[j, 0]) and (how == "nearest" or j <= i)]
            best = min(present, key=lambda j: (abs(j - i), j), default=None)
            expected.append(np.zeros(2) if best is None else values[best])
        np.testing.assert_array_equal(fill(values, how, np.zeros(2)), expected)


def test_merging_fills_gaps_only():
    first = Prediction(valence_arousal=np.array([[0.1, 0.1], [nan, nan]]))
    second = Prediction(valence_arousal=np.array([[0.9, 0.9], [0.5, 0.5]]))
    assert first.merged(second).valence_arousal.tolist() == [[0.1, 0.1], [0.5, 0.5]]


def test_shapes_are_checked():
    with pytest.raises(InputError, match="expression"):
        Prediction(valence_arousal=np.zeros((3, 2)), expression=np.zeros((4, 8)))
    with pytest.raises(InputError, match="at least one"):
        Prediction()
