"""The command line: a verb is a typed function here; its signature is its flags, its docstring their help."""

import inspect
import json as json_format
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ActionYesNo, ArgumentParser

from sentio import __version__
from sentio.core.errors import InputError, SentioError

EPILOG = "Each verb explains itself: sentio VERB --help"
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
        start: first second to read.
        end: last second to read.
        shard: i/n takes every n-th file beginning with the i-th, to share a batch among n runs.
        resume: skip files whose result is complete, made with the same options, and newer than no change of the file.
        json: print a JSON summary instead of a progress bar.
        quiet: print nothing but errors.
    """
    from sentio.affect import jobs, pipeline

    if demo:
        paths = [jobs.DEMO_CLIP]
    elif not paths:
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


Arguments = dict[str, dict[str, Any]]
VERBS: dict[str, tuple[Callable[..., int], Arguments]] = {
    "analyze": (analyze_media, {"paths": {"nargs": "*", "type": Path, "help": "files, folders or patterns"}}),
    "upsample": (
        upsample_cloud,
        {
            "path": {"type": Path, "help": "the cloud"},
            "--keep_input": {"action": ActionYesNo(no_prefix="no_"), "default": None},
        },
    ),
    "train": (train_recipe, {"recipe": {"type": Path, "help": "a JSON file, e.g. recipes/capnet.json"}}),
    "models": (
        list_or_fetch_models,
        {
            "action": {"nargs": "?", "choices": ["list", "fetch"], "default": "list", "help": "default: list"},
            "names": {"nargs": "*", "help": "weights to fetch"},
        },
    ),
    "doctor": (examine_installation, {}),
}
"""Every verb with its function and the arguments of it that are read in a special way: those without a flag above all.

The functions have other names than the package's own: the parser would import ``sentio.analyze`` to compare them.
"""


def build_parser() -> ArgumentParser:
    """The parser of all verbs."""
    parser = ArgumentParser(prog="sentio", description="Affect from faces and voices; dense point clouds from sparse.")
    parser.add_argument("--version", action="version", version=f"sentio {__version__}")
    verbs = parser.add_subcommands(required=True, dest="verb", metavar="VERB", description=EPILOG, title="verbs")
    for name, (function, special) in VERBS.items():
        summary, *rest = (inspect.getdoc(function) or "").split("\n\n")
        about = "\n\n".join([summary, *(text for text in rest if not text.startswith("Args:"))])
        verb = ArgumentParser(description=about)
        for argument, how in special.items():
            described: dict[str, Any] = {"help": _help_of(function, argument.lstrip("-")), **how}
            verb.add_argument(argument, **described)
        switches = {p.name for p in inspect.signature(function).parameters.values() if p.annotation is bool}
        verb.add_function_arguments(
            function, skip={*switches, *(argument.lstrip("-") for argument in special)}, as_group=False
        )
        for switch in sorted(switches):
            verb.add_argument(f"--{switch}", action="store_true", help=_help_of(function, switch))
        verbs.add_subcommand(name, verb, help=summary)
    return parser


def _help_of(function: Callable[..., int], name: str) -> str:
    """The text of one argument in the docstring, from its name to the next one's."""
    text = (inspect.getdoc(function) or "").partition("Args:\n")[2]
    found = re.search(rf"^    {name}: (.*?)(?=^    \w+: |\Z)", text, re.DOTALL | re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def _with_underscores(argument: str) -> str:
    """``--keep-input=true`` as ``--keep_input=true``, so that both spellings of a flag are right."""
    flag, equals, value = argument.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value if argument.startswith("--") else argument


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    given = sys.argv[1:] if argv is None else argv
    chosen = build_parser().parse_args([_with_underscores(argument) for argument in given])
    function, _ = VERBS[chosen.verb]
    try:
        return function(**vars(chosen[chosen.verb]))
    except SentioError as error:
        print(f"sentio: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sentio: interrupted; files that were complete are kept.", file=sys.stderr)
        return 130
