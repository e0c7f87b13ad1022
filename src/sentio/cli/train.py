"""sentio train."""

from pathlib import Path
from typing import Annotated

from sentio.cli.parsing import FOLDER, SETTINGS, SNAPSHOT
from sentio.core.errors import require


def train(
    recipe: Path,
    /,
    *,
    data: Annotated[Path, FOLDER],
    out: Annotated[Path, FOLDER],
    visual: Annotated[str | None, SNAPSHOT] = None,
    audio: Annotated[str | None, SNAPSHOT] = None,
    fetch: bool = False,
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
        visual: encoder of faces in the place of the recipe's: the published name or the folder of a snapshot, whose
            config.json tells what it is (CLIP, ViT); or a trained system: face, or a .safetensors file.
        audio: encoder of sound in the place of the recipe's, likewise (wav2vec 2.0, Whisper, AST; voice).
        fetch: allow the download of their published weights.
        settings: one value of the recipe to replace, e.g. fit.lr=0.001; may be repeated.
        resume: go on with the run in OUT.

    Examples:
        sentio train recipes/capnet.json --data AFFWILD2 --out runs/capnet
        sentio train recipes/face.json --data FACES --out runs/face --set fit.lr=0.001 --set model.width=16
        sentio train recipes/crossattn.json --data AFFWILD2 --out runs/crossattn --visual openai/clip-vit-base-patch32
    """
    require("torch", "train")
    from sentio.core import runs

    plan = runs.read(recipe)
    if visual or audio:
        from sentio.affect.training.choice import choose

        plan = choose(plan, visual, audio, fetch=fetch)
    print(runs.train(runs.change(plan, settings), data, out, resume=resume))
    return 0
