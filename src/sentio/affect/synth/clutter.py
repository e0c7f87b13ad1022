"""Things in a picture that are no faces: parts of bodies and lettering; and how cut-outs are drawn into it."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.faces.alignment import apply

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]

LETTERS = "ABCDEFGHKMNOPQRSTUWXYZaegosqu0123456789&%@?!:8B"


def overlay(image: Image, cut_out: Image, matrix: Floats, rng: np.random.Generator) -> None:
    """Draw a cut-out, moved by ``matrix``, its colours changed a little."""
    tones = np.arange(256)[:, None] / 255 * np.exp(rng.normal(0, 0.08) + rng.normal(0, 0.05, 3))
    table = 255 * np.clip(tones, 0, 1) ** np.exp(rng.normal(0, 0.12))
    cover: NDArray[Any] = np.ascontiguousarray(cut_out[..., 3])
    layer: NDArray[Any] = cv2.multiply(cv2.cvtColor(cut_out, cv2.COLOR_RGBA2RGB), cv2.merge([cover] * 3), scale=1 / 255)
    matrix = matrix.copy()
    while abs(np.linalg.det(matrix[:, :2])) < 0.36:  # halved, so that it is averaged, not picked from
        layer, cover = (cv2.resize(v, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for v in (layer, cover))
        matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5]
        matrix[:, :2] *= 2
    layer = np.asarray(cv2.LUT(layer, table[None].astype(np.uint8)), np.uint8)
    height, width = cover.shape
    corners = apply(matrix, np.array([(x, y) for x in (0, width) for y in (0, height)], np.float64))
    limits = image.shape[1::-1]
    x0, y0 = np.clip(corners.min(0), 0, limits).astype(int)
    x1, y1 = np.clip(np.ceil(corners.max(0)), 0, limits).astype(int)
    if x1 > x0 and y1 > y0:
        matrix[:, 2] -= (x0, y0)
        size = (int(x1 - x0), int(y1 - y0))
        moved, covered = (cv2.warpAffine(v, matrix, size) for v in (layer, cover))
        part = image[y0:y1, x0:x1]
        part[:] = np.minimum(part * (1 - covered[..., None] / np.float32(255)) + moved, 255)


def body(image: Image, cut_out: Image, middle: Floats, side: float, rng: np.random.Generator) -> None:
    """Draw a cut-out that is no face, mirrored or not, turned a little, its longer side ``side`` pixels."""
    y, x = np.nonzero(cut_out[..., 3] > 128)
    if len(x) == 0:
        return
    angle = rng.normal(0, 0.6)
    scale = side / max(int(np.ptp(x)), int(np.ptp(y)), 1)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([rng.choice([-1.0, 1.0]), 1.0])
    at = np.array([x.max() + x.min(), y.max() + y.min()]) / 2
    overlay(image, cut_out, np.column_stack([turn, middle - turn @ at]), rng)


def lettering(image: Image, rng: np.random.Generator) -> None:
    """A word or a few, as in titles and on signs."""
    size = len(image)
    for _ in range(rng.integers(1, 4)):
        word = "".join(rng.choice(list(LETTERS), int(rng.integers(1, 9))))
        height = float(np.exp(rng.uniform(np.log(10), np.log(0.6 * size))))
        colour = tuple(float(c) for c in rng.uniform(0, 255, 3))
        thick = max(1, int(height * rng.uniform(0.05, 0.3)))
        x, y = int(rng.uniform(-0.3, 0.8) * size), int(rng.uniform(0.1, 1.1) * size)
        font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX]))
        cv2.putText(image, word, (x, y), font, height / 22, colour, thick, cv2.LINE_AA)
