"""Losses on missing labels: against plain sums, and that nothing leaks from what is missing."""

import math

import numpy as np
import pytest
import torch

from sentio.affect.losses import binary_focal_loss, ccc, ccc_loss, class_weights, focal_loss
from sentio.affect.protocol.scores import ccc as official_ccc


def plain_ccc(x, y):
    n = len(x)
    mean_x, mean_y = sum(x) / n, sum(y) / n
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / n
    variances = sum((a - mean_x) ** 2 for a in x) / n + sum((b - mean_y) ** 2 for b in y) / n
    return 2 * covariance / (variances + (mean_x - mean_y) ** 2)


@pytest.mark.parametrize("n", [2, 3, 100])
def test_ccc_is_the_plain_sum_and_the_official_metric(n):
    generator = np.random.default_rng(n)
    x, y = generator.uniform(-1, 1, (2, n, 2)).astype("float32")
    y = (0.6 * x + 0.4 * y).astype("float32")
    found = ccc(torch.from_numpy(x), torch.from_numpy(y)).numpy()
    assert found == pytest.approx([plain_ccc(x[:, k].tolist(), y[:, k].tolist()) for k in (0, 1)], abs=1e-5)
    assert found == pytest.approx(official_ccc(x, y), abs=1e-5)


def test_ccc_of_equal_opposite_shifted_and_constant_values():
    x = torch.linspace(-1, 1, 101)[:, None]
    assert float(ccc(x, x)) == pytest.approx(1, abs=1e-5)
    assert float(ccc(-x, x)) == pytest.approx(-1, abs=1e-5)
    variance = float((x**2).mean())
    assert float(ccc(x + 0.5, x)) == pytest.approx(2 * variance / (2 * variance + 0.25), abs=1e-5)
    constant = torch.zeros(5, 1)
    assert float(ccc(constant, constant)) == 0


def test_frames_without_a_label_change_neither_loss_nor_gradient():
    torch.manual_seed(0)
    prediction = torch.rand(4, 6, 2, requires_grad=True)
    label, valid = torch.rand(4, 6, 2), torch.rand(4, 6) > 0.4
    label[~valid] = float("nan")
    loss = ccc_loss(prediction, label, valid)
    loss.backward()
    kept = ccc_loss(
        prediction[valid][None].detach(), label[valid][None], torch.ones(1, int(valid.sum()), dtype=torch.bool)
    )
    assert float(loss.detach()) == pytest.approx(float(kept))
    assert prediction.grad.isfinite().all() and not prediction.grad[~valid].any() and prediction.grad[valid].any()


def test_a_batch_without_any_label_has_no_loss_and_no_gradient():
    prediction = torch.rand(2, 3, 2, requires_grad=True)
    loss = ccc_loss(prediction, torch.full((2, 3, 2), float("nan")), torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0 and torch.equal(prediction.grad, torch.zeros(2, 3, 2))


def test_ccc_of_16_bit_predictions_is_computed_in_32_bits():
    x = torch.linspace(0.9, 1.0, 64)[:, None]
    assert float(ccc(x.bfloat16(), x)) == pytest.approx(
        plain_ccc(x.bfloat16().float()[:, 0].tolist(), x[:, 0].tolist()), abs=1e-3
    )


def naive_focal(probabilities, label, weights, alpha, gamma):
    """The textbook sum over rows of class probabilities."""
    terms = [
        -alpha * weights[y] * (1 - row[y]) ** gamma * math.log(row[y])
        for row, y in zip(probabilities, label, strict=True)
    ]
    return sum(terms) / len(terms)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (1.0, 0.0), (0.5, 1.5)])
def test_focal_loss_is_the_textbook_sum(alpha, gamma):
    generator = np.random.default_rng(3)
    logits, label = generator.normal(size=(2, 5, 8)).astype("float32"), generator.integers(0, 8, (2, 5))
    valid = np.ones((2, 5), bool)
    valid[0, 3] = valid[1, 0] = False
    weights = class_weights([10, 20, 5, 5, 30, 10, 10, 10])
    assert weights[4] == pytest.approx(0.7) and weights[2] == pytest.approx(0.95)
    odds = np.exp(logits[valid].astype(float))
    expected = naive_focal((odds / odds.sum(1, keepdims=True)).tolist(), label[valid].tolist(), weights, alpha, gamma)
    tensors = (torch.from_numpy(value) for value in (logits, label, valid))
    found = focal_loss(*tensors, weights=torch.tensor(weights), alpha=alpha, gamma=gamma)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (1.0, 0.0)])
def test_binary_focal_loss_is_the_textbook_sum(alpha, gamma):
    generator = np.random.default_rng(4)
    logits, label = generator.normal(size=(2, 3, 4)).astype("float32"), generator.integers(0, 2, (2, 3, 4))
    valid = generator.random((2, 3, 4)) > 0.3
    weights, total, count = class_weights([1, 2, 3, 4]), 0.0, 0
    for b, t, u in np.argwhere(valid):
        on = 1 / (1 + math.exp(-logits[b, t, u]))
        total += naive_focal([[1 - on, on]], [label[b, t, u]], [weights[u]] * 2, alpha, gamma)
        count += 1
    tensors = (torch.from_numpy(value) for value in (logits, label.astype("float32"), valid))
    found = binary_focal_loss(*tensors, weights=torch.tensor(weights), alpha=alpha, gamma=gamma)
    assert float(found) == pytest.approx(total / count, rel=1e-5)


def test_focal_losses_without_focus_are_cross_entropies():
    torch.manual_seed(0)
    logits, label = torch.randn(3, 4, 8), torch.randint(8, (3, 4))
    everywhere = torch.ones(3, 4, dtype=torch.bool)
    plain = torch.nn.functional.cross_entropy(logits.flatten(0, 1), label.flatten())
    torch.testing.assert_close(focal_loss(logits, label, everywhere, alpha=1.0, gamma=0.0), plain)
    units = torch.randint(2, (3, 4, 8)).float()
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, units)
    found = binary_focal_loss(logits, units, everywhere[..., None].expand(3, 4, 8), alpha=1.0, gamma=0.0)
    torch.testing.assert_close(found, plain)


@pytest.mark.parametrize("name", ["focal", "binary"])
def test_focal_losses_leave_out_what_has_no_label_and_stay_finite(name):
    logits = torch.randn(2, 3, 12, generator=torch.Generator().manual_seed(1)) * 500
    logits.requires_grad_()
    if name == "focal":
        loss, label, valid = focal_loss, torch.full((2, 3), -1), torch.zeros(2, 3, dtype=torch.bool)
        label[0, 1], valid[0, 1] = 4, True
    else:
        loss, label = binary_focal_loss, torch.full((2, 3, 12), float("nan"))
        valid = torch.zeros(2, 3, 12, dtype=torch.bool)
        label[0, 1], valid[0, 1] = 1.0, True
    value = loss(logits, label, valid)
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()
    assert logits.grad[0, 1].any() and not logits.grad[1].any() and not logits.grad[0, 0].any()
    nothing = loss(logits, label, torch.zeros_like(valid))
    assert float(nothing.detach()) == 0
