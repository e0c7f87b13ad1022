"""What lies in a data folder, whatever its parts are called: annotations, crops, media, LSD images.

The organisers changed folder names between editions and deliver crops and videos in parts, so that parts are known
by their content: a folder that holds ``00001.jpg`` is a clip's crops, wherever it lies.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from sentio.affect.data.annotations import Task
from sentio.affect.data.clips import IMAGE, Crops, Split, list_images
from sentio.affect.data.problems import Problem
from sentio.affect.labels import EXPRESSIONS_LSD
from sentio.core.counts import counted
from sentio.core.errors import InputError

_TASK = re.compile(r"(va|expr|au)(_(estimation|classification|recognition|detection)_challenge|_set)", re.IGNORECASE)
_SPLIT = re.compile(r"(train|validation|val|test)(ing)?(_set)?", re.IGNORECASE)
_MTL = re.compile(r"(train|validation)(ing)?_set(_annotations)?\.txt", re.IGNORECASE)
_MEDIA = {".mp4", ".avi", ".mkv", ".mov", ".webm"}
_LSD = {"ANGRER": "ANGER"} | {name.upper(): name.upper() for name in EXPRESSIONS_LSD}
"""Folder names of the six classes; ANGRER is how the release spells it."""


@dataclass
class Tree:
    """Paths by kind; filled by :func:`scan`."""

    root: Path
    annotations: list[tuple[Task, Split, Path]] = field(default_factory=list)
    mtl: list[tuple[Split, Path]] = field(default_factory=list)
    crops: dict[str, Path] = field(default_factory=dict)
    """Crop folders by clip."""
    media: dict[str, Path] = field(default_factory=dict)
    """Videos by name without suffix."""
    lsd: list[tuple[Split, str, Path]] = field(default_factory=list)
    """Split, class in capitals (empty for unlabelled images), folder."""
    problems: list[Problem] = field(default_factory=list)

    _listed: dict[str, tuple[NDArray[np.int64], list[str]]] = field(default_factory=dict)
    _passed: Counter[Path] = field(default_factory=Counter)
    """Crop folders that aligned ones of the same clips stand before, counted by the folder they are in."""

    def numbers(self, clip: str) -> NDArray[np.int64]:
        """Image numbers in the crop folder of a clip."""
        return self._list(clip)[0]

    def strays(self, clip: str) -> list[str]:
        """Files in the crop folder of a clip that are named as no frame is."""
        return self._list(clip)[1]

    def _list(self, clip: str) -> tuple[NDArray[np.int64], list[str]]:
        """Each folder is listed once."""
        if clip not in self._listed:
            self._listed[clip] = list_images(self.crops[clip])
        return self._listed[clip]

    def crops_of(self, clip: str, frames: int) -> Crops | None:
        """The crops of a clip of ``frames`` frames, without images past its end; None if it has no folder."""
        if clip not in self.crops:
            return None
        numbers = self.numbers(clip)
        present = np.zeros(frames, np.bool_)
        present[numbers[(numbers >= 1) & (numbers <= frames)] - 1] = True
        return Crops(self.crops[clip], present)

    def media_of(self, clip: str) -> Path | None:
        """The video of a clip: of its own name, or of that of :func:`video_of`."""
        return self.media.get(clip) or self.media.get(video_of(clip))


def video_of(clip: str) -> str:
    """The name of a clip's video: its own without ``_left``, ``_right`` or ``_person1``."""
    return re.sub(r"_(left|right|person\d+)$", "", clip)


def scan(root: Path) -> Tree:
    """Find everything below ``root``; hidden files and folders are passed over.

    Raises:
        InputError: there is no such folder, or nothing in it is known.
    """
    if not root.is_dir():
        raise InputError(f"There is no folder {root}.", "Give the folder with annotations and cropped_aligned.")
    tree = Tree(root)
    for folder, files in _folders(root):
        _sort(tree, folder, files)
    tree.problems += _unaligned(tree)
    if not (tree.annotations or tree.mtl or tree.lsd):
        raise InputError(
            f"{root} holds no Aff-Wild2, s-Aff-Wild2 or LSD annotations.",
            "Expected for instance VA_Estimation_Challenge/Train_Set/*.txt; see docs/data.md for all layouts.",
        )
    return tree


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder with its sorted file names; of a folder of images only the first name, for they are many."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        names: list[str] = []
        below: list[Path] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    below.append(Path(entry.path))
                elif _is_image(folder, entry.name):
                    names, below = [entry.name], []
                    break
                else:
                    names.append(entry.name)
        yield folder, sorted(names)
        waiting += sorted(below, reverse=True)


def _sort(tree: Tree, folder: Path, files: list[str]) -> None:
    """Put the files of one folder where they belong."""
    task = _TASK.fullmatch(folder.parent.name)
    split = _SPLIT.fullmatch(folder.name)
    for name in files:
        path = folder / name
        if _is_image(folder, name):
            _sort_images(tree, folder)
        elif path.suffix.lower() in _MEDIA:
            _keep(tree, tree.media, path.stem, path, "video")
        elif match := _MTL.fullmatch(name):
            tree.mtl.append((_split(match[1]), path))
        elif task and split and path.suffix == ".txt":
            tree.annotations.append((cast(Task, task[1].lower()), _split(split[1]), path))


def _sort_images(tree: Tree, folder: Path) -> None:
    above = re.match(r"(training|validation)_set", folder.parent.name, re.IGNORECASE)
    if above and folder.name.upper() in _LSD:
        tree.lsd.append((_split(above[1]), _LSD[folder.name.upper()], folder))
    elif _is_lsd(folder):
        tree.lsd.append(("test", "", folder))
    elif (known := tree.crops.get(folder.name)) and _is_aligned(tree, known) != _is_aligned(tree, folder):
        aligned, other = (known, folder) if _is_aligned(tree, known) else (folder, known)
        tree.crops[folder.name] = aligned
        tree._passed[other.parent] += 1
    else:
        _keep(tree, tree.crops, folder.name, folder, "crop folder")


def _is_aligned(tree: Tree, folder: Path) -> bool:
    """The crops lie in ``cropped_aligned``, or in a later part of it; ``cropped`` has the same faces as detected."""
    return any(part.lower().startswith("cropped_aligned") for part in folder.relative_to(tree.root).parts[:-1])


def _unaligned(tree: Tree) -> list[Problem]:
    """Crops that are passed over for aligned ones, and those that are used among aligned ones for want of them."""
    passed = [
        Problem("warning", place, f"not used are crops of {counted(count, 'clip')}: cropped_aligned has them, too")
        for place, count in tree._passed.items()
    ]
    plain = [folder for folder in tree.crops.values() if not _is_aligned(tree, folder)]
    if plain and len(plain) < len(tree.crops):
        what = f"{counted(len(plain), 'clip')} with crops that are not in cropped_aligned, the first: {plain[0]}"
        passed.append(Problem("warning", tree.root, what))
    return passed


def _is_image(folder: Path, name: str) -> bool:
    return bool(IMAGE.fullmatch(name)) or (name.endswith(".jpg") and _is_lsd(folder))


def _is_lsd(folder: Path) -> bool:
    """A class of LSD, or its images without labels."""
    return folder.name.upper() in _LSD or folder.name.lower().startswith("test_set")


def _keep(tree: Tree, kept: dict[str, Path], name: str, path: Path, kind: str) -> None:
    if name in kept:
        tree.problems.append(Problem("warning", path, f"a second {kind} of {name}, not used; the first: {kept[name]}"))
    kept.setdefault(name, path)


def _split(word: str) -> Split:
    word = word.lower()
    return "train" if word.startswith("train") else "validation" if word.startswith("val") else "test"
