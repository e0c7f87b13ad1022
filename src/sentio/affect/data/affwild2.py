"""Clips of Aff-Wild2: one text a person and video for valence-arousal, expression or action units."""

from pathlib import Path

from sentio.affect.data import annotations
from sentio.affect.data.clips import Clip
from sentio.affect.data.problems import Problem
from sentio.affect.data.tree import Tree
from sentio.core.errors import InputError

FEW = 5
"""Frames by which labels, crops and video may differ in number: the organisers count otherwise than decoders do."""

_FIELDS = {"va": "valence_arousal", "expr": "expression", "au": "action_units"}


def read(tree: Tree, task: annotations.Task) -> tuple[list[Clip], list[Problem]]:
    """Read all clips of a task, and what is wrong with them; an unusable file is left out and reported."""
    clips: list[Clip] = []
    problems: list[Problem] = []
    used: dict[str, Path] = {}
    for found, split, path in tree.annotations:
        if found != task:
            continue
        first = used.setdefault(path.stem, path)
        if first != path:
            what = f"a second {task.upper()} annotation of {path.stem}, not used; the first: {first}"
            problems.append(Problem("warning", path, what))
            continue
        try:
            values, bad_lines = annotations.read(path, task)
        except InputError as error:
            problems.append(Problem("error", path, error.what))
            continue
        problems += bad_lines
        clip = Clip(
            name=path.stem,
            source=task,
            split=split,
            frames=len(values),
            crops=tree.crops_of(path.stem, len(values)),
            media=tree.media_of(path.stem),
            **{_FIELDS[task]: values},
        )
        if clip.crops is None:
            problems.append(Problem("warning", path, "there is no crop folder of this name"))
        clips.append(clip)
    return clips, problems
