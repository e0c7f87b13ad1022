"""Which time stamps to believe: damaged bytes make some that lie hours away."""

import math
from collections.abc import Iterable, Iterator
from typing import TypeVar

import av
from av.container import InputContainer

LEAP_S = 1.0
"""A step of the stamps by more than this must be borne out, by the end of the file and by the next stamp."""

RESTART_S = 10.0
"""A step back by more than this is a time line that starts anew (joined recordings, a reset camera clock)."""

WITNESSES = 4
"""Items that prove a leap false; a decoder that lost its order gives up to two or three old pictures after new ones."""

T = TypeVar("T")


def declared_end(container: InputContainer) -> float:
    """Where the container says that it ends, in seconds; infinite where it does not.

    FFmpeg takes what Matroska states for a length, but writes the end there, counted from 0.
    """
    if not container.duration or container.duration < 0:
        return math.inf
    begin = 0 if container.format.name.startswith("matroska") else container.start_time or 0
    return (begin + container.duration) / av.time_base


def is_beyond(stamp_s: float, last_s: float, end_s: float) -> bool:
    """Whether a stamp leaps beyond the end of the file. A file that goes on steadily beyond it is just longer."""
    return stamp_s > end_s + LEAP_S and stamp_s > last_s + LEAP_S


def believed(items: Iterable[tuple[T, float | None]], end_s: float) -> Iterator[tuple[T, float | None]]:
    """Take away the stamps that cannot be true: those that leap beyond the end, and those that leap alone.

    Args:
        items: pictures or sounds, each with its stamp in seconds.
        end_s: where the container says that it ends.
    """
    return _without_lonely(_without_far(items, end_s))


def _without_far(items: Iterable[tuple[T, float | None]], end_s: float) -> Iterator[tuple[T, float | None]]:
    last_s = -math.inf
    for item, stamp_s in items:
        if stamp_s is not None and is_beyond(stamp_s, last_s, end_s):
            yield item, None
        else:
            yield item, stamp_s
            last_s = last_s if stamp_s is None else stamp_s


def _without_lonely(items: Iterable[tuple[T, float | None]]) -> Iterator[tuple[T, float | None]]:
    """An item that leaps is held back until one follows it, or `WITNESSES` go on where those before it were."""
    last_s: float | None = None
    held: list[tuple[T, float | None]] = []
    for item, stamp_s in items:
        if not held and not _leaps(last_s, stamp_s):
            yield item, stamp_s
            last_s = last_s if stamp_s is None else stamp_s
            continue
        held.append((item, stamp_s))
        goes_on = len(held) == 1 or _goes_on(last_s, held[0][1], stamp_s)
        if goes_on and len(held) <= WITNESSES:
            continue
        yield from _judged(held, goes_on)
        last_s, held = last_s if stamp_s is None else stamp_s, []
    yield from _judged(held, len(held) > 1)


def _judged(held: list[tuple[T, float | None]], alone: bool) -> list[tuple[T, float | None]]:
    return [(held[0][0], None), *held[1:]] if alone else held


def _leaps(last_s: float | None, stamp_s: float | None) -> bool:
    """The first stamp leaps, too: nothing bears it out. A little way back is not a leap but late."""
    return stamp_s is not None and (last_s is None or not -RESTART_S <= stamp_s - last_s <= LEAP_S)


def _goes_on(last_s: float | None, leapt_s: float | None, stamp_s: float | None) -> bool:
    """Whether the time line goes on as if there had been no leap; at its beginning, it can only have leapt ahead."""
    if stamp_s is None or leapt_s is None:
        return False
    if last_s is None:
        return leapt_s - stamp_s > LEAP_S
    return abs(stamp_s - leapt_s) > LEAP_S and abs(stamp_s - last_s) <= LEAP_S
