"""The typed errors of the package: each says what happened and, where there is one, what to do about it."""

import importlib
from types import ModuleType


class SentioError(Exception):
    """Base of every error that a user can cause or mend.

    Args:
        what: what happened, naming the file, key or value.
        fix: what to do about it, as an imperative; empty when there is nothing to do.
    """

    def __init__(self, what: str, fix: str = "") -> None:
        self.what = what
        self.fix = fix
        super().__init__(f"{what}\n  {fix}" if fix else what)

    def __reduce__(self) -> tuple[type["SentioError"], tuple[str, str]]:
        return type(self), (self.what, self.fix)  # keeps both parts across processes


class InputError(SentioError):
    """A file, folder or array that cannot be used."""


class OutputError(SentioError):
    """A result that cannot be written."""


class DiskFullError(OutputError):
    """No space is left, so that whatever is tried next would fail as well."""


class WeightsError(SentioError):
    """Weights that are missing, damaged, unsafe, or belong to another model."""


class RecipeError(SentioError):
    """A recipe, config or option with an unknown key or a wrong value."""


class ClusterError(SentioError):
    """A Ray cluster that cannot be joined, or whose machines cannot do the work."""


class MissingExtraError(SentioError):
    """An optional package that this work needs is not installed."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: import name, e.g. ``"trimesh"``.
        extra: the extra of this package that installs it, e.g. ``"points"``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtraError(
            f"This needs the package {module.split('.')[0]!r}, which is not installed.",
            f'In the folder of this project, run: pip install ".[{extra}]"',
        ) from error
