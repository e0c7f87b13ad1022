"""Windows over the frames of a clip: which frames a model sees, and which one it answers for.

CAPNet's rule is ``Windows(length=10, step=10, search=9)``: for frame i the ten entries i - 90, i - 80, ..., i, the
last third of a second apart from the one before it. A crop that is missing is replaced by the nearest of the nine
frames before it; a window with an entry that stays empty is dropped. The label is that of frame i, so that windows
of one, two and three seconds, which take the last entries before i, are compared on the same labels.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """A rule that cuts a clip of N frames into windows of T entries.

    Attributes:
        length: T, entries of a window.
        step: frames from one entry to the next.
        hop: frames from one window to the next.
        answers: ``newest``: the label of the last entry's frame. ``middle``: of entry T // 2, with as much future as
            past in view. ``all``: of every entry's frame.
        search: frames to look back for a crop where an entry has none.
        padding: what becomes of an entry without a crop, or outside the clip: ``drop`` leaves out the window,
            ``mask`` keeps it as invalid, ``repeat`` takes the nearest crop there is (an earlier one, but at the
            clip's beginning), so that none is left.

    Raises:
        ValueError: a number below its least.
    """

    length: int = 1
    step: int = 1
    hop: int = 1
    answers: Literal["newest", "middle", "all"] = "newest"
    search: int = 0
    padding: Literal["drop", "mask", "repeat"] = "drop"

    def __post_init__(self) -> None:
        if min(self.length, self.step, self.hop) < 1 or self.search < 0:
            raise ValueError("windows: length, step and hop are at least 1, search at least 0")

    @property
    def span(self) -> int:
        """Frames from the first entry to the last."""
        return self.step * (self.length - 1)

    def anchors(self, frames: int) -> Frames:
        """One frame for each window of a clip of ``frames`` frames.

        It is the frame answered for; with ``all`` it is the first entry's, windows lie within the clip as far as it
        is long enough, and the last one ends with the clip.
        """
        if self.answers != "all" or not frames:
            return np.arange(0, frames, self.hop)
        last = max(frames - 1 - self.span, 0)
        starts = np.arange(0, last + 1, self.hop)
        return starts if starts[-1] == last else np.append(starts, last)

    def entries(self, anchors: Frames) -> Frames:
        """(M,) anchors -> (M, T) frames as the rule names them; some may lie outside the clip."""
        first = {"newest": -self.span, "middle": -(self.length // 2) * self.step, "all": 0}[self.answers]
        return anchors[:, None] + first + self.step * np.arange(self.length)

    def lookup(self, present: NDArray[np.bool_]) -> Frames:
        """(N,) frames with a crop -> (N,): the frame whose crop stands for each, -1 where there is none."""
        found = latest(present, self.search)
        if self.padding == "repeat" and present.any():
            newest = latest(present, len(present))
            nearest = np.where(newest < 0, np.argmax(present), newest)
            return np.where(found < 0, nearest, found)
        return found

    def sources(self, entries: Frames, lookup: Frames) -> Frames:
        """(M, T) entries -> (M, T) frames whose crops stand for them, -1 where there is none."""
        inside = np.clip(entries, 0, len(lookup) - 1)
        found = lookup[inside]
        return found if self.padding == "repeat" else np.where(entries == inside, found, -1)

    def select(
        self,
        present: NDArray[np.bool_],
        labelled: NDArray[np.bool_] | None = None,
        heard: NDArray[np.bool_] | None = None,
    ) -> Frames:
        """Anchors of the windows to be used.

        Args:
            present: (N,), the frames with a crop.
            labelled: (N,), the frames with a label; a window that answers for none of them is left out.
            heard: (N,), the frames whose sound suffices; but for ``drop``, a window with one of them needs no crop.
        """
        anchors = self.anchors(len(present))
        keep = np.ones(len(anchors), np.bool_)
        entries = self.entries(anchors)
        known = self.sources(entries, self.lookup(present)) >= 0
        if heard is not None and self.padding != "drop":
            nearest = np.clip(entries, 0, len(heard) - 1)
            known |= (entries == nearest) & heard[nearest]
        keep &= known.all(axis=1) if self.padding == "drop" else known.any(axis=1)
        if labelled is not None:
            targets = self.targets(anchors)
            inside = targets < len(labelled)
            keep &= (labelled[np.minimum(targets, len(labelled) - 1)] & inside).any(axis=1)
        return anchors[keep]

    def targets(self, anchors: Frames) -> Frames:
        """(M,) anchors -> (M, L) frames answered for; some may lie beyond a clip that is shorter than a window."""
        return self.entries(anchors) if self.answers == "all" else anchors[:, None]


def latest(present: NDArray[np.bool_], search: int) -> Frames:
    """(N,): the newest present frame among k, k - 1, ..., k - search, or -1."""
    frames = np.arange(len(present))
    newest = np.maximum.accumulate(np.where(present, frames, -1)) if len(present) else frames
    return np.where(frames - newest <= search, newest, -1)
