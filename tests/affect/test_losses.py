"""Losses on missing labels: against plain sums, and that nothing leaks from what is missing."""

import numpy as np
import pytest
import torch

from sentio.affect.losses import ccc, ccc_loss
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
