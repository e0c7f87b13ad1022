"""One person in one video: labels, crops and media of N frames. Frame k (from 0) is image ``{k + 1:05d}.jpg``."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sentio.affect.labels import VALID
from sentio.core.errors import InputError

Split = Literal["train", "validation", "test"]
Frames = dict[str, NDArray[np.int64]]
"""Image numbers (1 is ``00001.jpg``) of clips by name, in order."""
IMAGE = re.compile(r"((?!00000)\d{5}|[1-9]\d{5,6})\.jpg")
"""The image of frame k - 1 is ``{k:05d}.jpg``, and k begins at 1; ten million is past any video's end."""


@dataclass(frozen=True)
class Crops:
    """Aligned face images of a clip; a frame without a detection has none."""

    folder: Path
    present: NDArray[np.bool_]
    """(N,): there is an image of this frame."""
    names: tuple[str, ...] | None = None
    """File names by frame, where they do not follow from its number."""

    def path(self, frame: int) -> Path:
        """The image of a frame."""
        return self.folder / (self.names[frame] if self.names else f"{frame + 1:05d}.jpg")


@dataclass(frozen=True, kw_only=True)
class Clip:
    """N frames of one person; a label set that the clip does not have is None."""

    name: str
    """Name of the annotation: the video's, with ``_left`` or ``_right`` for one of two people."""
    source: str
    """The label set, one of ``labels.SOURCES``."""
    split: Split
    frames: int
    """N."""
    crops: Crops | None = None
    media: Path | None = None
    """The video, shared by its people."""
    valence_arousal: NDArray[np.float32] | None = None
    """(N, 2), NaN where missing."""
    expression: NDArray[np.int8] | None = None
    """(N,), 0 to 7, -1 where missing."""
    action_units: NDArray[np.int8] | None = None
    """(N, 12), 0 or 1, -1 where missing."""

    def labels(self) -> dict[str, NDArray[Any]]:
        """The label sets there are, by name."""
        return {name: value for name in VALID if (value := getattr(self, name)) is not None}

    def labelled(self) -> NDArray[np.bool_]:
        """(N,): the frame has a label of any set."""
        result = np.zeros(self.frames, np.bool_)
        for name, values in self.labels().items():
            result |= valid(name, values)
        return result


def valid(name: str, values: NDArray[Any]) -> NDArray[np.bool_]:
    """(N,): the frame counts for the label set ``name``; of the action units, all twelve must be there."""
    mask = VALID[name](values)
    return mask if mask.ndim == 1 else np.asarray(mask.all(axis=1))


def image_numbers(folder: Path) -> NDArray[np.int64]:
    """Sorted numbers of the images in a crop folder; see :func:`list_images`."""
    return list_images(folder)[0]


def list_images(folder: Path) -> tuple[NDArray[np.int64], list[str]]:
    """Sorted numbers of the images in a crop folder, and the sorted names of all else in it that is not hidden.

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except OSError as error:
        raise InputError(f"Cannot read the folder {folder}: {error.strerror}.") from error
    matches = [IMAGE.fullmatch(name) for name in names]
    numbers = np.array([int(match[1]) for match in matches if match], np.int64)
    others = [name for name, match in zip(names, matches, strict=True) if not match and not name.startswith(".")]
    return np.sort(numbers), sorted(others)
