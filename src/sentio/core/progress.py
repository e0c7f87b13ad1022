"""The one progress bar: a bar on a terminal, a line every ten seconds elsewhere, both on stderr."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, Self, TypeVar

INTERVAL_S = 10.0
"""Seconds between two lines where there is no terminal; work that is done sooner says nothing there."""

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Told how many parts are done, and how many there are; a `Tell` is one, too."""


class Tell(Protocol):
    """Told how far the work has come."""

    def __call__(self, done: float, total: float | None, what: str = "") -> None:
        """``done`` of ``total`` (None: not known yet); ``what`` names the part in hand, e.g. a file."""


def silent(done: float, total: float | None, what: str = "") -> None:
    """A `Tell` that shows nothing."""


@contextmanager
def progress(title: str, *, show: bool = True) -> Iterator[Tell]:
    """Show how work goes on; gives the function to be told of it.

    Args:
        title: what is being done, in a few words.
        show: False shows nothing.
    """
    if not show:
        yield silent
    elif sys.stderr.isatty():
        with _bar(title) as tell:
            yield tell
    else:
        with _Lines(title) as lines:
            yield lines


def track(items: Sequence[T], title: str, *, show: bool = True) -> Iterator[T]:
    """Go through ``items`` under a progress bar."""
    with progress(title, show=show) as tell:
        for number, item in enumerate(items):
            tell(number, len(items))
            yield item
        tell(len(items), len(items))


@contextmanager
def _bar(title: str) -> Iterator[Tell]:
    from rich import progress as rich
    from rich.console import Console

    columns: list[Any] = [rich.TextColumn("{task.description}", markup=False), rich.BarColumn()]
    columns += [rich.TextColumn("{task.percentage:>3.0f}%"), rich.TimeRemainingColumn()]
    with rich.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)

        def tell(done: float, total: float | None, what: str = "") -> None:
            bar.update(task, completed=done, total=total, description=f"{title}: {what}" if what else title)

        yield tell


class _Lines:
    """Lines for a log file: share done, the part in hand, the time in sight; also while nobody tells anything new."""

    def __init__(self, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.title, self.clock = title, clock
        self.started = self.spoke = clock()
        self.first: float | None = None  # work that a resumed run had done before
        self.last = "at work"
        self.finished = threading.Event()
        self.beat = threading.Thread(target=self._repeat, daemon=True)

    def __enter__(self) -> Self:
        self.beat.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finished.set()
        self.beat.join()

    def __call__(self, done: float, total: float | None, what: str = "") -> None:
        if self.first is None:
            self.first, self.started = done, self.clock()
        parts = [what] if what else []
        if total:
            gone, new = self.clock() - self.started, done - self.first
            left = gone * (total - done) / new if new > 0 else None
            parts.append(f"{100 * done / total:.0f} %" + (f", about {duration(left)} left" if left else ""))
        self.last = ", ".join(parts) or "at work"
        self._speak()

    def _speak(self) -> None:
        """Print where the work stands, if the last line is ten seconds old."""
        now = self.clock()
        if now - self.spoke >= INTERVAL_S:
            self.spoke = now
            print(f"{self.title}: {self.last}", file=sys.stderr, flush=True)

    def _repeat(self) -> None:
        while not self.finished.wait(INTERVAL_S / 10):
            self._speak()


def duration(seconds: float) -> str:
    """``45 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
