import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sentio.affect.protocol.roc import paired_auc


@pytest.mark.parametrize("decimals", [1, 8])
def test_area_is_that_of_scikit_learn(decimals: int) -> None:
    rng = np.random.default_rng(3)
    negative = rng.normal(size=40).round(decimals)
    positive = rng.normal(0.7, size=40).round(decimals)  # one decimal: many are equal
    truth = np.repeat([1, 0], 40)
    expected = roc_auc_score(truth, np.concatenate([positive, negative]))
    assert paired_auc(positive, negative).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
def test_interval_is_that_of_people_drawn_one_by_one() -> None:
    rng = np.random.default_rng(4)
    looks = rng.normal(size=25)  # of a person, in both pictures
    negative, positive = looks + rng.normal(0, 0.5, 25), looks + rng.normal(0.8, 0.5, 25)
    truth = np.repeat([1, 0], 25)
    areas = []
    for _ in range(1500):
        people = rng.integers(25, size=25)
        areas.append(roc_auc_score(truth, np.concatenate([positive[people], negative[people]])))
    found = paired_auc(positive, negative, resamples=4000)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(areas, [0.025, 0.975])), abs=0.015)


def test_groups_apart_leave_no_doubt() -> None:
    assert paired_auc(np.arange(5) + 10, np.arange(5)) == (1, 1, 1)
    assert paired_auc(np.zeros(5), np.zeros(5)) == (0.5, 0.5, 0.5)


def test_same_seed_same_interval() -> None:
    rng = np.random.default_rng(5)
    positive, negative = rng.normal(size=(2, 12))
    assert paired_auc(positive, negative) == paired_auc(positive, negative)
    assert paired_auc(positive, negative) != paired_auc(positive, negative, seed=1)
