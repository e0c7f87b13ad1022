"""The clips of any label sets of a folder, and those that a list of test images names."""

from collections.abc import Sequence

from sentio.affect.data import affwild2, lsd, mtl
from sentio.affect.data.clips import Clip, Frames
from sentio.affect.data.problems import Problem
from sentio.affect.data.tree import Tree
from sentio.affect.labels import SOURCES, Source


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
