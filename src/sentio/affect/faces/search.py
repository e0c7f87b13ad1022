"""Search a whole picture for faces of any size: on a reduced copy, and on one so small that a face that fills it fits.

Detectors are made for faces up to about half of what they are shown. A head that fills a picture of 384 pixels, or that
its border cuts, is found on a copy of 96 pixels with grey around it, where it is of a size that they know well.
"""

import cv2
import numpy as np

from sentio.affect.faces.alignment import halve, halvings
from sentio.affect.faces.detection import Detection, Detector, Image, suppress, without_parts

COARSE = 96
"""Long side of the small copy, in pixels."""
MARGIN = 0.25
"""Grey on every side of it, in its long sides: with repeated or reflected borders fewer faces are found, and reflected
halves of faces are taken for faces."""
GREY = (128, 128, 128)
SAME = 0.4
"""Boxes of one face from different copies or windows overlap by more."""


def search(
    detector: Detector, image: Image, *, side: int, smallest: float = 0.0, coarsely: bool = True
) -> list[Detection]:
    """Faces in pixels of the whole picture, best first.

    Args:
        image: (H, W, 3) RGB.
        side: long side of the finer copy; smaller pictures are not enlarged.
        smallest: faces narrower than this many pixels of the picture need not be found.
        coarsely: search the small copy too.
    """
    fine, scale = _reduced(image, side)
    found = [_placed(face, scale, 0.0) for face in detector(fine, smallest=smallest * scale)]
    if coarsely:
        small, scale = _reduced(image, COARSE)
        margin = round(MARGIN * max(small.shape[:2]))
        framed = cv2.copyMakeBorder(small, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=GREY)
        large = detector(np.asarray(framed, np.uint8), smallest=smallest * scale)
        found += [_placed(face, scale, float(margin)) for face in large]
    return without_parts(suppress(found, SAME))


def _reduced(image: Image, side: int) -> tuple[Image, float]:
    """A copy with this long side at most, and its scale."""
    scale = min(1.0, side / max(image.shape[:2]))
    width, height = (max(1, round(edge * scale)) for edge in image.shape[1::-1])
    halved = halve(image, halvings(image, scale))
    return np.asarray(cv2.resize(halved, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8), scale


def _placed(face: Detection, scale: float, margin: float) -> Detection:
    """A face of a copy in pixels of the picture."""
    x, y, width, height = face.box
    box = ((x - margin) / scale, (y - margin) / scale, width / scale, height / scale)
    return Detection(box, face.score, (face.landmarks - margin) / scale)
