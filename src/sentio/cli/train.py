"""sentio train."""

from pathlib import Path
from typing import Annotated

from sentio.cli.parsing import FOLDER, SETTINGS
from sentio.core.errors import require


def train(
    recipe: Path,
    /,
    *,
    data: Annotated[Path, FOLDER],
    out: Annotated[Path, FOLDER],
    settings: Annotated[tuple[str, ...], SETTINGS] = (),
    resume: bool = False,
) -> int:
    """Train the system that a recipe names.

    OUT gets recipe.json, checkpoints/, best.safetensors, metrics.json and logs/ (CSV and TensorBoard). A stopped run
    goes on exactly where it was with --resume.

    Args:
        recipe: a JSON file, e.g. recipes/capnet.json.
        data: folder of training data: any Aff-Wild2 or LSD layout for affect, meshes for points.
        out: folder of the run.
        settings: one value of the recipe to replace, e.g. fit.lr=0.001; may be repeated.
        resume: go on with the run in OUT.

    Examples:
        sentio train recipes/capnet.json --data AFFWILD2 --out runs/capnet
        sentio train recipes/face.json --data FACES --out runs/face --set fit.lr=0.001 --set model.width=16
    """
    require("torch", "train")
    from sentio.core import runs

    best = runs.train(runs.read(recipe, list(settings)), data, out, resume=resume)
    print(best)
    return 0
