"""sentio evaluate."""

import json as json_format
from pathlib import Path
from typing import Annotated, Any, Literal

from sentio.cli.parsing import DEVICE, FILE, FOLDER, NAME, SETTINGS
from sentio.core.errors import InputError, require
from sentio.core.progress import progress


def evaluate(
    run: Annotated[str, NAME],
    /,
    *,
    data: Annotated[Path, FOLDER],
    split: Literal["train", "validation", "test"] | None = None,
    fallback: Annotated[Path | None, FOLDER] = None,
    metric: Literal["official", "batch-averaged"] | None = None,
    ratio: float | None = None,
    input_points: int | None = None,
    clouds: Annotated[Path | None, FILE] = None,
    sampler: Literal["even", "random"] | None = None,
    starts: int | None = None,
    noise: float | None = None,
    seed: int | None = None,
    strict: bool = False,
    settings: Annotated[tuple[str, ...], SETTINGS] = (),
    device: Annotated[str, DEVICE] = "auto",
    out: Annotated[Path | None, FILE] = None,
    submit: Annotated[Path | None, FOLDER] = None,
    track: Literal["va", "expr", "au", "mtl", "lsd"] | None = None,
    edition: int | None = None,
    images: Annotated[Path | None, FILE] = None,
    json: bool = False,
) -> int:
    """Measure a run in the metrics of its domain, or write its submission.

    On the published layouts of Aff-Wild2 and LSD that is the official metric, pooled over all labelled frames; for
    up-samplers it is the table of each published convention, beside the floor (another even sample of the mesh) and
    midpoints without a network.

    Args:
        run: folder of a run of sentio train, or the name of weights (sentio models lists them).
        data: the data, in a layout that the system reads.
        split: whose frames are meant; validation for scores and test for a submission, if not given.
        fallback: another run, for the frames that the first one says nothing of (FER-Tuned for CAPNet).
        metric: affect: official if not given; batch-averaged is the inflated score of the ABAW3 distillation paper, to
            compare with its 2.40 and with nothing else.
        ratio: up-samplers: points out for each point in; 4 if not given.
        input_points: up-samplers: points in; 2048 if not given.
        clouds: up-samplers: npz with the arrays NAME|in2048 and NAME|gt8192 of the meshes; sampled anew if not given.
        sampler: up-samplers: how inputs are drawn from the meshes, without clouds; even if not given.
        starts: up-samplers: starts of farthest point sampling that scores are the mean of; 3 if not given.
        noise: up-samplers: standard deviation of noise on the input, in units of its radius.
        seed: up-samplers: of samples, noise and starts.
        strict: affect: refuse the data if a file in it is unusable, instead of leaving that out.
        settings: one value of the run's recipe to replace, e.g. evaluation.resamples=0; may be repeated.
        device: where networks run; auto is the GPU if there is one.
        out: file for the result with its header; RUN/evaluation.json if not given, and none for weights by name.
        submit: folder for a submission instead of scores; it is read back and validated.
        track: track of the submission; va if not given.
        edition: edition of the ABAW challenge (2 to 10), which decides the layout of the submission; 6 if not given.
        images: the organisers' list of the images to answer for, of ABAW2 and ABAW3 also of the videos; without it,
            every frame of the split.
        json: print JSON.

    Examples:
        sentio evaluate runs/capnet --data AFFWILD2 --fallback runs/fer_tuned
        sentio evaluate runs/capnet --data AFFWILD2 --submit OUT --track va --edition 6 --images LIST
        sentio evaluate pu-any --data MESHES --ratio 16
    """
    require("torch", "train")
    from sentio.core import runs

    chosen: dict[str, Any] = {
        "split": split,
        "fallback": fallback,
        "metric": metric,
        "ratio": ratio,
        "input_points": input_points,
    }
    chosen |= {"clouds": clouds, "sampler": sampler, "starts": starts, "noise": noise, "seed": seed}
    changes = [*settings, *_settings(chosen), *(["data.strict=true"] if strict else [])]
    form = {"track": track, "edition": edition, "images": images}
    if submit:
        given = {"track": "va", "edition": 6} | {name: value for name, value in form.items() if value is not None}
        print(*runs.submit(run, data, submit, given, changes, device=device), sep="\n")
        return 0
    if useless := [f"--{name}" for name, value in form.items() if value is not None]:
        raise InputError(f"{useless[0]} is about a submission.", "Give --submit FOLDER with it.")
    with progress("evaluating") as tell:
        result = runs.evaluate(run, data, changes, device=device, out=out, tell=tell)
    print(json_format.dumps(result.to_dict(), indent=2) if json else result.to_text())
    return 0


def _settings(flags: dict[str, Any]) -> list[str]:
    """The flags that were given as settings of the recipe's ``evaluation`` section, which refuses what it lacks."""
    texts = {name: str(value) if isinstance(value, Path) else value for name, value in flags.items()}
    return [f"evaluation.{name}={json_format.dumps(value)}" for name, value in texts.items() if value is not None]
