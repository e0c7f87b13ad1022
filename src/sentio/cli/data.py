"""sentio data."""

import json as json_format
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App

from sentio.cli.parsing import FOLDER
from sentio.core.progress import progress

data = App(name="data", help="Check folders of data; fetch head models for synthetic data.")


@data.command
def check(path: Path, /, *, all_images: bool = False, json: bool = False) -> int:
    """Tell what a folder of data holds, and what is wrong where.

    It may have any layout of Aff-Wild2 or LSD. Shown are counts, class balance and problems; the exit code is 1 if a
    file is unusable.

    Args:
        path: folder of data.
        all_images: decode every crop, not a thousand spread evenly.
        json: print JSON.

    Examples:
        sentio data check AFFWILD2
    """
    from sentio.affect.data.check import check as check_data

    report = check_data(path, images=None if all_images else 1000)
    print(json_format.dumps(report.to_dict(), indent=2) if json else report.to_text())
    return 0 if report.usable() else 1


@data.command
def fetch(name: Literal["mpfb", "ict-facekit"], /, *, out: Annotated[Path | None, FOLDER] = None) -> int:
    """Fetch a head model from which synth renders faces.

    mpfb (CC0) comes from its public repository; of ict-facekit it is said how to get it.

    Args:
        name: mpfb or ict-facekit.
        out: folder for what is fetched; the cache folder if not given.

    Examples:
        sentio data fetch mpfb
    """
    from sentio.affect.synth.fetch import fetch as fetch_rig

    with progress(f"fetching {name}") as tell:
        print(fetch_rig(name, out, progress=tell))
    return 0
