"""Several label sets in step: each batch from one set, and all sets end an epoch together."""

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from sentio.affect.data.items import Item, WindowDataset
from sentio.core.counts import counted
from sentio.core.errors import InputError


class Streams(Dataset[list[Item]]):
    """The windows of a data set as batches of one label set each: an item is such a batch, a list of windows.

    Every set is cut anew in each epoch into the same number of batches, whose lengths differ by one at most, so that
    the lengths of two sets' batches are in proportion to the sets.

    Args:
        windows: of any label sets.
        largest: windows in the batches of the largest set, at most.

    Raises:
        InputError: a set is so small that its batches would have less than two windows.
    """

    def __init__(self, windows: WindowDataset, largest: int) -> None:
        self.windows = windows
        ranges: dict[str, list[NDArray[np.int64]]] = {}
        for clip, end, anchors in zip(windows.clips, windows.ends, windows.anchors, strict=True):
            if len(anchors):
                ranges.setdefault(clip.source, []).append(np.arange(end - len(anchors), end))
        self.rows = {name: np.concatenate(parts) for name, parts in ranges.items()}
        self.rounds = -(-max(map(len, self.rows.values()), default=0) // largest)
        for name, rows in self.rows.items():
            if len(rows) < 2 * self.rounds:
                raise InputError(
                    f"The set {name} has {counted(len(rows), 'window')}, and is to give each of "
                    f"{counted(self.rounds, 'batch', 'batches')} two.",
                    "Raise stream_batch, or leave the set out.",
                )
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Cut the sets anew."""
        self.batches: list[tuple[str, NDArray[np.int64]]] = []
        for number, (name, rows) in enumerate(self.rows.items()):
            order = np.random.default_rng((epoch, number)).permutation(rows)
            self.batches += [(name, part) for part in np.array_split(order, self.rounds)]

    def __len__(self) -> int:
        return self.rounds * len(self.rows)

    def __getitem__(self, index: int) -> list[Item]:
        return [self.windows[int(row)] for row in self.batches[index][1]]

    def describe(self, index: int) -> str:
        """A batch in words, for error messages."""
        name, rows = self.batches[index]
        return f"{counted(len(rows), 'window')} of {name}, the first {self.windows.describe(int(rows[0]))}"
