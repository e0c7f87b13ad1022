"""Windows that lose their faces or their sound in training, so that one alone is learnt to suffice."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Dropping:
    """Which modality is hidden how often.

    Args:
        face, sound: share of the windows whose faces, or whose sound, are hidden; never both of a window, and never
            what is all that it has.
    """

    face: float = 0.0
    sound: float = 0.0

    def __post_init__(self) -> None:
        if min(self.face, self.sound) < 0 or self.face + self.sound > 1:
            raise ValueError(f"dropping: shares of at least 0, together at most 1, found {self.face} and {self.sound}")

    def draw(self, seen: Tensor, heard: Tensor) -> tuple[Tensor, Tensor]:
        """What is there of faces (B, T) and of sound (B, S), without what is hidden."""
        drawn = torch.rand(len(seen), 1, device=seen.device)
        both = seen.any(1, keepdim=True) & heard.any(1, keepdim=True)
        face, sound = drawn < self.face, (drawn >= self.face) & (drawn < self.face + self.sound)
        return seen & ~(both & face), heard & ~(both & sound)
