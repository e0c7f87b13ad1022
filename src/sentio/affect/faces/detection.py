"""What a face in one image is, what finds it, and how boxes are compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""(H, W, 3) RGB."""
Box = tuple[float, float, float, float]
"""x, y of the upper left corner, width, height, in pixels; may reach over the border of the image."""
Landmarks = NDArray[np.float64]
"""(5, 2) x, y in pixels, whole numbers at pixel centres: left eye, right eye, nose tip, left and right mouth corner.
Left and right are the viewer's, the field's usual order: the left eye in the image is the person's right one."""


@dataclass(frozen=True)
class Detection:
    """One face in one image; ``score`` in [0, 1]."""

    box: Box
    score: float
    landmarks: Landmarks


class Detector(Protocol):
    """Anything that finds faces; `detectors` lists those there are."""

    def __call__(self, image: Image, *, smallest: float = 0) -> list[Detection]:
        """Faces in an RGB image, best first; those narrower than ``smallest`` pixels need not be found."""


def overlap(a: Sequence[Box], b: Sequence[Box]) -> NDArray[np.float64]:
    """Intersection over union of every box in ``a`` with every box in ``b``: (len(a), len(b))."""
    first, second = _corners(a)[:, None], _corners(b)[None]
    low, high = np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    either = _area(first) + _area(second) - shared
    return np.asarray(shared / np.maximum(either, 1e-9))


def suppress(found: Sequence[Detection], limit: float) -> list[Detection]:
    """Greedy non-maximum suppression: best first, without those that overlap a better one by more than ``limit``."""
    ranked = sorted(found, key=lambda detection: -detection.score)
    shared = overlap([d.box for d in ranked], [d.box for d in ranked])
    kept: list[int] = []
    for index in range(len(ranked)):
        if not kept or shared[index, kept].max() <= limit:
            kept.append(index)
    return [ranked[index] for index in kept]


PART, WHOLE, SURE = 0.7, 0.5, 0.7
"""A box with this share of its area in a face at least twice as wide, of at least this score, is a part of that."""


def without_parts(found: Sequence[Detection]) -> list[Detection]:
    """Without what lies in a sure and much larger face: an eye or a mouth seen from too near looks like a face."""
    boxes = _corners([face.box for face in found])
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    inside = np.clip(np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - low, 0, None).prod(-1)
    share = inside / np.maximum(_area(boxes), 1e-9)[:, None]
    width = boxes[:, 2] - boxes[:, 0]
    sure = np.array([face.score >= SURE for face in found], np.bool_)
    part = (share > PART) & (width[:, None] < WHOLE * width) & sure
    return [face for face, parts in zip(found, part, strict=True) if not parts.any()]


def _corners(boxes: Sequence[Box]) -> NDArray[np.float64]:
    array = np.array(boxes, np.float64).reshape(-1, 4)
    return np.concatenate([array[:, :2], array[:, :2] + array[:, 2:]], axis=1)


def _area(corners: NDArray[np.float64]) -> Any:
    return (corners[..., 2:] - corners[..., :2]).prod(-1)
