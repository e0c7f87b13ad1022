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
from sentio.affect.synth import clutter, scene, snapshot
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
        framed: share of the pictures with grey around them that a head fills, or nearly, or more than fills.
    """

    side: int = 192
    smallest: float = 9.0
    largest: float = 420.0
    hard: float = 0.25
    framed: float = 0.25


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
        rows = _rows(listing)
        self.heads, self.bodies = (
            [row for row in some if (int(row["image"].split("_")[0]) % VALIDATION == 0) == validation]
            for some in (rows, _rows(folder / "bodies.jsonl"))
        )
        paths = sorted((folder / "pictures").glob("*.jpg"))
        self.pictures = [path.name for k, path in enumerate(paths) if (k % VALIDATION == 0) == validation]
        if not self.heads or not self.pictures:
            raise InputError(f"{folder} has too few heads or pictures: {len(rows)} and {len(paths)}.")

    def head(self, rng: np.random.Generator) -> tuple[Image, Floats, bool]:
        """A cut-out RGBA, its landmarks (68, 2), and whether it shows a face."""
        row = self.heads[rng.integers(len(self.heads))]
        return read(self.folder / "heads" / row["image"]), np.array(row["landmarks"]), row["face"]

    def body(self, rng: np.random.Generator, part: str | None = None) -> Image:
        """A cut-out RGBA of a part of a body, of this one if there is any; no face."""
        rows = [row for row in self.bodies if part in (None, row["part"])] or self.bodies
        return read(self.folder / "bodies" / rows[rng.integers(len(rows))]["image"])

    def picture(self, rng: np.random.Generator) -> Image:
        """One without faces."""
        return read(self.folder / "pictures" / self.pictures[rng.integers(len(self.pictures))])

    @cached_property
    def hard(self) -> list[dict[str, Any]]:
        """Places that were taken for faces: picture and box."""
        known = set(self.pictures)
        return [row for row in _rows(self.folder / HARD) if row["picture"] in known]


def _rows(path: Path) -> list[dict[str, Any]]:
    """What a listing has; nothing if it is not there."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


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
    around = (0, 0, config.side, config.side)
    if rng.random() < config.framed:
        around = _fill(picture, source, config.side, rng)
    else:
        heads = int(rng.choice([0, 1, 2, 3, 5], p=[0.18, 0.5, 0.18, 0.08, 0.06]))
        largest = config.largest / (1 if heads < 2 else heads**0.7)
        for _ in range(heads):
            side = np.exp(rng.uniform(np.log(config.smallest), np.log(largest)))
            if heads == 1 and rng.random() < 0.4:  # as a tracker looks at a face again: half as wide as its window
                side = config.side * rng.uniform(0.22, 0.6)
            paste(picture, source, float(side), rng)
    if picture.faces and rng.random() < 0.2:
        _cover(picture, source, rng)
    picture.image = snapshot.distort(picture.image, rng)
    _frame(picture, around)
    _settle(picture, around)
    return picture


def _fill(picture: Composite, source: Source, side: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A head that fills a part of the picture or reaches beyond it; returns that part, the rest is to be grey."""
    wide = rng.uniform(0.4, 0.85)
    size = side * np.clip(wide * np.exp([0, rng.normal(0, 0.2)]), 0.3, 1)
    x0, y0 = (rng.uniform(0, side - size)).astype(int)
    x1, y1 = (int(v) for v in (x0 + size[0], y0 + size[1]))
    if rng.random() < 0.93:  # else nobody
        middle = np.array([x0 + x1, y0 + y1]) / 2 + rng.normal(0, 0.12, 2) * size
        paste(picture, source, float(size.max() * rng.uniform(0.55, 1.3)), rng, middle)
    return int(x0), int(y0), x1, y1


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
        image = _scaled(image[y : y + size, x : x + size], side).copy()
        if rng.random() < 0.3:
            for _ in range(rng.integers(1, 4)):
                x, y, size = (int(v) for v in (*rng.integers(0, side - 32, 2), rng.integers(24, 140)))
                image[y : y + size, x : x + size] = scene.occlude(image[y : y + size, x : x + size], rng)
    image = np.ascontiguousarray(image[:, ::-1] if rng.random() < 0.5 else image)
    if source.bodies and rng.random() < 0.25:
        for _ in range(rng.integers(1, 4)):
            clutter.body(image, source.body(rng), rng.uniform(0, side, 2), float(np.exp(rng.uniform(3, 5.7))), rng)
    if rng.random() < 0.1:
        clutter.lettering(image, rng)
    return image


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


def paste(
    picture: Composite, source: Source, side: float, rng: np.random.Generator, middle: Floats | None = None
) -> None:
    """Put a head, often on shoulders, into a picture: its box ``side`` pixels long, around ``middle`` or anywhere."""
    head, landmarks, is_face = source.head(rng)
    if is_face and rng.random() < 0.07:
        if side < 24:
            return
        head, is_face = _featureless(head, landmarks), False
    matrix = _placement(landmarks, side, len(picture.image), rng, middle)
    box, points = place(landmarks, matrix)
    if any(overlap([to_xywh(box)], [to_xywh(other)])[0, 0] > 0.1 for other, _, _ in picture.faces):
        return
    before = picture.image.copy()
    if rng.random() < 0.75:
        _dress(picture.image, head, points, side, rng)
    clutter.overlay(picture.image, head, matrix, rng)
    for k, (other, five_points, clear) in enumerate(picture.faces):
        x0, y0, x1, y1 = np.clip(other, 0, len(before)).astype(int)
        changed = (picture.image[y0:y1, x0:x1] != before[y0:y1, x0:x1]).any(2).mean()
        picture.faces[k] = (other, five_points, clear and bool(changed < 0.35))
    if is_face:
        picture.faces.append((box, points, True))


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


def _placement(landmarks: Floats, side: float, size: int, rng: np.random.Generator, place_at: Floats | None) -> Floats:
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
    low, high = np.minimum(spread, size * 0.4), np.maximum(size - spread, size * 0.6)
    matrix[:, 2] = (rng.uniform(low, high) if place_at is None else place_at) - middle
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
    small = cv2.resize(head, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)[..., :3]
    smooth = cv2.GaussianBlur(small, (0, 0), float(half.mean()) * 0.6 / 8)
    blurred = cv2.resize(smooth, head.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    result = head.copy()
    result[..., :3] = head[..., :3] * (1 - mask) + blurred * mask
    return result


def _cover(picture: Composite, source: Source, rng: np.random.Generator) -> None:
    """Something before a face: a hand at cheek, chin or mouth, or what a scene has."""
    box, points, _ = picture.faces[rng.integers(len(picture.faces))]
    if source.bodies and rng.random() < 0.5:
        side = float((box[2:] - box[:2]).max())
        at = points[rng.choice([3, 4])] + side * rng.normal([0, 0.25], 0.2)
        clutter.body(picture.image, source.body(rng, "hand"), at, side * rng.uniform(0.5, 1.0), rng)
        return
    x0, y0, x1, y1 = np.clip(box, 0, len(picture.image)).astype(int)
    if min(x1 - x0, y1 - y0) > 15:
        picture.image[y0:y1, x0:x1] = scene.occlude(picture.image[y0:y1, x0:x1], rng)


def _frame(picture: Composite, around: tuple[int, int, int, int]) -> None:
    """Leave of the picture what is inside; grey or black is around it, as around the small copy of a search."""
    x0, y0, x1, y1 = around
    framed = np.full_like(picture.image, 128 if (x0 + y1) % 5 else 0)
    framed[y0:y1, x0:x1] = picture.image[y0:y1, x0:x1]
    picture.image = framed


def _settle(picture: Composite, around: tuple[int, int, int, int]) -> None:
    """A face of which the border leaves four of five points is to be found; without any point it is none."""
    low, high = np.array(around[:2]), np.array(around[2:])
    kept = []
    for box, points, clear in picture.faces:
        inside = int(((points > low) & (points < high)).all(1).sum())
        shown = np.clip(box, np.tile(low, 2), np.tile(high, 2))
        share = (shown[2:] - shown[:2]).prod() / (box[2:] - box[:2]).prod()
        if inside:
            kept.append((box, points, clear and inside >= 4 and bool(share > 0.4)))
    picture.faces = kept
