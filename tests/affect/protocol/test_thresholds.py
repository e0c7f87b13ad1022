import numpy as np
import pytest
from sklearn.metrics import f1_score

from sentio.affect.protocol import thresholds
from sentio.core.errors import InputError


def frames(seed, n=200):
    rng = np.random.default_rng(seed)
    label = (rng.random((n, 12)) < np.linspace(0.05, 0.9, 12)).astype(int)
    probability = np.round(np.clip(0.3 * label + rng.random((n, 12)) * 0.7, 0, 1), 2)  # with ties
    return probability, label


def test_no_threshold_is_better():
    probability, label = frames(0)
    found = thresholds.search(probability, label, split="validation")
    decided = thresholds.apply(probability, found)
    for k in range(12):
        every = []
        for cut in np.arange(0.005, 1, 0.01):  # between all the probabilities there are
            hits = (probability[:, k] >= cut) @ label[:, k]
            every.append(2 * hits / ((probability[:, k] >= cut).sum() + label[:, k].sum()))
        assert f1_score(label[:, k], decided[:, k]) == pytest.approx(max(every))


def test_only_validation_may_choose():
    probability, label = frames(1)
    for split in ("test", "train"):
        with pytest.raises(InputError, match=split):
            thresholds.search(probability, label, split=split)


def test_frames_with_a_label_missing_do_not_count():
    probability, label = frames(2)
    spoilt = np.concatenate([label, np.full((50, 12), -1)])
    extra = np.concatenate([probability, np.full((50, 12), 0.99)])
    assert thresholds.search(extra, spoilt, split="validation") == thresholds.search(
        probability, label, split="validation"
    )


def test_a_unit_that_never_occurs_keeps_one_half():
    probability, label = frames(3)
    label[:, 4] = 0
    assert thresholds.search(probability, label, split="validation")[4] == 0.5
