"""sentio data."""

import json as json_format
from pathlib import Path
from typing import Literal

from sentio.core.progress import progress


def check_or_fetch_data(
    action: Literal["check", "fetch"],
    path: Path,
    *,
    out: Path | None = None,
    all_images: bool = False,
    json: bool = False,
) -> int:
    """Look through a folder in any Aff-Wild2 or LSD layout; or fetch a head model for rendered faces.

    check tells what is there, class balance, and what is wrong where; the exit code is 1 if a file is unusable. fetch
    takes mpfb (CC0) from its public repository; of ict-facekit it says how to get it.

    Args:
        out: folder for what is fetched; the cache folder if not given.
        all_images: decode every crop, not a thousand spread evenly.
        json: print JSON.
    """
    if action == "fetch":
        from sentio.affect.synth.fetch import fetch

        with progress(f"fetching {path}") as tell:
            print(fetch(str(path), out, progress=tell))
        return 0
    from sentio.affect.data.check import check

    report = check(path, images=None if all_images else 1000)
    print(json_format.dumps(report.to_dict(), indent=2) if json else report.to_text())
    return 0 if report.usable() else 1
