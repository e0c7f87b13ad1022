"""A progress bar on a terminal, nothing elsewhere."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

T = TypeVar("T")


def track(items: Sequence[T], description: str) -> Iterable[T]:
    """Go through ``items`` with a bar on stderr, if that is a terminal."""
    terminal = Console(stderr=True)
    return rich_track(items, description, console=terminal, disable=not terminal.is_terminal)
