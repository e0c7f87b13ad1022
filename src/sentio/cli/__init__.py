"""The command line: a verb is a typed function; its signature is its flags, its docstring their help.

The verb ``NAME`` is the function ``NAME`` in ``sentio.cli.NAME``, or an ``App`` of that name if it has verbs of its
own. It is imported when it is needed.
"""

import io
import os
import sys

from cyclopts.exceptions import CycloptsError

from sentio import __version__
from sentio.cli.help import Program
from sentio.cli.parsing import FLAGS, complaint
from sentio.core.errors import SentioError

VERBS = {
    "Use": ("analyze", "live", "convert", "upsample"),
    "Data": ("data", "features", "synth"),
    "Train": ("train", "evaluate", "reproduce", "submission"),
    "This installation": ("models", "doctor"),
}
"""The verbs in the order of the help, by group."""


def build() -> Program:
    """The command line with all its verbs."""
    program = Program(
        name="sentio",
        help="Affect from faces and voices; dense point clouds from sparse.",
        version=f"sentio {__version__}",
        version_format="plaintext",
        default_parameter=FLAGS,
    )
    for group, verbs in VERBS.items():
        for verb in verbs:
            program.command(f"sentio.cli.{verb}:{verb}", name=verb, group=group)
    return program


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 not read."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may be no text
    given = sys.argv[1:] if argv is None else argv
    program = build()
    if given in ([], ["-h"], ["--help"]):  # by itself, for the parser would import rich first
        program.help_print([])
        return 0 if given else 2
    try:
        function, bound, _ = program.parse_args(given, print_error=False, exit_on_error=False)
    except CycloptsError as error:
        print(f"sentio: {complaint(error)}", file=sys.stderr)
        return 2
    try:
        code = function(*bound.args, **bound.kwargs) or 0
        sys.stdout.flush()
        return code
    except SentioError as error:
        print(f"sentio: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sentio: interrupted; files that were complete are kept.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, head for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
