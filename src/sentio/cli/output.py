"""What verbs show: a progress bar, a nested object as lines."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing elsewhere; gives a function to be told of (done, total)."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def lines(values: dict[str, Any], indent: str = "") -> str:
    """A nested JSON object as indented lines; an empty list says none."""
    shown = []
    for key, value in values.items():
        if isinstance(value, dict):
            shown.append(f"{indent}{key}:\n{lines(value, indent + '  ')}")
        else:
            text = (", ".join(map(str, value)) or "none") if isinstance(value, list) else value
            shown.append(f"{indent}{key}: {text}")
    return "\n".join(shown)
