"""Training data of the face detector: composites of rendered heads and pictures without faces, made as needed.

python -m sentio.affect.training.detection mine WEIGHTS FOLDER
    adds hard.jsonl to the folder: what a trained detector takes for faces in the training pictures
python -m sentio.affect.training.detection calibrate WEIGHTS FOLDER
    writes calibrated.safetensors beside the weights
"""

import argparse
import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.utils.data import Dataset

from sentio.affect.faces.detection import Detection, Image, overlap, suppress
from sentio.affect.faces.grid import FLOOR, LIMIT, STRIDES, blend, decode, to_blob
from sentio.affect.synth.composites import HARD, Composite, CompositeConfig, Floats, Source, compose, read, to_xywh
from sentio.core import processes, weights
from sentio.core.counts import counted
from sentio.core.method import Method, TrainingData
from sentio.core.progress import Tell, silent, track
from sentio.core.report import Figures
from sentio.core.writers import write_text

ITEMS = 16000
"""Pictures in an epoch."""
MOST = 6
"""Faces in a picture."""
HELD = 400
"""Pictures to validate on; they never change."""
WORST = 6
"""Of the false faces in a picture, so many are kept."""
SURE = 0.7
"""The score from which a false face is counted."""


@dataclass(frozen=True)
class DetectionBatch:
    """N pictures with up to F faces.

    Attributes:
        images: (N, 3, S, S) float32 BGR, 0 to 255.
        boxes: (N, F, 4) float32 corners x, y, x, y.
        landmarks: (N, F, 5, 2) float32, as YuNet would put them.
        clear, ignored: (N, F) bool: faces to be found; faces so covered or cropped that it does not matter.
    """

    images: Tensor
    boxes: Tensor
    landmarks: Tensor
    clear: Tensor
    ignored: Tensor

    def to(self, device: torch.device | str) -> Self:
        """The same batch with all tensors on ``device``."""
        return type(self)(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})


class CompositeDataset(Dataset[Composite]):
    """Item ``index`` of an epoch depends on nothing but these and the seed."""

    def __init__(self, source: Source, config: CompositeConfig, seed: int) -> None:
        self.source, self.config, self.seed, self.epoch = source, config, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return ITEMS

    def __getitem__(self, index: int) -> Composite:
        return compose(self.source, self.config, np.random.default_rng((self.seed, self.epoch, index)))


class Composites(TrainingData):
    """Training data of the detector."""

    monitor = "average_precision"
    higher_is_better = True

    def __init__(self, folder: Path, config: CompositeConfig) -> None:
        cv2.setNumThreads(1)
        self.config = config
        self.train, self.held = (Source(folder, validation) for validation in (False, True))
        self._validation = held_out(self.held, config, HELD)

        self.dataset = CompositeDataset(self.train, config, seed=0)

    def train_dataset(self) -> CompositeDataset:
        return self.dataset

    def set_epoch(self, epoch: int) -> None:
        self.dataset.set_epoch(epoch)

    def collate(self, items: list[Composite]) -> DetectionBatch:
        """Composites to a batch."""
        images = np.stack([item.image[..., ::-1] for item in items]).transpose(0, 3, 1, 2)
        boxes = np.zeros((len(items), MOST, 4), np.float32)
        landmarks = np.zeros((len(items), MOST, 5, 2), np.float32)
        clear, ignored = np.zeros((2, len(items), MOST), np.bool_)
        for n, item in enumerate(items):
            for k, (box, points, is_clear) in enumerate(item.faces):
                boxes[n, k], landmarks[n, k], clear[n, k], ignored[n, k] = box, points, is_clear, not is_clear
        batch = (torch.from_numpy(value) for value in (boxes, landmarks, clear, ignored))
        return DetectionBatch(torch.from_numpy(images.astype(np.float32)), *batch)

    def validate(self, method: Any) -> dict[str, float]:
        """See `score`."""
        found = processes.spread(lambda picture: detect(method, picture.image), self._validation)
        return score(found, [picture.faces for picture in self._validation])


def held_out(source: Source, config: CompositeConfig, pictures: int) -> list[Composite]:
    """Composites of a split that never change."""
    rng = np.random.default_rng(1)
    return [compose(source, config, rng) for _ in range(pictures)]


@dataclass(frozen=True)
class DetectorEvaluationConfig:
    """The ``evaluation`` section of a recipe.

    Attributes:
        pictures: how many composites of held-out heads and pictures are made.
    """

    pictures: int = HELD

    def __post_init__(self) -> None:
        if self.pictures < 1:
            raise ValueError("pictures must be above zero")


def evaluate(
    method: Method, folder: Path, config: DetectorEvaluationConfig, composites: CompositeConfig, *, tell: Tell = silent
) -> Figures:
    """See `score`; by composites of heads and pictures that are kept for validation.

    Args:
        composites: how pictures are put together, as in the training.
        tell: told how many pictures are done.
    """
    truth = held_out(Source(folder, validation=True), composites, config.pictures)
    found = []
    for number, picture in enumerate(truth):
        found.append(detect(method, picture.image))
        tell(number + 1, len(truth))
    header = {
        "system": method.name,
        "protocol": f"IoU 0.5; recall and false faces at a score of {SURE}; landmarks in eye distances, median",
        "pictures": len(truth),
        "faces": sum(clear for picture in truth for _, _, clear in picture.faces),
    }
    return Figures(header, score(found, [picture.faces for picture in truth]))


def detect(method: Any, image: Image) -> list[Detection]:
    """The network's faces in an RGB picture, decoded as `GridDetector` does."""
    blob = torch.from_numpy(to_blob(image))
    with torch.no_grad():
        outputs = [value.float().cpu().numpy() for value in method.decodable(blob.to(method.device))]
    names = [f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in STRIDES]
    named = dict(zip(names, outputs, strict=True))
    candidates = [face for stride in STRIDES for face in decode(named, stride, blob.shape[3] // stride)]
    return [blend(best, candidates) for best in suppress(candidates, LIMIT)]


def score(found: list[list[Detection]], truth: list[list[tuple[Floats, Floats, bool]]]) -> dict[str, float]:
    """Average precision (area under the precision-recall curve, IoU 0.5), recall, precision, landmarks, false faces.

    Args:
        found: of each picture, best first.
        truth: of each picture: box as corners, landmarks, and whether the face counts.
    """
    rows: list[tuple[float, bool]] = []
    errors: list[float] = []
    total = 0
    for detections, faces in zip(found, truth, strict=True):
        total += sum(clear for _, _, clear in faces)
        shared = overlap([d.box for d in detections], [to_xywh(box) for box, _, _ in faces])
        taken: set[int] = set()
        for detection, row in zip(detections, shared, strict=True):
            best = int(row.argmax()) if len(row) else -1
            if best < 0 or row[best] < 0.5 or best in taken:
                rows.append((detection.score, False))
                continue
            taken.add(best)
            _, points, clear = faces[best]
            if clear:
                rows.append((detection.score, True))
                apart = np.linalg.norm(detection.landmarks - points, axis=1).mean()
                errors.append(float(apart / np.linalg.norm(points[1] - points[0])))
    rows.sort(reverse=True)
    right = np.array([hit for _, hit in rows], np.float64)
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    sure = [hit for value, hit in rows if value >= SURE]
    return {
        "average_precision": float((precision * right).sum() / max(total, 1)),
        "recall": sum(sure) / max(total, 1),
        "precision": sum(sure) / len(sure) if sure else float("nan"),
        "landmark_error": float(np.median(errors)) if errors else float("nan"),
        "false_faces": 100 * (len(sure) - sum(sure)) / max(len(found), 1),
    }


def mine(method: Any, folder: Path) -> int:
    """Write ``hard.jsonl``: what the method takes for faces in the training pictures; returns how many."""
    source = Source(folder, validation=False)
    rows = []
    for name in track(source.pictures, "searching"):
        for face in detect(method, read(folder / "pictures" / name))[:WORST]:
            rows.append({"picture": name, "box": [round(v, 1) for v in face.box], "score": round(face.score, 3)})
    write_text(folder / HARD, "".join(json.dumps(row) + "\n" for row in rows))
    return len(rows)


def calibrate(method: Any, folder: Path, pictures: int = 800) -> Any:
    """The same method, its score the share of right detections (Platt, 1999), from composites kept for validation.

    A detection that overlaps a face by 0.3 to 0.5, or one of an ignored face, is neither right nor wrong.
    """
    source, rng = Source(folder, validation=True), np.random.default_rng(2)
    logits, right = [], []
    plain = _with_calibration(method, (1.0, 0.0))
    for _ in track(range(pictures), "calibrating"):
        composite = compose(source, CompositeConfig(), rng)
        for face in detect(plain, composite.image):
            shared = overlap([face.box], [to_xywh(box) for box, _, _ in composite.faces])[0]
            most = shared.max(initial=0)
            ignored = any(
                not clear and share > 0.2 for (_, _, clear), share in zip(composite.faces, shared, strict=True)
            )
            if not ignored and not 0.3 < most < 0.5:
                logits.append(np.log(face.score / (1 - face.score)))
                right.append(most >= 0.5)
    x, sign = np.array(logits), 2.0 * np.array(right) - 1
    fitted = minimize(lambda line: np.logaddexp(0, -sign * (line[0] * x + line[1])).mean(), np.array([1.0, 0.0]))
    return _with_calibration(method, (round(float(fitted.x[0]), 3), round(float(fitted.x[1]), 3)))


def _with_calibration(method: Any, calibration: tuple[float, float]) -> Any:
    other = type(method)(replace(method.config, calibration=calibration)).eval()
    other.load_state_dict(method.state_dict())
    return other


def main() -> None:
    """The commands of the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["mine", "calibrate"])
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    method = weights.load(given.weights).eval()
    if given.verb == "mine":
        print(f"{counted(mine(method, given.folder), 'place')} taken for faces (score {FLOOR} and up)")
        return
    calibrated = calibrate(method, given.folder)
    target = given.weights.with_name("calibrated.safetensors")
    weights.save(target, calibrated)
    print(f"{target}: calibration {calibrated.config.calibration}")


if __name__ == "__main__":
    main()
