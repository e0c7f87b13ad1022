"""Clips of LSD (ABAW4, learning from synthetic data): a folder of images for each of six classes.

The images of a folder do not follow each other in time; each "clip" is to be cut into windows of one frame.
"""

import os
import re
from pathlib import Path

import numpy as np

from sentio.affect.data.clips import Clip, Crops, Split
from sentio.affect.data.problems import Problem
from sentio.affect.data.tree import Tree
from sentio.affect.labels import EXPRESSIONS_LSD, lsd_to_expression

_CLASSES = [name.upper() for name in EXPRESSIONS_LSD]


def read(tree: Tree) -> tuple[list[Clip], list[Problem]]:
    """One clip a class and split, in the ids of the eight classes; images without a class have no label."""
    clips = [_clip(split, label, folder) for split, label, folder in tree.lsd]
    problems = [
        Problem("warning", tree.root, f"the {split} split has no folder {name}")
        for split in sorted({clip.split for clip in clips} - {"test"})
        for name in _CLASSES
        if not any(found == split and label == name for found, label, _ in tree.lsd)
    ]
    return clips, problems


def _clip(split: Split, label: str, folder: Path) -> Clip:
    with os.scandir(folder) as entries:
        images = [entry.name for entry in entries if re.fullmatch(r"[^.].*\.jpg", entry.name)]
    names = tuple(sorted(images, key=lambda name: [(len(part), part) for part in re.split(r"(\d+)", name)]))
    count = len(names)
    ids = np.full(count, _CLASSES.index(label) if label else -1)
    return Clip(
        name=f"{folder.parent.name}/{folder.name}" if label else folder.name,
        source="lsd",
        split=split,
        frames=count,
        crops=Crops(folder, np.ones(count, np.bool_), names),
        expression=lsd_to_expression(ids).astype(np.int8),
    )
