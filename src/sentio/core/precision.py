"""How many bits networks are run in: one rule for training and for stored features."""

import contextlib
from typing import Any, Final, Literal

import torch

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
FULL: Final = "32-true"
BRAIN: Final = "bf16-mixed"
HALF: Final = "16-mixed"


def autocast(precision: Precision, device: str = "cpu") -> contextlib.AbstractContextManager[Any]:
    """Inside, products are in the 16 bits of a mixed precision, and sums and weights stay in 32."""
    if precision == FULL:
        return contextlib.nullcontext()
    return torch.autocast(device, torch.bfloat16 if precision == BRAIN else torch.float16)


def shorter(device: torch.device) -> Precision:
    """The 16 bits that a device multiplies itself, and so quicker; ``32-true`` if there are none."""
    if device.type == "cpu":
        return BRAIN if has_bf16() else FULL
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return BRAIN
    return HALF


def has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 itself (AVX-512 BF16 or AMX), and does not take it apart."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
