"""sentio models."""

import json as json_format
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import App

from sentio.cli.parsing import NAME
from sentio.core.errors import InputError
from sentio.core.progress import progress

if TYPE_CHECKING:
    from sentio.core.catalogue import Model

models = App(name="models")


@models.default
def list_models(*, json: bool = False) -> int:
    """List systems and weights; fetch those that did not come along.

    Args:
        json: print JSON.

    Examples:
        sentio models
        sentio models fetch yunet
    """
    from sentio.core import catalogue

    found = catalogue.models()
    if json:
        print(json_format.dumps([asdict(model) for model in found], indent=2))
    else:
        _print_models(found)
    return 0


@models.command
def fetch(*names: Annotated[str, NAME]) -> int:
    """Fetch weights that did not come with the package.

    A part left by an earlier try is continued; what comes is kept only if its hash is right.

    Args:
        names: weights to fetch; sentio models lists them.

    Examples:
        sentio models fetch yunet
    """
    from sentio.core import fetch as network

    if not names:
        raise InputError("Nothing to fetch.", "Name weights: sentio models lists them.")
    for name in names:
        with progress(f"fetching {name}") as tell:
            paths = network.fetch(name, progress=tell)
        print(*paths, sep="\n")
    return 0


def _print_models(found: "list[Model]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "state", "MB", "licence", "what it is"):
        table.add_column(title, overflow="fold")
    for model in found:
        size = f"{model.megabytes:.2f}" if model.megabytes else ""
        table.add_row(model.name, model.state, size, model.licence, model.summary)
    Console().print(table)
