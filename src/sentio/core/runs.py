"""A recipe carried out: the model it names, trained on the data it asks for, in a run folder that tells it all.

A recipe is a JSON object with these sections: ``system`` (a registered name), ``model`` (its Config), ``data`` (read by
the system's ``open_data``), ``fit`` (FitConfig), ``start`` (parts of the model that begin from trained weights), and
``evaluation`` (read by the system's ``evaluate``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from sentio.core import checkpoints, devices, registry, runtime, weights
from sentio.core.config import from_dict, override, read_json, to_dict
from sentio.core.errors import RecipeError
from sentio.core.method import Method
from sentio.core.optimization import FitConfig
from sentio.core.progress import Tell, silent
from sentio.core.report import Report
from sentio.core.training import fit, refuse_begun
from sentio.core.writers import try_folder, write_json

RECIPE = "recipe.json"
BEST = "best.safetensors"
EVALUATION = "evaluation.json"


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


def change(plan: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with single values replaced by ``section.key=value`` settings.

    Raises:
        RecipeError: an unknown key or a wrong value.
    """
    return from_dict(Recipe, override(to_dict(plan), list(settings)))


def train(plan: Recipe, data: Path, out: Path, *, resume: bool = False) -> Path:
    """Train the recipe's model on a folder of data.

    Args:
        plan: what to do.
        data: a folder (or file) in a layout that the system reads.
        out: the run's folder; gets ``recipe.json``, the checkpoints, the logs and the best weights.
        resume: go on where a run in ``out`` was stopped.

    Returns:
        The best weights.

    Raises:
        SentioError: see :func:`sentio.core.training.fit`.
    """
    devices.choose(plan.fit.device)  # refused before work begins, as is a folder in use
    if not resume:
        refuse_begun(out)
    runtime.seed_everything(plan.fit.seed)  # before the weights are drawn
    method = (_begun(plan, out) if resume else None) or _begin(plan)
    method.prepare(data, plan.data, plan.fit)
    source = method.open_data(data, plan.data)
    _record(plan, out)
    return fit(method, source, plan.fit, out, resume=resume)


def start_from(method: Method, parts: Mapping[str, Path | str]) -> None:
    """Fill parts of a new method from trained ones: the ``start`` section of a recipe.

    Args:
        parts: the name of a member of ``method`` and a weights file (or embedded weights): of the member, if it is a
            Method itself, or else of any system that has a member of that name and kind, e.g. ``encoder``. The name
            ``all`` is the whole of ``method``. A safetensors file of another origin is for ``Method.adopt``.

    Raises:
        RecipeError: there is no such member, here or in the file, or it is of another kind.
        WeightsError: the file is missing, damaged or of another model.
    """
    for name, path in parts.items():
        if not weights.is_of_sentio(path):
            method.adopt(name, weights.read(path), str(path))
            continue
        part = method if name == "all" else method.part(name)
        if isinstance(part, Method):
            weights.load_into(part, path)
            continue
        trained: nn.Module = weights.load(path).part(name)
        if type(trained) is not type(part):
            raise RecipeError(f"start: the {name!r} of the system in {path} is of another kind than {method.name}'s.")
        part.load_state_dict(trained.state_dict())


def _begin(plan: Recipe) -> Any:
    method = registry.build(plan.system, plan.model)
    start_from(method, plan.start)
    return method


def _begun(plan: Recipe, out: Path) -> Any:
    """The model of a stopped run with all that its checkpoint has, so that nothing it began from is needed; or None."""
    found = checkpoints.load_newest(out / "checkpoints")
    if found is None:
        return None
    _refuse_other(plan, out)
    tensors, info = found
    method = registry.build(plan.system, plan.model, info.get("description"))
    method.load_state_dict(checkpoints.under_prefix("model", tensors))
    return method


def _record(plan: Recipe, out: Path) -> None:
    """Keep the recipe in the run's folder; one that was begun is only gone on with if the recipe is the same."""
    if any((out / "checkpoints").glob("step-*")):
        _refuse_other(plan, out)
    else:
        write_json(out / RECIPE, to_dict(plan))


def _refuse_other(plan: Recipe, out: Path) -> None:
    begun = read(out / RECIPE)
    for section in ("system", "model", "data", "start", "evaluation"):
        if getattr(begun, section) != getattr(plan, section):
            raise RecipeError(
                f"The run in {out} was begun with another {section!r} section.",
                f"Use its own recipe, {out / RECIPE}, or another --out.",
            )


def evaluate(
    run: Path | str,
    data: Path,
    settings: Sequence[str] = (),
    *,
    device: str = "auto",
    out: Path | None = None,
    tell: Tell = silent,
) -> Report:
    """Measure a finished run, or embedded weights, by the metrics of its domain.

    Args:
        run: the run's folder, or the name of weights.
        data: a folder (or file) in a layout that the system reads.
        settings: ``section.key=value``, in place of the values of the run's recipe, e.g. ``evaluation.noise=0.01``.
        device: see :func:`sentio.core.devices.choose`.
        out: file for the result as JSON; ``evaluation.json`` in the run's folder, and none for weights, if not given.
        tell: told how far the work has come.

    Raises:
        SentioError: see :func:`read_run` and ``Method.evaluate``.
    """
    if out is None and (Path(run) / RECIPE).is_file():
        out = Path(run) / EVALUATION
    if out is not None:
        try_folder(out.parent)
    plan, method = read_run(run, settings, device=device)
    result: Report = method.evaluate(data, plan.evaluation, data=plan.data, tell=tell)
    if out is not None:
        write_json(out, result.to_dict())
    return result


def submit(
    run: Path | str,
    data: Path,
    out: Path,
    form: Mapping[str, Any],
    settings: Sequence[str] = (),
    *,
    device: str = "auto",
) -> list[Path]:
    """Write the submission of a finished run for a challenge, see ``Method.submit``; returns its files."""
    plan, method = read_run(run, settings, device=device)
    files: list[Path] = method.submit(data, plan.evaluation, out, data=plan.data, form=form)
    return files


def read_run(run: Path | str, settings: Sequence[str] = (), *, device: str = "cpu") -> tuple[Recipe, Any]:
    """The recipe of a finished or stopped run, and its best model, in eval mode.

    Args:
        run: the run's folder, or the name of embedded or fetched weights, whose recipe is then empty.
        settings: single values of the recipe to replace.
        device: where the model is to be, see :func:`sentio.core.devices.choose`.

    Raises:
        RecipeError: the folder is no run, a setting is wrong, or the device is not there.
        WeightsError: it has no weights yet, or they are damaged.
    """
    folder, place = Path(run), devices.choose(device)
    if (folder / RECIPE).is_file():
        return read(folder / RECIPE, list(settings)), weights.load(folder / BEST).to(place).eval()
    if str(run) not in weights.cards():
        raise RecipeError(
            f"{run} is no run: it has no {RECIPE}.",
            f"Give the folder that sentio train --out made, or one of the names {', '.join(weights.cards())}.",
        )
    method = weights.load(str(run)).to(place).eval()
    return from_dict(Recipe, override({"system": method.name}, list(settings)), where=str(run)), method
