"""The Haar cascades that come with OpenCV (Viola and Jones, CVPR 2001; Lienhart and Maydt, ICIP 2002)."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.faces.alignment import apply, similarity
from sentio.affect.faces.detection import Box, Detection, Image, Landmarks

FACE, EYE = "haarcascade_frontalface_alt2.xml", "haarcascade_eye.xml"
LICENCE = "Intel License Agreement For Open Source Computer Vision Library (BSD style)"
PROVENANCE = f"OpenCV {cv2.__version__}, {FACE} and {EYE}"
"""They are no weights of this package, so that no card tells of them."""
SMALLEST = 24
"""Pixels; the face cascade was trained at 20."""
STEP = 1.15
"""From one size of face to the next."""
EYE_SIDE, EYE_SMALLEST, EYE_STEP = 48, 29, 1.2
"""Eye regions are searched at this side, for eyes from this size up."""
PROPORTIONS: Landmarks = np.array([[0.31, 0.393], [0.69, 0.393], [0.5, 0.623], [0.333, 0.791], [0.667, 0.791]])
"""Mean place of the five landmarks in a box of side 1, as YuNet puts them."""
SCORE_MIDDLE, SCORE_SLOPE = 54.7, 1.3
"""Logistic curve from the last stage's sum to a score. Pictures without faces reach sums of 53.8 to 55.5, frontal
faces 55.5 to 58.9, which gives the latter scores from 0.7 up."""


NO_EYES = 0.7
"""Factor of the score where neither eye is found: no false face of a film without faces has one, most real ones do."""


class Haar:
    """Frontal faces, upright within about 20 degrees. One object serves one thread."""

    def __init__(self) -> None:
        folder = Path(cv2.__file__).parent / "data"
        self._face, self._eye = (cv2.CascadeClassifier(str(folder / file)) for file in (FACE, EYE))

    def __call__(self, image: Image, *, smallest: float = 0) -> list[Detection]:
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        side = max(SMALLEST, round(smallest))
        boxes, _, sums = self._face.detectMultiScale3(grey, STEP, 2, minSize=(side, side), outputRejectLevels=True)
        scores = 1 / (1 + np.exp(SCORE_SLOPE * (SCORE_MIDDLE - np.ravel(sums))))
        found = [
            self._measured(grey, (float(x), float(y), float(w), float(h)), float(score))
            for (x, y, w, h), score in zip(boxes, scores, strict=True)
        ]
        return sorted(found, key=lambda face: -face.score)

    def _measured(self, grey: NDArray[np.uint8], box: Box, score: float) -> Detection:
        """Landmarks of the mean face in the box, turned and moved onto the eyes where the eye cascade finds both."""
        x, y, width, height = box
        mean = PROPORTIONS * (width, height) + (x, y)
        eyes = [eye for expected in mean[:2] if (eye := self._find_eye(grey, expected, 0.2 * width)) is not None]
        landmarks = apply(similarity(mean[:2], np.array(eyes)), mean) if len(eyes) == 2 else mean
        return Detection(box, score if eyes else NO_EYES * score, landmarks)

    def _find_eye(self, grey: NDArray[np.uint8], expected: Landmarks, reach: float) -> Landmarks | None:
        """Centre of the likeliest eye within ``reach`` pixels of the expected place, or None."""
        left, top = np.maximum(expected - reach, 0).astype(int)
        part = grey[top : int(expected[1] + reach), left : int(expected[0] + reach)]
        zoom = EYE_SIDE / (2 * reach)
        region = cv2.resize(part, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
        least = (EYE_SMALLEST, EYE_SMALLEST)
        eyes, _, sums = self._eye.detectMultiScale3(region, EYE_STEP, 1, minSize=least, outputRejectLevels=True)
        if len(eyes) == 0:
            return None
        x, y, width, height = eyes[int(np.argmax(sums))]
        return np.array([left + (x + width / 2) / zoom, top + (y + height / 2) / zoom])
