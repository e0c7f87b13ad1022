import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from sentio.affect.labels import EXPRESSIONS
from sentio.affect.protocol.scores import Moments, Pool, Tally, batch_averaged_mtl, ccc, f1_binary, f1_by_class
from sentio.core.errors import InputError


def naive_ccc(x, y):
    n = len(x)
    mx, my = sum(x) / n, sum(y) / n
    sxx = sum((a - mx) ** 2 for a in x) / n
    syy = sum((b - my) ** 2 for b in y) / n
    sxy = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / n
    return 2 * sxy / (sxx + syy + (mx - my) ** 2)


def frames(seed, n=400, units=0.3):
    rng = np.random.default_rng(seed)
    truth = np.clip(rng.normal(0.1, 0.4, (n, 2)), -1, 1)
    guess = np.clip(0.6 * truth + rng.normal(0, 0.2, (n, 2)), -1, 1)
    classes = rng.choice(8, n, p=[0.3, 0.05, 0.05, 0.05, 0.2, 0.1, 0.05, 0.2])
    guessed = np.where(rng.random(n) < 0.5, classes, rng.integers(0, 8, n))
    action = (rng.random((n, 12)) < units).astype(int)
    acted = np.where(rng.random((n, 12)) < 0.7, action, 1 - action)
    return {
        "valence_arousal": (guess, truth),
        "expression": (guessed, classes),
        "action_units": (acted, action),
    }


def part(data, index):
    return {name: (a[index], b[index]) for name, (a, b) in data.items()}


# concordance


def test_ccc_equals_a_naive_loop():
    guess, truth = frames(0)["valence_arousal"]
    expected = [naive_ccc(guess[:, i].tolist(), truth[:, i].tolist()) for i in range(2)]
    np.testing.assert_allclose(ccc(guess, truth), expected, rtol=1e-12)


def test_ccc_closed_forms():
    y = np.array([[-1.0], [0.0], [1.0]])
    assert ccc(y, y)[0] == pytest.approx(1)
    assert ccc(-y, y)[0] == pytest.approx(-1)
    variance, shift = 2 / 3, 0.5  # population variance; a shift alone gives 2 s2 / (2 s2 + shift2)
    assert ccc(y + shift, y)[0] == pytest.approx(2 * variance / (2 * variance + shift**2))
    scale = 0.5  # a scale alone gives 2 k / (1 + k2)
    assert ccc(scale * y, y)[0] == pytest.approx(2 * scale / (1 + scale**2))


def test_ccc_edges():
    y = np.array([[0.1], [0.2]])
    assert ccc(np.full((2, 1), 0.3), y)[0] == 0  # a constant prediction
    assert np.isnan(ccc(np.empty((0, 1)), np.empty((0, 1)))[0])
    assert ccc(np.array([[0.3]]), np.array([[0.2]]))[0] == 0  # one frame
    assert np.isnan(ccc(np.array([[0.2]]), np.array([[0.2]]))[0])


def test_ccc_keeps_its_digits_far_from_zero():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(1000, 1))
    x = y + rng.normal(size=(1000, 1))
    np.testing.assert_allclose(ccc(1e6 + 1e-2 * x, 1e6 + 1e-2 * y), ccc(x, y), rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 400), max_size=6))
def test_streaming_in_any_chunks_and_order_gives_the_same(seed, cuts):
    guess, truth = frames(seed)["valence_arousal"]
    edges = [0, *sorted(cuts), 400]
    pieces = [Moments.of(guess[a:b], truth[a:b]) for a, b in itertools.pairwise(edges)]
    np.random.default_rng(seed).shuffle(pieces)
    np.testing.assert_allclose(sum(pieces[1:], pieces[0]).ccc(), ccc(guess, truth), rtol=0, atol=1e-12)


# F1 and accuracy


def test_expression_scores_equal_scikit_learn():
    guess, truth = frames(2)["expression"]
    scores = Tally.of(expression=(guess, truth)).scores()
    by_class = f1_score(truth, guess, labels=range(8), average=None, zero_division=0)
    for name, value in zip(EXPRESSIONS, by_class, strict=True):
        assert scores[f"f1_{name.lower()}"] == pytest.approx(value, abs=1e-15)
    assert scores["p_expr"] == pytest.approx(by_class.mean(), abs=1e-15)
    assert scores["accuracy_expr"] == pytest.approx(accuracy_score(truth, guess), abs=1e-15)


def test_action_unit_scores_equal_scikit_learn():
    guess, truth = frames(3)["action_units"]
    scores = Tally.of(action_units=(guess, truth)).scores()
    by_unit = [f1_score(truth[:, k], guess[:, k], zero_division=0) for k in range(12)]
    assert scores["p_au"] == pytest.approx(np.mean(by_unit), abs=1e-15)
    assert scores["f1_au12"] == pytest.approx(by_unit[6], abs=1e-15)
    assert scores["accuracy_au"] == pytest.approx((guess == truth).mean(), abs=1e-15)


def test_an_absent_class_counts_as_zero_in_the_mean_of_eight():
    ids = np.array([0, 4, 4, 0])
    scores = Tally.of(expression=(ids, ids)).scores()
    assert scores["p_expr"] == pytest.approx(2 / 8)
    assert scores["f1_fear"] == 0


def test_a_class_that_is_only_predicted_counts_as_zero():
    scores = Tally.of(expression=(np.array([7, 4]), np.array([4, 4]))).scores()
    assert scores["p_expr"] == pytest.approx((2 / 3) / 8)


def test_an_absent_action_unit_counts_as_zero():
    units = np.zeros((5, 12), int)
    units[:, 0] = 1
    assert Tally.of(action_units=(units, units)).scores()["p_au"] == pytest.approx(1 / 12)


def test_constant_predictions():
    truth = np.array([0, 0, 4, 4])
    scores = Tally.of(expression=(np.zeros(4, int), truth)).scores()
    assert scores["f1_neutral"] == pytest.approx(2 / 3)
    labels = np.tile([1, 0], (4, 6))
    assert Tally.of(action_units=(np.ones((4, 12), int), labels)).scores()["p_au"] == pytest.approx(0.5)


def test_one_frame_and_none():
    one = part(frames(4), slice(0, 1))
    assert set(Tally.of(**one).scores()) > {"p_va", "p_expr", "p_au", "p_mtl"}
    assert Tally().scores() == {}
    assert Pool().scores() == Pool().intervals() == Pool().by_video() == {}


def test_the_naive_loops_agree():
    rng = np.random.default_rng(5)
    matrix = rng.integers(1, 9, (8, 8))
    for k in range(8):
        tp = matrix[k, k]
        precision, recall = tp / matrix[:, k].sum(), tp / matrix[k].sum()
        assert f1_by_class(matrix)[k] == pytest.approx(2 * precision * recall / (precision + recall))
    assert f1_binary(np.array([[3], [1], [2], [9]]))[0] == pytest.approx(6 / 9)


# masks


def test_frames_without_a_label_are_left_out():
    data = frames(6, 10)
    masked = {name: (np.array(a, float), np.array(b, float)) for name, (a, b) in data.items()}
    masked["valence_arousal"][1][3, 0] = np.nan
    masked["expression"][1][4] = -1
    masked["action_units"][1][5, 7] = -1  # one unit missing drops the frame, as in the official metric
    keep = {"valence_arousal": 3, "expression": 4, "action_units": 5}
    expected = Tally.of(**{n: part(data, np.arange(10) != keep[n])[n] for n in data}).scores()
    assert Tally.of(**masked).scores() == pytest.approx(expected)


def test_a_labelled_frame_without_a_prediction_is_refused():
    truth = np.zeros((4, 2))
    guess = truth.copy()
    guess[1] = np.nan
    with pytest.raises(InputError, match="1 of 4"):
        Tally.of(valence_arousal=(guess, truth))
    with pytest.raises(InputError, match="shape"):
        Tally.of(valence_arousal=(guess[:3], truth))


# protocols


def test_mixed_scores_of_abaw2():
    data = frames(7)
    guess, truth = data["expression"]
    known = truth < 7
    scores = Tally.of(**data).scores("abaw2")
    f1 = f1_score(truth[known], guess[known], labels=range(7), average="macro", zero_division=0)
    assert scores["p_expr"] == pytest.approx(0.67 * f1 + 0.33 * accuracy_score(truth[known], guess[known]))
    guess, truth = data["action_units"]
    f1 = np.mean([f1_score(truth[:, k], guess[:, k]) for k in range(12)])
    assert scores["p_au"] == pytest.approx(0.5 * f1 + 0.5 * (guess == truth).mean())


def test_lsd_is_the_mean_of_six():
    rng = np.random.default_rng(8)
    truth, guess = rng.integers(1, 7, 300), rng.integers(1, 7, 300)
    expected = f1_score(truth, guess, labels=range(1, 7), average="macro")
    assert Tally.of(expression=(guess, truth)).scores("lsd")["p_lsd"] == pytest.approx(expected)


def test_p_mtl_is_the_sum():
    scores = Tally.of(**frames(9)).scores()
    assert scores["p_mtl"] == pytest.approx(scores["p_va"] + scores["p_expr"] + scores["p_au"])
    assert scores["p_va"] == pytest.approx((scores["ccc_valence"] + scores["ccc_arousal"]) / 2)


def test_the_pooled_score_is_not_the_mean_over_videos():
    pool, everything = Pool(), frames(10)
    order = np.argsort(everything["valence_arousal"][1][:, 0])
    for name, rows in (("low", order[:150]), ("high", order[150:])):
        pool.add(name, Tally.of(**part(everything, rows)))
    assert pool.scores() == pytest.approx(Tally.of(**everything).scores(), abs=1e-12)
    alone = [scores["ccc_valence"] for scores in pool.by_video().values()]
    assert abs(np.mean(alone) - pool.scores()["ccc_valence"]) > 0.05


# bootstrap


def test_resampled_scores_equal_scores_of_resampled_videos():
    pool = Pool()
    videos = {f"v{k}": frames(20 + k, 30 + 10 * k) for k in range(5)}
    for name, data in videos.items():
        pool.add(name, Tally.of(**data))
    draws = np.random.default_rng(3).multinomial(5, np.full(5, 0.2), size=200)
    names = sorted(videos)
    by_hand = []
    for weights in draws:
        rows = [videos[name] for name, count in zip(names, weights, strict=True) for _ in range(count)]
        both = {k: tuple(np.concatenate([r[k][i] for r in rows]) for i in range(2)) for k in rows[0]}
        by_hand.append(Tally.of(**both).scores())
    intervals = pool.intervals(resamples=200, seed=3)
    for name in ("ccc_valence", "p_va", "p_expr", "p_au", "p_mtl", "f1_fear", "accuracy_au"):
        expected = np.quantile([scores[name] for scores in by_hand], [0.025, 0.975])
        np.testing.assert_allclose(intervals[name], expected, atol=1e-12)


def test_intervals_hold_only_the_tasks_there_are():
    pool = Pool()
    for k in range(4):
        pool.add(str(k), Tally.of(expression=frames(k)["expression"]))
    intervals = pool.intervals(resamples=50)
    assert "p_expr" in intervals and not {"p_va", "p_au", "p_mtl"} & set(intervals)
    low, high = intervals["p_expr"]
    assert low < pool.scores()["p_expr"] < high


# the distillation paper's own arithmetic


@pytest.mark.slow
def test_batch_averaged_score_follows_its_release_and_exceeds_the_official_one():
    data = frames(11, 512, units=0.05)
    batches = [part(data, slice(k, k + 16)) for k in range(0, 512, 16)]
    rows = []
    for batch in batches:
        guess, truth = batch["expression"]
        expr = f1_score(truth, guess, average="macro", zero_division=1)
        guess, truth = batch["action_units"]
        units = np.mean([f1_score(truth[:, k], guess[:, k], zero_division=1) for k in range(12)])
        guess, truth = batch["valence_arousal"]
        rows.append((np.mean([naive_ccc(guess[:, i], truth[:, i]) for i in range(2)]), expr, units))
    scores = batch_averaged_mtl(batches)
    expected = np.mean(rows, axis=0)
    assert scores["batch_averaged_p_expr"] == pytest.approx(expected[1])
    assert scores["batch_averaged_p_au"] == pytest.approx(expected[2])
    assert scores["batch_averaged_p_mtl"] == pytest.approx(expected.sum())
    assert not set(scores) & set(Tally.of(**data).scores())
