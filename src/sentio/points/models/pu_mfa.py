"""PU-MFA: point cloud up-sampling via multi-scale features attention (Lee and Lim, Sensors 22(23):9308, 2022).

A patch of N points goes through a U: the multi-scale feature extractor (MFE) keeps the feature of each of its blocks;
the global context refiner (GCR) goes back from the deepest to the first, each time by multi-head cross-attention whose
query is the running global feature and whose keys and values are the features of that scale. The coarse point generator
(CPG) makes r points of each, and a self-attention block refines them.

No code was published. docs/papers/pu-mfa.md tells which of this is the paper's and which is chosen here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentio.core.method import Graph
from sentio.core.registry import register
from sentio.points.batch import PatchBatch
from sentio.points.losses import centred_chamfer, repulsion, squared_distances
from sentio.points.method import PointsMethod
from sentio.points.training import PatchData, open_patches


@dataclass(frozen=True)
class PUMFAConfig:
    """Sizes; all but ``ratio`` are this project's choice. ``refine`` and ``attend`` are of the paper, and for trials.

    Args:
        refine: what the global feature asks of, step by step: the features of all ``scales``, by attention; the
            ``deepest`` of them alone, as often; all of them without attention, each point its ``own``; or ``nothing``.
        attend: let the coarse points attend to each other.
        bound: largest offset of a coarse point from its source, in units of the patch radius.
        repulsion: weight of the repulsion loss.
    """

    ratio: int = 4
    channels: int = 64
    scales: int = 4
    heads: int = 4
    neighbours: int = 16
    refine: Literal["scales", "deepest", "own", "nothing"] = "scales"
    attend: bool = True
    bound: float = 0.2
    repulsion: float = 0.002


@dataclass
class Upsampled:
    """``coarse`` and ``fine`` (B, rN, 3); ``attention`` (B, scales, N, N), mean of the heads, deepest scale first."""

    coarse: Tensor
    fine: Tensor
    attention: Tensor


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def _gather(values: Tensor, index: Tensor) -> Tensor:
    """Rows of ``values`` (B, N, C) by ``index`` (B, M, k): (B, M, k, C)."""
    batch = torch.arange(values.shape[0], device=values.device)[:, None, None]  # len() would be traced as a constant
    row = (index + values.shape[1] * batch).flatten()
    return values.flatten(0, 1).index_select(0, row).view(*index.shape, -1)  # in a third of values[batch, index]'s time


class PointTransformerBlock(nn.Module):
    """Vector attention over the k nearest points, residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.query, self.key = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.position = _mlp(3, channels, channels)
        self.attention = _mlp(channels, channels, channels)
        self.mix = nn.Linear(channels, channels)

    def forward(self, feature: Tensor, offset: Tensor, neighbours: Tensor) -> Tensor:
        x = self.norm(feature)
        position = self.position(offset)
        key, value = _gather(torch.cat([self.key(x), self.value(x)], -1), neighbours).chunk(2, -1)
        weight = self.attention(self.query(x).unsqueeze(2) - key + position).softmax(2)  # (B, N, k, C)
        result: Tensor = feature + self.mix((weight * (value + position)).sum(2))
        return result


class GlobalContextRefining(nn.Module):
    """GCRA: multi-head cross-attention over the patch, then a feed-forward layer; pre-norm, residual.

    Args:
        own: each point attends to itself alone.
    """

    def __init__(self, channels: int, heads: int, own: bool = False) -> None:
        super().__init__()
        self.heads, self.own = heads, own
        self.norm, self.scale_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.query, self.key_value = nn.Linear(channels, channels), nn.Linear(channels, 2 * channels)
        self.mix = nn.Linear(channels, channels)
        self.feed = nn.Sequential(nn.LayerNorm(channels), _mlp(channels, 2 * channels, channels))

    def forward(self, context: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """``context`` is the global feature, ``scale`` the skip feature, both (B, N, C); also the weights (B, N, N)."""
        query = self.query(self.norm(context)).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, N, D)
        key, value = self.key_value(self.scale_norm(scale)).unflatten(-1, (2, self.heads, -1)).unbind(2)
        score = query @ key.permute(0, 2, 3, 1) * query.shape[-1] ** -0.5  # (B, H, N, N)
        if self.own:
            score = score.masked_fill(~torch.eye(score.shape[-1], dtype=torch.bool, device=score.device), -torch.inf)
        weight = score.softmax(-1)
        attended = (weight.to(value.dtype) @ value.transpose(1, 2)).transpose(1, 2).flatten(2)  # (B, N, C)
        context = context + self.mix(attended)
        return context + self.feed(context), weight.mean(1)


class SelfAttention(nn.Module):
    """Multi-head self-attention over all coarse points, then a feed-forward layer; pre-norm, residual."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv = nn.LayerNorm(channels), nn.Linear(channels, 3 * channels)
        self.mix = nn.Linear(channels, channels)
        self.feed = nn.Sequential(nn.LayerNorm(channels), _mlp(channels, 2 * channels, channels))

    def forward(self, feature: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm(feature)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)  # (B, H, r N, D)
        feature = feature + self.mix(attended.transpose(1, 2).flatten(2))
        result: Tensor = feature + self.feed(feature)
        return result


@register("pu-mfa", summary="PU-MFA: point-cloud up-sampling by multi-scale features attention, x4 (Sensors 2022).")
class PUMFA(PointsMethod):
    """The network; see the module's text."""

    Config = PUMFAConfig

    def __init__(self, config: PUMFAConfig) -> None:
        super().__init__(config)
        channels = config.channels
        self.embed = _mlp(3, channels, channels)
        self.extractor = nn.ModuleList(PointTransformerBlock(channels) for _ in range(config.scales))
        self.join = nn.Linear(2 * channels, channels)
        self.refiner = nn.ModuleList(
            GlobalContextRefining(channels, config.heads, config.refine == "own")
            for _ in range(config.scales if config.refine != "nothing" else 0)
        )
        self.expand = nn.Linear(channels, config.ratio * channels)
        self.coarse = _mlp(channels, channels, 3)
        self.lift = nn.Linear(channels + 3, channels)
        self.attention = SelfAttention(channels, config.heads) if config.attend else nn.Identity()
        self.fine = _mlp(channels, channels, 3)

    def open_data(self, path: Path, section: dict[str, Any]) -> PatchData:
        """Meshes, or patches of the field's h5 files; see ``points.training.PatchDataConfig``."""
        return open_patches(path, section)

    def example_batch(self) -> PatchBatch:
        random, n = torch.Generator().manual_seed(0), 2 * self.config.neighbours
        sparse, dense = (torch.randn(2, size, 3, generator=random) for size in (n, self.config.ratio * n))
        return PatchBatch(sparse / 3, dense / 3)

    def forward(self, batch: PatchBatch) -> Upsampled:
        """Up-sample the sparse patches of a batch."""
        return self.upsample(batch.sparse)

    def upsample(self, sparse: Tensor) -> Upsampled:
        """Up-sample patches (B, N, 3), each in the unit sphere, N at least the number of neighbours."""
        scales = self._extract(sparse)
        pooled = scales[-1].amax(1, keepdim=True).expand_as(scales[-1])
        context = self.join(torch.cat([scales[-1], pooled], -1))
        maps = []
        for refine, scale in zip(self.refiner, self._asked(scales), strict=True):
            context, weight = refine(context, scale)
            maps.append(weight)
        spread = self.expand(context).unflatten(-1, (self.config.ratio, -1)).flatten(1, 2)  # (B, N, r C) -> (B, r N, C)
        source = sparse.unsqueeze(2).expand(-1, -1, self.config.ratio, -1).flatten(1, 2)  # (B, r N, 3)
        coarse = source + self.config.bound * torch.tanh(self.coarse(functional.relu(spread)).float())
        refined = self.attention(self.lift(torch.cat([spread, coarse.to(spread.dtype)], -1)))
        fine = coarse + self.config.bound * torch.tanh(self.fine(refined).float())
        return Upsampled(coarse, fine, torch.stack(maps, 1) if maps else sparse.new_empty(len(sparse), 0, 0, 0))

    def _asked(self, scales: list[Tensor]) -> list[Tensor]:
        """Of all scales, first to deepest, those that the refiner asks, one after the other."""
        if self.config.refine == "nothing":
            return []
        return scales[-1:] * len(scales) if self.config.refine == "deepest" else scales[::-1]

    def _extract(self, sparse: Tensor) -> list[Tensor]:
        """The features (B, N, C) of each scale, first to deepest."""
        neighbours = squared_distances(sparse, sparse).topk(self.config.neighbours, largest=False).indices
        offset = _gather(sparse, neighbours) - sparse.unsqueeze(2)
        feature, scales = self.embed(sparse), []
        for block in self.extractor:
            feature = block(feature, offset, neighbours)
            scales.append(feature)
        return scales

    def loss(self, batch: PatchBatch, progress: float) -> dict[str, Tensor]:
        """Centred Chamfer distance of both stages (x100: gradients of order 1) and repulsion of the last."""
        result = self(batch)
        radius = 2.0 / batch.dense.shape[1] ** 0.5
        return {
            "coarse": 100 * centred_chamfer(batch.sparse, result.coarse, batch.dense).mean(),
            "fine": 100 * centred_chamfer(batch.sparse, result.fine, batch.dense).mean(),
            "repulsion": 100 * self.config.repulsion * repulsion(result.fine, radius).mean(),
        }

    def graphs(self) -> list[Graph]:
        """The whole network, for any number of patches."""
        free: dict[str, tuple[str, ...]] = dict.fromkeys(("coarse", "fine"), ("patches", "points out"))
        free |= {"sparse": ("patches", "points"), "attention": ("patches", "scales", "points", "points")}
        patch = torch.randn(2, 256, 3, generator=torch.Generator().manual_seed(0))
        graph = Graph(
            "pu-mfa",
            "PU-MFA as published: patches of 256 points to 1,024.",
            _Stages(self),
            {"sparse": patch},
            ("coarse", "fine", "attention"),
            free,
            "Patches of 256 points (16 at least), each with its centroid at 0, its farthest point at 1 and "
            "its principal axes along x, y, z.",
        )
        return [graph]


class _Stages(nn.Module):
    """The network with a tuple for output, as a tracer needs it."""

    def __init__(self, model: PUMFA) -> None:
        super().__init__()
        self.model = model

    def forward(self, sparse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        result = self.model.upsample(sparse)
        return result.coarse, result.fine, result.attention
