"""Face crops from disk."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def read_image(path: Path, size: int | None = None) -> NDArray[np.uint8] | None:
    """Decode an image.

    Args:
        size: resize to this square, if it has another size.

    Returns:
        (H, W, 3) RGB, or None if the file is missing or cannot be decoded.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError:
        return None
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if picture is None:
        return None
    if size is not None and picture.shape[:2] != (size, size):
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
