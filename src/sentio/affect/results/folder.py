"""Result folders: what is written of a source appears in one as a whole, and `run.json` last, which says so."""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentio.affect.analysis.baseline import parse as parse_baseline
from sentio.affect.analysis.models import Models, open_models
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.pipeline import Reading
from sentio.affect.analysis.rows import Row
from sentio.affect.faces import detectors
from sentio.affect.media import Info
from sentio.affect.media.info import IMAGES
from sentio.affect.results.origin import Origin
from sentio.affect.results.outputs import (
    CROPS,
    DEFAULT,
    EVERYTHING,
    LANDMARK_TABLES,
    OUTPUTS,
    TABLES,
    Output,
    WriteRow,
)
from sentio.affect.table import AFFECT
from sentio.core.config import to_dict
from sentio.core.counts import counted
from sentio.core.errors import OutputError, RecipeError, WeightsError
from sentio.core.jobs import Job, Outcome, ShareDone
from sentio.core.writers import TEMPORARY, refusals_told, write_json

RECORD = "run.json"
ENDS = 1 << 20
"""Bytes at either end of a file that go into its hash."""
ONLY_WRITTEN = {"landmarks", "crops", *(name for output in EVERYTHING for name in output.depends_on)}
"""Options that no value in the rows depends on: they say what is written of them."""


@dataclass(frozen=True)
class Choice:
    """What is written of one source.

    Attributes:
        outputs: in the order of `EVERYTHING`.
        left_out: names of what was asked for and cannot be made of it.
    """

    outputs: tuple[Output, ...]
    left_out: tuple[str, ...]


def asked(names: Sequence[str], options: Options) -> tuple[Output, ...]:
    """All that is asked for: outputs by their names, landmarks and crops by the options.

    Raises:
        RecipeError: an output that there is not; landmarks without a table, an embedded video without the report.
    """
    known = [output.name for output in OUTPUTS]
    if unknown := [name for name in names if name not in known]:
        raise RecipeError(f"There is no output {unknown[0]!r}.", f"Choose among: {', '.join(known)}.")
    tables = [table.name for table in TABLES]
    if options.landmarks and not set(tables) & set(names):
        raise RecipeError("Landmarks need a format of a table.", f"Add one of: {', '.join(tables)}.")
    if options.embed_video and "report" not in names:
        raise RecipeError("A video is embedded in the report, and none is asked for.", "Add the report.")
    by_name = (*OUTPUTS, *LANDMARK_TABLES) if options.landmarks else OUTPUTS
    return (*(output for output in by_name if output.name in names), *([CROPS] * options.crops))


def choose(names: Sequence[str], options: Options, info: Info, path: Path | None) -> Choice:
    """What of all that is asked for can be made of media that hold this, and lie in a file or not.

    Raises:
        RecipeError: see `asked`.
    """
    outputs = asked(names, options)
    fit = tuple(output for output in outputs if output.suits(info) and (path is not None or not output.rereads))
    return Choice(fit, tuple(output.name for output in outputs if output not in fit))


@contextmanager
def writing(folder: Path, choice: Choice, origin: Origin, counts: Callable[[], dict[str, Any]]) -> Iterator[WriteRow]:
    """Give a function that writes a row to all outputs; they appear together at the end, ``run.json`` last.

    All is written to a hidden folder within ``folder`` first, so that a failure leaves an older result as it was.

    Args:
        folder: of the result.
        choice: what to write.
        origin: where the rows come from.
        counts: called at the end, for what the record tells of them.

    Raises:
        OutputError: the folder cannot be written.
        DiskFullError: no space is left.
    """
    with _staged(folder) as stage:
        with ExitStack() as files:
            writes = [files.enter_context(output.write(stage / output.file, origin)) for output in choice.outputs]

            def write_row(row: Row) -> None:
                for write in writes:
                    write(row)

            yield write_row
        write_json(stage / RECORD, _record(choice, origin, counts()))
        _replace(folder, stage)


def _record(choice: Choice, origin: Origin, counts: dict[str, Any]) -> dict[str, Any]:
    return {
        "file": None if origin.path is None else str(origin.path),
        "input": None if origin.path is None else _fingerprint(origin.path),
        "baseline_input": _baseline_input(origin.options),
        "outputs": [output.file for output in choice.outputs],
        "left_out": choice.left_out,
        **counts,
        **origin.header(AFFECT),
    }


@dataclass(frozen=True)
class Analysis:
    """What is done with each file of a batch: called with a job, it reads the source and writes its result folder.

    Attributes:
        out: folder in which the result folders lie.
        options: how files are read; their landmarks are written in the formats of the table, their crops as files.
        outputs: names of `OUTPUTS`; what a file does not suit is left out.
        resume: leave a file alone whose result is whole and would be the same today.
        models: opens what fills the affect columns, the same each time; those that the options name if not given.

    Raises:
        RecipeError: see `asked`.
    """

    out: Path
    options: Options
    outputs: tuple[str, ...] = DEFAULT
    resume: bool = False
    models: Callable[[], Models] | None = None

    def __post_init__(self) -> None:
        asked(self.outputs, self.options)

    def __call__(self, job: Job, share_done: ShareDone = lambda share: None) -> Outcome:
        """Read the job's source.

        Returns:
            Done, with what ``run.json`` tells but for the schema, which is the same for all; or skipped.

        Raises:
            InputError: the source cannot be read, or gives no row; an older result stays.
            OutputError: the folder cannot be written, or holds the result of another file.
            DiskFullError: no space is left.
        """
        folder = self.out / job.result
        _refuse_another(folder, job.source)
        if self.resume and self.is_complete(folder, job.source):
            return Outcome(str(job.source), "skipped")
        record = self.write(folder, job.source, share_done)
        shared = ("schema", "schema_version", "columns")
        told = {key: value for key, value in record.items() if key not in shared}
        return Outcome(str(job.source), "done", told | {"result": str(folder)})

    def write(self, folder: Path, source: Path, share_done: ShareDone = lambda share: None) -> dict[str, Any]:
        """Read a source and write the outputs as its rows come; see `writing`.

        Returns:
            The content of ``run.json``.

        Raises:
            InputError, OutputError: as when called with a job.
        """
        started = time.perf_counter()
        reading = Reading(source, self.options, self.models and self.models(), folder=folder, share_done=share_done)
        choice = choose(self.outputs, self.options, reading.info, source)
        reading.rereads = any(output.rereads for output in choice.outputs)
        with (
            writing(folder, choice, reading, lambda: _counts(reading, time.perf_counter() - started)) as write_row,
            closing(reading.read()) as rows,
        ):
            for row in rows:
                write_row(row)
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return record

    def is_complete(self, folder: Path, source: Path) -> bool:
        """Whether a folder holds the whole result of this very file (see `_fingerprint`), made as it would be now.

        As now means these options and models, the detector that ``auto`` stands for now, its weights, and today's
        schema. More outputs than are asked for do no harm.
        """
        outputs = asked(self.outputs, self.options)
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            outputs = tuple(output for output in outputs if output.name not in record["left_out"])
            made = [record[key] for key in ("schema_version", "detector", "model", "temporal", "voice", "input")]
            made += [_that_matter(record["options"], outputs), record.get("baseline_input")]
            here = {output.file for output in outputs} <= set(record["outputs"])
            media = record["media"]
            models = self._models(timed=media["format"] != IMAGES, sound=media["has_audio"])
            now = [AFFECT.version, detectors.describe(self.options.detector), *models.describe().values()]
            now += [_fingerprint(source), _that_matter(to_dict(self.options), outputs)]
            now += [_baseline_input(self.options)]
        except (OSError, ValueError, KeyError, TypeError, WeightsError):
            return False
        return here and now == made and all((folder / output.file).exists() for output in outputs)

    def made_with(self) -> list[dict[str, Any]]:
        """The detector, and the models of films with sound, of those without, and of pictures."""
        kinds = ((True, True), (True, False), (False, False))
        described = [self._models(timed=timed, sound=sound).describe() for timed, sound in kinds]
        return [detectors.describe(self.options.detector), *described]

    def _models(self, *, timed: bool, sound: bool) -> Models:
        if self.models:
            return self.models()
        chosen = self.options
        return open_models(chosen.model, causal=chosen.causal, timed=timed, sound=sound, speech=chosen.speech)


def _counts(reading: Reading, seconds: float) -> dict[str, Any]:
    return {
        "rows": reading.rows,
        "frames": reading.frames,
        "persons": len(reading.persons),
        "seconds": round(seconds, 3),
        "stages": reading.timer.summary(),
    }


def line(record: dict[str, Any]) -> str:
    """What a record of a run says in one line."""
    media = record["media"]
    sound = f"sound: {media['sound_damage']}" if media["sound_damage"] else None
    missed = ", ".join(name for name in record["left_out"] if name not in DEFAULT)
    left_out = f"no {missed}, not made of such a file" if missed else None
    parts = [counted(record[f"{what}s"], what) for what in ("row", "frame", "person")]
    return f"{record['result']}: " + ", ".join([*parts, *filter(None, (media["damage"], sound, left_out))])


def _that_matter(options: dict[str, Any], outputs: Sequence[Output]) -> dict[str, Any]:
    """The options that the values in the rows depend on, or what is in one of the outputs."""
    used = {name for output in outputs for name in output.depends_on}
    return {name: value for name, value in options.items() if name in used or name not in ONLY_WRITTEN}


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A folder within ``folder`` to write to, which is gone afterwards; so is ``folder``, if nothing came of it.

    Raises:
        OutputError: there can be none.
    """
    with refusals_told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{TEMPORARY}*"):  # by a run that was killed
            shutil.rmtree(left)
        stage = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=folder))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        with suppress(OSError):
            folder.rmdir()  # if it is empty


def _replace(folder: Path, stage: Path) -> None:
    """Move all files of a stage to their places: first goes the mark of completeness, and last it comes.

    What is there and is not overwritten (folders never are) goes to the stage, which is removed afterwards.
    """
    made = [path.name for path in stage.iterdir() if path.name != RECORD]
    stale = [name for output in EVERYTHING for name in output.files if name not in made or (stage / name).is_dir()]
    with refusals_told(folder):
        old = Path(tempfile.mkdtemp(dir=stage))
        for name in (RECORD, *stale):
            if (folder / name).exists():
                (folder / name).replace(old / name)
        for name in (*made, RECORD):
            (stage / name).replace(folder / name)


def _refuse_another(folder: Path, source: Path) -> None:
    """See that a result to be replaced is of this file: of its path, or of its content if it was moved.

    Raises:
        OutputError: it is of another one.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        same = Path(record["file"]).resolve() == source.resolve() or record["input"] == _fingerprint(source)
    except (OSError, ValueError, KeyError, TypeError):  # no result, or none of ours, which is replaced as ever
        return
    if not same:
        raise OutputError(
            f"{folder} holds the result of another file, {record['file']}.",
            "Choose another folder with --out, or remove that result.",
        )


def _baseline_input(options: Options) -> dict[str, Any] | None:
    """What tells the file that shows a person at rest from others, if there is one."""
    if options.baseline is None or parse_baseline(options.baseline) is not None:
        return None
    return _fingerprint(Path(options.baseline))


def _fingerprint(path: Path) -> dict[str, Any]:
    """What tells a file from others: size, time of change, a hash of its first and last MiB; for a folder, of names."""
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
    stats = [file.stat() for file in files]
    digest = hashlib.sha256()
    for file, stat in zip(files, stats, strict=True):
        digest.update(f"{file.name}\0{stat.st_size}\0".encode("utf-8", "surrogateescape"))
    if path.is_file():
        with path.open("rb") as opened:
            for start in (0, max(0, stats[0].st_size - ENDS)):
                opened.seek(start)
                digest.update(opened.read(ENDS))
    return {
        "bytes": sum(stat.st_size for stat in stats),
        "changed_ns": max((stat.st_mtime_ns for stat in stats), default=0),
        "sha256": digest.hexdigest(),
    }
