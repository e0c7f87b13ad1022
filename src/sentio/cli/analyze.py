"""sentio analyze."""

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sentio.affect.faces.detectors import DetectorName
from sentio.cli.output import tell
from sentio.cli.parsing import ADDRESS, COMMAS, FOLDER, SECONDS, Format
from sentio.core.errors import InputError, WeightsError, require

if TYPE_CHECKING:
    from sentio.affect.analysis.models import Models


def analyze(
    *paths: Path,
    demo: bool = False,
    out: Annotated[Path, FOLDER] = Path(),
    formats: Annotated[tuple[Format, ...], COMMAS] = ("parquet", "csv"),
    detector: DetectorName = "auto",
    search_interval: Annotated[float, SECONDS] = 0.2,
    fps: float | None = None,
    start: Annotated[float | None, SECONDS] = None,
    end: Annotated[float | None, SECONDS] = None,
    model: str = "auto",
    speech: str = "builtin",
    causal: bool = False,
    baseline: Annotated[str | None, Parameter(metavar="A:B|N|FILE")] = None,
    report: Annotated[bool, Parameter(negative="--no-report")] = True,
    embed_video: bool = False,
    plot: bool = False,
    overlay: bool = False,
    landmarks: bool = False,
    crops: bool = False,
    shard: str = "1/1",
    ray: Annotated[str | None, ADDRESS] = None,
    resume: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Read affect from the faces and voices of videos and pictures.

    There is one row per frame and person. For NAME.mp4 the folder OUT/NAME.mp4.sentio appears, with the table
    affect.parquet and affect.csv, a page to look at, report.html, and, in run.json, how it was made and what was lost.
    The scores say what a viewer would perceive, not what somebody feels. A file that cannot be read does not stop the
    others: it is listed in OUT/failed.json and the exit code is 1.

    Args:
        paths: files, folders or patterns.
        demo: read the clip that comes with the package.
        out: folder for the results.
        formats: what to write: the table (parquet, csv, jsonl); captions (vtt); or stretches of the same expression, of
            action units and of the voice for ELAN (eaf) and Praat (textgrid).
        detector: auto takes YuNet when it is fetched (sentio models fetch yunet), else builtin, our own.
        search_interval: seconds between two searches of the whole picture; known faces are followed in every frame.
        fps: reduce the rate to this many frames a second, by time; every frame if not given.
        start: leave out frames before this time, in seconds.
        end: leave out frames at and after this time, in seconds.
        model: what scores the faces: offline, causal and capnet read them over time, offline-av and causal-av hear the
            voice of whoever speaks, too, and face reads each by itself; a path is that of an exported card, or of the
            folder of a run whose windows answer for every frame, which takes sentio[train]; none finds faces only. auto
            takes offline-av for videos with sound, offline for those without, face for pictures.
        speech: what tells whether somebody speaks: builtin, the voice model itself, or silero:PATH, the published file
            silero_vad.onnx of Silero VAD.
        causal: no row rests on what comes after it, and every frame is decided at once; auto takes causal-av or causal.
        baseline: take each person's rest from valence and action units, so that a resting face reads 0: as seen from A
            to B seconds of the file; in the first N seconds that each is in view; or in a file of the person at rest.
            Of whom no rest is known these columns stay empty.
        report: write report.html: the video beside its timeline, a summary of each person, and how it was made; it
            needs no network, and plays the file where it lies.
        embed_video: put the file into report.html, up to 100 MB, so that the page can be moved alone.
        plot: draw affect.svg, all scores of every person and of the voice over time.
        overlay: draw overlay.mp4, the pictures with boxes, scores and voice on them, and with their sound.
        landmarks: write the 68 points of every face, in pixels of the picture, to landmarks.parquet and landmarks.csv
            (the formats of the table), row for row.
        crops: write the aligned faces, 112 pixels a side, to cropped_aligned/NAME/00001.jpg (the second person's to
            NAME_person1), as Aff-Wild2 has them.
        shard: i/n takes every n-th file beginning with the i-th, to share a batch among n runs.
        ray: do it on a Ray cluster whose machines share this disk, a file for each CPU at a time: HOST:PORT, or auto
            for the cluster of this machine, which is started if there is none.
        resume: skip files whose result is complete, made with the same options and models, and whose source has not
            changed.
        json: print a JSON summary instead of a progress bar.
        quiet: print nothing but errors.

    Examples:
        sentio analyze clip.mp4 videos/ --out results
        sentio analyze "takes/*.mov" --fps 10 --formats csv,vtt,eaf
    """
    from sentio.affect.analysis import sources
    from sentio.affect.analysis.models import open_models
    from sentio.affect.analysis.options import Options
    from sentio.affect.media.film import check_encoder
    from sentio.affect.results import folder
    from sentio.affect.table import AFFECT
    from sentio.core import jobs
    from sentio.core.cluster import workplace

    if demo:
        paths = (*paths, sources.DEMO_CLIP)
    if not paths:
        raise InputError("Nothing to read.", "Name files or folders, or try: sentio analyze --demo")
    options = Options(
        detector=detector,
        search_interval=search_interval,
        fps=fps,
        start=start,
        end=end,
        model=model,
        speech=speech,
        landmarks=landmarks,
        crops=crops,
        causal=causal,
        baseline=baseline,
        embed_video=embed_video,
    )
    models = partial(_open_run, Path(model), causal, speech) if _is_run(model) else None
    if models:  # refused before work begins, not for each file
        models()
    else:
        open_models(model, landmarks=landmarks, causal=causal, sound=True, speech=speech)
    if overlay:
        check_encoder()
    pictures = [name for name, wanted in (("report", report), ("plot", plot), ("overlay", overlay)) if wanted]
    analysis = folder.Analysis(out, options, (*formats, *pictures), resume, models)
    share, show = jobs.Shard.parse(shard), not (json or quiet)
    found = sources.find(paths)
    with workplace(ray, show=show) as each:
        summary = jobs.run(found, analysis, out, shard=share, title="analyze", show=show, each=each)
    schema = {"schema": AFFECT.name, "schema_version": AFFECT.version}
    return tell(summary, folder.line, json=json, quiet=quiet, facts=schema)


def _is_run(model: str) -> bool:
    """Whether a model is a folder; one that has the name of weights does not hide these."""
    from sentio.affect.analysis.models import AUTO
    from sentio.core import weights

    return model not in (AUTO, "none", *weights.cards()) and Path(model).is_dir()


@cache
def _open_run(run: Path, causal: bool, speech: str) -> "Models":
    require("torch", "train")
    from sentio.affect.trained import open_run

    if causal:
        raise WeightsError(f"The run {run} is not causal.", "Choose other weights, such as 'causal'.")
    return open_run(run).gated(speech)
