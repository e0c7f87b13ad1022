"""Bring a face to a standard place: a similarity transform from five landmarks to a 112x112 crop."""

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.faces.detection import Image, Landmarks

Matrix = NDArray[np.float64]
"""(2, 3) affine transform: ``target = matrix[:, :2] @ source + matrix[:, 2]``."""

SIZE = 112
TEMPLATE: Landmarks = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where the five landmarks lie in a crop of 112x112: the convention of ArcFace (Deng et al., CVPR 2019), which
Aff-Wild2's cropped_aligned images share."""


def similarity(source: Landmarks, target: Landmarks) -> Matrix:
    """Rotation, one scale and a shift that bring ``source`` nearest to ``target`` in the least-squares sense.

    The closed form of Umeyama (PAMI 1991) in two dimensions, without mirroring: with points as complex numbers it is
    one division.

    Args:
        source: (N, 2) points.
        target: (N, 2) points.

    Returns:
        An invertible transform, even for points that all coincide.
    """
    a, b = (points @ np.array([1, 1j]) for points in (source, target))
    centred = a - a.mean()
    turn = np.vdot(centred, b - b.mean()) / max(float(np.vdot(centred, centred).real), 1e-12)
    turn = turn if abs(turn) > 1e-9 else 1e-9
    shift = b.mean() - turn * a.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def invert(matrix: Matrix) -> Matrix:
    """The transform back, (2, 3)."""
    back = np.linalg.inv(matrix[:, :2])
    return np.concatenate([back, -back @ matrix[:, 2:]], axis=1)


def apply(matrix: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Transformed points, (N, 2)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def to_crop(landmarks: Landmarks, size: int = SIZE) -> Matrix:
    """The transform from an image to the aligned crop of the face that has these landmarks."""
    scale = size / SIZE
    template = (TEMPLATE + 0.5) * scale - 0.5  # scaled about the corner of the crop, not the first pixel's centre
    return similarity(landmarks, template)


def align(image: Image, landmarks: Landmarks, size: int = SIZE) -> Image:
    """Aligned crop of a face, uint8 (size, size, 3); beyond its border the image is reflected."""
    return warp(image, to_crop(landmarks, size), size, border=cv2.BORDER_REFLECT)


def beyond(landmarks: Landmarks, image_size: tuple[int, int], places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which places in the aligned crop of a face, (N, 2), show what lies beyond the border of the image: (N,).

    Args:
        image_size: height and width.
    """
    x, y = apply(invert(to_crop(landmarks)), places).T
    height, width = image_size
    return np.asarray((x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5))


def warp(image: Image, matrix: Matrix, size: int, *, border: int = cv2.BORDER_CONSTANT) -> Image:
    """Image under a similarity transform, cut to (size, size, 3), without aliasing when it shrinks.

    Args:
        border: what is seen beyond the image, as OpenCV names it; black if not given.
    """
    times = halvings(image, float(np.sqrt(abs(np.linalg.det(matrix[:, :2])))))
    if times:  # bilinear sampling would skip pixels: average them first
        image, matrix = _shrink(image, matrix, size, times)
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border), np.uint8)


def halvings(image: Image, scale: float) -> int:
    """How often an image can be halved on its way to ``scale`` times its size."""
    return max(0, int(np.log2(min(1 / scale, *image.shape[:2]))))


def halve(image: Image, times: int) -> Image:
    """Means of blocks of ``2 ** times`` pixels a side; an incomplete last row or column is left out.

    One halving after the other: OpenCV does these ten times as fast as a reduction by another whole number.
    """
    for _ in range(times):
        height, width = image.shape[0] // 2, image.shape[1] // 2
        part = image[: 2 * height, : 2 * width]
        image = np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return image


def _shrink(image: Image, matrix: Matrix, size: int, times: int) -> tuple[Image, Matrix]:
    """The part of the image that the crop needs, halved some times, and the transform from there.

    Where the crop reaches over the border the part goes as far in, so that it can be reflected.
    """
    step = 2**times
    corners = apply(invert(matrix), np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)) / step
    limits = np.array(image.shape[1::-1]) // step
    first, last = np.floor(corners.min(0)) - 1, np.ceil(corners.max(0)) + 1
    low = np.clip(np.minimum(first, 2 * limits - last), 0, limits - 1).astype(int)
    high = np.clip(np.maximum(last, -first), low + 1, limits).astype(int)
    (left, top), (right, bottom) = low * step, high * step
    first_centre = low * step + (step - 1) / 2
    moved = np.column_stack([matrix[:, :2] * step, apply(matrix, first_centre)])
    return halve(image[top:bottom, left:right], times), moved
