"""Run one stage of a pipeline in a thread of its own, a few items ahead of the next."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
DEPTH = 4
"""Items that a stage may be ahead: four 4K pictures are 100 MB."""
WAIT_S = 0.1
"""Seconds between two looks at whether to stop, while a queue is full or empty."""


def ahead(
    items: Iterator[T], depth: int = DEPTH, *, waiting: Callable[[], None] = lambda: None
) -> Generator[T, None, None]:
    """Run an iterator in a thread of its own, at most ``depth`` items ahead of the consumer.

    An exception in it comes out here; when the consumer stops early, so does the thread.

    Args:
        items: what the thread makes.
        depth: how many may wait.
        waiting: called in the consumer's thread every `WAIT_S` while nothing is ready; what it raises ends the work.
    """
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(depth)
    stop = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, ready, stop), daemon=True)
    thread.start()
    try:
        while True:
            try:
                kind, value = ready.get(timeout=WAIT_S)
            except queue.Empty:
                waiting()
                continue
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stop.set()
        thread.join()


def _produce(items: Iterator[Any], ready: "queue.Queue[tuple[str, Any]]", stop: threading.Event) -> None:
    """Put all items, then how it ended, into the queue, until it ends or is told to stop."""

    def put(kind: str, value: Any) -> None:
        while not stop.is_set():
            try:
                ready.put((kind, value), timeout=WAIT_S)
                return
            except queue.Full:
                continue

    try:
        for item in items:
            put("item", item)
            if stop.is_set():
                return
        put("end", None)
    except BaseException as error:
        put("error", error)
    finally:
        if hasattr(items, "close"):
            items.close()
