"""Rendered heads put into pictures without faces, so that box and landmarks of every face are known.

A folder has what `sentio.affect.synth.heads` wrote, and perhaps ``hard.jsonl``: places in its pictures that a detector
took for faces, which are then shown more often (bootstrapping: Sung and Poggio, 1998). Every `VALIDATION`-th person and
picture is kept for validation.
"""

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.faces.alignment import apply
from sentio.affect.faces.detection import Box, overlap
from sentio.affect.synth import scene
from sentio.affect.synth.appearance import as_detected, five
from sentio.core.errors import InputError

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]

VALIDATION = 10
MIRROR = [1, 0, 2, 4, 3]
FOREHEAD, CHIN = 0.28, 0.03
"""How far YuNet's boxes reach over brows and chin, in distances between them: medians over 600 renders."""
HARD = "hard.jsonl"


@dataclass(frozen=True)
class CompositeConfig:
    """The ``data`` section of a recipe.

    Attributes:
        side: of the pictures, in pixels.
        smallest, largest: longer side of the faces' boxes, in pixels.
        hard: share of the pictures cut at a place of ``hard.jsonl``, if it is there.
    """

    side: int = 192
    smallest: float = 9.0
    largest: float = 210.0
    hard: float = 0.3


@dataclass
class Composite:
    """A picture in the making.

    Attributes:
        image: (side, side, 3) RGB.
        faces: box (4,) corners, landmarks (5, 2) and whether it is clear, of each.
    """

    image: Image
    faces: list[tuple[Floats, Floats, bool]]


class Source:
    """Heads and face-free pictures of a split."""

    def __init__(self, folder: Path, validation: bool) -> None:
        self.folder = folder
        listing = folder / "heads.jsonl"
        if not listing.is_file():
            raise InputError(f"{folder} has no heads.jsonl.", "Make it with python -m sentio.affect.synth.heads.")
        rows = [json.loads(line) for line in listing.read_text(encoding="utf-8").splitlines()]
        self.heads = [row for row in rows if (int(row["image"].split("_")[0]) % VALIDATION == 0) == validation]
        paths = sorted((folder / "pictures").glob("*.jpg"))
        self.pictures = [path.name for k, path in enumerate(paths) if (k % VALIDATION == 0) == validation]
        if not self.heads or not self.pictures:
            raise InputError(f"{folder} has too few heads or pictures: {len(rows)} and {len(paths)}.")

    def head(self, rng: np.random.Generator) -> tuple[Image, Floats, bool]:
        """A cut-out RGBA, its landmarks (68, 2), and whether it shows a face."""
        row = self.heads[rng.integers(len(self.heads))]
        return read(self.folder / "heads" / row["image"]), np.array(row["landmarks"]), row["face"]

    def picture(self, rng: np.random.Generator) -> Image:
        """One without faces."""
        return read(self.folder / "pictures" / self.pictures[rng.integers(len(self.pictures))])

    @cached_property
    def hard(self) -> list[dict[str, Any]]:
        """Places that were taken for faces: picture and box."""
        path = self.folder / HARD
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
        known = set(self.pictures)
        return [row for row in rows if row["picture"] in known]


@lru_cache(maxsize=16384)  # a set is about two gigabytes
def read(path: Path) -> Image:
    """RGB or RGBA; not to be changed, for it is kept.

    Raises:
        InputError: missing or damaged.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise InputError(f"{path} is missing or damaged.", "Make the set again.")
    code = cv2.COLOR_BGRA2RGBA if picture.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(picture, code), np.uint8)


def compose(source: Source, config: CompositeConfig, rng: np.random.Generator) -> Composite:
    """A picture with no face, one, or some."""
    picture = Composite(background(source, config, rng), [])
    heads = int(rng.choice([0, 1, 2, 3, 5], p=[0.14, 0.5, 0.2, 0.1, 0.06]))
    largest = config.largest / (1 if heads < 2 else heads**0.7)
    for _ in range(heads):
        side = np.exp(rng.uniform(np.log(config.smallest), np.log(largest)))
        if heads == 1 and rng.random() < 0.4:  # as a tracker looks at a face again: half as wide as its window
            side = config.side * rng.uniform(0.22, 0.6)
        paste(picture, source, float(side), rng)
    if picture.faces and rng.random() < 0.15:
        _cover(picture, rng)
    picture.image = distort(picture.image, rng)
    return picture


def background(source: Source, config: CompositeConfig, rng: np.random.Generator) -> Image:
    """A part of a picture without faces, with things of the colour of skin and others on it."""
    side = config.side
    if rng.random() < 0.15:
        return np.asarray(cv2.resize(scene.backdrop(rng), (side, side)), np.uint8)
    if source.hard and rng.random() < config.hard:
        image = _hard_part(source, side, rng)
    else:
        image = source.picture(rng)
        least = min(image.shape[:2])
        size = int(rng.uniform(min(0.35 * least, side), least))
        x, y = (int(rng.integers(0, edge - size + 1)) for edge in image.shape[1::-1])
        image = _scaled(image[y : y + size, x : x + size], side)
        if rng.random() < 0.3:
            for _ in range(rng.integers(1, 4)):
                x, y, size = (int(v) for v in (*rng.integers(0, side - 32, 2), rng.integers(24, 140)))
                image[y : y + size, x : x + size] = scene.occlude(image[y : y + size, x : x + size], rng)
    return np.ascontiguousarray(image[:, ::-1] if rng.random() < 0.5 else image)


def _hard_part(source: Source, side: int, rng: np.random.Generator) -> Image:
    """A place that was taken for a face, at about the size at which it was."""
    row = source.hard[rng.integers(len(source.hard))]
    image = read(source.folder / "pictures" / row["picture"])
    x, y, width, height = row["box"]
    scale = float(np.exp(rng.normal(0, 0.15)))
    middle = np.array([x + width / 2, y + height / 2]) * scale
    matrix = np.array([[scale, 0, 0], [0, scale, 0]])
    matrix[:, 2] = rng.uniform(0.25, 0.75, 2) * side - middle
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REFLECT), np.uint8)


def _scaled(image: Image, side: int) -> Image:
    method = cv2.INTER_AREA if image.shape[0] > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side, side), interpolation=method), np.uint8)


def paste(picture: Composite, source: Source, side: float, rng: np.random.Generator) -> None:
    """Put a head, often on shoulders, into a picture; ``side`` is the longer one of its box."""
    head, landmarks, is_face = source.head(rng)
    if is_face and rng.random() < 0.07:
        if side < 24:
            return
        head, is_face = _featureless(head, landmarks), False
    matrix = _placement(landmarks, side, len(picture.image), rng)
    box, points = place(landmarks, matrix)
    if any(overlap([to_xywh(box)], [to_xywh(other)])[0, 0] > 0.1 for other, _, _ in picture.faces):
        return
    before = picture.image.copy()
    if rng.random() < 0.75:
        _dress(picture.image, head, points, side, rng)
    _blend(picture.image, head, matrix, rng)
    for k, (other, five_points, clear) in enumerate(picture.faces):
        x0, y0, x1, y1 = np.clip(other, 0, len(before)).astype(int)
        changed = (picture.image[y0:y1, x0:x1] != before[y0:y1, x0:x1]).any(2).mean()
        picture.faces[k] = (other, five_points, clear and bool(changed < 0.35))
    if is_face:
        inside = np.clip(box, 0, len(picture.image))
        share = (inside[2:] - inside[:2]).prod() / (box[2:] - box[:2]).prod()
        picture.faces.append((box, points, bool(share > 0.55)))


def place(landmarks: Floats, matrix: Floats) -> tuple[Floats, Floats]:
    """Box (corners) and five points, as YuNet would say, of 68 landmarks (Multi-PIE order) moved by ``matrix``."""
    moved = apply(matrix, landmarks)
    up = moved[17:27].mean(0) - moved[8]
    around = np.concatenate([moved, moved[17:27] + FOREHEAD * up, moved[7:10] - CHIN * up])
    box = np.concatenate([around.min(0), around.max(0)])
    points = five(moved)
    return box, as_detected(points[MIRROR] if np.linalg.det(matrix[:, :2]) < 0 else points)


def to_xywh(box: Floats) -> Box:
    """Corners to what `Detection` has."""
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, x1 - x0, y1 - y0


def _placement(landmarks: Floats, side: float, size: int, rng: np.random.Generator) -> Floats:
    """Mirrored or not, leaning, stretched a little, and where."""
    angle = float(np.clip(rng.normal(0, 0.3), -0.9, 0.9))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    stretch = float(np.exp(rng.normal(0, 0.05)))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([mirror * stretch, 1 / stretch])
    matrix = np.column_stack([turn, np.zeros(2)])
    box, _ = place(landmarks, matrix)
    matrix *= side / (box[2:] - box[:2]).max()
    box, _ = place(landmarks, matrix)
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    spread = half * rng.uniform(0.6, 1.1) if rng.random() < 0.8 else half * 0.2
    low, high = np.minimum(spread, size / 2), np.maximum(size - spread, size / 2)
    matrix[:, 2] = rng.uniform(low, high) - middle
    return matrix


def _dress(image: Image, head: Image, points: Floats, side: float, rng: np.random.Generator) -> None:
    """Shoulders and chest behind the lower end of a cut-out, of its colour there."""
    ending = head[-1][head[-1, :, 3] > 200]
    colour = tuple(float(v) for v in (ending[:, :3].mean(0) if len(ending) else rng.uniform(0, 255, 3)))
    down = points[3:].mean(0) - points[:2].mean(0)
    down /= max(float(np.linalg.norm(down)), 1e-6)
    down = down * 0.4 + [0, 0.6]  # bodies lean less than heads
    axes = side * np.array([rng.uniform(1.1, 1.9), rng.uniform(1.5, 2.4)])
    middle = points[3:].mean(0) + down * (axes[1] + side * rng.uniform(0.25, 0.4))
    x, y, wide, high = (int(v) for v in (*middle, *axes))
    lean = float(np.degrees(np.arctan2(-down[0], down[1])))
    cv2.ellipse(image, (x, y), (wide, high), lean, 0, 360, colour, -1, cv2.LINE_AA)


def _featureless(head: Image, landmarks: Floats) -> Image:
    """Skin without eyes, nose and mouth: no face any more."""
    low, high = landmarks[17:].min(0), landmarks[17:].max(0)
    middle, half = (low + high) / 2, (high - low) / 2 * 1.25
    y, x = np.mgrid[: head.shape[0], : head.shape[1]]
    inside = ((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2
    mask = np.clip((1.15 - inside) / 0.3, 0, 1)[..., None].astype(np.float32)
    blurred = cv2.GaussianBlur(head[..., :3], (0, 0), float(half.mean()) * 0.6)
    result = head.copy()
    result[..., :3] = head[..., :3] * (1 - mask) + blurred * mask
    return result


def _blend(image: Image, head: Image, matrix: Floats, rng: np.random.Generator) -> None:
    """Draw a cut-out, moved by ``matrix``, its colours changed a little."""
    tones = np.arange(256)[:, None] / 255 * np.exp(rng.normal(0, 0.08) + rng.normal(0, 0.05, 3))
    table = 255 * np.clip(tones, 0, 1) ** np.exp(rng.normal(0, 0.12))
    layer = head.astype(np.float32)
    layer[..., :3] = cv2.LUT(head[..., :3], table[None].astype(np.uint8)) * (layer[..., 3:] / 255)
    matrix = matrix.copy()
    while abs(np.linalg.det(matrix[:, :2])) < 0.36:  # halved, so that it is averaged, not picked from
        layer = np.asarray(cv2.resize(layer, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.float32)
        matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5]
        matrix[:, :2] *= 2
    corners = apply(matrix, np.array([(x, y) for x in (0, len(layer)) for y in (0, len(layer))], np.float64))
    x0, y0 = np.clip(corners.min(0), 0, len(image)).astype(int)
    x1, y1 = np.clip(np.ceil(corners.max(0)), 0, len(image)).astype(int)
    if x1 > x0 and y1 > y0:
        matrix[:, 2] -= (x0, y0)
        moved = cv2.warpAffine(layer, matrix, (int(x1 - x0), int(y1 - y0)))
        part = image[y0:y1, x0:x1]
        part[:] = np.minimum(part * (1 - moved[..., 3:] / 255) + moved[..., :3], 255)


def _cover(picture: Composite, rng: np.random.Generator) -> None:
    """Something before a face."""
    box, _, _ = picture.faces[rng.integers(len(picture.faces))]
    x0, y0, x1, y1 = np.clip(box, 0, len(picture.image)).astype(int)
    if min(x1 - x0, y1 - y0) > 15:
        picture.image[y0:y1, x0:x1] = scene.occlude(picture.image[y0:y1, x0:x1], rng)


def distort(image: Image, rng: np.random.Generator) -> Image:
    """What cameras and files do: tone, colour, focus, motion, size, grain, compression."""
    tones = 255 * (np.arange(256)[:, None] / 255) ** np.exp(rng.normal(0, 0.22))
    tones = (tones - 110) * np.exp(rng.normal(0, 0.15)) + 110 + rng.normal(0, 10)
    tones = tones * np.exp(rng.normal(0, 0.06, 3)) * (rng.uniform(0.2, 0.8) if rng.random() < 0.15 else 1)
    result = np.asarray(cv2.LUT(image, np.clip(tones, 0, 255)[None].astype(np.uint8)), np.uint8)
    if rng.random() < 0.15:
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
