"""What the up-sampling models are trained on: whole patches, or queries near a cloud."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class QueryBatch:
    """Source points with their frames and neighbours, queries, and (for training) where the surface is.

    ``points`` (N, 3), ``frames`` (N, 3, 3) with axes in rows, ``spacing`` (N,), ``neighbours`` (N, k), ``queries``
    (Q, 3), ``near`` (Q, k') indices of source points; ``surface`` (Q, s, 3) points of the true surface around each
    query, the closest first, ``normals`` (Q, s, 3) there, ``weight`` (Q,), and ``single`` (Q,), 1 where the cloud has
    no noise and the points near the query are on one sheet.
    """

    points: Tensor
    frames: Tensor
    spacing: Tensor
    neighbours: Tensor
    queries: Tensor
    near: Tensor
    surface: Tensor
    normals: Tensor
    weight: Tensor
    single: Tensor

    def to(self, device: torch.device | str) -> "QueryBatch":
        """The same batch on ``device``."""
        return QueryBatch(*(value.to(device) for value in vars(self).values()))


@dataclass
class PatchBatch:
    """``sparse`` (B, N, 3) patches in the unit sphere and their ``dense`` (B, rN, 3) truth in the same frame."""

    sparse: Tensor
    dense: Tensor

    def to(self, device: torch.device | str) -> "PatchBatch":
        """The same batch on ``device``."""
        return PatchBatch(self.sparse.to(device), self.dense.to(device))
