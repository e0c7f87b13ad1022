"""sentio convert."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sentio.cli.output import tell
from sentio.cli.parsing import COMMAS, FILE, FOLDER, Format
from sentio.core.errors import InputError, RecipeError


def convert(
    *paths: Path,
    out: Annotated[Path, FOLDER] = Path(),
    formats: Annotated[tuple[Format, ...], COMMAS] = ("parquet", "csv"),
    video: Annotated[Path | None, FILE] = None,
    fps: float | None = None,
    report: Annotated[bool, Parameter(negative="--no-report")] = True,
    plot: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Read what other tools wrote into our table, to compare and report old studies.

    Reads CSV of OpenFace, Py-Feat and LibreFace and JSON of Hume; which it is, the file's header tells. For NAME.csv
    the folder OUT/NAME.csv.sentio appears, as analyze writes it; run.json lists the columns that have no place here,
    and scores out of range, which stay empty. A file that cannot be read does not stop the others: it is listed in
    OUT/failed.json and the exit code is 1.

    Args:
        paths: files or patterns.
        out: folder for the results.
        formats: what to write: the table (parquet, csv, jsonl); captions (vtt); or stretches of the same expression and
            of action units for ELAN (eaf) and Praat (textgrid).
        video: the media file that a result is about: the report plays it, and it has the times of frames that Py-Feat
            keeps as whole seconds.
        fps: frames a second, where a tool keeps no times and the video is not at hand.
        report: write report.html: the timeline, a summary of each person, and where the numbers are from.
        plot: draw affect.svg, all scores of every person over time.
        json: print a JSON summary instead of a progress bar.
        quiet: print nothing but errors.

    Examples:
        sentio convert processed/clip.csv --video clip.mp4
        sentio convert "pyfeat/*.csv" --fps 25 --out results
    """
    from sentio.affect.results import conversion
    from sentio.core import jobs

    if not paths:
        raise InputError("Nothing to read.", "Name files that OpenFace, Py-Feat, LibreFace or Hume wrote.")
    found = conversion.find(paths)
    if video is not None and len(found) > 1:
        raise InputError("One video cannot be what several files are about.", "Give one file with --video.")
    if video is not None and not video.is_file():
        raise InputError(f"{video} is no file.", "Give the media file that the result is about.")
    if fps is not None and not 0 < fps < float("inf"):
        raise RecipeError(f"{fps:g} is no rate.", "Give frames a second, above 0.")
    pictures = [name for name, wanted in (("report", report), ("plot", plot)) if wanted]
    work = conversion.Conversion(out, (*formats, *pictures), video, fps)
    summary = jobs.run(found, work, out, title="convert", show=not (json or quiet))
    return tell(summary, conversion.line, json=json, quiet=quiet)
