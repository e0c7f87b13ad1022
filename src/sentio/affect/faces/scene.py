"""Notice cuts between scenes, where a face at the same place may be somebody else."""

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.faces.detection import Image

SIDE = 16
CUT = 10.0
"""Mean change of a thumbnail's values, 0 to 255. Talking, signing and hand-held cameras stay below 6; a cut between
two people before the same wall makes 20 and more."""
SHOT = 25.0
"""From here on it is a new shot for sure [CHOSEN]: somebody who hurries through the picture makes up to 15, each cut in
the clips at hand 49 and more."""


class Scene:
    """Remembers the last frame as a thumbnail."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None

    def change(self, image: Image) -> float:
        """How different this frame is from the last one, 0 to 255; 0 for the first one."""
        height, width = image.shape[:2]
        samples = np.ascontiguousarray(image[:: max(1, height // 64), :: max(1, width // 64)])
        last = self._last
        self._last = cv2.resize(samples, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        return 0.0 if last is None else float(np.abs(self._last - last).mean())
