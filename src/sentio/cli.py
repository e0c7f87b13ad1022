"""The command line: a verb is a typed function here; its signature is its flags, its docstring their help."""

import io
import json as json_format
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ActionYesNo

from sentio.core.errors import InputError, SentioError, require
from sentio.parsing import Verbs, parse

Format = Literal["parquet", "csv", "jsonl"]


def analyze_media(
    paths: list[Path],
    *,
    demo: bool = False,
    out: Path = Path(),
    formats: tuple[Format, ...] = ("parquet", "csv"),
    detector: Literal["auto", "haar", "yunet"] = "auto",
    search_interval: float = 0.2,
    fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
    shard: str = "1/1",
    resume: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Read videos, pictures and folders of them: one row per frame and person, with true time stamps.

    For NAME.mp4 the folder OUT/NAME.sentio appears, with the table affect.parquet and affect.csv and, in run.json,
    how it was made and what was lost. A file that cannot be read does not stop the others: it is listed in
    OUT/failed.json and the exit code is 1.

    Args:
        demo: read the clip that comes with the package.
        out: folder for the results.
        formats: table formats to write.
        detector: auto takes YuNet when it is fetched (sentio models fetch yunet), else the built-in Haar cascade.
        search_interval: seconds between two searches of the whole picture; known faces are followed in every frame.
        fps: reduce the rate to this many frames a second, by time; every frame if not given.
        start: leave out frames before this time, in seconds.
        end: leave out frames at and after this time, in seconds.
        shard: i/n takes every n-th file beginning with the i-th, to share a batch among n runs.
        resume: skip files whose result is complete, made with the same options, and whose source has not changed.
        json: print a JSON summary instead of a progress bar.
        quiet: print nothing but errors.
    """
    from sentio.affect import jobs, pipeline

    if demo:
        paths = [*paths, jobs.DEMO_CLIP]
    if not paths:
        raise InputError("Nothing to read.", "Name files or folders, or try: sentio analyze --demo")
    options = pipeline.Options(detector, search_interval, fps, start, end)
    batch = jobs.Batch(out, options, formats, jobs.Shard.parse(shard), resume)
    summary = jobs.run(batch, jobs.find(paths), show=not (json or quiet))
    if json:
        print(json_format.dumps(summary.to_dict(), indent=2))
    elif not quiet:
        print(summary.text())
    return 1 if summary.failed else 0


def upsample_cloud(
    path: Path,
    *,
    ratio: float = 4.0,
    points: int | None = None,
    out: Path | None = None,
    keep_input: bool | None = None,
    model: Literal["pu-any", "pu-mfa"] = "pu-any",
    format: str | None = None,
    preview: Path | None = None,
    view: Path | None = None,
    attention: Path | None = None,
    json: bool = False,
) -> int:
    """Make a point cloud denser: any ratio, or an exact number of points; all attributes are carried along.

    Reads and writes xyz, txt, csv, ply, pcd, las, laz, npy, npz and the .bin of KITTI and nuScenes; reads meshes
    (obj, off, stl, glb), of which it samples 8,192 points first.

    Args:
        ratio: points out for each point in.
        points: points out, exactly, instead of a ratio.
        out: file to write; its suffix names the format. NAME.dense.SUFFIX beside the source if not given.
        keep_input: keep the original points exactly and add to them; if not given, for laser scanners (las, laz, KITTI,
            nuScenes) only. Otherwise points are moved onto the surface, which takes away noise.
        model: pu-any for any ratio; pu-mfa is the published network.
        format: format of the source where its suffix does not tell, e.g. kitti or nuscenes for a .bin.
        preview: PNG file for a picture of before and after.
        view: HTML file in which to turn both clouds about.
        attention: folder for pictures of what PU-MFA looks at.
        json: print a JSON summary.
    """
    from sentio.points.files import Outputs, upsample_file

    with _progress(path.name) as tell:
        summary = upsample_file(
            path,
            out,
            ratio=ratio,
            count=points,
            keep_input=keep_input,
            model=model,
            format=format,
            outputs=Outputs(preview, view, attention),
            progress=tell,
        )
    print(json_format.dumps(summary, indent=2) if json else _lines(summary))
    return 0


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


def check_data(action: Literal["check"], path: Path, *, all_images: bool = False, json: bool = False) -> int:
    """Look through a folder in any Aff-Wild2 or LSD layout: what is there, class balance, and what is wrong where.

    The exit code is 1 if a file is unusable.

    Args:
        all_images: decode every crop, not a thousand spread evenly.
        json: print JSON.
    """
    from sentio.affect.data.check import check

    report = check(path, images=None if all_images else 1000)
    print(json_format.dumps(report.to_dict(), indent=2) if json else report.to_text())
    return 0 if report.usable() else 1


def store_features(data: Path, *, encoder: str, out: Path | None = None, fetch: bool = False) -> int:
    """Run a frozen encoder once over all crops, or all sound, of a data folder and keep its vectors.

    What is there already is not done again, so a stopped run goes on.

    Args:
        encoder: vit, clip, wav2vec2 or ast (published weights), KIND:FOLDER for others of that kind, or the
            .safetensors file of a trained system, whose own encoder is taken.
        out: folder of the store; DATA/features if not given.
        fetch: allow the download of published weights.
    """
    require("torch", "train")
    from sentio.affect.data.dataset import DataConfig, open_store
    from sentio.affect.data.extraction import extract

    config = DataConfig(features=str(out) if out else None)
    store = open_store(data, encoder, config, fetch=fetch)
    problems = extract(data, store)
    print(*problems, f"features: {store.folder}", sep="\n")
    return 1 if any(problem.level == "error" for problem in problems) else 0


def evaluate_run(
    run: Path,
    *,
    data: Path,
    split: Literal["train", "validation", "test"] | None = None,
    fallback: Path | None = None,
    out: Path | None = None,
    submit: Path | None = None,
    track: Literal["va", "expr", "au", "mtl", "lsd"] = "va",
    edition: int = 6,
    images: Path | None = None,
    json: bool = False,
) -> int:
    """Score a finished run by the official metric, pooled over all labelled frames; or write its submission.

    Args:
        data: folder of the data.
        split: whose frames are meant; validation for scores and test for a submission, if not given.
        fallback: another run, for the frames that the first one says nothing of (FER-Tuned for CAPNet).
        out: file for the scores with their header; RUN/evaluation.json if not given.
        submit: folder for a submission instead of scores; it is read back and validated.
        track: track of the submission.
        edition: edition of the ABAW challenge (2 to 10), which decides the layout of the submission.
        images: the organisers' list of the images to answer for; without it, every frame of the split.
        json: print JSON.
    """
    require("torch", "train")
    from sentio.affect import evaluation
    from sentio.core.writers import write_json

    if submit:
        files = evaluation.submit_run(
            run, data, submit, track=track, edition=edition, images=images, split=split or "test", fallback=fallback
        )
        print(*files, sep="\n")
        return 0
    result = evaluation.evaluate_run(run, data, split=split or "validation", fallback=fallback)
    write_json(out or run / "evaluation.json", result.to_dict())
    print(json_format.dumps(result.to_dict(), indent=2) if json else result.to_text())
    return 0


def evaluate_upsampling(
    data: Path,
    *,
    models: tuple[Literal["pu-any", "pu-mfa"], ...] = ("pu-any", "pu-mfa"),
    clouds: Path | None = None,
    ratio: float = 4.0,
    input_points: int = 2048,
    noise: float = 0.0,
    seed: int = 0,
    out: Path = Path("evaluation.json"),
    json: bool = False,
) -> int:
    """Up-sample clouds of meshes and compare with dense clouds of the same meshes, in each published convention.

    Two rows of the same run stand beside the models: the floor (another even sample of the mesh) and midpoints without
    a network. All values are times 1000.

    Args:
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
    with _progress("evaluating") as tell:
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
        Console().print(result.table())
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
            with _progress(f"fetching {name}") as tell:
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
    print(json_format.dumps(report, indent=2) if json else _lines(report))
    return 1 if report["problems"] else 0


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing elsewhere; gives a function to be told of (done, total)."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


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


def _lines(values: dict[str, Any], indent: str = "") -> str:
    """A nested JSON object as indented lines; an empty list says none."""
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines.append(f"{indent}{key}:\n{_lines(value, indent + '  ')}")
        else:
            shown = (", ".join(map(str, value)) or "none") if isinstance(value, list) else value
            lines.append(f"{indent}{key}: {shown}")
    return "\n".join(lines)


VERBS: Verbs = {
    "analyze": (analyze_media, {"paths": {"nargs": "*", "type": Path, "help": "files, folders or patterns"}}),
    "upsample": (
        upsample_cloud,
        {
            "path": {"type": Path, "help": "the cloud"},
            "--keep_input": {"action": ActionYesNo(no_prefix="no_"), "default": None},
        },
    ),
    "train": (train_recipe, {"recipe": {"type": Path, "help": "a JSON file, e.g. recipes/capnet.json"}}),
    "evaluate": (evaluate_run, {"run": {"type": Path, "help": "folder of a run of sentio train"}}),
    "evaluate-points": (evaluate_upsampling, {"data": {"type": Path, "help": "folder of meshes"}}),
    "data": (
        check_data,
        {"action": {"choices": ["check"], "help": "what to do"}, "path": {"type": Path, "help": "folder of data"}},
    ),
    "features": (store_features, {"data": {"type": Path, "help": "folder of data"}}),
    "models": (
        list_or_fetch_models,
        {
            "action": {"nargs": "?", "choices": ["list", "fetch"], "default": "list", "help": "default: list"},
            "names": {"nargs": "*", "help": "weights to fetch"},
        },
    ),
    "doctor": (examine_installation, {}),
}
"""The verbs, their functions and special arguments.

The functions have other names than the package's own: the parser would import ``sentio.analyze`` to compare them.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may be no text
    verb, arguments = parse(VERBS, sys.argv[1:] if argv is None else argv)
    function, _ = VERBS[verb]
    try:
        return function(**arguments)
    except SentioError as error:
        print(f"sentio: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sentio: interrupted; files that were complete are kept.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, head for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
