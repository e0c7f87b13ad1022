"""Verbs for both domains: training, models, the installation."""

import json as json_format
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from sentio.cli.output import lines, progress
from sentio.core.errors import InputError, require


def train_recipe(
    recipe: Path,
    *,
    data: Path,
    out: Path,
    settings: list[str] = [],  # noqa: B006  (read only; the parser wants a list)
    resume: bool = False,
) -> int:
    """Train the system that a recipe names; a stopped run goes on exactly where it was.

    OUT gets recipe.json, checkpoints/, best.safetensors, metrics.json and logs/ (CSV and TensorBoard).

    Args:
        data: folder of training data: any Aff-Wild2 or LSD layout for affect, meshes for points.
        out: folder of the run.
        settings: single values of the recipe to replace, e.g. '[fit.lr=0.001, model.seconds=2]'.
        resume: go on with the run in OUT.
    """
    require("torch", "train")
    from sentio.core import experiment

    best = experiment.train(experiment.read(recipe, settings), data, out, resume=resume)
    print(best)
    return 0


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


def examine_installation(*, json: bool = False) -> int:
    """Show versions, threads, decoders, weights, what is missing and how to get it.

    Args:
        json: print JSON.
    """
    from sentio.doctor import examine

    report = examine()
    print(json_format.dumps(report, indent=2) if json else lines(report))
    return 1 if report["problems"] else 0


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
