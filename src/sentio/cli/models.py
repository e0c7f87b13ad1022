"""sentio models."""

import json as json_format
from dataclasses import asdict
from typing import Any, Literal

from sentio.core.errors import InputError
from sentio.core.progress import progress


def list_or_fetch_models(
    action: Literal["list", "fetch"] = "list", names: tuple[str, ...] = (), *, json: bool = False
) -> int:
    """List systems and weights, or fetch weights that do not come with the package.

    Args:
        json: print JSON.
    """
    from sentio.core import catalogue, fetch

    if action == "fetch":
        if not names:
            raise InputError("Nothing to fetch.", "Name weights: sentio models lists them.")
        for name in names:
            with progress(f"fetching {name}") as tell:
                paths = fetch.fetch(name, progress=tell)
            print(*paths, sep="\n")
    elif json:
        print(json_format.dumps([asdict(model) for model in catalogue.models()], indent=2))
    else:
        _print_models(catalogue.models())
    return 0


def _print_models(found: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "state", "MB", "licence", "what it is"):
        table.add_column(title, overflow="fold")
    for model in found:
        size = f"{model.megabytes:.2f}" if model.megabytes else ""
        table.add_row(model.name, model.state, size, model.licence, model.summary)
    Console().print(table)
