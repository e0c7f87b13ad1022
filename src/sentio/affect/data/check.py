"""What a data folder holds and what is wrong with it, before anything is trained on it."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sentio.affect.data import affwild2
from sentio.affect.data.clips import Clip, valid
from sentio.affect.data.images import read_image
from sentio.affect.data.problems import Problem
from sentio.affect.data.sets import read_sets
from sentio.affect.data.tree import Tree, scan
from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS, SOURCES
from sentio.affect.media.info import probe
from sentio.core.counts import counted
from sentio.core.errors import InputError
from sentio.core.progress import track


@dataclass(frozen=True)
class SetReport:
    """Counts of one label set and split."""

    source: str
    split: str
    clips: int
    frames: int
    """Lines of the annotations (for LSD: images)."""
    labelled: dict[str, int]
    """Frames with a valid label, by kind of label."""
    usable: dict[str, int]
    """Those of them that have a crop."""
    balance: dict[str, dict[str, float]]
    """Valid frames by class, positive frames by action unit, mean and spread of valence and arousal."""


@dataclass(frozen=True)
class Report:
    """All that :func:`check` found."""

    root: str
    sets: list[SetReport]
    crop_folders: int
    images: int
    videos: int
    problems: list[Problem] = field(default_factory=list)

    def usable(self) -> bool:
        """There are sets, and no file is unusable."""
        return bool(self.sets) and not any(problem.level == "error" for problem in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "problems": [problem.to_dict() for problem in self.problems]}

    def to_text(self) -> str:
        """The same for people, all problems at the end."""
        folders, images = counted(self.crop_folders, "crop folder"), counted(self.images, "image")
        lines = [f"{self.root}: {folders}, {images}, {counted(self.videos, 'video')}"]
        for part in self.sets:
            lines.append(
                f"\n{part.source.upper()} {part.split}: {counted(part.clips, 'clip')}, {counted(part.frames, 'frame')}"
            )
            for name, count in part.labelled.items():
                lines.append(f"  {name}: {count} valid, {part.usable[name]} of them with a crop")
                lines.append("    " + "  ".join(f"{key} {value:g}" for key, value in part.balance[name].items()))
        levels = Counter(problem.level for problem in self.problems)
        lines.append(f"\n{counted(levels['error'], 'error')}, {counted(levels['warning'], 'warning')}")
        return "\n".join([*lines, *map(str, self.problems)]) + "\n"


def check(root: Path, *, images: int | None = 1000) -> Report:
    """Read everything below ``root``.

    Args:
        images: decode so many crops, evenly spread over all, to find damaged ones; None decodes every one.

    Raises:
        InputError: there is no such folder, or nothing in it is known.
    """
    tree = scan(root)
    clips, problems = read_sets(tree)
    problems = tree.problems + problems
    sets = [
        _summary(source, split, part)
        for source in SOURCES
        for split in ("train", "validation", "test")
        if (part := [clip for clip in clips if (clip.source, clip.split) == (source, split)])
    ]
    problems += _count_problems(tree, clips) + _strays(tree) + _orphans(tree, clips) + _media_problems(tree, clips)
    total, chosen = _sample(tree, clips, images)
    problems += _damaged(chosen)
    return Report(str(root), sets, len(tree.crops) + len(tree.lsd), total, len(tree.media), problems)


def balance(name: str, values: NDArray[Any]) -> dict[str, float]:
    """Class counts of the valid frames of one kind of label; of valence and arousal mean and deviation."""
    if name == "expression":
        return {label: int((values == k).sum()) for k, label in enumerate(EXPRESSIONS)}
    if name == "action_units":
        return {label: int((values[:, k] == 1).sum()) for k, label in enumerate(ACTION_UNITS)}
    if not len(values):
        return {}
    figures = {"mean": values.mean(axis=0, dtype=np.float64), "std": values.std(axis=0, dtype=np.float64)}
    return {
        f"{axis}_{name}": round(float(figure[k]), 4)
        for k, axis in enumerate(("valence", "arousal"))
        for name, figure in figures.items()
    }


def _summary(source: str, split: str, clips: list[Clip]) -> SetReport:
    labelled, usable, balances = {}, {}, {}
    for name in clips[0].labels():
        masks = [valid(name, clip.labels()[name]) for clip in clips]
        kept = [clip.labels()[name][mask] for clip, mask in zip(clips, masks, strict=True)]
        labelled[name] = sum(map(len, kept))
        pairs = zip(clips, masks, strict=True)
        usable[name] = sum(int((mask & clip.crops.present).sum()) for clip, mask in pairs if clip.crops)
        balances[name] = balance(name, np.concatenate(kept))
    return SetReport(source, split, len(clips), sum(clip.frames for clip in clips), labelled, usable, balances)


def _sample(tree: Tree, clips: list[Clip], images: int | None) -> tuple[int, list[Path]]:
    """How many crops there are, those of folders without annotation too, and ``images`` of them, evenly spread."""
    groups: list[tuple[Path, Any]] = [(folder, tree.numbers(name)) for name, folder in tree.crops.items()]
    groups += [(clip.crops.folder, clip.crops.names) for clip in clips if clip.crops and clip.crops.names]
    total = sum(len(names) for _, names in groups)
    if images == 0:
        return total, []
    spacing = 1 if images is None else max(-(-total // images), 1)
    chosen: list[Path] = []
    before = 0
    for folder, names in groups:
        part = names[-before % spacing :: spacing]
        chosen += [folder / (name if isinstance(name, str) else f"{name:05d}.jpg") for name in part]
        before += len(names)
    return total, chosen


def _count_problems(tree: Tree, clips: list[Clip]) -> list[Problem]:
    """Crops beyond the annotation, or annotations that no crop reaches."""
    problems = []
    for clip in clips:
        if clip.crops is None or clip.source in ("mtl", "lsd"):
            continue
        numbers = tree.numbers(clip.name)
        last = int(numbers[-1]) if len(numbers) else 0
        if last > clip.frames + affwild2.FEW:
            what = f"images go up to {last}, the {clip.source.upper()} annotation has {counted(clip.frames, 'line')}"
            problems.append(Problem("warning", clip.crops.folder, what))
    return problems


def _strays(tree: Tree) -> list[Problem]:
    """Files in crop folders whose names are of no frame; nothing else would tell that they are not used."""
    problems = []
    for clip, folder in tree.crops.items():
        if names := tree.strays(clip):
            what = f"{counted(len(names), 'file')} not named as frames are (00001.jpg), the first: {names[0]}"
            problems.append(Problem("warning", folder, what))
    return problems


def _orphans(tree: Tree, clips: list[Clip]) -> list[Problem]:
    """Crop folders and videos that no annotation names; they may belong to the test set."""
    names = {clip.name for clip in clips}
    used = {clip.media for clip in clips}
    extra = [path for name, path in tree.crops.items() if name not in names]
    unused = [path for path in tree.media.values() if path not in used]
    return [
        *(Problem("warning", path, "a crop folder without annotation") for path in extra),
        *(Problem("warning", path, "a video without annotation") for path in unused),
    ]


def _media_problems(tree: Tree, clips: list[Clip]) -> list[Problem]:
    """Videos that are missing, cannot be opened, have no sound, or another length than the annotation."""
    problems: list[Problem] = []
    lengths: dict[Path, int] = {}
    wanted = {clip.name: clip for clip in clips if clip.source != "lsd"}
    filmed = dict.fromkeys(clip.name for clip in clips if clip.source not in ("mtl", "lsd"))  # those are pictures
    for name in filmed if tree.media else ():
        if wanted[name].media is None:
            problems.append(Problem("warning", tree.root, f"there is no video of {name}"))
    for path in track(sorted({clip.media for clip in wanted.values() if clip.media}), "videos"):
        try:
            info = probe(path)
        except InputError as error:
            problems.append(Problem("error", path, error.what))
            continue
        if not info.has_audio:
            problems.append(Problem("warning", path, "the video has no sound"))
        if info.has_video and info.duration_s:
            lengths[path] = round(info.duration_s * info.rate)
    for clip in clips:
        count = lengths.get(clip.media) if clip.media else None
        if count is not None and clip.source != "mtl" and abs(count - clip.frames) > affwild2.FEW:
            lengths_of_both = f"{counted(clip.frames, 'line')}, about {counted(count, 'frame')}"
            what = f"the {clip.source.upper()} annotation of {clip.name} has {lengths_of_both}"
            problems.append(Problem("warning", cast(Path, clip.media), what))
    return problems


def _damaged(files: list[Path]) -> list[Problem]:
    damaged = [path for path in track(files, "images") if read_image(path) is None]
    return [Problem("warning", path, "the image cannot be decoded") for path in damaged]
