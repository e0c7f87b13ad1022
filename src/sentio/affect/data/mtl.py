"""Clips of s-Aff-Wild2, the static multi-task set of ABAW3, ABAW4 and ABAW7: one text a split, one row an image."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentio.affect.data import annotations
from sentio.affect.data.clips import IMAGE, Clip, Split
from sentio.affect.data.problems import Problem
from sentio.affect.data.tree import Tree
from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS, FILE_INVALID, VALENCE_AROUSAL
from sentio.core.errors import InputError

NAMES = (*VALENCE_AROUSAL, "expression", *ACTION_UNITS)
"""Columns after the image."""


def read(tree: Tree) -> tuple[list[Clip], list[Problem]]:
    """Read all splits, and what is wrong with them; an unusable file is left out and reported."""
    clips: list[Clip] = []
    problems: list[Problem] = []
    used: dict[Split, Path] = {}
    for split, path in tree.mtl:
        first = used.setdefault(split, path)
        if first != path:
            problems.append(
                Problem("warning", path, f"a second text of the {split} split, not used; the first: {first}")
            )
            continue
        try:
            found, bad_lines = read_split(path, split, tree)
        except InputError as error:
            problems.append(Problem("error", path, error.what))
            continue
        clips += found
        problems += bad_lines
    return clips, problems


def read_split(path: Path, split: Split, tree: Tree) -> tuple[list[Clip], list[Problem]]:
    """The clips of one text: the frames that it does not name have no label.

    Raises:
        InputError: the file cannot be read, is empty or has no header.
    """
    lines = annotations.read_lines(path)
    if "/" in lines[0] or not _is_in_order(lines[0]):
        raise InputError(f"{path}:1: expected the header image,{','.join(NAMES)}, found {lines[0]!r}.")
    rows = [line.partition(",") for line in lines[1:]]
    numbers, problems = annotations.parse(path, [values for _, _, values in rows], len(NAMES))
    labels: dict[str, NDArray[Any]] = {
        "valence_arousal": annotations.valence_arousal(path, numbers[:, :2], problems),
        "expression": annotations.expression(path, numbers[:, 2], problems, classes=len(EXPRESSIONS)),
        "action_units": annotations.action_units(path, numbers[:, 3:], problems),
    }
    by_clip = _by_clip(path, [image for image, _, _ in rows], problems)
    clips = [_clip(name, split, tree, frames, labels) for name, frames in by_clip.items()]
    problems += [
        Problem("warning", path, f"there is no crop folder of {clip.name}") for clip in clips if clip.crops is None
    ]
    return clips, annotations.shortened(path, problems)


def _is_in_order(header: str) -> bool:
    """Editions word the header in ways of their own; the names that are known must stand in the known order."""
    words = [word.strip().lower() for word in header.split(",")]
    known = [name for name in map(str.lower, NAMES) if name in words]
    return [word for word in words if word in known] == known


def _by_clip(path: Path, images: list[str], problems: list[Problem]) -> dict[str, dict[int, int]]:
    """Frame (from 0) to row, by clip."""
    found: dict[str, dict[int, int]] = {}
    for row, image in enumerate(images):
        clip, _, file = image.strip().rpartition("/")
        match = IMAGE.fullmatch(file)
        if not clip or match is None:
            problems.append(Problem("warning", path, f"{image!r} is not of the form clip/00001.jpg", row + 2))
            continue
        frames = found.setdefault(clip, {})
        first = frames.setdefault(int(match[1]) - 1, row)
        if first != row:
            problems.append(Problem("warning", path, f"{image} stands already in line {first + 2}", row + 2))
    return found


def _clip(name: str, split: Split, tree: Tree, frames: dict[int, int], labels: dict[str, NDArray[Any]]) -> Clip:
    """Scatter the rows of a clip to its frames."""
    count = max(frames) + 1
    fields = {}
    for field, values in labels.items():
        missing = np.nan if np.issubdtype(values.dtype, np.floating) else FILE_INVALID
        fields[field] = np.full((count, *values.shape[1:]), missing, values.dtype)
        fields[field][list(frames)] = values[list(frames.values())]
    return Clip(
        name=name,
        source="mtl",
        split=split,
        frames=count,
        crops=tree.crops_of(name, count),
        media=tree.media_of(name),
        **fields,
    )
