"""One picture and one block of sound."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


class Frame:
    """One picture of a file or a folder; its pixels are made when they are first asked for.

    The same frame may move from thread to thread, but serves one thread at a time.

    Attributes:
        index: how many pictures the file showed before this one, whatever `start` and `fps` left out.
        time_s: seconds on the container's time line; rises strictly from frame to frame.
        size: (width, height) in pixels, as shown: rotation applied, sample aspect ratio not.
        doubtful: the decoder knew that data of this picture was missing or wrong.
    """

    def __init__(
        self, index: int, time_s: float, size: tuple[int, int], render: Callable[[int], Image], doubtful: bool = False
    ) -> None:
        self.index = index
        self.time_s = time_s
        self.size = size
        self.doubtful = doubtful
        self._render = render

    @cached_property
    def image(self) -> Image:
        """RGB pixels (H, W, 3), uint8, upright; grey is repeated, an alpha channel is ignored."""
        return self._render(self.size[0])

    def scaled(self, width: int) -> Image:
        """RGB pixels (H', min(width, W), 3) at a reduced size and the same shape, averaged over areas.

        Made straight from the decoded picture, so it does not cost the full-size `image`.
        """
        return self.image if width >= self.size[0] else self._render(max(1, width))

    def __repr__(self) -> str:
        return f"Frame(index={self.index}, time_s={self.time_s:.6f}, size={self.size})"


@dataclass(frozen=True)
class AudioBlock:
    """A stretch of sound: mono float32 (N,) at 16 kHz, nominally within [-1, 1], from `time_s` on."""

    time_s: float
    samples: NDArray[np.float32]
