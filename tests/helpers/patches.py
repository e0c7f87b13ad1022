"""Stand-ins for people: textured squares, and a detector that sees only them. Where they are is known exactly."""

from __future__ import annotations

import cv2
import numpy as np

from sentio.affect.faces.detection import Detection

SIDE = 80
PROPORTIONS = np.array([[0.31, 0.39], [0.69, 0.39], [0.5, 0.62], [0.33, 0.79], [0.67, 0.79]])


def texture(person: int) -> np.ndarray:
    """A square (SIDE, SIDE, 3) with a dark rim; blue says "face", red and green carry the person's own pattern.

    Persons whose numbers differ by 1000 are twins.
    """
    noise = np.random.default_rng(person % 1000).normal(size=(SIDE, SIDE)).astype(np.float32)
    pattern = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 30, 225, cv2.NORM_MINMAX)
    square = np.dstack([pattern, pattern, np.full_like(pattern, 255)]).astype(np.uint8)
    square[:2], square[-2:], square[:, :2], square[:, -2:] = 0, 0, 0, 0
    return square


def scene(places: dict[int, tuple[int, int]], size: tuple[int, int] = (240, 480), grey: int = 90) -> np.ndarray:
    """Picture (H, W, 3) with each person's square at its upper left corner (x, y), the last one in front."""
    picture = np.zeros((*size, 3), np.uint8)
    picture[..., :2] = grey
    for person, (x, y) in places.items():
        left, top = max(x, 0), max(y, 0)
        part = texture(person)[top - y : max(size[0] - y, 0), left - x : max(size[1] - x, 0)]
        picture[top : top + part.shape[0], left : left + part.shape[1]] = part
    return picture


class Squares:
    """Finds the squares that are seen whole: near enough as high as wide."""

    name, licence, provenance = "squares", "none", "drawn by the tests"

    def __init__(self, score: float = 0.9) -> None:
        self.score = score

    def __call__(self, image: np.ndarray, *, smallest: float = 0) -> list[Detection]:
        mask = (image[..., 2] > 180).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        found = []
        for x, y, width, height, area in stats[1:].tolist():
            whole = 0.85 < width / height < 1.18 and area > 0.7 * width * height
            inside = x > 0 and y > 0 and x + width < image.shape[1] and y + height < image.shape[0]
            if whole and inside and width >= max(6, smallest):
                landmarks = PROPORTIONS * (width, height) + (x, y)
                found.append(Detection((x, y, width, height), self.score, landmarks))
        return found
