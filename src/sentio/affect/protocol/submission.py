"""Submission files of every track and edition, written from predictions, and the lists of what is asked for.

ABAW2 and ABAW3 take one text a video in the layout of the annotations; from ABAW5 on it is one text a track, with a
row for each image that the organisers list (seen in ABAW6, taken to hold for the editions around it). The
multi-task (MTL) and synthetic-data (LSD) tracks have their own single file.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sentio.affect.data.clips import IMAGE, Frames
from sentio.affect.data.sets import filmed_frames
from sentio.affect.data.tree import Tree
from sentio.affect.labels import (
    ACTION_UNITS,
    EXPRESSIONS,
    EXPRESSIONS_ABAW2,
    SET_TASKS,
    VALENCE_AROUSAL,
    Source,
)
from sentio.affect.protocol import thresholds as units
from sentio.affect.protocol.predictions import Prediction
from sentio.affect.protocol.scores import decide
from sentio.core.errors import InputError
from sentio.core.writers import write_text

EDITIONS: dict[Source, tuple[int, ...]] = {
    "va": (2, 3, 5, 6, 8, 10),
    "expr": (2, 3, 5, 6, 8, 10),
    "au": (2, 3, 5, 6, 8, 10),
    "mtl": (3, 4, 7),
    "lsd": (4,),
}


def header(track: Source, edition: int) -> str:
    """The first line of a submission file.

    Raises:
        InputError: the edition has no such track.
    """
    if edition not in EDITIONS[track]:
        known = ", ".join(f"ABAW{number}" for number in EDITIONS[track])
        raise InputError(f"ABAW{edition} has no {track.upper()} track known here.", f"Choose one of: {known}.")
    classes = EXPRESSIONS_ABAW2 if edition == 2 else EXPRESSIONS
    names = {"va": VALENCE_AROUSAL, "expr": classes, "au": ACTION_UNITS}
    if track == "mtl":
        return "image,valence,arousal,expression,aus"
    if track == "lsd":
        return "image,expression"
    first = [] if one_file_a_video(track, edition) else ["image_location"]
    return ",".join([*first, *names[track]])


def write(
    folder: Path,
    track: Source,
    edition: int,
    predictions: Mapping[str, Prediction],
    frames: Frames,
    thresholds: Sequence[float] = units.DEFAULT,
) -> list[Path]:
    """Write the submission of one track into ``folder``.

    Args:
        predictions: by clip; a frame past the end of one takes its last row.
        frames: the images to answer for.
        thresholds: of the twelve action units.

    Returns:
        The files: ``<clip>.txt`` each, or ``<track>.txt``.

    Raises:
        InputError: a clip or a task without predictions, or frames without one.
    """
    first = header(track, edition)
    written: dict[Path, list[str]] = {}
    for name, numbers in frames.items():
        rows = _rows(name, track, edition, predictions, numbers, thresholds)
        if one_file_a_video(track, edition):
            written[folder / f"{name}.txt"] = [first, *rows]
        else:
            lines = written.setdefault(folder / f"{track}.txt", [first])
            lines += [f"{name}/{number:05d}.jpg,{row}" for number, row in zip(numbers, rows, strict=True)]
    for path, lines in written.items():
        write_text(path, "\n".join(lines) + "\n")
    return list(written)


def write_lsd(folder: Path, images: Sequence[str], ids: NDArray[np.int64]) -> Path:
    """Write the LSD submission: image names and LSD ids 0 to 5."""
    path = folder / "lsd.txt"
    rows = [f"{name},{value}" for name, value in zip(images, ids, strict=True)]
    write_text(path, "\n".join([header("lsd", 4), *rows]) + "\n")
    return path


def read_frames(path: Path) -> Frames:
    """The images named by a list of the organisers (or any submission): ``clip/00001.jpg`` first in each row.

    The first row may be a header; empty rows are passed over.

    Raises:
        InputError: the file cannot be read, names no image, or has a row that begins otherwise.
    """
    frames: dict[str, list[int]] = {}
    for number, line in numbered_lines(path, "utf-8-sig"):
        clip, _, image = line.split(",")[0].strip().rpartition("/")
        match = IMAGE.fullmatch(image)
        if clip and match:
            frames.setdefault(clip, []).append(int(match[1]))
        elif line.strip() and number > 1:
            raise InputError(f"{path}:{number}: {line!r} does not begin with an image such as clip/00001.jpg.")
    if not frames:
        raise InputError(f"{path} names no image.", "Give a list with rows that begin with clip/00001.jpg.")
    return {name: np.array(numbers) for name, numbers in frames.items()}


def read_asked(path: Path, track: Source, edition: int, tree: Tree | None = None) -> Frames | list[str]:
    """What a list of the organisers asks for.

    Args:
        path: the list: images, or where a submission is one text a video also videos, a name each row.
        tree: the data, which tells how many frames a video has.

    Returns:
        The images to answer for, of LSD their names, or without ``tree`` the names of the videos.

    Raises:
        InputError: the list cannot be read, names nothing, or names what the track does not answer for.
    """
    rows = [line.split(",")[0].strip() for _, line in numbered_lines(path, "utf-8-sig")]
    if track == "lsd":
        names = [row for row in rows if row.endswith(".jpg")]
    elif not one_file_a_video(track, edition):
        return read_frames(path)
    elif any("/" in row for row in rows):
        return {name: np.arange(1, numbers.max() + 1) for name, numbers in read_frames(path).items()}
    else:
        names = [re.sub(r"\.(txt|mp4|avi|mkv|mov|webm)$", "", row) for row in rows if row]
    if not names:
        raise InputError(f"{path} names nothing to answer for.", "Give the organisers' list.")
    return names if tree is None or track == "lsd" else filmed_frames(tree, names)


def one_file_a_video(track: Source, edition: int) -> bool:
    """Whether the submission is laid out as the annotations are, with a row for every frame."""
    return track in ("va", "expr", "au") and edition <= 3


def _rows(
    name: str,
    track: Source,
    edition: int,
    predictions: Mapping[str, Prediction],
    numbers: NDArray[np.int64],
    thresholds: Sequence[float],
) -> list[str]:
    """The values of one clip's frames as text."""
    fields = predictions[name].fields() if name in predictions else {}
    columns: list[NDArray[np.str_]] = []
    for task in SET_TASKS[track]:
        if task not in fields:
            raise InputError(f"There is no prediction of {task} for {name}.")
        values = fields[task][np.minimum(numbers - 1, len(fields[task]) - 1)]
        if np.isnan(values).any():
            raise InputError(f"{name}: frames without a prediction of {task}.", "Fill gaps before writing.")
        if task == "valence_arousal":
            columns += [np.char.mod("%.6f", column) for column in np.clip(values, -1, 1).T]
        elif task == "expression":
            columns.append(np.char.mod("%d", decide(values, "abaw2" if edition == 2 else "abaw")))
        else:
            columns += [np.char.mod("%d", column) for column in units.apply(values, tuple(thresholds)).T]
    return [",".join(row) for row in zip(*columns, strict=True)]


def numbered_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Numbered lines of a text, the first is 1.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open(encoding=encoding) as file:
            yield from enumerate((line.rstrip("\r\n") for line in file), start=1)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read {path}: {error}.") from error
