"""Run one stage of a pipeline in a thread of its own, a few items ahead of the next."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
DEPTH = 4
"""Items that a stage may be ahead: four 4K pictures are 100 MB."""


def ahead(items: Iterator[T], depth: int = DEPTH) -> Generator[T, None, None]:
    """Run an iterator in a thread of its own, at most ``depth`` items ahead of the consumer.

    An exception in it comes out here; when the consumer stops early, so does the thread.
    """
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(depth)
    stop = threading.Event()

    def put(kind: str, value: Any) -> None:
        while not stop.is_set():
            try:
                ready.put((kind, value), timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
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

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stop.set()
        thread.join()
