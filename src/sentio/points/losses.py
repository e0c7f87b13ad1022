"""Losses between point sets."""

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from sentio.points.batch import QueryBatch


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances (B, N, M) between the points of ``a`` (B, N, 3) and ``b`` (B, M, 3), in float32.

    Rounding may leave them just below 0.
    """
    with torch.autocast(a.device.type, enabled=False):
        a, b = a.float(), b.float()
        return torch.baddbmm((b**2).sum(-1)[:, None], a, b.transpose(1, 2), alpha=-2) + (a**2).sum(-1)[:, :, None]


def chamfer(
    predicted: Tensor, truth: Tensor, predicted_weight: Tensor | None = None, truth_weight: Tensor | None = None
) -> Tensor:
    """Mean squared distance to the nearest, both ways, summed, for each cloud of a batch: (B,).

    The nearest pairs are found first and measured by subtraction, which keeps the digits that an expanded square loses.

    Args:
        predicted_weight, truth_weight: (B, N) and (B, M), of the points in the two means; all alike if not given.
    """
    return _gap(predicted, truth, predicted_weight) + _gap(truth, predicted, truth_weight)


def _gap(a: Tensor, b: Tensor, weight: Tensor | None) -> Tensor:
    squared = ((a - _rows(b, nearest(a, b, 1)[..., 0])) ** 2).sum(-1)
    return squared.mean(1) if weight is None else (squared * weight).sum(1) / weight.sum(1)


def nearest(a: Tensor, b: Tensor, k: int) -> Tensor:
    """Indices (B, N, k) of the ``k`` points of ``b`` (B, M, 3) nearest to each of ``a`` (B, N, 3), nearest first.

    On the CPU by a k-d tree, which takes a third of the time that a matrix of distances does.
    """
    if a.device.type != "cpu":
        return squared_distances(a.detach(), b.detach()).topk(k, largest=False).indices
    pairs = zip(a.detach().float().numpy(), b.detach().float().numpy(), strict=True)
    found = [cKDTree(there).query(here, np.arange(1, k + 1))[1] for here, there in pairs]
    return torch.from_numpy(np.stack(found))


def _rows(points: Tensor, index: Tensor) -> Tensor:
    """Of ``points`` (B, M, 3) those with the indices (B, N): (B, N, 3)."""
    return points.gather(1, index.unsqueeze(-1).expand(-1, -1, 3))


def centred_chamfer(sparse: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
    """Chamfer distance (B,) in which a patch's inner part counts: in use, only what is nearest to its middle is taken.

    Args:
        sparse: (B, N, 3) in the unit sphere; ``predicted`` (B, rN, 3) are r children of each in turn.
    """
    ratio = predicted.shape[1] // sparse.shape[1]
    return chamfer(predicted, truth, _inner(sparse).repeat_interleave(ratio, 1), _inner(truth))


def _inner(points: Tensor) -> Tensor:
    """1 up to 0.75 of the patch's radius, then falling to 0.1 at 1.02."""
    weight: Tensor = ((1.05 - points.norm(dim=-1)) / 0.3).clamp(0.1, 1)
    return weight


def repulsion(points: Tensor, radius: float, k: int = 4) -> Tensor:
    """Mean of (1 - d / radius) over the ``k`` nearest of each point that lie within ``radius``: (B,)."""
    index = nearest(points, points, k + 1)[..., 1:]
    near = _rows(points, index.flatten(1)).view(*index.shape, 3)
    distance = torch.sqrt(((points.unsqueeze(2) - near) ** 2).sum(-1) + 1e-12)
    return torch.relu(1 - distance / radius).mean((1, 2))


GAP = 0.25
"""Between the true points around a query, in units of the spacing: nearer to one than that, in its plane, is on the
surface."""


def surface_distance(batch: QueryBatch, moved: Tensor) -> Tensor:
    """Distance (Q,) of moved queries (Q, 3) from the surface, as the nearest of the points around them tells it.

    Whichever sheet is nearest after the move counts, so of two that compete either will do.
    """
    way = moved[:, None] - batch.surface  # (Q, s, 3)
    nearest = (way.detach() ** 2).sum(-1).argmin(1)[:, None, None].expand(-1, 1, 3)
    way, normal = way.gather(1, nearest)[:, 0], batch.normals.gather(1, nearest)[:, 0]  # (Q, 3)
    off = (way * normal).sum(-1)
    aside = ((way - off[:, None] * normal) ** 2).sum(-1).clamp(min=1e-12).sqrt()
    beyond = (aside - GAP * batch.spacing[batch.near[:, 0]]).clamp(min=0)
    return torch.sqrt(off**2 + beyond**2 + 1e-12)
