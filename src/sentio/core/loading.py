"""Batches of a data set, loaded ahead by processes of their own where these pay; items are the same with any number."""

import atexit
import shutil
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sentio.core import processes
from sentio.core.interrupts import leave_signals_to_the_parent
from sentio.core.runtime import usable_cores

MOST = 8
"""Processes that load, unless more are asked for. [CHOSEN]"""
AHEAD = 2
"""Batches that each has ready: torch's own number."""
WORTH_S = 2.0
"""Seconds that loading must take for processes, which take some to start, to pay. [CHOSEN]"""
SHARE = 0.25
"""Of the memory that is free, what waiting batches may take. [CHOSEN]"""
SHARED = Path("/dev/shm")
"""Where processes of Linux hand tensors over; small in most containers."""
_held: "weakref.WeakSet[Any]" = weakref.WeakSet()  # batches that processes load


def epoch_order(items: int, epoch: int, seed: int) -> np.ndarray:
    """The permutation of the items in an epoch; depends on nothing but the arguments."""
    return np.random.default_rng((seed, epoch)).permutation(items)


class Rows(Sequence[list[int]]):
    """The rows of an array as lists, one at a time: all at once, millions of numbers are hundreds of megabytes."""

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, row: Any) -> Any:
        return self.numbers[row].tolist()


def batches(
    data: Dataset[Any],
    rows: Sequence[Sequence[int]],
    collate: Callable[[list[Any]], Any],
    workers: int | None,
    *,
    seed: int = 0,
) -> Iterator[Any]:
    """The batches of some rows each, in order.

    Args:
        data: map-style; an item depends on nothing but its index.
        rows: the indices of each batch.
        collate: joins items.
        workers: processes that load; 0 loads in this one, None is :func:`choose_workers`' number.
        seed: of what the processes draw besides.
    """
    count = measured_workers(data, rows, collate) if workers is None else workers
    loader: DataLoader[Any] = DataLoader(
        data,
        batch_sampler=cast(Any, rows),
        collate_fn=collate,
        num_workers=count,
        worker_init_fn=_begin,
        generator=torch.Generator().manual_seed(seed),  # else each loader would draw from the global one
        multiprocessing_context="fork" if count and _forks() else None,
    )
    loaded = iter(loader)
    if count:
        _held.add(loaded)
    return loaded


@atexit.register  # after those of torch and multiprocessing, which are imported, and so called before them
def _end_processes() -> None:
    """End the processes of batches that are held when Python ends: they pass over the one SIGTERM that they would be
    sent, and would be waited for without end.
    """
    for loaded in list(_held):
        loaded._shutdown_workers()


def measured_workers(data: Dataset[Any], rows: Sequence[Sequence[int]], collate: Callable[[list[Any]], Any]) -> int:
    """:func:`choose_workers`' number, from the time and the size of the first item."""
    _, processes_here = processes.launched()
    cores = usable_cores() // processes_here
    if not rows or cores < 2 or not _forks():
        return 0
    began = time.perf_counter()
    item = data[rows[0][0]]
    seconds = time.perf_counter() - began
    batch = max(map(len, rows)) * size_of(collate([item]))
    return choose_workers(seconds * sum(map(len, rows)), batch, cores=cores, room=room())


def choose_workers(seconds: float, batch: int, *, cores: int, room: int) -> int:
    """How many processes load.

    Args:
        seconds: what loading everything takes in one process.
        batch: bytes of a batch.
        cores: for them and for the process that they load for, which keeps one.
        room: bytes that waiting batches may take.
    """
    if seconds < WORTH_S:
        return 0
    return max(0, min(cores - 1, MOST, room // (AHEAD * max(batch, 1))))


def room() -> int:
    """Bytes that waiting batches may take on this machine."""
    free = [int(SHARE * _available_memory())]
    if SHARED.is_dir():
        free.append(shutil.disk_usage(SHARED).free // 2)
    return min(free)


def size_of(value: Any) -> int:
    """Bytes of the tensors and arrays in a batch."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, np.ndarray):
        return value.nbytes
    if is_dataclass(value):
        return sum(size_of(getattr(value, item.name)) for item in fields(value))
    if isinstance(value, dict):
        return sum(map(size_of, value.values()))
    return sum(map(size_of, value)) if isinstance(value, list | tuple) else 0


def _begin(worker: int) -> None:
    leave_signals_to_the_parent(worker)
    if opencv := sys.modules.get("cv2"):
        opencv.setNumThreads(0)  # its threads stayed in the process that this one was forked from


def _forks() -> bool:
    """Whether processes begin with the data set as it is, at no cost: elsewhere each would read all code anew."""
    return sys.platform == "linux"


def _available_memory() -> int:
    """Bytes that could be had without swapping, within the limit of a container if there is one."""
    told = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    found = 1024 * int(told["MemAvailable"].split()[0])
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        found = min(found, int(text) - int(used.read_text()))
    return max(0, found)
