"""LARS against the rule of its paper, number by number."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from sentio.core.optimization import FitConfig, Lars, make_optimizer


def naive_lars(values, gradients, *, lr, decay, trust=1e-3, eps=1e-8):
    """You, Gitman and Ginsburg (2017): a local rate for each parameter, decay inside it."""
    result = {}
    for name, w in values.items():
        g = gradients[name]
        size, slope = math.sqrt((w**2).sum()), math.sqrt((g**2).sum())
        local = trust * size / (slope + decay * size + eps) if size and slope else 1.0
        result[name] = w - lr * local * (g + decay * w)
    return result


@pytest.mark.parametrize("decay", [0.0, 1.5e-6, 0.1])
def test_lars_is_the_rule_of_its_paper(decay):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).double()
    nn.init.zeros_(module[1].weight)  # what starts at zero must leave it, as a residual block's last norm
    optimizer = make_optimizer(module.parameters(), FitConfig(optimizer="lars", lr=0.2, weight_decay=decay))
    assert isinstance(optimizer, Lars)
    expected = {name: value.detach().numpy().copy() for name, value in module.named_parameters()}
    for step in range(5):
        optimizer.zero_grad()
        x = torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        (module(x) - x[:, :2]).square().mean().backward()
        gradients = {name: value.grad.numpy() for name, value in module.named_parameters()}
        expected = naive_lars(expected, gradients, lr=0.2, decay=decay)
        optimizer.step()
        for name, value in module.named_parameters():
            np.testing.assert_allclose(value.detach().numpy(), expected[name], rtol=1e-12, atol=1e-15)
    assert module[1].weight.abs().sum() > 0


def test_lars_passes_over_what_has_no_gradient_and_keeps_no_state():
    module = nn.Linear(3, 2)
    module.bias.grad = torch.ones(2)
    before = module.weight.detach().clone()
    optimizer = make_optimizer(module.parameters(), FitConfig(optimizer="lars", lr=1.0))
    optimizer.step()
    assert torch.equal(module.weight, before) and not optimizer.state_dict()["state"]
    assert optimizer.param_groups[0]["trust"] == 1e-3 and optimizer.param_groups[0]["eps"] == 1e-8
