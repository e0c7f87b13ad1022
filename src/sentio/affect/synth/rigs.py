"""The rig that a folder holds, whichever kind it is."""

from functools import cache
from pathlib import Path

from sentio.affect.synth import rig_ict, rig_mpfb
from sentio.affect.synth.rig import Rig
from sentio.core.errors import InputError


def load(folder: Path) -> Rig:
    """Read the rig that a folder holds: ICT-FaceKit light, or the base mesh, targets and skins of MPFB.

    Raises:
        InputError: neither is there, or it is damaged.
    """
    return _load(Path(folder).resolve())


@cache
def _load(folder: Path) -> Rig:
    if (folder / rig_ict.PACKED).is_file() or (folder / "FaceXModel").is_dir():
        return rig_ict.read(folder)
    if (folder / "base.obj").is_file():
        return rig_mpfb.read(folder)
    raise InputError(f"{folder} holds no rig.", "Expected ICT-FaceKit or MPFB files; see docs/synth.md.")
