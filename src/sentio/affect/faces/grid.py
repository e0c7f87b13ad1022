"""Detectors whose every cell says whether there is a face and where, in the form of YuNet, through ONNX Runtime.

YuNet (Wu et al., "YuNet: a tiny millisecond-level face detector", 2023) finds faces from about 10 pixels up. OpenCV's
own reader refuses its file with free image size; with the size fixed it gives the same boxes, scores and landmarks and
takes two and a half times as long. The detector of the package (`sentio.affect.models.detector`) has the same outputs.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.faces.detection import Detection, Image, overlap, suppress
from sentio.core import weights

STRIDES = (8, 16, 32)
FLOOR = 0.3
"""Detections below this score are never reported."""
LIMIT = 0.3
"""Boxes that overlap a better one by more than this are the same face."""
CLOSE = 0.5
"""Boxes that overlap the best one by more than this say where the face is, together with it."""


class GridDetector:
    """An ONNX model for pictures of any size; one thread.

    Args:
        name: of its weights.

    Raises:
        WeightsError: the weights have not been fetched, or are damaged.
    """

    def __init__(self, name: str) -> None:
        self._session = weights.session(name)
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, image: Image, *, smallest: float = 0) -> list[Detection]:
        candidates = [face for face in self.candidates(image) if face.box[2] >= smallest]
        return [blend(best, candidates) for best in suppress(candidates, LIMIT)]

    def candidates(self, image: Image) -> list[Detection]:
        """Every cell's face with a score above `FLOOR`: about ten for each face."""
        blob = to_blob(image)
        outputs = dict(zip(self._names, self._session.run(None, {"input": blob}), strict=True))
        columns = blob.shape[3]
        return [face for stride in STRIDES for face in decode(outputs, stride, columns // stride)]


def to_blob(image: Image) -> NDArray[np.float32]:
    """RGB (H, W, 3) to BGR (1, 3, H', W') from 0 to 255, padded with zeros to multiples of 32."""
    height, width = image.shape[:2]
    padded = cv2.copyMakeBorder(image, 0, -height % 32, 0, -width % 32, cv2.BORDER_CONSTANT)
    return np.asarray(cv2.dnn.blobFromImage(padded, swapRB=True), np.float32)


def decode(outputs: dict[str, NDArray[Any]], stride: int, columns: int) -> list[Detection]:
    """Faces of one pyramid level.

    The score is the geometric mean of class and objectness; box and landmarks are offsets from the cell in strides,
    the box's size as a logarithm.

    Args:
        outputs: arrays (1, cells, ...) by name: ``cls``, ``obj``, ``bbox`` and ``kps``, each ``_8``, ``_16``, ``_32``.
        stride: pixels per cell.
        columns: cells in a row.
    """
    classes, objects, boxes, points = (outputs[f"{name}_{stride}"][0] for name in ("cls", "obj", "bbox", "kps"))
    scores = np.sqrt(np.clip(classes[:, 0], 0, 1) * np.clip(objects[:, 0], 0, 1))
    best = np.flatnonzero(scores >= FLOOR)
    cells = np.stack([best % columns, best // columns], axis=1).astype(np.float64)
    centres = (cells + boxes[best, :2]) * stride
    sizes = np.exp(boxes[best, 2:].astype(np.float64)) * stride
    landmarks = (cells[:, None] + points[best].reshape(-1, 5, 2)) * stride
    corners = np.concatenate([centres - sizes / 2, sizes], axis=1)
    return [
        Detection((x, y, w, h), float(score), five)
        for (x, y, w, h), score, five in zip(corners.tolist(), scores[best], landmarks, strict=True)
    ]


def blend(best: Detection, candidates: list[Detection]) -> Detection:
    """The best detection of a face, its box and landmarks averaged by score over those close to it.

    The blending of BlazeFace (Bazarevsky et al. 2019) in place of plain suppression: in windows moved at random over
    photographs the landmarks scatter by 0.014 eye distances instead of 0.024.
    """
    shared = overlap([best.box], [face.box for face in candidates])[0]
    close = [face for face, share in zip(candidates, shared, strict=True) if share > CLOSE]
    weights = np.array([face.score for face in close])
    x, y, width, height = np.average([face.box for face in close], axis=0, weights=weights).tolist()
    landmarks = np.average([face.landmarks for face in close], axis=0, weights=weights)
    return Detection((x, y, width, height), best.score, landmarks)
