"""Frozen dataclasses to and from JSON. An unknown key or a wrong type is an error that names it."""

import dataclasses
import json
import types
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from sentio.core.counts import counted
from sentio.core.errors import RecipeError

T = TypeVar("T")
DEEPEST = 64
"""Levels of objects and lists that a file may have; what goes through them calls itself for each one."""


def from_dict(cls: type[T], values: dict[str, Any], *, where: str = "recipe") -> T:
    """Build the dataclass ``cls`` from a JSON object.

    Args:
        cls: a frozen dataclass whose fields are numbers, strings, booleans, None, literals, tuples or dataclasses.
        values: the JSON object; keys left out take their defaults.
        where: what to call the object in an error message.

    Raises:
        RecipeError: unknown key, missing key, wrong type, or a value that the dataclass itself rejects.
    """
    if not isinstance(values, dict):
        raise RecipeError(f"{where}: expected an object, found {values!r}.")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise RecipeError(f"{where}: unknown key {unknown[0]!r}.", f"Valid keys: {', '.join(fields)}.")
    hints = get_type_hints(cls)
    built = {key: _convert(hints[key], value, f"{where}.{key}") for key, value in values.items()}
    try:
        return cls(**built)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{where}: {error}.") from error


def to_dict(config: Any) -> dict[str, Any]:
    """The JSON object of a dataclass: every field, also those at their defaults."""
    return dataclasses.asdict(config)


def read_json(path: Path, *, what: str = "recipe") -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Args:
        path: the file.
        what: what it is, for an error message.

    Raises:
        RecipeError: the file is missing, no JSON, nested too deeply, or no object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"Cannot read the {what} {path}: {error.strerror}.") from error
    except ValueError as error:
        raise RecipeError(f"The {what} {path} is not valid JSON: {error}.") from error
    except RecursionError:  # far deeper
        deep = True
    else:
        deep = _is_deep(values)
    if deep:
        raise RecipeError(f"The {what} {path} is nested more than {DEEPEST} levels deep.")
    if not isinstance(values, dict):
        raise RecipeError(f"The {what} {path} holds no object.")
    return values


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def override(values: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """Replace single values of a recipe by ``section.key=value`` settings; a value is JSON, or else a string.

    Raises:
        RecipeError: a setting without ``=``, or a path through something that is no object.
    """
    result: dict[str, Any] = json.loads(json.dumps(values))
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise RecipeError(f"The setting {setting!r} is not of the form key=value.")
        *parents, last = path.split(".")
        section = result
        for parent in parents:
            section = section.setdefault(parent, {})
            if not isinstance(section, dict):
                raise RecipeError(f"The setting {setting!r} passes through {parent!r}, which is no object.")
        section[last] = _parse(text)
    return result


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _convert(kind: Any, value: Any, where: str) -> Any:
    """``value`` as ``kind``; JSON has no tuples and writes 1.0 as 1, all else must match."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(args, value, where)
    if origin is Literal:
        if value not in args:
            raise RecipeError(f"{where}: {value!r} is not valid.", f"Choose one of: {', '.join(map(str, args))}.")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        kinds = args[:1] * len(value) if len(args) == 2 and args[1] is Ellipsis else args
        if len(kinds) != len(value):
            raise RecipeError(f"{where}: expected {counted(len(kinds), 'value')}, found {len(value)}.")
        pairs = enumerate(zip(kinds, value, strict=True))
        return tuple(_convert(inner, item, f"{where}[{i}]") for i, (inner, item) in pairs)
    if origin is dict and isinstance(value, dict):
        return {key: _convert(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return from_dict(kind, value, where=where)  # type: ignore[arg-type]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(kind, type) or not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise RecipeError(f"{where}: expected {getattr(kind, '__name__', kind)}, found {value!r}.")
    return value


def _convert_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    problem = RecipeError(f"{where}: {value!r} is not valid.")
    for kind in kinds:
        if kind is not type(None):
            try:
                return _convert(kind, value, where)
            except RecipeError as error:
                problem = error
    raise problem
