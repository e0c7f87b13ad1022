"""What cameras and files do to a picture."""

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.synth import scene

Image = NDArray[np.uint8]


def distort(image: Image, rng: np.random.Generator) -> Image:
    """What cameras and files do: tone, colour, focus, motion, size, grain, compression."""
    tones = 255 * (np.arange(256)[:, None] / 255) ** np.exp(rng.normal(0, 0.26))
    tones = (tones - 110) * np.exp(rng.normal(0, 0.22)) + 110 + rng.normal(0, 10)
    tones = tones * np.exp(rng.normal(0, 0.06, 3)) * (rng.uniform(0.2, 0.8) if rng.random() < 0.15 else 1)
    result = np.asarray(cv2.LUT(image, np.clip(tones, 0, 255)[None].astype(np.uint8)), np.uint8)
    if rng.random() < 0.3:
        result = np.asarray(cv2.cvtColor(cv2.cvtColor(result, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    result = _softened(result, rng)
    if rng.random() < 0.35:
        grain = cv2.GaussianBlur(rng.standard_normal(result.shape, np.float32), (0, 0), rng.uniform(0.3, 0.9))
        result = np.clip(result + rng.gamma(1.5, 4) * grain, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        data = np.frombuffer(scene.compress(result, int(rng.integers(20, 95))), np.uint8)
        result = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    return result


def _softened(image: Image, rng: np.random.Generator) -> Image:
    """Out of focus, of few pixels, or moved."""
    kind, size = rng.random(), image.shape[0]
    if kind < 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.8)), np.uint8)
    elif kind < 0.5:
        share = rng.uniform(0.35, 0.9)
        small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)
    elif kind < 0.57:
        kernel = np.full((1, int(rng.integers(3, 9))), 1, np.float32)
        kernel /= kernel.sum()
        image = np.asarray(cv2.filter2D(image, -1, kernel if rng.random() < 0.7 else kernel.T), np.uint8)
    return image
