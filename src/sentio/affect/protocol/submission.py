"""Submission files of every track and edition: written from predictions, and read back by :func:`validate`.

ABAW2 and ABAW3 take one text a video in the layout of the annotations; from ABAW5 on it is one text a track, with a
row for each image that the organisers list (seen in ABAW6, taken to hold for the editions around it). The
multi-task (MTL) and synthetic-data (LSD) tracks have their own single file.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sentio.affect.data.clips import IMAGE, Frames
from sentio.affect.data.problems import Problem
from sentio.affect.labels import (
    ACTION_UNITS,
    EXPRESSIONS,
    EXPRESSIONS_ABAW2,
    EXPRESSIONS_LSD,
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
    for number, line in _lines(path):
        clip, _, image = line.split(",")[0].strip().rpartition("/")
        match = IMAGE.fullmatch(image)
        if clip and match:
            frames.setdefault(clip, []).append(int(match[1]))
        elif line.strip() and number > 1:
            raise InputError(f"{path}:{number}: {line!r} does not begin with an image such as clip/00001.jpg.")
    if not frames:
        raise InputError(f"{path} names no image.", "Give a list with rows that begin with clip/00001.jpg.")
    return {name: np.array(numbers) for name, numbers in frames.items()}


def validate(
    path: Path, track: Source, edition: int, expected: Frames | Sequence[str], *, limit: int = 20
) -> list[Problem]:
    """Read a submission back.

    Args:
        path: the folder of a per-video track, else the file.
        expected: the images to answer for; for LSD their names.
        limit: how many faults to name at most.

    Returns:
        The first faults: wrong header, missing, unknown, repeated or misplaced frames, wrong field counts, values
        that are missing, no number or out of range. Empty if the submission is sound.
    """
    first = header(track, edition)
    if isinstance(expected, dict) and one_file_a_video(track, edition):
        faults = [
            fault
            for name, numbers in expected.items()
            for fault in _video_faults(path / f"{name}.txt", first, track, edition, len(numbers))
        ]
        known = {f"{name}.txt" for name in expected}
        extra = sorted(file for file in path.glob("*.txt") if file.name not in known) if path.is_dir() else []
        return [*faults, *(Problem("error", file, "a video that was not asked for") for file in extra)][:limit]
    images = (
        [f"{name}/{number:05d}.jpg" for name, numbers in expected.items() for number in numbers]
        if isinstance(expected, dict)
        else list(expected)
    )
    return list(_file_faults(path, first, track, edition, images))[:limit]


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


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a text, the first is 1."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from enumerate((line.rstrip("\r\n") for line in file), start=1)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read {path}: {error}.") from error


def _video_faults(path: Path, first: str, track: Source, edition: int, count: int) -> Iterator[Problem]:
    if not path.is_file():
        yield Problem("error", path, "this video is missing")
        return
    number = 0
    for number, line in _lines(path):
        if number == 1:
            if line != first:
                yield Problem("error", path, f"the header is {line!r}, expected {first!r}", 1)
        elif fault := _value_fault(line.split(","), track, edition):
            yield Problem("error", path, fault, number)
    if number - 1 != count:
        yield Problem("error", path, f"{max(number - 1, 0)} frames, expected {count}", number or None)


def _file_faults(path: Path, first: str, track: Source, edition: int, images: list[str]) -> Iterator[Problem]:
    if not path.is_file():
        yield Problem("error", path, "this file is missing")
        return
    wanted, seen = dict.fromkeys(images), dict[str, int]()
    misplaced: Problem | None = None
    for number, line in _lines(path):
        if number == 1:
            if line != first:
                yield Problem("error", path, f"the header is {line!r}, expected {first!r}", 1)
            continue
        image, *values = line.split(",")
        if image not in wanted:
            yield Problem("error", path, f"{image!r} was not asked for", number)
        elif image in seen:
            yield Problem("error", path, f"{image} was answered before, in line {seen[image]}", number)
        else:
            due = images[len(seen)]
            if misplaced is None and image != due:
                misplaced = Problem("error", path, f"wrong order: {image} stands where {due} belongs", number)
            seen[image] = number
        if fault := _value_fault(values, track, edition):
            yield Problem("error", path, fault, number)
    missing = [image for image in images if image not in seen]
    if missing:
        yield Problem("error", path, f"{len(missing)} frames are missing, the first is {missing[0]}")
    elif misplaced:
        yield misplaced


def _value_fault(values: list[str], track: Source, edition: int) -> str | None:
    """What is wrong with the values of a row, None if nothing is."""
    kinds: list[Sequence[str] | None] = []
    if track in ("va", "mtl"):
        kinds += [None, None]
    if track in ("expr", "mtl", "lsd"):
        classes = EXPRESSIONS_LSD if track == "lsd" else EXPRESSIONS_ABAW2 if edition == 2 else EXPRESSIONS
        kinds.append([str(k) for k in range(len(classes))])
    if track in ("au", "mtl"):
        kinds += [("0", "1")] * len(ACTION_UNITS)
    if len(values) != len(kinds):
        return f"{len(values)} values, expected {len(kinds)}"
    for value, kind in zip(values, kinds, strict=True):
        if kind is not None and value not in kind:
            return f"{value!r} is not one of {kind[0]} to {kind[-1]}"
        if kind is None and not _in_range(value):
            return f"{value!r} is no number in [-1, 1]"
    return None


def _in_range(text: str) -> bool:
    try:
        return -1 <= float(text) <= 1
    except ValueError:
        return False
