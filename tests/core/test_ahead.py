"""A stage in its own thread: order, errors, early stop."""

import threading
import time

import pytest

from sentio.core.ahead import ahead


def test_ahead_keeps_order_passes_errors_and_stops() -> None:
    made: list[int] = []

    def numbers(end: int):
        for number in range(end):
            made.append(number)
            yield number
        raise KeyError("end")

    assert list(ahead(iter(range(1000)))) == list(range(1000))
    with pytest.raises(KeyError, match="end"):
        list(ahead(numbers(3)))
    made.clear()
    reader = ahead(numbers(10**9), depth=3)
    assert next(reader) == 0
    time.sleep(0.05)
    reader.close()
    assert len(made) <= 6
    assert not any(thread.name.startswith("Thread") and thread.is_alive() for thread in threading.enumerate())
