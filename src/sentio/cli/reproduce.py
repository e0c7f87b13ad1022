"""sentio reproduce."""

import json as json_format
from pathlib import Path
from typing import Annotated

from sentio.cli.parsing import FOLDER, SETTINGS
from sentio.core.errors import require


def reproduce(
    name: str,
    /,
    *,
    data: Annotated[Path | None, FOLDER] = None,
    out: Annotated[Path | None, FOLDER] = None,
    quick: bool = False,
    seeds: int | None = None,
    settings: Annotated[tuple[str, ...], SETTINGS] = (),
    json: bool = False,
) -> int:
    """Try a paper's own claim: its variants with several seeds, a table with intervals, shown or not shown.

    OUT gets results.json, table.md and plot.svg. A stopped experiment goes on where it was when it is started again.

    Args:
        name: capnet, multitask, byel, masked, crossattn, softprompt or pu-mfa.
        data: the data, in a layout that the system reads; drawn by the experiment if not given.
        out: folder of the results and of all runs; reproduce/NAME if not given.
        quick: a smaller form, which takes minutes.
        seeds: seeds of each variant; the experiment's own number if not given.
        settings: one setting of the experiment to replace, e.g. seconds=4; may be repeated.
        json: print JSON.

    Examples:
        sentio reproduce capnet --quick
        sentio reproduce capnet --data AFFWILD2 --out reproduce/capnet-affwild2
    """
    require("torch", "train")
    from sentio.core import experiments
    from sentio.core.config import from_dict, override

    kind = experiments.find(name)
    experiment = from_dict(kind, override({}, list(settings)), where=name)
    result = experiments.reproduce(experiment, data, out or Path("reproduce", name), quick=quick, seeds=seeds)
    print(json_format.dumps(result.to_dict(), indent=2) if json else result.to_text(), end="")
    return 0
