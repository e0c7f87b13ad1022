"""sentio evaluate."""

import json as json_format
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from sentio.cli.parsing import COMMAS, FILE, FOLDER
from sentio.core.errors import require
from sentio.core.progress import progress

TABLE_WIDTH = 160
"""Characters that the table of an evaluation needs, also where it goes to a file."""


def evaluate(
    run: Path,
    /,
    *,
    data: Annotated[Path, FOLDER],
    split: Literal["train", "validation", "test"] | None = None,
    fallback: Annotated[Path | None, FOLDER] = None,
    out: Annotated[Path | None, FILE] = None,
    submit: Annotated[Path | None, FOLDER] = None,
    track: Literal["va", "expr", "au", "mtl", "lsd"] = "va",
    edition: int = 6,
    images: Annotated[Path | None, FILE] = None,
    json: bool = False,
) -> int:
    """Score a run by the official metric, or write its submission.

    Scores are pooled over all labelled frames.

    Args:
        run: folder of a run of sentio train.
        data: folder of the data.
        split: whose frames are meant; validation for scores and test for a submission, if not given.
        fallback: another run, for the frames that the first one says nothing of (FER-Tuned for CAPNet).
        out: file for the scores with their header; RUN/evaluation.json if not given.
        submit: folder for a submission instead of scores; it is read back and validated.
        track: track of the submission.
        edition: edition of the ABAW challenge (2 to 10), which decides the layout of the submission.
        images: the organisers' list of the images to answer for; without it, every frame of the split.
        json: print JSON.

    Examples:
        sentio evaluate runs/capnet --data AFFWILD2
        sentio evaluate runs/capnet --data AFFWILD2 --submit OUT --track va --edition 6
    """
    require("torch", "train")
    from sentio.affect.evaluate import evaluate_run as score_run
    from sentio.affect.evaluate import submit_run
    from sentio.core.writers import write_json

    if submit:
        files = submit_run(
            run, data, submit, track=track, edition=edition, images=images, split=split or "test", fallback=fallback
        )
        print(*files, sep="\n")
        return 0
    result = score_run(run, data, split=split or "validation", fallback=fallback)
    write_json(out or run / "evaluation.json", result.to_dict())
    print(json_format.dumps(result.to_dict(), indent=2) if json else result.to_text())
    return 0


def evaluate_points(
    data: Path,
    /,
    *,
    models: Annotated[tuple[Literal["pu-any", "pu-mfa"], ...], COMMAS] = ("pu-any", "pu-mfa"),
    clouds: Annotated[Path | None, FILE] = None,
    ratio: float = 4.0,
    input_points: int = 2048,
    noise: float = 0.0,
    seed: int = 0,
    out: Annotated[Path, FILE] = Path("evaluation.json"),
    json: bool = False,
) -> int:
    """Measure up-sampling against dense clouds of the same meshes.

    Each published convention has its column. Two rows of the same run stand beside the models: the floor (another even
    sample of the mesh) and midpoints without a network. All values are times 1000.

    Args:
        data: folder of meshes.
        models: what to measure.
        clouds: npz with the arrays NAME|in2048 and NAME|gt8192 of the meshes; sampled anew if not given.
        ratio: points out for each point in.
        input_points: points in.
        noise: standard deviation of noise on the input, in units of its radius.
        seed: of samples and noise.
        out: file for the rows of every shape, with the protocol.
        json: print the means as JSON.
    """
    from functools import partial

    from rich.console import Console

    from sentio.points.evaluate import Upsampler, evaluate_shapes
    from sentio.points.upsample import upsample

    methods: dict[str, Upsampler] = {name: partial(upsample, model=name) for name in models}
    with progress("evaluating") as tell:
        result = evaluate_shapes(
            data,
            methods,
            ratio=ratio,
            points=input_points,
            clouds=clouds,
            noise=noise,
            seed=seed,
            progress=tell,
        )
    result.write(out)
    if json:
        print(json_format.dumps([asdict(row) for row in result.means()], indent=2))
    else:
        Console(width=max(Console().width, TABLE_WIDTH)).print(result.table())
    return 0
