"""Writing data in the layouts of Aff-Wild2 and its multi-task set: annotations, rows, and videos with sound."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS, SAMPLE_RATE, VALENCE_AROUSAL
from sentio.core.writers import write_text

LISTING = "faces.jsonl"
"""Beside the layouts: what is known of each picture, a line each."""
FOLDERS = {
    "va": "VA_Estimation_Challenge",
    "expr": "EXPR_Recognition_Challenge",
    "au": "AU_Detection_Challenge",
}
_HEADERS = {"va": VALENCE_AROUSAL, "expr": EXPRESSIONS, "au": ACTION_UNITS}

Values = NDArray[np.floating[Any] | np.integer[Any]]


def write_annotations(folder: Path, name: str, split: str, columns: Mapping[str, Values]) -> None:
    """One text for each task: a header, then a line a frame.

    Args:
        split: "training" or "validation".
        columns: (N, 2), (N, 1) and (N, 12) values of "va", "expr" and "au", the file's invalid values included.
    """
    place = "Validation_Set" if split == "validation" else "Train_Set"
    for task, values in columns.items():
        pattern = "%.3f" if task == "va" else "%d"
        lines = [",".join(pattern % value for value in row) for row in values]
        text = "\n".join([",".join(_HEADERS[task]), *lines]) + "\n"
        write_text(folder / FOLDERS[task] / place / f"{name}.txt", text)


def mtl_row(name: str, frame: int, va: Iterable[float], expression: int, units: Iterable[int]) -> str:
    """The line of the multi-task set for image ``frame`` (from 0) of clip ``name``."""
    values = [*(f"{value:.3f}" for value in va), str(expression), *map(str, units)]
    return f"{name}/{frame + 1:05d}.jpg,{','.join(values)}"


def write_mtl(folder: Path, split: str, rows: list[str]) -> None:
    """The annotations of a split of the multi-task set."""
    header = ",".join(["image", "valence", "arousal", "expression", *ACTION_UNITS])
    write_text(folder / f"MTL_Challenge/{split}_set_annotations.txt", "\n".join([header, *rows]) + "\n")


def write_media(
    path: Path, images: Iterable[NDArray[np.uint8]], sound: NDArray[np.float32], fps: int, bit_rate: int = 400_000
) -> None:
    """A video of BGR images (H, W, 3) with mono sound at SAMPLE_RATE."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=fps)
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for index, image in enumerate(images):
            if index == 0:
                video.height, video.width, video.bit_rate = *image.shape[:2], bit_rate
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, 0  # without a time AAC's first 1,024 samples would delay the rest
        container.mux(audio.encode(frame))
        for stream in (video, audio):
            container.mux(stream.encode())
