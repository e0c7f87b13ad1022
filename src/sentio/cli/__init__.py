"""The command line: a verb is a typed function; its signature is its flags, its docstring their help."""

import io
import os
import sys
from pathlib import Path

from jsonargparse import ActionYesNo

from sentio.cli.analyze import analyze_media
from sentio.cli.data import check_or_fetch_data
from sentio.cli.doctor import examine_installation
from sentio.cli.evaluate import evaluate_run
from sentio.cli.features import store_features
from sentio.cli.models import list_or_fetch_models
from sentio.cli.parsing import Verbs, parse
from sentio.cli.synth import synthesize_faces
from sentio.cli.train import train_recipe
from sentio.cli.upsample import upsample_cloud
from sentio.core.errors import SentioError

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
    "evaluate": (
        evaluate_run,
        {"run": {"type": str, "help": "folder of a run of sentio train, or the name of weights"}},
    ),
    "data": (
        check_or_fetch_data,
        {
            "action": {"choices": ["check", "fetch"], "help": "what to do"},
            "path": {"type": Path, "help": "folder of data to check; or what to fetch: mpfb, ict-facekit"},
        },
    ),
    "synth": (synthesize_faces, {"out": {"type": Path, "help": "folder to fill"}}),
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
