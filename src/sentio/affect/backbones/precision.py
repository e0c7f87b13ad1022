"""Frozen encoders in 16 bits, where that is worth it and says the same."""

import time
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentio.affect.backbones import Encoder
from sentio.core.devices import refuse_precision
from sentio.core.errors import RecipeError
from sentio.core.precision import FULL, HALF, Precision, autocast, shorter

Choice = Literal["32-true", "bf16-mixed", "16-mixed", "auto"]
ALIKE = 0.999
"""Least cosine of a vector in 16 bits and the same in 32."""


class InPrecision(nn.Module):
    """An encoder whose first input decides how it is run, or is checked on; vectors are of 32 bits.

    Args:
        choice: ``auto`` takes the 16 bits that the device multiplies itself (bfloat16, on older GPUs float16) if the
            vectors agree, on a CPU only if that is quicker, too.

    Attributes:
        precision: what was decided; None before.

    Raises:
        RecipeError: 16 bits were asked for, and the vectors differ or the device has no such.
    """

    def __init__(self, encoder: Encoder, choice: Choice) -> None:
        super().__init__()
        self.encoder, self.info, self.choice = encoder, encoder.info, choice
        self.precision: Precision | None = FULL if choice == FULL else None

    def forward(self, x: Tensor) -> Tensor:
        if self.precision is None:
            self.precision = self._decide(x)
        found = self._run(x, self.precision)
        if self.precision == HALF and not found.isfinite().all():  # float16 ends at 65,504
            return self._run(x, FULL)
        return found

    def _run(self, x: Tensor, precision: Precision) -> Tensor:
        with autocast(precision, x.device.type):
            return self.encoder(x).float()

    @torch.no_grad()
    def _decide(self, x: Tensor) -> Precision:
        asked = shorter(x.device) if self.choice == "auto" else self.choice
        refuse_precision(x.device, asked)
        if asked == FULL:
            return FULL
        (full, slow), (short, quick) = (self._timed(x, precision) for precision in (FULL, asked))
        least = float(likeness(full, short).min())  # NaN where a number was too large for 16 bits
        agrees = least >= ALIKE
        if self.choice == "auto":
            return asked if agrees and (x.device.type != "cpu" or quick < slow) else FULL
        if not agrees:
            raise RecipeError(
                f"In {asked} {self.info.name} gives other vectors than in 32 bits: cosines down to {least:.4f}.",
                f"Choose {FULL}; the least allowed is {ALIKE}.",
            )
        return asked

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
