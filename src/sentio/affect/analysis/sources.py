"""Which media files there are: what paths, folders and patterns name, and where each result goes."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from sentio.affect.media.images import SUFFIXES as IMAGE_SUFFIXES
from sentio.core.errors import InputError
from sentio.core.jobs import Job, distinct, expand

MEDIA_NAME = re.compile(
    r".+\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|m?ts|m2ts|flv|wmv|3gp|ogv|gif|mjpeg|mxf|dv|wav|flac|mp3|m4a|aac|og[ga]|opus|wma)",
    re.IGNORECASE | re.DOTALL,
)
"""Videos and sounds that are looked for in folders; a file that is named itself may have any name."""
DEMO_CLIP = Path(__file__).resolve().parents[2] / "assets" / "demo.mp4"
DEMO_TRUTH = DEMO_CLIP.with_suffix(".csv")
"""What is true of each of its frames, in the names of the result table."""
RESULT = ".sentio"
"""What the names of result folders end in."""


def find(paths: Iterable[Path]) -> list[Job]:
    """Resolve files, folders and patterns to jobs, sorted, each source once.

    A folder is walked: every video or sound in it is a job. A folder that directly holds pictures and no video is one
    job (an image sequence); pictures amid videos are jobs of their own. Hidden files and result folders are passed
    over, and so is a link back to a folder seen before.

    The result of ``clip.mp4`` is ``clip.mp4.sentio``. Where two would share a name, the folders above stand in front.

    Returns:
        The jobs. A path that is missing and a folder without media are jobs, too, with the reason for their failure.
    """
    found: dict[Path, tuple[Path, Path, InputError | None]] = {}  # by the one place that several paths may name
    for path in paths:
        for source, name, refusal in _sources(path):
            found.setdefault(source.parent.resolve() / source.name, (source, name, refusal))
    names = distinct((place, name) for place, (_, name, _) in found.items())
    jobs = [
        Job(source, name.with_name(name.name + RESULT), refusal)
        for (source, _, refusal), name in zip(found.values(), names, strict=True)
    ]
    return sorted(jobs, key=lambda job: str(job.source))


Source = tuple[Path, Path, InputError | None]
"""A path to read, the name of its result without the ending, and why it cannot be read."""


def _sources(path: Path) -> Iterator[Source]:
    """What one argument names."""
    try:
        matches = expand(path)
    except InputError as error:
        yield path, _own_name(path), error
        return
    for match in matches:
        if match.is_dir():
            yield from _walk(match)
        else:
            yield match, _own_name(match), None


def _walk(path: Path) -> Iterator[Source]:
    """The sources in a folder and those below it."""
    seen: set[Path] = set()
    empty = True
    for folder in [path, *sorted(p for p in path.rglob("*") if p.is_dir())]:
        relative, place = folder.relative_to(path), folder.resolve()
        if place in seen or any(part.startswith(".") or part.endswith(RESULT) for part in relative.parts):
            continue
        seen.add(place)
        for source in _in_folder(folder):
            empty = False
            name = relative / source.name if source != folder else relative
            yield source, name if name.parts else _own_name(folder), None
    if empty:
        what = f"There are no videos, sounds or pictures in {path}."
        yield path, _own_name(path), InputError(what, "Name another folder, or the files themselves.")


def _in_folder(folder: Path) -> list[Path]:
    """The sources directly in a folder, or the folder itself if it is one."""
    try:
        files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    except OSError:
        return [folder]  # reading it will tell why
    media = [file for file in files if MEDIA_NAME.fullmatch(file.name)]
    pictures = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if pictures and not media:
        return [folder]
    return sorted([*media, *pictures])


def _own_name(path: Path) -> Path:
    return Path(path.name if path.name not in ("", "..") else path.resolve().name)
