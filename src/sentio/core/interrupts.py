"""Ctrl-C and SIGTERM as requests that are met at a good moment."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

_heard: list[list[int]] = []  # what each `stop_requests` has collected so far


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM, so that a step can be finished and saved; a second one acts at once."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, _: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    _heard.append(received)
    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        _heard.pop()


def stop_requested() -> bool:
    """Whether a signal waits to be met: for what may wait forever and so cannot be a step that is finished first."""
    return any(_heard)


def leave_signals_to_the_parent(_: int) -> None:
    """Ctrl-C, and the SIGTERM of a scheduler, reach every process; a loading worker must outlive them until the step is
    saved. A second SIGTERM ends it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.signal(signal.SIGTERM, signal.SIG_DFL))
