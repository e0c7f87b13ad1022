"""Two streams of vectors brought together: by time, and by attention from one to the other."""

import torch
from torch import Tensor
from torch.nn import functional

from sentio.affect.backbones.transformer import Layer


def align(values: Tensor, known: Tensor, times_s: Tensor, at_s: Tensor, reach_s: float) -> tuple[Tensor, Tensor]:
    """Give each frame the nearest step of another stream: (B, T, D), zero without one, and (B, T) whether there is one.

    Args:
        values: (B, Ta, D) steps.
        known: (B, Ta) bool; the others are never taken.
        times_s: (B, Ta) seconds of the steps, in any order and at any distance.
        at_s: (B, T) seconds of the frames, on the same clock.
        reach_s: a step further away than this is none.
    """
    distance = (at_s[:, :, None] - times_s[:, None]).abs().masked_fill(~known[:, None], torch.inf)  # (B, T, Ta)
    nearest, index = distance.min(-1)  # (B, T) each
    taken = values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))  # (B, T, D)
    found = nearest <= reach_s
    return taken.masked_fill(~found[..., None], 0.0), found


class CrossAttention(Layer):
    """Multi-head attention from one stream to another and a dense block, each added and normalised after.

    The weights are those of :class:`Layer`; queries are of the one stream, keys and values of the other.
    """

    def forward(self, x: Tensor, other: Tensor, known: Tensor) -> Tensor:  # type: ignore[override]
        """x (B, N, dim) with what it finds in ``other`` (B, M, dim) -> (B, N, dim).

        Args:
            known: (B, M) bool; what is not known has no influence, and where nothing is, only x is left.
        """
        dim = x.shape[-1]
        weight, bias = self.project.weight, self.project.bias
        queries = functional.linear(x, weight[:dim], bias[:dim])
        keys, values = functional.linear(other, weight[dim:], bias[dim:]).chunk(2, -1)  # (B, M, dim) each
        values = values.masked_fill(~known[..., None], 0.0)
        seen = known | ~known.any(-1, keepdim=True)  # a row of the softmax needs something to see: zeros, then
        allowed = seen[:, None].expand(-1, x.shape[1], -1)  # (B, N, M)
        return self.finish(x, self.split(queries), self.split(keys), self.split(values), allowed)
