"""Verbs for faces and voices."""

import json as json_format
from pathlib import Path
from typing import Literal

from sentio.cli.output import progress
from sentio.core.errors import InputError, require

Format = Literal["parquet", "csv", "jsonl"]


def analyze_media(
    paths: list[Path],
    *,
    demo: bool = False,
    out: Path = Path(),
    formats: tuple[Format, ...] = ("parquet", "csv"),
    detector: Literal["auto", "studio", "yunet", "haar"] = "auto",
    search_interval: float = 0.2,
    fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
    model: str = "face",
    plot: bool = False,
    shard: str = "1/1",
    resume: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Read affect from faces and voices in videos, pictures and folders of them: one row per frame and person.

    For NAME.mp4 the folder OUT/NAME.sentio appears, with the table affect.parquet and affect.csv and, in run.json,
    how it was made and what was lost. The scores say what a viewer would perceive, not what somebody feels. A file
    that cannot be read does not stop the others: it is listed in OUT/failed.json and the exit code is 1.

    Args:
        demo: read the clip that comes with the package.
        out: folder for the results.
        formats: table formats to write.
        detector: auto takes YuNet when it is fetched (sentio models fetch yunet), else studio, our own.
        search_interval: seconds between two searches of the whole picture; known faces are followed in every frame.
        fps: reduce the rate to this many frames a second, by time; every frame if not given.
        start: leave out frames before this time, in seconds.
        end: leave out frames at and after this time, in seconds.
        model: weights that score the faces: a name (sentio models lists them), the path of an exported card, or none
            to find faces only.
        plot: draw affect.svg, all scores of every person and of the voice over time.
        shard: i/n takes every n-th file beginning with the i-th, to share a batch among n runs.
        resume: skip files whose result is complete, made with the same options and models, and whose source has not
            changed.
        json: print a JSON summary instead of a progress bar.
        quiet: print nothing but errors.
    """
    from sentio.affect import jobs, pipeline

    if demo:
        paths = [*paths, jobs.DEMO_CLIP]
    if not paths:
        raise InputError("Nothing to read.", "Name files or folders, or try: sentio analyze --demo")
    options = pipeline.Options(detector, search_interval, fps, start, end, model)
    batch = jobs.Batch(out, options, formats, plot, jobs.Shard.parse(shard), resume)
    summary = jobs.run(batch, jobs.find(paths), show=not (json or quiet))
    if json:
        print(json_format.dumps(summary.to_dict(), indent=2))
    elif not quiet:
        print(summary.text())
    return 1 if summary.failed else 0


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


def store_features(data: Path, *, encoder: str, out: Path | None = None, fetch: bool = False) -> int:
    """Run a frozen encoder once over all crops, or all sound, of a data folder and keep its vectors.

    What is there already is not done again, so a stopped run goes on.

    Args:
        encoder: vit, clip, wav2vec2 or ast (published weights), KIND:FOLDER for others of that kind, or the
            .safetensors file of a trained system, whose own encoder is taken.
        out: folder of the store; DATA/features if not given.
        fetch: allow the download of published weights.
    """
    require("torch", "train")
    from sentio.affect.data.dataset import DataConfig, open_store
    from sentio.affect.data.extraction import extract

    config = DataConfig(features=str(out) if out else None)
    store = open_store(data, encoder, config, fetch=fetch)
    problems = extract(data, store)
    print(*problems, f"features: {store.folder}", sep="\n")
    return 1 if any(problem.level == "error" for problem in problems) else 0


def evaluate_run(
    run: Path,
    *,
    data: Path,
    split: Literal["train", "validation", "test"] | None = None,
    fallback: Path | None = None,
    out: Path | None = None,
    submit: Path | None = None,
    track: Literal["va", "expr", "au", "mtl", "lsd"] = "va",
    edition: int = 6,
    images: Path | None = None,
    json: bool = False,
) -> int:
    """Score a finished run by the official metric, pooled over all labelled frames; or write its submission.

    Args:
        data: folder of the data.
        split: whose frames are meant; validation for scores and test for a submission, if not given.
        fallback: another run, for the frames that the first one says nothing of (FER-Tuned for CAPNet).
        out: file for the scores with their header; RUN/evaluation.json if not given.
        submit: folder for a submission instead of scores; it is read back and validated.
        track: track of the submission.
        edition: edition of the ABAW challenge (2 to 10), which decides the layout of the submission.
        images: the organisers' list of the images to answer for; without it, every frame of the split.
        json: print JSON.
    """
    require("torch", "train")
    from sentio.affect import evaluation
    from sentio.core.writers import write_json

    if submit:
        files = evaluation.submit_run(
            run, data, submit, track=track, edition=edition, images=images, split=split or "test", fallback=fallback
        )
        print(*files, sep="\n")
        return 0
    result = evaluation.evaluate_run(run, data, split=split or "validation", fallback=fallback)
    write_json(out or run / "evaluation.json", result.to_dict())
    print(json_format.dumps(result.to_dict(), indent=2) if json else result.to_text())
    return 0


def synthesize_faces(
    out: Path,
    *,
    rigs: tuple[Path, ...],
    videos: int = 0,
    images: int = 0,
    voices: Path | None = None,
    table: Path | None = None,
    seconds: float = 8.0,
    seed: int = 0,
    workers: int | None = None,
) -> int:
    """Render faces with exact labels, in the layouts of Aff-Wild2 and LSD.

    OUT gets affwild2/, lsd/, faces.jsonl (landmarks, head turn and more) and sheet.png to look at. The same command
    goes on with an interrupted run, or enlarges a set.

    Args:
        rigs: folders with ICT-FaceKit or MPFB; sentio data fetch mpfb brings the latter.
        videos: videos with sound, labelled frame by frame.
        images: single images, in full dozens.
        voices: folder with EMO-DB; the videos are silent without it.
        table: JSON file with other expressions than the package's own.
        seconds: length of a video.
        seed: of everything that is drawn.
        workers: processes; as many as processors if not given.
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
