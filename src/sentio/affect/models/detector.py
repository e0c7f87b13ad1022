"""The face detector that comes with the package: small, anchor-free, with five landmarks, learnt from rendered heads.

One stage, three strides, plain convolutions. What a cell says has the form of YuNet (Wu et al., "YuNet: a tiny
millisecond-level face detector", 2023), so that one decoder serves both: a class and an objectness whose geometric mean
is the score, a box, five points. Every face belongs to the cells at its middle on the level of its size, as in FCOS
(Tian et al., 2019). Objectness is learnt by focal loss (Lin et al., 2017), boxes by generalised IoU (Rezatofighi et
al., 2019); the class is the IoU that the box reaches, as in YOLOX (Ge et al., 2021). See docs/detector.md.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentio.affect.faces.grid import STRIDES
from sentio.affect.synth.composites import CompositeConfig
from sentio.affect.training import detection
from sentio.affect.training.detection import DetectionBatch
from sentio.core import processes
from sentio.core.config import from_dict
from sentio.core.method import Graph, Method
from sentio.core.progress import Tell, silent
from sentio.core.registry import register
from sentio.core.report import Figures

PARTS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
"""What a cell says, and in how many numbers."""
SIDES = ((0, 36), (28, 84), (64, 1e9))
"""Longer side of the faces, in pixels, that belong to each stride; a face between two belongs to both."""
RADIUS = 1.5
"""Cells this many strides from the middle of a face say where it is, if they lie in its box."""
GAMMA = 2.0
PRIOR = -4.6
"""Objectness (logit) at the beginning: a cell in a hundred is a face's."""


@dataclass(frozen=True)
class DetectorConfig:
    """Config of the embedded face detector.

    Args:
        widths: channels at strides 2, 4, 8, 16 and 32.
        neck: channels in which the levels meet.
        weights: of the terms of the loss: objectness, class, box, landmarks.
        calibration: slope and shift from the logit of the raw score to that of the share of right detections.
    """

    widths: tuple[int, int, int, int, int] = (16, 32, 48, 64, 64)
    neck: int = 48
    weights: tuple[float, float, float, float] = (1.0, 1.0, 2.0, 15.0)
    calibration: tuple[float, float] = (1.0, 0.0)


class Cells(NamedTuple):
    """What all cells of N pictures say, the levels one after another.

    Attributes:
        quality, objectness: (N, cells) logits.
        boxes: (N, cells, 4) x, y of the upper left and the lower right corner in pixels.
        landmarks: (N, cells, 5, 2) in pixels.
    """

    quality: Tensor
    objectness: Tensor
    boxes: Tensor
    landmarks: Tensor


@register("detector", summary="Faces with five landmarks, learnt from rendered heads; comes with the package.")
class FaceDetector(Method):
    """Convolutions at strides 2 to 32, joined from above at 8, 16 and 32."""

    Config = DetectorConfig

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        self.network = Network(config)

    def open_data(self, path: Path, section: dict[str, Any]) -> detection.Composites:
        """Pictures put together from what `sentio.affect.synth.heads` wrote."""
        return detection.Composites(path, from_dict(CompositeConfig, section, where="data"))

    def evaluate(self, path: Path, section: dict[str, Any], *, data: dict[str, Any], tell: Tell = silent) -> Figures:
        """Average precision, recall and more on composites; see ``training.detection.DetectorEvaluationConfig``."""
        config = from_dict(detection.DetectorEvaluationConfig, section, where="evaluation of detector")
        composites = from_dict(CompositeConfig, data, where="data")
        return detection.evaluate(self, path, config, composites, tell=tell)

    def example_batch(self) -> DetectionBatch:
        images = 255 * torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        box = torch.tensor([12.0, 8.0, 44.0, 50.0]).expand(2, 1, 4)
        five = torch.tensor([[20.0, 24.0], [36.0, 24.0], [28.0, 32.0], [22.0, 42.0], [34.0, 42.0]]).expand(2, 1, 5, 2)
        clear = torch.ones(2, 1, dtype=torch.bool)
        return DetectionBatch(images, box, five, clear, ~clear)

    def forward(self, batch: DetectionBatch) -> Cells:
        """What all cells of a batch's pictures say."""
        return self.predict(batch.images)

    def decodable(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) BGR from 0 to 255, H and W multiples of 32, to what the decoder takes: 12 tensors (N, cells, k).

        They are ``cls``, ``obj``, ``bbox`` and ``kps``, each for strides 8, 16, 32; ``cls`` and ``obj`` are both the
        calibrated score.
        """
        parts: list[list[Tensor]] = [[], [], [], []]
        for level in self.network(images):
            quality, objectness, box, points = level.split(list(PARTS.values()), -1)
            score = self.calibrated((quality.sigmoid() * objectness.sigmoid()).sqrt())
            for part, value in zip(parts, (score, score, box, points), strict=True):
                part.append(value)
        return tuple(value for part in parts for value in part)

    def calibrated(self, score: Tensor) -> Tensor:
        """Raw scores to how often such a detection is right."""
        slope, shift = self.config.calibration
        return torch.sigmoid(slope * torch.logit(score, eps=1e-6) + shift)

    def predict(self, images: Tensor) -> Cells:
        """All cells together, boxes and points in pixels."""
        height, width = images.shape[-2:]
        parts = []
        for stride, level in zip(STRIDES, self.network(images), strict=True):
            quality, objectness, box, points = level.float().split(list(PARTS.values()), -1)
            cells = grid(height // stride, width // stride, level.device)
            middle, size = (cells + box[..., :2]) * stride, box[..., 2:].clamp(max=6).exp() * stride
            five = (cells[:, None] + points.unflatten(-1, (5, 2))) * stride  # (N, cells, 10) -> (N, cells, 5, 2)
            boxes = torch.cat([middle - size / 2, middle + size / 2], -1)
            parts.append((quality[..., 0], objectness[..., 0], boxes, five))
        return Cells(*(torch.cat(part, 1) for part in zip(*parts, strict=True)))

    def loss(self, batch: DetectionBatch, progress: float) -> dict[str, Tensor]:
        """Focal loss of objectness; at the cells of a face: class against IoU, box, landmarks."""
        found = self.predict(batch.images)
        owner, unsure = assign(batch, (batch.images.shape[-2], batch.images.shape[-1]))
        own = owner >= 0
        count = processes.mean(own.sum()).clamp(min=1)
        face = (own.nonzero()[:, 0], owner[own])
        boxes, points = batch.boxes[face], batch.landmarks[face]
        shared, generalised = overlap(found.boxes[own], boxes)
        side = (boxes[:, 2:] - boxes[:, :2]).amax(1)[:, None, None]
        apart = (found.landmarks[own] - points) / side
        objectness, quality, box, landmark = self.config.weights
        focal = focal_loss(found.objectness, own.float())
        return {
            "objectness": objectness * focal[~unsure].sum() / count,
            "class": quality
            * functional.binary_cross_entropy_with_logits(found.quality[own], shared.detach(), reduction="sum")
            / count,
            "box": box * (1 - generalised).sum() / count,
            "landmarks": landmark
            * functional.smooth_l1_loss(apart, torch.zeros_like(apart), beta=0.03, reduction="sum")
            / (count * 10),
        }

    def graphs(self) -> list[Graph]:
        """One graph for any size of picture."""
        names = tuple(f"{part}_{stride}" for part in PARTS for stride in STRIDES)
        return [
            Graph(
                name="detector",
                summary="Face detector with five landmarks, learnt from rendered heads, any image size.",
                module=_Decodable(self),
                inputs={"input": torch.zeros(1, 3, 64, 96)},
                outputs=names,
                free={"input": ("batch", "3", "height", "width")} | dict.fromkeys(names, ("batch", "cells")),
                preprocessing="BGR, 0 to 255, height and width padded with zeros to multiples of 32",
            )
        ]


class _Decodable(nn.Module):
    """The model with the decoder's tensors for output, as a tracer needs it."""

    def __init__(self, model: FaceDetector) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.model.decodable(images)


class Network(nn.Module):
    """(N, 3, H, W) to three levels (N, cells, 16), see `PARTS`."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        first, second, *deep = config.widths
        self.stem = nn.Sequential(convolution(3, first, 2), convolution(first, second, 2))
        steps = zip((second, *deep), deep, strict=False)
        self.stages = nn.ModuleList(nn.Sequential(convolution(a, b, 2), Residual(b)) for a, b in steps)
        self.laterals = nn.ModuleList(nn.Conv2d(width, config.neck, 1) for width in deep)
        self.heads = nn.ModuleList(_head(config.neck) for _ in deep)

    def forward(self, images: Tensor) -> list[Tensor]:
        value = self.stem((images / 127.5 - 1).contiguous(memory_format=torch.channels_last))  # (N, C, H / 4, W / 4)
        levels = []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            value = stage(value)
            levels.append(lateral(value))
        for k in (1, 0):
            levels[k] = levels[k] + functional.interpolate(levels[k + 1], scale_factor=2.0, mode="nearest")
        return [
            head(level).flatten(2).transpose(1, 2)  # (N, 16, H / s, W / s) -> (N, cells, 16)
            for head, level in zip(self.heads, levels, strict=True)
        ]


class Residual(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, value: Tensor) -> Tensor:
        return functional.relu(value + self.second(self.first(value)))


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3x3, normalised, rectified."""
    layer = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _head(width: int) -> nn.Sequential:
    """A level's features to what its cells say: at first no face anywhere, and boxes of 2.7 strides."""
    last = nn.Conv2d(width, sum(PARTS.values()), 1)
    nn.init.normal_(last.weight, std=0.01)
    last.bias = nn.Parameter(torch.tensor([0, PRIOR, 0, 0, 1, 1] + [0.0] * 10))
    return nn.Sequential(convolution(width, width), last)


def grid(rows: int, columns: int, device: torch.device) -> Tensor:
    """(rows * columns, 2) column and row of every cell."""
    y, x = torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2).float()


def assign(batch: DetectionBatch, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Whose cell is whose.

    Returns:
        (N, cells) the number of the face that a cell tells of, the smaller one's if there are two, else -1; (N, cells)
        bool, cells that are taught nothing: at the middle of a face of another level, or in one that is ignored and of
        this level. Of a face cropped to a cheek or an eye, the finer levels learn that it is none.
    """
    owners, unsure = [], []
    low, high = batch.boxes[..., None, :2], batch.boxes[..., None, 2:]  # (N, F, 1, 2)
    side, middle = (high - low).amax(-1), (low + high) / 2
    for stride, (least, most) in zip(STRIDES, SIDES, strict=True):
        cells = grid(size[0] // stride, size[1] // stride, batch.boxes.device) * stride
        inside = ((cells >= low) & (cells <= high)).all(-1)
        near = ((cells - middle).abs() <= RADIUS * stride).all(-1) & inside
        central = ((cells - middle).abs() <= (high - low) / 4).all(-1) | near
        fits = (side >= least) & (side < most)
        mine = near & fits & batch.clear[..., None]
        smallest = torch.where(mine, side, torch.inf).min(1)
        owners.append(torch.where(smallest.values < torch.inf, smallest.indices, -1))
        doubt = (central & batch.clear[..., None]) | (inside & fits & batch.ignored[..., None])
        unsure.append(doubt.any(1) & (owners[-1] < 0))
    return torch.cat(owners, 1), torch.cat(unsure, 1)


def focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Elementwise; what is known well counts little (Lin et al., 2017, without their balance of classes)."""
    wrong = (targets - logits.sigmoid()).abs()
    return wrong**GAMMA * functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes (K, 4) as corners, pair by pair."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    either = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared
    around = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    iou = shared / either.clamp(min=1e-6)
    return iou, iou - (around - either) / around.clamp(min=1e-6)
