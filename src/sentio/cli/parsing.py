"""How flags are read: kinds of values, lists, and what is said of a wrong one."""

import difflib
import re
from collections.abc import Sequence
from typing import Any, Literal, get_args

from cyclopts import (
    App,
    ArgumentCollection,
    CoercionError,
    MissingArgumentError,
    Parameter,
    Token,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)
from cyclopts import convert as convert_tokens
from cyclopts.exceptions import CycloptsError

ADDRESS, FILE, FOLDER, NAME, SECONDS, SNAPSHOT = (
    Parameter(metavar=kind) for kind in ("auto|HOST:PORT", "FILE", "FOLDER", "NAME", "SECONDS", "NAME|FOLDER")
)
"""What a flag's value is called in the help where its type does not tell."""
DEVICE = Parameter(metavar="{auto,cpu,cuda,cuda:N,mps}")
"""See ``core.devices.choose``."""

Format = Literal["parquet", "csv", "jsonl", "vtt", "eaf", "textgrid"]
"""What is written of faces and voices: the table, captions, annotations."""

NEEDED = {int: "a whole number", float: "a number"}


def _read(kind: Any, tokens: Sequence[Token]) -> Any:
    """As usual, but ``2.5`` is no whole number."""
    if int in (kind, *get_args(kind)) and not re.fullmatch(r"[+-]?\d+", tokens[0].value):
        raise CoercionError(token=tokens[0], target_type=int)
    return convert_tokens(kind, tokens)


def _split(kind: Any, tokens: Sequence[Token]) -> Any:
    parts = [t.evolve(value=part) for t in tokens for part in t.value.split(",") if part]
    if not parts:
        raise CoercionError(token=tokens[0].evolve(value=""), target_type=kind)
    return convert_tokens(kind, parts)


FLAGS = Parameter(negative=(), converter=_read, json_list=False)
"""All flags: a switch is there or not, and has no --no-SWITCH."""

SETTINGS = Parameter("--set", metavar="KEY=VALUE")
"""Single values of a recipe; the flag is repeated."""

COMMAS = Parameter(converter=_split)
"""A list: the flag is repeated, or its value has commas."""


def exclusive(arguments: ArgumentCollection) -> None:
    """Validator of a group of flags of which only one may be given."""
    given = [argument.name for argument in arguments if argument.tokens]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} exclude each other.")


def complaint(error: CycloptsError) -> str:
    """One sentence that names the flag and what would be right."""
    page = f"{' '.join(('sentio', *(error.command_chain or ())))} --help"
    argument = error.argument
    match error:
        case CoercionError(token=Token() as token, target_type=kind) if kind in NEEDED:
            return f"{_name(error, token.keyword)} needs {NEEDED[kind]}, not {token.value!r}."
        case CoercionError(token=Token(value="") as token):
            return f"{_name(error, token.keyword)} needs a value: {_text(error)}."
        case MissingArgumentError() if argument and (argument.tokens or error.keyword):
            return f"{_name(error, error.keyword)} needs a value: {_text(error)}."
        case MissingArgumentError() if argument:
            return f"{_name(error, None)} is missing: {_text(error)}."
        case UnknownCommandError() | UnusedCliTokensError() if error.app and (verbs := _verbs(error.app)):
            return _no_verb((error.unused_tokens or [""])[0], verbs)
        case UnusedCliTokensError():
            return f"{(error.unused_tokens or [''])[0]!r} is one argument too many; {page} tells what can be given."
        case UnknownOptionError() if "Did you mean" not in str(error):
            return f"{error} {page} lists what there is."
    return str(error)


def _verbs(app: App) -> list[str]:
    return [name for name in app if not name.startswith("-")]


def _no_verb(word: str, verbs: list[str]) -> str:
    near = difflib.get_close_matches(word, verbs, n=1)
    return f"There is no verb {word!r}.{f' Did you mean {near[0]}?' if near else ''} There are: {', '.join(verbs)}."


def _name(error: CycloptsError, keyword: str | None) -> str:
    """The flag as it was written, or the argument as the help calls it."""
    name = keyword or (error.argument.name if error.argument else "")
    return name if name.startswith("-") else name.upper()


def _text(error: CycloptsError) -> str:
    """The help of the argument."""
    if not (error.app and error.argument):
        return "see --help"
    known = error.app.assemble_argument_collection(parse_docstring=True)
    found = next(a for a in known if a.field_info.name == error.argument.field_info.name)
    return " ".join((found.parameter.help or "").split()).rstrip(".")
