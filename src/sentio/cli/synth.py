"""sentio synth."""

from pathlib import Path
from typing import Annotated

from sentio.cli.parsing import COMMAS, FILE, FOLDER, SECONDS
from sentio.core.errors import require
from sentio.core.progress import progress


def synth(
    out: Path,
    /,
    *,
    rigs: Annotated[tuple[Path, ...], COMMAS, FOLDER],
    videos: int = 0,
    images: int = 0,
    voices: Annotated[Path | None, FOLDER] = None,
    table: Annotated[Path | None, FILE] = None,
    seconds: Annotated[float, SECONDS] = 8.0,
    seed: int = 0,
    workers: int | None = None,
) -> int:
    """Render faces with exact labels, laid out as Aff-Wild2 and LSD.

    OUT gets affwild2/, lsd/, faces.jsonl (landmarks, head turn and more) and sheet.png to look at. The same command
    goes on with an interrupted run, or enlarges a set.

    Args:
        out: folder to fill.
        rigs: folders with ICT-FaceKit or MPFB; sentio data fetch mpfb brings the latter.
        videos: videos with sound, labelled frame by frame; at least two, so that one is for validation.
        images: single images, in full dozens, at least two of them, so that one person is for validation.
        voices: folder with EMO-DB; the videos are silent without it.
        table: JSON file with other expressions than the package's own.
        seconds: length of a video.
        seed: of everything that is drawn.
        workers: processes; as many as processors if not given.

    Examples:
        sentio synth FACES --images 12000 --rigs ICT-FACEKIT,MPFB
        sentio synth CLIPS --videos 20 --rigs MPFB --voices EMODB
    """
    require("numba", "train")
    from sentio.affect.synth.dataset import make

    with progress(str(out)) as tell:
        make(
            out,
            videos=videos,
            images=images,
            rigs=rigs,
            voices=voices,
            table=table,
            seconds=seconds,
            seed=seed,
            workers=workers,
            progress=tell,
        )
    print(out / "sheet.png")
    return 0
