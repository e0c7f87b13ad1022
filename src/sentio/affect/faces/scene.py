"""Notice cuts between scenes, where a face at the same place may be somebody else."""

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.faces.detection import Image

SIDE = 16
CUT = 10.0
"""Mean change of a thumbnail's values, 0 to 255. Talking, signing and hand-held cameras stay below 6; a cut between
two people before the same wall makes 20 and more."""


class Scene:
    """Remembers the last frame as a thumbnail."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None

    def cut(self, image: Image) -> bool:
        """Whether this frame shows another scene than the last one did."""
        height, width = image.shape[:2]
        samples = np.ascontiguousarray(image[:: max(1, height // 64), :: max(1, width // 64)])
        last = self._last
        self._last = cv2.resize(samples, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        return last is not None and float(np.abs(self._last - last).mean()) > CUT
