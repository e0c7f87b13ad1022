"""Bring rigs to this machine: MPFB file by file, each checked by its hash; of ICT-FaceKit, where to get it."""

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from sentio.core import fetch as core
from sentio.core.errors import InputError
from sentio.core.progress import Progress, silent
from sentio.core.weights import WeightFile, cache_folder

ICT_COMMIT = "da5f95a607f5e6b37755b38d3385d7f2853732e5"
_BASE = "base.obj"  # lies elsewhere in the repository than in the folder that a rig is read from
_BASE_AT = "3dobjs/base.obj"


@dataclass(frozen=True)
class RigFile(WeightFile):
    """A file of a rig; ``place`` is where it goes."""

    place: Path = Path()

    @property
    def path(self) -> Path:
        """Where the file is or would be."""
        return self.place


def fetch(name: str, out: Path | None = None, *, progress: Progress = silent) -> Path:
    """Fetch a rig.

    MPFB comes from its repository at a pinned commit, about 380 small files, the skins not among them; what is there
    and whole is kept. The hashes of ICT-FaceKit's files are not known, so that it is not fetched unchecked.

    Args:
        name: "mpfb" or "ict-facekit".
        out: folder to fill; ``rigs/NAME`` in the cache folder if not given.
        progress: told of files done and in all.

    Returns:
        the folder, to be given to dataset.make.

    Raises:
        InputError: no such rig, or one that has to be brought by hand; the message tells how.
        WeightsError: no network, or other bytes than promised.
    """
    if name == "ict-facekit":
        raise InputError(
            "ICT-FaceKit cannot be fetched: its files are published without hashes.",
            f"git clone https://github.com/ICT-VGL/ICT-FaceKit, git checkout {ICT_COMMIT}, and name its folder.",
        )
    if name != "mpfb":
        raise InputError(f"There is no rig named {name!r}.", "There are: mpfb, ict-facekit.")
    folder = out or cache_folder() / "rigs" / name
    files = _files(_manifest(), folder)
    for count, file in enumerate(files, start=1):
        core.fetch_file(file, silent)
        progress(count, len(files))
    return folder


def _manifest() -> dict[str, Any]:
    text = (resources.files("sentio") / "assets" / "mpfb.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _files(manifest: dict[str, Any], folder: Path) -> list[RigFile]:
    return [
        RigFile(
            file=Path(path).name,
            sha256=sha256,
            bytes=size,
            url=manifest["address"] + (_BASE_AT if path == _BASE else path),
            place=folder / path,
        )
        for path, (sha256, size) in manifest["files"].items()
    ]
