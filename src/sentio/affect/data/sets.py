"""The clips of any label sets of a folder, and those that a list of the organisers names."""

from collections.abc import Sequence

import numpy as np

from sentio.affect.data import affwild2, lsd, mtl
from sentio.affect.data.clips import Clip, Frames
from sentio.affect.data.problems import Problem
from sentio.affect.data.tree import Tree
from sentio.affect.labels import SOURCES, Source
from sentio.affect.media.info import count_pictures
from sentio.core.errors import InputError
from sentio.core.progress import track


def read_sets(tree: Tree, sets: Sequence[Source] = SOURCES) -> tuple[list[Clip], list[Problem]]:
    """The clips of the label sets ``sets``, and what is wrong with their files."""
    clips: list[Clip] = []
    problems: list[Problem] = []
    for source in sets:
        if source == "mtl":
            found, more = mtl.read(tree)
        elif source == "lsd":
            found, more = lsd.read(tree)
        else:
            found, more = affwild2.read(tree, source)
        clips += found
        problems += more
    return clips, problems


def listed_clips(tree: Tree, frames: Frames, source: Source) -> list[Clip]:
    """Clips without labels for the images of a list, as far as the last one it names; some may have no crops."""
    return [
        Clip(
            name=name,
            source=source,
            split="test",
            frames=int(numbers.max()),
            crops=tree.crops_of(name, int(numbers.max())),
            media=tree.media_of(name),
        )
        for name, numbers in frames.items()
    ]


def filmed_frames(tree: Tree, names: Sequence[str]) -> Frames:
    """All frames of videos: as many as the video has pictures, and at least as many as its last crop says.

    Raises:
        InputError: there is neither video nor crops of a name.
        MediaError: a video cannot be read.
    """
    frames = {}
    for name in track(names, "videos"):
        film = tree.media_of(name)
        if film is None and name not in tree.crops:
            raise InputError(f"{tree.root} has no video and no crops of {name!r}.", "Is this the list of its videos?")
        pictures = count_pictures(film) if film else 0
        crops = tree.numbers(name).max(initial=0) if name in tree.crops else 0
        frames[name] = np.arange(1, max(pictures, int(crops)) + 1)
    return frames
