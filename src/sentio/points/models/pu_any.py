"""Up-sampling to any ratio: PU-MFA's mechanism asked once per query point.

The encoder is PU-MFA's multi-scale feature extractor, the head its global context refining attention; what departs
from the paper:

- A query is any point near the surface (a midpoint, a centroid). Its feature takes the place of the global feature and
  is refined, from the deepest scale to the first, by cross-attention to the multi-scale features of its neighbours.
- Every source point measures in its own frame and its own unit (principal axes and spacing of its neighbours), so the
  network turns, moves and scales with the cloud, and one set of weights serves sparse and dense clouds.
- The output is a displacement onto the surface, a vote of the neighbours, each in its own frame. Training asks for the
  closest point of the true mesh, not for another sample of it.

Sources: N points, queries: Q points; several clouds are one, end to end, with shifted indices.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentio.core.method import Graph
from sentio.core.registry import register
from sentio.points.batch import QueryBatch
from sentio.points.losses import surface_distance
from sentio.points.method import PointsMethod
from sentio.points.queries import QueryData, open_queries


@dataclass(frozen=True)
class PUAnyConfig:
    """All values are this project's choice; docs/papers/pu-mfa.md has the reasons.

    Args:
        tangential: weight of the distance to the closest point.
        resting: the same for queries that lie on the surface already, where it is one sheet and without noise.
        error: weight of the error's own estimate.
    """

    channels: int = 64
    heads: int = 4
    neighbours: int = 16
    dilations: tuple[int, ...] = (1, 2, 2)
    query_neighbours: int = 12
    reach: float = 1.0
    tangential: float = 0.3
    resting: float = 0.3
    error: float = 0.1


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


_ROWS = torch.eye(3).repeat_interleave(3, 0)  # (9, 3): sums of three, quicker as a product than as sums


def _turn(frames: Tensor, vectors: Tensor) -> Tensor:
    """Vectors (..., 3) in the axes of ``frames`` (..., 3, 3)."""
    return (frames.flatten(-2) * torch.cat([vectors] * 3, -1)) @ _ROWS.to(frames)


class PairGeometry(nn.Module):
    """How a neighbour lies to a point: (N, k, 11), all in units of the spacing and free of the cloud's pose.

    The N points are the first of those that have ``frames`` and ``spacing``.
    """

    size = 11

    def forward(self, offset: Tensor, frames: Tensor, spacing: Tensor, neighbours: Tensor) -> Tensor:
        count = neighbours.shape[0]  # not len(), which tracing would fix
        around, own, unit = frames[neighbours], frames[:count], spacing[:count, None]
        there, normal = (torch.cat([offset, around[..., 2, :]], 1) @ own.transpose(1, 2)).chunk(2, 1)  # (N, k, 3) each
        there, back = there / unit[..., None], _turn(around, -offset) / spacing[neighbours].unsqueeze(-1)
        normal = normal * (1 - 2 * (normal[..., 2:] < 0).to(normal.dtype))  # the side of a PCA normal means nothing
        ratio = torch.log(spacing[neighbours] / unit).unsqueeze(-1)
        return torch.cat([there, back, normal, there.norm(dim=-1, keepdim=True), ratio], -1)


class PointTransformerBlock(nn.Module):
    """Vector attention over k neighbours, then a feed-forward layer; pre-norm, residual.

    From features (M, C) come those of the first N points, which have neighbours (N, k) among all of them.
    """

    def __init__(self, channels: int, groups: int = 8) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.position = _mlp(PairGeometry.size, channels // 2, channels)
        self.attention = _mlp(channels, channels // 2, groups)
        self.mix = nn.Linear(channels, channels)
        self.feed = nn.Sequential(nn.LayerNorm(channels), _mlp(channels, 2 * channels, channels))

    def forward(self, feature: Tensor, geometry: Tensor, neighbours: Tensor) -> Tensor:
        x, (count, k) = self.norm(feature), neighbours.shape
        key, value = self.key_value(x).chunk(2, -1)
        position = self.position(geometry.flatten(0, 1)).unflatten(0, (-1, k))  # (N, k, C)
        seen = self.query(x[:count])[:, None] - key[neighbours] + position
        weight = self.attention(seen.flatten(0, 1)).unflatten(0, (-1, k)).softmax(1)
        value = (value[neighbours] + position).unflatten(-1, (weight.shape[-1], -1))  # (N, k, groups, C / groups)
        feature = feature[:count] + self.mix((weight.unsqueeze(-1) * value).sum(1).flatten(1))
        result: Tensor = feature + self.feed(feature)
        return result


class Encoder(nn.Module):
    """Multi-scale feature extractor: one feature (N, C) per scale, the neighbourhood growing from scale to scale."""

    def __init__(self, config: PUAnyConfig) -> None:
        super().__init__()
        self.k, self.dilations = config.neighbours, config.dilations
        self.geometry = PairGeometry()
        self.embed = _mlp(PairGeometry.size, config.channels // 2, config.channels)
        self.blocks = nn.ModuleList(PointTransformerBlock(config.channels) for _ in config.dilations)

    def forward(self, offsets: Tensor, frames: Tensor, spacing: Tensor, neighbours: Tensor) -> Tensor:
        """Features (N, scales, C) from ``offsets`` (N, k, 3), the neighbours' positions as seen from the points."""
        feature, scales = None, []
        for block, dilation in zip(self.blocks, self.dilations, strict=True):
            use = slice(0, self.k * dilation, dilation)
            index = neighbours[:, use]
            geometry = self.geometry(offsets[:, use], frames, spacing, index)
            if feature is None:
                feature = self.embed(geometry).amax(1)  # (N, k, C) -> (N, C)
            feature = block(feature, geometry, index)
            scales.append(feature)
        return torch.stack(scales, 1)  # (N, scales, C)


class EncoderStart(nn.Module):
    """The encoder's embedding by itself, of a part of a cloud: the first N of M points."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.geometry, self.embed = encoder.geometry, encoder.embed

    def forward(self, offsets: Tensor, frames: Tensor, spacing: Tensor, neighbours: Tensor) -> Tensor:
        result: Tensor = self.embed(self.geometry(offsets, frames, spacing, neighbours)).amax(1)
        return result


class EncoderScale(nn.Module):
    """One block of the encoder by itself, of a part of a cloud: the first N of M points."""

    def __init__(self, encoder: Encoder, number: int) -> None:
        super().__init__()
        self.geometry, self.block = encoder.geometry, encoder.blocks[number]

    def forward(self, before: Tensor, offsets: Tensor, frames: Tensor, spacing: Tensor, neighbours: Tensor) -> Tensor:
        result: Tensor = self.block(before, self.geometry(offsets, frames, spacing, neighbours), neighbours)
        return result


class ContextRefiner(nn.Module):
    """Multi-head cross-attention of a query's feature to one scale of its neighbours' features.

    A neighbour's key and value are linear in its feature and position. So the query is carried to them, and their
    weighted mean is projected afterwards: the same numbers as by projecting each pair, at a tenth of the work.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.source_norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, heads * 2 * channels)
        self.value = nn.Linear(heads * 2 * channels, channels)
        self.feed = nn.Sequential(nn.LayerNorm(channels), _mlp(channels, 2 * channels, channels))

    def forward(self, feature: Tensor, source: Tensor, position: Tensor, near: Tensor) -> Tensor:
        memory = torch.cat([self.source_norm(source).to(position.dtype)[near], position], -1)  # (Q, k', 2 C)
        query = self.query(self.norm(feature)).unflatten(-1, (self.heads, -1))  # (Q, heads, 2 C)
        weight = ((query @ memory.transpose(1, 2)) * memory.shape[-1] ** -0.5).softmax(-1)
        feature = feature + self.value((weight.to(memory.dtype) @ memory).flatten(1))
        result: Tensor = feature + self.feed(feature)
        return result


class Head(nn.Module):
    """Displacement of queries onto the surface."""

    def __init__(self, config: PUAnyConfig) -> None:
        super().__init__()
        channels, self.reach = config.channels, config.reach
        self.position = nn.Sequential(
            nn.Linear(4, channels // 2), nn.ReLU(), nn.Linear(channels // 2, channels), nn.ReLU()
        )
        self.start_source, self.start_position = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.refiners = nn.ModuleList(ContextRefiner(channels, config.heads) for _ in config.dilations)
        self.vote_query, self.vote_source = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.vote_position = nn.Linear(channels, channels)
        self.vote = nn.Linear(channels, 4)
        self.error = _mlp(channels, channels, 1)

    def forward(
        self, features: Tensor, frames: Tensor, spacing: Tensor, offsets: Tensor, near: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Displacement (Q, 3) and its expected error (Q,) in units of the spacing.

        ``offsets`` (Q, k', 3) are the queries' positions as seen from the source points ``near`` (Q, k'). No query
        moves farther than ``reach`` times the least spacing of these, so that an outlier invents no points.
        """
        pairs, k = near.flatten(), near.shape[1]  # matrices are multiplied more quickly than stacks of them
        local, unit = frames[pairs], spacing[pairs].unsqueeze(-1)
        offset = _turn(local, offsets.flatten(0, 1)) / unit
        position = self.position(torch.cat([offset, offset.norm(dim=-1, keepdim=True)], -1))  # (Q k', C)
        start = self.start_source(features[:, -1])[pairs] + self.start_position(position)
        feature = functional.relu(start.unflatten(0, (-1, k)).amax(1))  # (Q, C)
        for scale in reversed(range(len(self.refiners))):
            feature = self.refiners[scale](feature, features[:, scale], position.unflatten(0, (-1, k)), near)
        mixed = self.vote_source(features[:, 0])[pairs] + self.vote_position(position)
        mixed = mixed.unflatten(0, (-1, k)) + self.vote_query(feature)[:, None]
        vote = self.vote(functional.relu(mixed).flatten(0, 1)).float()
        vote, unit = vote.reshape(-1, k, 4), unit.reshape(-1, k, 1)
        weight = vote[..., 3:].softmax(1) * unit  # (Q, k', 1)
        moved = (weight * vote[..., :3]).flatten(1)  # (Q, 3 k') along the axes
        displacement = (moved.unsqueeze(-1) * local.reshape(-1, 3 * k, 3)).sum(1)  # (Q, 3)
        length = displacement.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        displacement = displacement * (self.reach * unit.amin(1) / length).clamp(max=1.0)
        return displacement, functional.softplus(self.error(feature).float()).squeeze(-1)


@register(
    "pu-any", summary="Any-ratio point-cloud up-sampling: PU-MFA's attention per query, displacement to the surface."
)
class PUAny(PointsMethod):
    """Encoder and head; see the module's text."""

    Config = PUAnyConfig

    def __init__(self, config: PUAnyConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder(config)
        self.head = Head(config)

    def open_data(self, path: Path, section: dict[str, Any]) -> QueryData:
        """A folder of meshes, and procedural shapes; see ``points.queries.QueryDataConfig``."""
        neighbours = self.config.neighbours * max(self.config.dilations)
        return open_queries(path, section, neighbours=neighbours, near=self.config.query_neighbours)

    def example_batch(self) -> QueryBatch:
        random, source = torch.Generator().manual_seed(1), self._example_source()
        q = 48
        return QueryBatch(
            points=torch.randn(len(source["spacing"]), 3, generator=random),
            frames=source["frames"],
            spacing=source["spacing"],
            neighbours=source["neighbours"],
            queries=torch.randn(q, 3, generator=random),
            near=torch.randint(0, len(source["spacing"]), (q, self.config.query_neighbours), generator=random),
            surface=torch.randn(q, 4, 3, generator=random),
            normals=functional.normalize(torch.randn(q, 4, 3, generator=random), dim=-1),
            weight=torch.ones(q),
            single=torch.ones(q),
        )

    def _example_source(self) -> dict[str, Tensor]:
        """64 source points as the encoder takes them."""
        n, k, random = 64, self.config.neighbours * max(self.config.dilations), torch.Generator().manual_seed(0)
        return {
            "offsets": torch.randn(n, k, 3, generator=random),
            "frames": torch.linalg.qr(torch.randn(n, 3, 3, generator=random))[0],
            "spacing": torch.rand(n, generator=random) + 0.5,
            "neighbours": torch.randint(0, n, (n, k), generator=random),
        }

    def forward(self, batch: QueryBatch) -> tuple[Tensor, Tensor]:
        """Displacement (Q, 3) of the queries and its expected error (Q,)."""
        around = batch.points[batch.neighbours] - batch.points[:, None]
        features = self.encoder(around, batch.frames, batch.spacing, batch.neighbours)
        offsets = batch.queries[:, None] - batch.points[batch.near]
        result: tuple[Tensor, Tensor] = self.head(features, batch.frames, batch.spacing, offsets, batch.near)
        return result

    def loss(self, batch: QueryBatch, progress: float) -> dict[str, Tensor]:
        """Distance to the surface, distance to the closest point of it before the move, and the estimate of the first.

        Queries that are to stay lie within a tenth of the spacing of the surface, of which only one sheet is near.
        """
        displacement, expected = self(batch)
        unit, moved, target = batch.spacing[batch.near[:, 0]], batch.queries + displacement, batch.surface[:, 0]
        staying = (batch.single > 0) & ((batch.queries - target).norm(dim=-1) < 0.1 * unit)
        closest = torch.where(staying, self.config.resting, self.config.tangential)
        slid = torch.sqrt((((moved - target) / unit[:, None]) ** 2).sum(-1) + 1e-8)
        off = surface_distance(batch, moved) / unit
        return {
            "surface": (batch.weight * off).mean(),
            "closest": (closest * batch.weight * slid).mean(),
            "error": self.config.error * functional.smooth_l1_loss(expected, off.detach().clamp(max=2.0)),
        }

    def graphs(self) -> list[Graph]:
        """The encoder, step by step, each run once for a cloud, and the head, run for every query."""
        config, random, source = self.config, torch.Generator().manual_seed(2), self._example_source()
        n, q = len(source["neighbours"]), 48
        with torch.no_grad():
            features = self.encoder(*(value.to(self.device) for value in source.values())).cpu()
        part = {"offsets": source["offsets"][: n // 2, : config.neighbours]}
        part |= {"frames": source["frames"], "spacing": source["spacing"]}
        part |= {"neighbours": source["neighbours"][: n // 2, : config.neighbours]}
        told = f"The first N of M points of sentio.points.geometry.measure, with {config.neighbours} neighbours"
        free = {"offsets": ("N",), "neighbours": ("N",), "frames": ("M",), "spacing": ("M",), "feature": ("N",)}
        start = Graph(
            "pu-any-start",
            "Up-sampling to any ratio: the first feature of the points.",
            EncoderStart(self.encoder),
            part,
            ("feature",),
            free,
            f"{told} among the M; offsets to them in the cloud's unit.",
        )
        scales = [
            Graph(
                f"pu-any-scale-{number}",
                f"Up-sampling to any ratio: the feature of the points at scale {number}.",
                EncoderScale(self.encoder, number),
                {"before": features[:, 0]} | part,
                ("feature",),
                free | {"before": ("M",)},
                f"{told}, one in {dilation}, among the M; offsets to them in the cloud's unit; the features before.",
            )
            for number, dilation in enumerate(config.dilations)
        ]
        query = {
            "features": features,
            "frames": source["frames"],
            "spacing": source["spacing"],
            "offsets": torch.randn(q, config.query_neighbours, 3, generator=random),
            "near": torch.randint(0, n, (q, config.query_neighbours), generator=random),
        }
        per_query = dict.fromkeys(("offsets", "near", "displacement", "error"), ("Q",))
        head = Graph(
            "pu-any",
            "Up-sampling to any ratio: moves candidates onto the surface (needs pu-any-start and pu-any-scale-0 to 2).",
            self.head,
            query,
            ("displacement", "error"),
            dict.fromkeys(query, ("N",)) | per_query,
            "Features of all scales; offsets of a query from its nearest sources in the cloud's unit.",
        )
        return [start, *scales, head]
