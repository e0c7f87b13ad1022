"""A toy data set in the layout of Aff-Wild2: drawn discs with two eyes and a mouth. It is no face data.

Two hidden numbers, valence and arousal, wander smoothly. They bend the mouth and open the eyes, with a tremor of its
own in every frame; class and action units are simple functions of them. So everything can be learnt, a single frame
is noisy, and a third of a second ahead there is something to predict. Tests and demonstrations run on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.labels import ACTION_UNITS, FILE_INVALID, FILE_INVALID_VALENCE_AROUSAL, SAMPLE_RATE
from sentio.affect.synth import layout
from sentio.core.errors import OutputError

SIZE = 112
FPS = 30

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class MovingPicture:
    """How much to draw.

    Attributes:
        videos: every fourth shows two people, every fourth is for validation.
        seconds: length of each.
        tremor: standard deviation of what is drawn about what is labelled.
        gaps: share of the frames without a crop; as many have no label.
        seed: one seed gives the same files, byte for byte.
    """

    videos: int = 16
    seconds: float = 10.0
    tremor: float = 0.3
    gaps: float = 0.06
    seed: int = 0


def generate(folder: Path, config: MovingPicture | None = None) -> None:
    """Write videos with sound, crops, and VA, EXPR, AU and MTL annotations into an empty or new folder.

    Raises:
        OutputError: the folder holds something.
    """
    config = config or MovingPicture()
    if folder.exists() and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty.", "Choose another folder.")
    rows: dict[str, list[str]] = {"training": [], "validation": []}
    for index in range(config.videos):
        split = "validation" if index % 4 == 3 else "training"
        rows[split] += _write_video(folder, config, index, split)
    for split, lines in rows.items():
        layout.write_mtl(folder, split, lines)


def expression_of(valence_arousal: Floats) -> NDArray[np.int64]:
    """(N, 2) -> (N,) classes: Neutral near the middle, the other seven by direction."""
    angle = np.arctan2(valence_arousal[:, 1], valence_arousal[:, 0])
    sector = np.floor((angle + np.pi) / (2 * np.pi) * 7).astype(np.int64) % 7
    return np.where(np.linalg.norm(valence_arousal, axis=1) < 0.3, 0, 1 + sector)


def action_units_of(valence_arousal: Floats) -> NDArray[np.int64]:
    """(N, 2) -> (N, 12): each is on beyond a line in a direction of its own."""
    angles = 2 * np.pi * np.arange(len(ACTION_UNITS)) / len(ACTION_UNITS)
    along = valence_arousal @ np.stack([np.cos(angles), np.sin(angles)])
    return np.asarray(along > 0.2, np.int64)


def _write_video(folder: Path, config: MovingPicture, index: int, split: str) -> list[str]:
    """One video with all that belongs to it; returns its MTL rows."""
    rng = np.random.default_rng((config.seed, index))
    base = f"video{index + 1}"
    names = [f"{base}_left", f"{base}_right"] if index % 4 == 1 else [base]
    count = round(config.seconds * FPS)
    lines = count + index % 2  # the organisers count one frame more than most decoders
    truths = [_wander(rng, lines) for _ in names]
    pictures = [list(_draw_all(rng, truth[:count], config.tremor)) for truth in truths]
    rows: list[str] = []
    for name, truth, images in zip(names, truths, pictures, strict=True):
        missing = _segments(rng, count, config.gaps)
        _write_crops(folder / "cropped_aligned" / name, images, missing)
        _write_annotations(folder, name, split, truth, rng, config.gaps)
        rows += _mtl_rows(name, truth[:count], missing, rng)
    sound = _sound(np.mean(truths, axis=0)[:count])
    path = folder / f"batch{1 + index % 2}" / f"{base}.mp4"
    layout.write_media(path, (np.hstack(p) for p in zip(*pictures, strict=True)), sound, FPS)
    return rows


def _wander(rng: np.random.Generator, count: int) -> Floats:
    """(count, 2) smooth values in (-1, 1): a few slow waves each."""
    time = np.arange(count)[:, None, None] / FPS
    period = rng.uniform(3, 10, (1, 2, 4))
    waves = np.sin(2 * np.pi * (time / period + rng.random((1, 2, 4))))
    return np.asarray(np.tanh(rng.uniform(-0.3, 0.3, 2) + 0.6 * waves.sum(axis=2)))


def _segments(rng: np.random.Generator, count: int, share: float) -> NDArray[np.bool_]:
    """(count,) mask of a few short and long stretches that cover about ``share``."""
    mask = np.zeros(count, np.bool_)
    while mask.mean() < share:
        start, length = rng.integers(count), rng.choice([1, 3, 8, 15])
        mask[start : start + length] = True
    return mask


def _draw_all(rng: np.random.Generator, truth: Floats, tremor: float) -> Iterator[Image]:
    """The pictures of one person: colours of its own, shown values a little off the true ones."""
    paper, skin = rng.integers(0, 120, 3).tolist(), rng.integers(140, 256, 3).tolist()
    for valence, arousal in np.clip(truth + rng.normal(0, tremor, truth.shape), -1, 1):
        yield _draw(valence, arousal, paper, skin)


def _draw(valence: float, arousal: float, paper: list[int], skin: list[int]) -> Image:
    """(112, 112, 3) BGR."""
    image = np.full((SIZE, SIZE, 3), paper, np.uint8)
    cv2.circle(image, (56, 56), 50, skin, -1, cv2.LINE_AA)
    for x in (38, 74):
        axes = (144, round((5 + 4 * arousal) * 16))
        cv2.ellipse(image, (x * 16, 42 * 16), axes, 0, 0, 360, (255, 255, 255), -1, cv2.LINE_AA, 4)
        cv2.circle(image, (x, 42), 3, (0, 0, 0), -1, cv2.LINE_AA)
    across = np.linspace(-1, 1, 15)
    mouth = np.stack([56 + 24 * across, 78 + 10 * valence * (1 - 2 * across**2)], axis=1)
    thickness = 3 + round(2 * (arousal + 1))
    cv2.polylines(image, [np.round(mouth * 16).astype(np.int32)], False, (30, 30, 160), thickness, cv2.LINE_AA, 4)
    return image


def _write_crops(folder: Path, images: list[Image], missing: NDArray[np.bool_]) -> None:
    folder.mkdir(parents=True)
    for number, (image, gap) in enumerate(zip(images, missing, strict=True), start=1):
        if not gap:
            cv2.imwrite(str(folder / f"{number:05d}.jpg"), image)


def _write_annotations(
    folder: Path, name: str, split: str, truth: Floats, rng: np.random.Generator, share: float
) -> None:
    """One text for each task, each with stretches without a label."""
    columns: dict[str, layout.Values] = {
        "va": truth,
        "expr": expression_of(truth)[:, None],
        "au": action_units_of(truth),
    }
    for task, values in columns.items():
        gap = _segments(rng, len(truth), share)
        invalid = FILE_INVALID_VALENCE_AROUSAL if task == "va" else FILE_INVALID
        columns[task] = np.where(gap[:, None], invalid, values)
    layout.write_annotations(folder, name, split, columns)


def _mtl_rows(name: str, truth: Floats, missing: NDArray[np.bool_], rng: np.random.Generator) -> list[str]:
    """Every fifth frame that has a crop; each task is missing in a tenth of them."""
    expression, units = expression_of(truth), action_units_of(truth)
    rows = []
    for frame in np.flatnonzero(~missing)[::5]:
        no_va, no_expr, no_au = rng.random(3) < 0.1
        va = [FILE_INVALID_VALENCE_AROUSAL] * 2 if no_va else truth[frame]
        au = [FILE_INVALID] * len(ACTION_UNITS) if no_au else units[frame]
        rows.append(layout.mtl_row(name, int(frame), va, FILE_INVALID if no_expr else int(expression[frame]), au))
    return rows


def _sound(truth: Floats) -> NDArray[np.float32]:
    """A tone that rises with arousal and grows louder with valence."""
    time = np.arange(len(truth) * SAMPLE_RATE // FPS) / SAMPLE_RATE
    valence, arousal = (np.interp(time, np.arange(len(truth)) / FPS, column) for column in truth.T)
    phase = 2 * np.pi * np.cumsum(220 * 2**arousal) / SAMPLE_RATE
    return np.asarray((0.3 + 0.2 * valence) * np.sin(phase), np.float32)
