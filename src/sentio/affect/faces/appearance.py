"""What a face looks like, as a vector that tells people apart well enough to keep their ids."""

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.faces.detection import Image

Appearance = NDArray[np.float32]
"""(2124,), length 1."""

CELLS = 6
MARGIN = 8
RADIUS = 2
OFFSETS = [(dy, dx) for dy in (-RADIUS, 0, RADIUS) for dx in (-RADIUS, 0, RADIUS) if dy or dx]
RING = [OFFSETS[i] for i in (0, 1, 2, 4, 7, 6, 5, 3)]
"""The eight neighbours in circular order."""


def _uniform_codes() -> NDArray[np.int64]:
    """Table of the 256 patterns: 58 with at most two changes around the ring keep a number, all others share 58."""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    uniform = (bits != np.roll(bits, 1, axis=1)).sum(1) <= 2
    codes = np.full(256, 58)
    codes[uniform] = np.arange(58)
    return codes


CODES = _uniform_codes()


def describe(crop: Image) -> Appearance:
    """Histograms of uniform local binary patterns on a grid (Ahonen et al., PAMI 2006) of an aligned 112x112 crop.

    Square roots of the histograms, so that the Euclidean distance of two vectors is the Hellinger distance.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)[MARGIN:-MARGIN, MARGIN:-MARGIN]
    side = grey.shape[0] - 2 * RADIUS
    centre = grey[RADIUS:-RADIUS, RADIUS:-RADIUS]
    patterns = np.zeros(centre.shape, np.uint8)
    for bit, (dy, dx) in enumerate(RING):
        neighbour = grey[RADIUS + dy : RADIUS + dy + side, RADIUS + dx : RADIUS + dx + side]
        patterns |= (neighbour >= centre).view(np.uint8) << np.uint8(bit)
    row = np.arange(side) * CELLS // side
    bins = (row[:, None] * CELLS + row) * 59 + CODES[patterns]
    counts = np.bincount(bins.ravel(), minlength=CELLS * CELLS * 59).reshape(-1, 59)
    return np.asarray(np.sqrt(counts / counts.sum(1, keepdims=True)).ravel() / CELLS, np.float32)


def distance(a: Appearance, b: Appearance) -> float:
    """Hellinger distance, 0 (same) to sqrt 2; other people lie around 0.7, the same person mostly below 0.55."""
    return float(np.linalg.norm(a - b))


def blend(old: Appearance, new: Appearance, share: float) -> Appearance:
    """Running mean of length 1 that takes ``share`` of the new vector."""
    mixed = old + share * (new - old)
    return np.asarray(mixed / np.linalg.norm(mixed), np.float32)
