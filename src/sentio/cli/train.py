"""sentio train."""

from pathlib import Path

from sentio.core.errors import require


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
    from sentio.core import runs

    best = runs.train(runs.read(recipe, settings), data, out, resume=resume)
    print(best)
    return 0
