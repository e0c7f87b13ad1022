"""A recipe carried out: the model it names, trained on the data it asks for, in a run folder that tells it all.

A recipe is a JSON object with these sections: ``system`` (a registered name), ``model`` (its Config), ``data`` (read by
the domain's ``open_data``), ``fit`` (FitConfig), ``start`` (parts of the model that begin from trained weights), and
``evaluation`` (read by the domain's evaluation).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentio.core import registry, runtime, weights
from sentio.core.config import from_dict, override, read_json, to_dict
from sentio.core.errors import RecipeError
from sentio.core.optimization import FitConfig
from sentio.core.training import fit, start_from
from sentio.core.writers import write_json

RECIPE = "recipe.json"
BEST = "best.safetensors"


@dataclass(frozen=True)
class Recipe:
    """The sections of a recipe; see the module's text."""

    system: str
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    fit: FitConfig = field(default_factory=FitConfig)
    start: dict[str, str] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)


def read(path: Path, settings: list[str] | None = None) -> Recipe:
    """Read a recipe file, with single values replaced by ``section.key=value`` settings.

    Raises:
        RecipeError: missing, no JSON, an unknown key or a wrong value.
    """
    return from_dict(Recipe, override(read_json(path), settings or []), where=str(path))


def train(plan: Recipe, data: Path, out: Path, *, resume: bool = False) -> Path:
    """Train the recipe's model on a folder of data.

    Args:
        plan: what to do.
        data: a folder (or file) in a layout that the system's domain reads.
        out: the run's folder; gets ``recipe.json``, the checkpoints, the logs and the best weights.
        resume: go on where a run in ``out`` was stopped.

    Returns:
        The best weights.

    Raises:
        SentioError: see :func:`sentio.core.training.fit`.
    """
    runtime.seed_everything(plan.fit.seed)  # before the weights are drawn
    method = registry.build(plan.system, plan.model)
    start_from(method, plan.start)
    source = open_data(plan.system, method, data, plan.data)
    _record(plan, out)
    return fit(method, source, plan.fit, out, resume=resume)


def _record(plan: Recipe, out: Path) -> None:
    """Keep the recipe in the run's folder; one that was begun is only gone on with if the recipe is the same."""
    if not any((out / "checkpoints").glob("step-*")):
        write_json(out / RECIPE, to_dict(plan))
        return
    begun = read(out / RECIPE)
    for section in ("system", "model", "data", "start", "evaluation"):
        if getattr(begun, section) != getattr(plan, section):
            raise RecipeError(
                f"The run in {out} was begun with another {section!r} section.",
                f"Use its own recipe, {out / RECIPE}, or another --out.",
            )


def open_data(system: str, method: Any, data: Path, section: dict[str, Any]) -> Any:
    """What the system's domain makes of a folder and the recipe's ``data`` section."""
    return registry.data_module(system).open_data(method, data, section)


def read_run(folder: Path) -> tuple[Recipe, Any]:
    """The recipe of a finished or stopped run, and its best model, in eval mode.

    Raises:
        RecipeError: the folder is no run.
        WeightsError: it has no weights yet, or they are damaged.
    """
    if not (folder / RECIPE).is_file():
        raise RecipeError(f"{folder} is no run: it has no {RECIPE}.", "Give the folder that sentio train --out made.")
    return read(folder / RECIPE), weights.load(folder / BEST).eval()
