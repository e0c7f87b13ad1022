"""sentio train."""

from pathlib import Path
from typing import Annotated

from sentio.cli.parsing import DEVICE, FOLDER, SETTINGS, SNAPSHOT
from sentio.core.errors import InputError, require


def train(
    recipe: Path,
    /,
    *,
    data: Annotated[Path | None, FOLDER] = None,
    out: Annotated[Path | None, FOLDER] = None,
    visual: Annotated[str | None, SNAPSHOT] = None,
    audio: Annotated[str | None, SNAPSHOT] = None,
    fetch: bool = False,
    device: Annotated[str | None, DEVICE] = None,
    settings: Annotated[tuple[str, ...], SETTINGS] = (),
    strict: bool = False,
    resume: bool = False,
    dry_run: bool = False,
) -> int:
    """Train the system that a recipe names.

    OUT gets recipe.json, checkpoints/, best.safetensors, metrics.json and logs/ (CSV and TensorBoard). A stopped run
    goes on exactly where it was with --resume.

    A face network that is frozen, and the encoders that the recipe names, are run over the data once before, and their
    vectors kept in DATA/features; how long that takes and how much disk is said first. --set data.pictures=true does
    without.

    Args:
        recipe: a JSON file, e.g. recipes/capnet.json.
        data: folder of training data: any Aff-Wild2 or LSD layout for affect, meshes for points.
        out: folder of the run.
        visual: encoder of faces in the place of the recipe's: the published name or the folder of a snapshot, whose
            config.json tells what it is (CLIP, ViT); or a trained system: face, or a .safetensors file.
        audio: encoder of sound in the place of the recipe's, likewise (wav2vec 2.0, Whisper, AST; voice).
        fetch: allow the download of their published weights.
        device: where networks run, in the place of the recipe's fit.device, which is auto mostly: the GPU if there is
            one.
        settings: one value of the recipe to replace, e.g. fit.lr=0.001; may be repeated.
        strict: affect: refuse the data if a file in it is unusable, instead of leaving that out.
        resume: go on with the run in OUT.
        dry_run: tell the memory, storage and time that the training and an hour of video take, and do nothing; needs
            neither data nor the weights of published encoders.

    Examples:
        sentio train recipes/capnet.json --data AFFWILD2 --out runs/capnet
        sentio train recipes/face.json --data FACES --out runs/face --set fit.lr=0.001 --set model.width=16
        sentio train recipes/crossattn.json --data AFFWILD2 --out runs/crossattn --visual openai/clip-vit-base-patch32
        sentio train recipes/crossattn.json --dry-run
        torchrun --nproc-per-node 2 -m sentio train recipes/capnet.json --data AFFWILD2 --out runs/capnet
    """
    require("torch", "train")
    from sentio.core import needs, runs

    if not dry_run and (data is None or out is None):
        raise InputError("Training needs --data and --out.", "Without them --dry-run tells what it takes.")
    plan = runs.read(recipe)
    if visual or audio:
        from sentio.affect.training.choice import choose, choose_unread

        plan = choose_unread(plan, visual, audio) if dry_run else choose(plan, visual, audio, fetch=fetch)
    changes = [*settings, *(["data.strict=true"] if strict else []), *([f"fit.device={device}"] if device else [])]
    plan = runs.change(plan, changes)
    if data is None or out is None or dry_run:
        print(needs.text(plan, needs.needs(plan)))
    else:
        print(runs.train(plan, data, out, resume=resume))
    return 0
