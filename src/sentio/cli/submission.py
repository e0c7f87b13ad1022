"""sentio submission."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App

from sentio.cli.parsing import FILE, FOLDER
from sentio.core.counts import counted

submission = App(name="submission", help="Read a submission to an ABAW challenge back.")

SHOWN = 20
"""Faults that are printed."""


@submission.command
def check(
    path: Path,
    /,
    *,
    track: Literal["va", "expr", "au", "mtl", "lsd"] = "va",
    edition: int = 6,
    images: Annotated[Path | None, FILE] = None,
    data: Annotated[Path | None, FOLDER] = None,
) -> int:
    """Tell what is wrong with a submission, line by line.

    Told are a wrong header, missing, unknown, repeated and misplaced frames, and values that are missing, no numbers or
    out of range; the exit code is 1 if there is any. The first twenty are printed, and how many there are.

    Args:
        path: the file; of ABAW2 and ABAW3 the folder with a text for each video.
        track: track of the challenge.
        edition: edition of the ABAW challenge (2 to 10), which decides the layout.
        images: the organisers' list of the images to answer for, or of the videos; without it nothing is known to be
            missing.
        data: folder of data, for a list of videos: it tells how many frames each has.

    Examples:
        sentio submission check OUT/va.txt --track va --edition 6 --images LIST
    """
    from sentio.affect.data.tree import scan
    from sentio.affect.protocol.readback import validate
    from sentio.affect.protocol.submission import read_asked

    expected = read_asked(images, track, edition, scan(data) if data else None) if images else None
    levels: Counter[str] = Counter()
    for fault in validate(path, track, edition, expected):
        levels[fault.level] += 1
        if levels.total() <= SHOWN:
            print(fault)
    print(f"{path}: {counted(levels['error'], 'error')}, {counted(levels['warning'], 'warning')}")
    if expected is None:
        print("Without --images it is not known whether frames are missing.")
    return 1 if levels["error"] else 0
