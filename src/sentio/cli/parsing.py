"""From typed functions to a parser: signatures become flags, docstrings their help."""

import inspect
import re
from collections.abc import Callable
from typing import Any

from jsonargparse import ArgumentParser

from sentio import __version__

Verbs = dict[str, tuple[Callable[..., int], dict[str, dict[str, Any]]]]
"""Every verb with its function and the arguments that are read in a special way, those without a flag above all."""
EPILOG = "Each verb explains itself: sentio VERB --help"


def parse(known: Verbs, given: list[str]) -> tuple[str, dict[str, Any]]:
    """The verb and the arguments for its function; ends the program with code 2 if they are wrong."""
    flags = given.index("--") if "--" in given else len(given)
    given = [*map(_with_underscores, given[:flags]), *given[flags:]]
    chosen = build_parser(known).parse_args(given)
    return chosen.verb, vars(chosen[chosen.verb])


def build_parser(known: Verbs) -> ArgumentParser:
    """The parser of all verbs."""
    parser = ArgumentParser(prog="sentio", description="Affect from faces and voices; dense point clouds from sparse.")
    parser.add_argument("--version", action="version", version=f"sentio {__version__}")
    verbs = parser.add_subcommands(required=True, dest="verb", metavar="VERB", description=EPILOG, title="verbs")
    for name, (function, special) in known.items():
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
