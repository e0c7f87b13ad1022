"""How stored pictures are turned to stand upright, from the display matrix of the container."""

from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from av.video.frame import VideoFrame

from sentio.affect.media.frame import Image


@dataclass(frozen=True)
class Orientation:
    """Rows and columns are swapped first, then the picture is flipped left-right and upside down."""

    transposed: bool = False
    left_right: bool = False
    upside_down: bool = False

    @classmethod
    def of(cls, picture: VideoFrame) -> "Orientation":
        """The orientation nearest to the display matrix of a decoded picture; upright without one.

        The matrix [[a, b, u], [c, d, v], [x, y, w]] sends a stored point to x' = a x + c y, y' = b x + d y.
        """
        try:
            matrix = np.frombuffer(bytes(cast(Any, picture.side_data)["DISPLAYMATRIX"]), np.int32)
        except KeyError:
            return cls()
        except ValueError:  # PyAV refuses the whole list where it does not know one kind of side data
            quarters = round(-picture.rotation / 90) % 4
            return cls(quarters % 2 == 1, quarters in (1, 2), quarters in (2, 3))
        a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    @property
    def mirrored(self) -> bool:
        return self.transposed ^ self.left_right ^ self.upside_down

    @property
    def rotation(self) -> int:
        """Degrees clockwise; a mirrored picture is first flipped left-right."""
        if self.transposed:
            return 270 if self.upside_down ^ self.mirrored else 90
        return 180 if self.upside_down else 0

    def apply(self, image: Image) -> Image:
        """The upright image, contiguous."""
        turned: Any = cv2.transpose(image) if self.transposed else image
        if self.left_right or self.upside_down:
            turned = cv2.flip(turned, -1 if self.left_right and self.upside_down else int(self.left_right))
        return np.asarray(turned, np.uint8)
