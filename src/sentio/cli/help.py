"""The help pages: laid out as plain text, from signatures and docstrings."""

import inspect
import re
import shutil
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from cyclopts import App, ArgumentCollection
from cyclopts.argument import Argument

from sentio.cli.parsing import COMMAS

WIDEST = 100
"""Characters of a line, on terminals that are wider."""
INDENT, COLUMN = "  ", 24
"""Before a flag; where its text begins."""
WORDS = {int: "N", float: "NUMBER", Path: "PATH", str: "TEXT"}
"""What a value is called where the flag has no word of its own."""


class Program(App):
    """A command line whose help is plain text."""

    def help_print(self, tokens: Any = None, *, console: Any = None) -> None:
        """Print the page of the verb that ``tokens`` name."""
        names, apps, _ = self.parse_commands(tokens)
        with self.app_stack(apps):
            print(page(["sentio", *names], apps[-1]))


def page(names: list[str], app: App) -> str:
    """The help of a verb.

    Args:
        names: words with which it is called, ``["sentio", "data", "check"]``.
        app: the verb, with those below it.
    """
    arguments = list(_arguments(app)) if app.default_command else []
    about, examples = _docstring(app.help)
    parts = [f"Usage: {_usage(names, app, arguments)}", *(_wrap(text) for text in about)]
    for title in dict.fromkeys(_group(sub) for _, sub in _verbs(app)):
        rows = [(name, _summary(sub)) for name, sub in _verbs(app) if _group(sub) == title]
        parts.append(_section(title or "Verbs", rows, max(len(name) for name, _ in _verbs(app))))
    places = [argument for argument in arguments if argument.index is not None]
    flags = [argument for argument in arguments if argument.index is None]
    parts.append(_section("Arguments", [(_place(argument), _about(argument)) for argument in places]))
    parts.append(_section("Options", [(_flag(argument), _about(argument)) for argument in flags]))
    parts.append("\n".join(["Examples:", *(INDENT + line for line in examples)]) if examples else "")
    if len(names) == 1:
        parts.append(_wrap(f"{names[0]} --version shows the version; {names[0]} VERB --help explains a verb."))
    return "\n\n".join(part for part in parts if part)


def _arguments(app: App) -> ArgumentCollection:
    return app.assemble_argument_collection(parse_docstring=True).filter_by(show=True)


def _verbs(app: App) -> Iterable[tuple[str, App]]:
    return [(name, sub) for name, sub in app.resolved_commands().items() if not name.startswith("-")]


def _group(app: App) -> str:
    group = app.group[0] if isinstance(app.group, tuple) and app.group else ""
    return group if isinstance(group, str) else group.name


def _usage(names: list[str], app: App, arguments: list[Argument]) -> str:
    words = list(names)
    if list(_verbs(app)):
        words.append("[VERB]" if app.default_command else "VERB")
    words += [_flag(argument) for argument in arguments if argument.index is None and argument.required]
    if any(argument.index is None and not argument.required for argument in arguments):
        words.append("[OPTIONS]")
    words += [_place(argument) for argument in arguments if argument.index is not None]
    return " ".join(words)


def _docstring(text: str) -> tuple[list[str], list[str]]:
    """The paragraphs, and the lines of the examples; the section of the arguments is read elsewhere."""
    about, examples = [], []
    for block in inspect.cleandoc(text).split("\n\n"):
        if block.startswith("Examples:"):
            examples = [line.strip() for line in block.splitlines()[1:]]
        elif not re.match(r"\w+:\n", block):
            about.append(block)
    return about, examples


def _summary(app: App) -> str:
    return " ".join(_docstring(app.help)[0][0].split())


def _place(argument: Argument) -> str:
    """``PATH...`` for as many as one likes, ``[NAME]`` for what may be left out."""
    if argument.field_info.kind is inspect.Parameter.VAR_POSITIONAL:
        return f"{_value(argument)}..."
    name = argument.name.lstrip("-").upper()
    return name if argument.required else f"[{name}]"


def _flag(argument: Argument) -> str:
    names = ", ".join(sorted(argument.names, key=lambda name: name in argument.negatives))
    return " ".join(filter(None, (names, _value(argument))))


def _value(argument: Argument) -> str:
    hint = _bare(argument.hint)
    if hint is bool:
        return ""
    kind = get_args(hint)[0] if get_origin(hint) in (tuple, list) else hint
    choices = argument.get_choices()
    word = argument.parameter.metavar or ("{" + ",".join(choices) + "}" if choices else WORDS[kind])
    return f"{word},..." if argument.parameter.converter is COMMAS.converter else word


def _bare(hint: Any) -> Any:
    """``X`` of ``X | None``."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if type(None) in get_args(hint) and get_origin(hint) is not Literal else hint


def _about(argument: Argument) -> str:
    """The docstring's text, and the default if there is one."""
    text = " ".join((argument.parameter.help or "").split())
    default = argument.field_info.default
    if argument.required:
        return f"{text} (required)" if argument.index is None else text
    if default in (None, False, (), "", argument.field_info.empty):
        return text
    if default is True:
        return f"{text} (default: {argument.name})"
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    return f"{text} (default: {f'{shown:g}' if isinstance(shown, float) else shown})"


def _section(title: str, rows: list[tuple[str, str]], widest: int = 0) -> str:
    """A title and its rows; their texts begin in one column, that of ``widest`` at least."""
    if not rows:
        return ""
    column = min(COLUMN, max(widest, *(len(left) for left, _ in rows)) + 2 * len(INDENT))
    return "\n".join([f"{title}:", *(_row(left, right, column) for left, right in rows)])


def _row(left: str, right: str, column: int) -> str:
    """A flag and its text beside it, or below if the flag is long."""
    start = INDENT + left
    if len(start) + len(INDENT) > column:
        return f"{start}\n{_wrap(right, ' ' * column)}" if right else start
    return _wrap(right, " " * column, start.ljust(column))


def _wrap(text: str, indent: str = "", start: str | None = None) -> str:
    width = min(shutil.get_terminal_size().columns, WIDEST)
    return textwrap.fill(
        " ".join(text.split()),
        width,
        initial_indent=indent if start is None else start,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
