"""Transformer layers over frames that may be missing, written so that a stream can keep keys and values."""

from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional

LONGEST = 10_000.0
"""Positions in the longest wave are this many times those in the shortest (Vaswani et al., 2017, 3.5)."""


def sinusoid(position: Tensor, dim: int) -> Tensor:
    """Positions (...) as vectors (..., dim): sines at the even places, cosines at the odd ones.

    Element 2i is sin(position / 10000^(2i / dim)), element 2i + 1 the cosine of the same (Vaswani et al., 2017, 3.5).
    Positions need not be whole numbers.
    """
    angle = position[..., None] * _rates(dim, position)  # (..., dim / 2)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)  # (..., dim)


def rotate(x: Tensor, position: Tensor) -> Tensor:
    """Turn pairs of x (..., N, C) by angles in proportion to positions (..., N).

    The product of a turned query and a turned key depends on their distance alone (Su et al., RoFormer, 2021).
    """
    angle = position[..., None] * _rates(x.shape[-1], x)  # (..., N, C / 2)
    a, b = x[..., 0::2], x[..., 1::2]  # (..., N, C / 2) each
    turned = torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)
    return turned.flatten(-2)


def _rates(dim: int, like: Tensor) -> Tensor:
    return torch.exp(torch.arange(0, dim, 2, device=like.device, dtype=torch.float32) * (-log(LONGEST) / dim))


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, dim) -> (B, heads, N, dim / heads)."""
    B, N, dim = x.shape
    return x.reshape(B, N, heads, dim // heads).transpose(1, 2)


class Layer(nn.Module):
    """Self-attention and a dense block, each added and normalised after, with ReLU: torch's encoder layer (post-norm).

    The projections and the rest are apart, so that a causal network can put kept keys and values between them.

    Args:
        dim: length of a frame's vector.
        heads: of the attention, each of ``dim / heads`` numbers.
        hidden: units of the dense block.
        dropout: of attention weights, of the block's units, and of what is added.
    """

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.project = nn.Linear(dim, 3 * dim)
        self.join = nn.Linear(dim, dim)
        self.expand = nn.Linear(dim, hidden)
        self.contract = nn.Linear(hidden, dim)
        self.norms = nn.ModuleList([nn.LayerNorm(dim), nn.LayerNorm(dim)])
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        nn.init.zeros_(self.join.bias)

    def forward(self, x: Tensor, allowed: Tensor | None = None) -> Tensor:
        """(B, N, dim) -> the same.

        Args:
            allowed: (B, N, N) bool, which frame (row) may see which (column); each row needs one. None: all see all.
        """
        queries, keys, values = self.project(x).chunk(3, -1)  # (B, N, dim) each
        queries, keys, values = (split_heads(part, self.heads) for part in (queries, keys, values))
        return self.finish(x, queries, keys, values, allowed)

    def finish(self, x: Tensor, queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor | None) -> Tensor:
        """What follows the projections: x (B, N, dim), queries (B, H, N, C), keys and values (B, H, M, C)."""
        share = self.dropout if self.training else 0.0
        mask = None if allowed is None else allowed[:, None]  # (B, 1, N, M)
        seen = functional.scaled_dot_product_attention(queries, keys, values, mask, share)  # (B, H, N, C)
        seen = self.join(seen.transpose(1, 2).flatten(-2))  # (B, N, dim)
        x = self.norms[0](x + functional.dropout(seen, self.dropout, self.training))
        inner = functional.dropout(self.expand(x).relu(), self.dropout, self.training)  # (B, N, hidden)
        result: Tensor = self.norms[1](x + functional.dropout(self.contract(inner), self.dropout, self.training))
        return result


class CrossAttention(nn.Module):
    """Attention of one sequence to another, added to the first and normalised after.

    Args:
        dim: length of the vectors of both.
        heads: of the attention, each of ``dim / heads`` numbers.
        dropout: of attention weights, and of what is added.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.join = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, other: Tensor, allowed: Tensor | None = None) -> Tensor:
        """x (B, N, dim) attends to other (B, M, dim) -> (B, N, dim).

        Args:
            allowed: (B, N, M) bool, which of x (row) may see which of the other (column); nothing is added to a row
                that may see none. None: all see all.
        """
        parts = (self.query(x), *self.key_value(other).chunk(2, -1))
        queries, keys, values = (split_heads(part, self.heads) for part in parts)
        share = self.dropout if self.training else 0.0
        empty, mask = None, None
        if allowed is not None:
            empty = ~allowed.any(-1, keepdim=True)  # (B, N, 1); such a row sees all, which is then not used
            mask = (allowed | empty)[:, None]  # (B, 1, N, M)
        seen = functional.scaled_dot_product_attention(queries, keys, values, mask, share)  # (B, H, N, C)
        seen = self.join(seen.transpose(1, 2).flatten(-2))  # (B, N, dim)
        if empty is not None:
            seen = seen.masked_fill(empty, 0.0)
        result: Tensor = self.norm(x + functional.dropout(seen, self.dropout, self.training))
        return result
