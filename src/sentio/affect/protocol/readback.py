"""A submission read back as organisers would: what is wrong, and in which line."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from sentio.affect.data.clips import IMAGE, Frames
from sentio.affect.data.problems import Problem
from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS, EXPRESSIONS_ABAW2, EXPRESSIONS_LSD, Source
from sentio.affect.protocol.submission import header, numbered_lines, one_file_a_video
from sentio.core.counts import counted

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_SHOWN = 5
"""Stretches of missing frames that are told of a clip."""


def validate(
    path: Path, track: Source, edition: int, expected: Frames | Sequence[str] | None = None
) -> Iterator[Problem]:
    """Read a submission back.

    Args:
        path: the folder of a track with one text a video, else the file.
        expected: the images to answer for; of LSD their names, of one text a video also the videos' names alone. Not
            given, the submission is held to its form and to itself.

    Yields:
        Faults: a wrong header, missing, unknown, repeated or misplaced frames, wrong field counts, values that are
        missing, no number or out of range. As a warning, frames whose order is odd where no list tells it.

    Raises:
        InputError: the edition has no such track, or a file cannot be read as UTF-8.
    """
    first = header(track, edition)
    if one_file_a_video(track, edition):
        return _folder_faults(path, first, track, edition, expected)
    if isinstance(expected, dict):
        expected = [f"{name}/{number:05d}.jpg" for name, numbers in expected.items() for number in numbers]
    return _text_faults(path, first, track, edition, expected)


def _folder_faults(
    path: Path, first: str, track: Source, edition: int, expected: Frames | Sequence[str] | None
) -> Iterator[Problem]:
    if not path.is_dir():
        yield Problem("error", path, "this is no folder: the edition wants one with a text for each video")
        return
    there = sorted(file.stem for file in path.glob("*.txt"))
    if not there:
        yield Problem("error", path, "there is no text in this folder")
    asked = there if expected is None else list(expected)
    for name in asked:
        count = len(expected[name]) if isinstance(expected, dict) else None
        yield from _video_faults(path / f"{name}.txt", first, track, edition, count)
    for name in there:
        if name not in asked:
            yield Problem("error", path / f"{name}.txt", "a video that was not asked for")


def _video_faults(path: Path, first: str, track: Source, edition: int, count: int | None) -> Iterator[Problem]:
    if not path.is_file():
        yield Problem("error", path, "this video is missing")
        return
    number = 0
    for number, line in numbered_lines(path, "utf-8"):
        fault = _header_fault(line, first) if number == 1 else _value_fault(line.split(","), track, edition)
        if fault:
            yield Problem("error", path, fault, number)
    frames = max(number - 1, 0)
    if frames != count if count is not None else not frames:
        yield Problem("error", path, f"{counted(frames, 'frame')}, expected {count or 'one at least'}", number or None)


def _text_faults(
    path: Path, first: str, track: Source, edition: int, images: Sequence[str] | None
) -> Iterator[Problem]:
    if not path.is_file():
        folder = "this is a folder: the edition wants one text for the track"
        yield Problem("error", path, folder if path.is_dir() else "this file is missing")
        return
    order, seen = _Order(images), dict[str, int]()
    for number, line in numbered_lines(path, "utf-8"):
        image, *values = line.split(",")
        if number == 1:
            faults = [_header_fault(line, first)]
        elif not line:
            faults = ["an empty line"]
        else:
            faults = [order.unknown(image, track), _value_fault(values, track, edition)]
            if faults[0] is None and image in seen:
                faults[0] = f"{image} was answered before, in line {seen[image]}"
            elif faults[0] is None:
                order.follow(image, number)
                seen[image] = number
        yield from (Problem("error", path, fault, number) for fault in faults if fault)
    yield from order.faults(path)
    yield from (Problem("error", path, what) for what in _missing([name for name in images or () if name not in seen]))
    if images is None and not seen:
        yield Problem("error", path, "no frame is answered for")


class _Order:
    """Whether rows come as the list has them; without a list, clip by clip and frames in order."""

    def __init__(self, images: Sequence[str] | None) -> None:
        self.places = None if images is None else {name: place for place, name in enumerate(images)}
        self.clips: dict[str, int] = {}
        self.last, self.newest = (-1, -1), ""
        self.misplaced: list[tuple[str, str, int]] = []

    def unknown(self, image: str, track: Source) -> str | None:
        """What is wrong with the name of an image."""
        if self.places is not None:
            return None if image in self.places else f"{image!r} was not asked for"
        clip, _, name = image.rpartition("/")
        sound = name.endswith(".jpg") if track == "lsd" else clip and IMAGE.fullmatch(name)
        return None if sound else f"{image!r} is not of the form {'0.jpg' if track == 'lsd' else 'clip/00001.jpg'}"

    def follow(self, image: str, number: int) -> None:
        """Take notice of a row, which names an image for the first time."""
        place = self._place(image)
        if place < self.last:
            self.misplaced.append((image, self.newest, number))
        else:
            self.last, self.newest = place, image

    def faults(self, path: Path) -> Iterator[Problem]:
        if self.misplaced:
            image, newest, number = self.misplaced[0]
            what = f"wrong order: {image} stands after {newest} ({counted(len(self.misplaced), 'such row')})"
            yield Problem("warning" if self.places is None else "error", path, what, number)

    def _place(self, image: str) -> tuple[int, int]:
        if self.places is not None:
            return self.places[image], 0
        clip, _, name = image.rpartition("/")
        match = IMAGE.fullmatch(name)
        return self.clips.setdefault(clip, len(self.clips)), int(match[1]) if match else 0


def _header_fault(line: str, first: str) -> str | None:
    return None if line == first else f"the header is {line!r}, expected {first!r}"


def _missing(images: list[str]) -> Iterator[str]:
    """A sentence for each clip: which of its frames are missing."""
    for clip, group in groupby(images, key=lambda name: name.rpartition("/")[0]):
        names = [name.rpartition("/")[2].removesuffix(".jpg") for name in group]
        numbers = np.array([int(name) if name.isdecimal() else -1 for name in names])
        stretches = np.split(np.arange(len(names)), np.flatnonzero(np.diff(numbers) != 1) + 1)
        shown = [names[part[0]] + (f" to {names[part[-1]]}" if len(part) > 1 else "") for part in stretches[:_SHOWN]]
        more = (
            f" and {counted(len(stretches) - _SHOWN, 'more stretch', 'more stretches')}"
            if len(stretches) > _SHOWN
            else ""
        )
        yield f"{clip or 'images'}: {counted(len(names), 'frame')} missing: {', '.join(shown)}{more}"


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
        return f"{counted(len(values), 'value')}, expected {len(kinds)}"
    for value, kind in zip(values, kinds, strict=True):
        if kind is not None and value not in kind:
            return f"{value!r} is not one of {kind[0]} to {kind[-1]}"
        if kind is None and not (_NUMBER.fullmatch(value) and -1 <= float(value) <= 1):
            return f"{value!r} is no number in [-1, 1]"
    return None
