"""Which clouds there are: what paths, folders and patterns name, and where each result goes."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sentio.core.errors import InputError, OutputError
from sentio.core.jobs import Job, distinct, expand
from sentio.points.io import FORMATS, READ_ONLY

DENSE = ".dense"
"""In the name of a result; a folder's clouds with it in their names are passed over."""


class Found(NamedTuple):
    """A cloud, its name below the folder that was given for it, and why it cannot be read."""

    source: Path
    name: Path
    refusal: InputError | None = None


def find(paths: Iterable[Path]) -> list[Found]:
    """The clouds that ``paths`` name, each once; what names none is in the list with the reason.

    Folders are walked, in order of names; hidden files, results and what is no cloud are passed over.

    Raises:
        InputError: there are no paths.
    """
    found: dict[Path, Found] = {}
    for path in paths:
        for cloud in _named_by(path):
            found.setdefault(cloud.source.resolve(), cloud)
    if not found:
        raise InputError("Nothing to read.", "Name clouds, or folders of them.")
    return list(found.values())


def _named_by(path: Path) -> Iterator[Found]:
    """What one argument names."""
    try:
        for match in expand(path):
            if match.is_dir():
                yield from _walk(match)
            else:
                yield Found(match, Path(match.name))
    except InputError as error:
        yield Found(path, path, error)


def _walk(folder: Path) -> Iterator[Found]:
    files = sorted(file for file in folder.rglob("*") if _is_cloud(file, folder))
    if not files:
        refusal = InputError(f"{folder} holds no cloud.", f"Known are: {', '.join(_suffixes())}.")
        yield Found(folder, folder, refusal)
    for file in files:
        yield Found(file, file.relative_to(folder))


def _is_cloud(file: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return file.is_file() and not hidden and DENSE not in file.name and file.suffix.lower()[1:] in _suffixes()


def _suffixes() -> list[str]:
    return [name for name in (*FORMATS, *READ_ONLY, "bin") if name not in ("kitti", "nuscenes")]


def plan(found: Sequence[Found], out: Path | None) -> tuple[Path | None, list[Job]]:
    """The folder of the results, if they share one, and where each goes.

    In the folder they lie as their sources do below the folder that was given. Where two would share a name, the
    folders above stand in front.

    Raises:
        OutputError: ``out`` is a file, or looks like one, and there are several clouds.
    """
    clouds = [cloud for cloud in found if not cloud.refusal]
    folder = out
    if out is None:
        results = {cloud.source: default_target(cloud.source) for cloud in clouds}
    elif len(found) == 1 and out.suffix and not out.is_dir() and len(found[0].name.parts) == 1:
        folder, results = None, {found[0].source: out}
    elif out.is_file() or out.suffix.lower()[1:] in _suffixes():
        raise OutputError(f"{out} is one file, but several clouds or a folder are given.", "Give a folder as --out.")
    else:
        results = _apart(clouds)
    return folder, [Job(source, results.get(source, source), refusal) for source, _, refusal in found]


def _apart(clouds: Sequence[Found]) -> dict[Path, Path]:
    """Names of results in one folder; ``a.ply`` and ``a.obj`` of one place keep the same, for no folder tells them."""
    targets = {
        source: (default_target(source.parent.resolve() / source.name), default_target(name))
        for source, name, _ in clouds
    }
    pairs = list(dict.fromkeys(targets.values()))
    names = dict(zip(pairs, distinct(pairs), strict=True))
    return {source: names[pair] for source, pair in targets.items()}


def default_target(source: Path) -> Path:
    """``scan.ply`` gives ``scan.dense.ply``; a format that is only read gives a ply, or COPC a laz.

    A ``.pcd.bin`` keeps both suffixes.
    """
    suffix = next((end for end in (".pcd.bin", ".copc.laz") if source.name.lower().endswith(end)), source.suffix)
    stem = source.name[: len(source.name) - len(suffix)]
    kind = suffix.lower().removeprefix(".")
    written = ".ply" if kind in READ_ONLY else ".laz" if kind == "copc.laz" else suffix
    return source.with_name(stem + DENSE + written)
