"""Names for trainable systems: one file each, found by its name, imported only when it is used.

A system is a leaf. Its file lies in ``sentio/affect/models`` or ``sentio/points/models`` and registers one or more
classes; listing the names reads the files without importing them, so that it needs no torch.
"""

import ast
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never, TypeVar

from sentio.core.config import from_dict
from sentio.core.errors import RecipeError

if TYPE_CHECKING:
    from sentio.core.method import Method

MODEL_PACKAGES = ("sentio.affect.models", "sentio.points.models")

T = TypeVar("T", bound="type[Method]")
_classes: dict[str, "type[Method]"] = {}


@dataclass(frozen=True)
class Entry:
    """One registered name: where it is defined and, in a sentence, what it is."""

    name: str
    module: str
    summary: str


def register(name: str, *, summary: str) -> Callable[[T], T]:
    """Register a Method class under ``name``.

    ``name`` and ``summary`` are literals, for :func:`entries` reads them from the source.
    """

    def keep(cls: T) -> T:
        known = _classes.setdefault(name, cls)
        if known.__qualname__ != cls.__qualname__ or known.__module__ != cls.__module__:
            raise ValueError(f"{name!r} is registered twice: by {known.__module__} and by {cls.__module__}")
        cls.name = name
        return cls

    return keep


@cache
def entries() -> dict[str, Entry]:
    """All registered names, sorted, without importing a model file."""
    root = Path(__file__).resolve().parents[1]
    found: dict[str, Entry] = {}
    for package in MODEL_PACKAGES:
        folder = root.joinpath(*package.split(".")[1:])
        for file in sorted(folder.glob("[!_]*.py")):
            for name, summary in _registrations(file):
                found[name] = Entry(name, f"{package}.{file.stem}", summary)
    return dict(sorted(found.items()))


def _registrations(file: Path) -> list[tuple[str, str]]:
    found = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        for call in getattr(node, "decorator_list", []):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "register":
                summary = next(word.value for word in call.keywords if word.arg == "summary")
                found.append((ast.literal_eval(call.args[0]), ast.literal_eval(summary)))
    return found


def method(name: str) -> "type[Method]":
    """The class registered under ``name``.

    Raises:
        RecipeError: there is no such name; the message lists those there are.
    """
    entry = entries().get(name) or _unknown(name)
    importlib.import_module(entry.module)
    return _classes[name]


def _unknown(name: str) -> Never:
    raise RecipeError(f"There is no model named {name!r}.", f"Choose one of: {', '.join(entries())}.")


def build(name: str, config: dict[str, Any] | None = None, description: Mapping[str, Any] | None = None) -> Any:
    """Make the model ``name`` with random weights from the keys of its ``Config``; it is in training mode.

    Args:
        description: of the trained model whose weights it will get, see ``Method.description``.

    Raises:
        RecipeError: unknown name, unknown key or wrong value.
    """
    cls = method(name)
    made: Any = from_dict(cls.Config, config or {}, where=f"config of {name}")
    return (cls.rebuild(made, description) if description else cls(made)).train()
