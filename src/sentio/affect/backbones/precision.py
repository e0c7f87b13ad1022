"""Frozen encoders in bfloat16, where that is worth it and says the same."""

import time
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentio.affect.backbones import Encoder
from sentio.core.errors import RecipeError
from sentio.core.precision import BRAIN, FULL, Precision, autocast, has_bf16

Choice = Literal["32-true", "bf16-mixed", "auto"]
ALIKE = 0.999
"""Least cosine of a vector in 16 bits and the same in 32."""


class InPrecision(nn.Module):
    """An encoder whose first input decides how it is run, or is checked on; vectors are of 32 bits.

    Args:
        choice: ``auto`` takes bfloat16 on a CPU that has it, where it is quicker and the vectors agree.

    Attributes:
        precision: what was decided; None before.

    Raises:
        RecipeError: bfloat16 was asked for, and the vectors differ.
    """

    def __init__(self, encoder: Encoder, choice: Choice) -> None:
        super().__init__()
        self.encoder, self.info, self.choice = encoder, encoder.info, choice
        self.precision: Precision | None = FULL if choice == FULL or (choice == "auto" and not has_bf16()) else None

    def forward(self, x: Tensor) -> Tensor:
        if self.precision is None:
            self.precision = self._decide(x)
        return self._run(x, self.precision)

    def _run(self, x: Tensor, precision: Precision) -> Tensor:
        with autocast(precision, x.device.type):
            return self.encoder(x).float()

    @torch.no_grad()
    def _decide(self, x: Tensor) -> Precision:
        (full, slow), (brain, quick) = (self._timed(x, precision) for precision in (FULL, BRAIN))
        least = float(likeness(full, brain).min())
        if self.choice == BRAIN and least < ALIKE:
            raise RecipeError(
                f"In bfloat16 {self.info.name} gives other vectors than in 32 bits: cosines down to {least:.4f}.",
                f"Choose {FULL}; the least allowed is {ALIKE}.",
            )
        return BRAIN if self.choice == BRAIN or (least >= ALIKE and quick < slow) else FULL

    def _timed(self, x: Tensor, precision: Precision) -> tuple[Tensor, float]:
        """Vectors, and the shorter time of two."""
        seconds = []
        for _ in range(2):
            began = time.perf_counter()
            vectors = self._run(x, precision)
            seconds.append(time.perf_counter() - began)
        return vectors, min(seconds)


def likeness(one: Tensor, other: Tensor) -> Tensor:
    """(..., D), (..., D) -> (...) cosines; 1 where both are the same, zeros included."""
    same = (one == other).all(-1)
    return functional.cosine_similarity(one, other, dim=-1).masked_fill(same, 1.0)
