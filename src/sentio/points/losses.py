"""Losses between point sets."""

import torch
from torch import Tensor


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances (B, N, M) between the points of ``a`` (B, N, 3) and ``b`` (B, M, 3), in float32.

    Rounding may leave them just below 0.
    """
    with torch.autocast(a.device.type, enabled=False):
        a, b = a.float(), b.float()
        return torch.baddbmm((b**2).sum(-1)[:, None], a, b.transpose(1, 2), alpha=-2) + (a**2).sum(-1)[:, :, None]


def chamfer(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean squared distance to the nearest, both ways, summed, for each cloud of a batch: (B,).

    The nearest pairs are found first and measured again by subtraction, which keeps the digits that the expanded
    square loses.
    """
    return _gap(predicted, truth) + _gap(truth, predicted)


def _gap(a: Tensor, b: Tensor) -> Tensor:
    index = squared_distances(a.detach(), b.detach()).min(2).indices
    return ((a - b.gather(1, index.unsqueeze(-1).expand(-1, -1, 3))) ** 2).sum(-1).mean(1)


def repulsion(points: Tensor, radius: float, k: int = 4) -> Tensor:
    """Mean of (1 - d / radius) over the ``k`` nearest of each point that lie within ``radius``: (B,)."""
    index = squared_distances(points.detach(), points.detach()).topk(k + 1, largest=False).indices[..., 1:]
    near = points.gather(1, index.flatten(1).unsqueeze(-1).expand(-1, -1, 3)).view(*index.shape, 3)
    distance = torch.sqrt(((points.unsqueeze(2) - near) ** 2).sum(-1) + 1e-12)
    return torch.relu(1 - distance / radius).mean((1, 2))
