"""sentio live."""

import threading
import webbrowser
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sentio.affect.faces.detectors import DetectorName
from sentio.cli.parsing import COMMAS, FOLDER, NAME, SECONDS, Format
from sentio.core.errors import require

PORT = 8421
ALWAYS = ("plot", "report")
"""What a recording leaves besides the formats."""


def live(
    *,
    source: Annotated[str, Parameter(metavar="N|FILE")] = "",
    out: Annotated[Path, FOLDER] = Path("live"),
    formats: Annotated[tuple[Format, ...], COMMAS] = ("parquet", "csv"),
    detector: DetectorName = "auto",
    model: str = "auto",
    baseline: Annotated[float | None, SECONDS] = None,
    lsl: Annotated[str, NAME] = "",
    port: int = PORT,
    open: Annotated[bool, Parameter(negative="--no-open")] = True,
) -> int:
    """Read affect from a camera and a microphone as it happens, in a page of the browser.

    The page is served to this machine alone, and nothing leaves it. It shows its camera's picture with what is read of
    it, and can record: then OUT/DATE_TIME.sentio appears, with the same files as sentio analyze writes, and events.csv.
    Ctrl-C ends the server and finishes what is recorded. The scores say what a viewer would perceive, not what somebody
    feels.

    Args:
        source: read the camera of this number, or play this file in real time, in the place of the page's own camera.
        out: folder for the recordings.
        formats: what a recording leaves: the table (parquet, csv, jsonl); captions (vtt); or stretches of the same
            expression, of action units and of the voice for ELAN (eaf) and Praat (textgrid).
        detector: auto takes YuNet when it is fetched (sentio models fetch yunet), else builtin, our own.
        model: weights that score the faces at first; the page can choose others. auto takes the best that decides at
            once.
        baseline: take each person's rest from valence and action units, as it is in the first seconds in which each is
            in view; until then these are empty. Look at the camera with a resting face.
        lsl: send all rows as a stream of this name to the Lab Streaming Layer, which everybody in the network can read.
        port: on which the page is served; 0 takes any that is free.
        open: open the page in the browser.

    Examples:
        sentio live
        sentio live --source clip.mp4 --out recordings --lsl sentio
    """
    for module in ("fastapi", "uvicorn", "websockets"):
        require(module, "live")
    from sentio.affect.analysis.models import open_models
    from sentio.affect.analysis.options import Options
    from sentio.affect.live.choice import choose
    from sentio.affect.live.lsl import load
    from sentio.affect.live.server import Server
    from sentio.affect.live.session import Settings
    from sentio.affect.live.source import open_source
    from sentio.affect.results.folder import asked
    from sentio.affect.results.outputs import OUTPUTS
    from sentio.core.writers import try_folder

    first, titles = choose(model)
    options = Options(
        detector=detector, model=first, causal=True, baseline=None if baseline is None else f"{baseline:g}"
    )
    open_models(first, causal=True)  # this and what follows is refused before the server begins
    wanted = (*formats, *(output.name for output in OUTPUTS if output.name in ALWAYS))
    asked(wanted, options)
    if lsl:
        load()
    try_folder(out)
    opened = open_source(source) if source else None
    settings = Settings(options, titles, out.resolve(), wanted, opened, lsl or None)
    server = Server(settings, port)
    print(f"Sentio live: {server.url}\nRecordings go to {out}. Ctrl-C ends it.", flush=True)
    if open:  # in a thread, for some browsers return only when they are closed
        threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
    server.run()
    return 0
