"""What a run leaves in its folder: one list, `EVERYTHING`; and the record `run.json` that says that it is whole."""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa
from pyarrow import csv

from sentio.affect.analysis import plot
from sentio.affect.analysis.annotations import Annotations, tiers_of
from sentio.affect.analysis.captions import SHORTEST_CUE_S, write_vtt
from sentio.affect.analysis.elan import write_eaf
from sentio.affect.analysis.episodes import SHORTEST_S, Episode, Episodes, unit_thresholds
from sentio.affect.analysis.models import Models, open_models
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.pipeline import Reading
from sentio.affect.analysis.praat import write_textgrid
from sentio.affect.analysis.rows import CROP, Row
from sentio.affect.analysis.sources import DEMO_CLIP, DEMO_TRUTH
from sentio.affect.faces import detectors
from sentio.affect.table import AFFECT, LANDMARKS
from sentio.core.config import to_dict
from sentio.core.errors import OutputError, RecipeError, WeightsError
from sentio.core.jobs import Job, Outcome, ShareDone
from sentio.core.results import RowBuffer, Schema, open_writers
from sentio.core.writers import TEMPORARY, WRITERS, output_error, write_json

RECORD = "run.json"
ENDS = 1 << 20
"""Bytes at either end of a file that go into its hash."""

WriteRow = Callable[[Row], None]


@dataclass(frozen=True)
class Output:
    """One product of a run.

    Attributes:
        name: what asks for it.
        file: its name in the folder; of a file, or of a folder of files.
        write: given the path and the reading, takes one row after the other; the file is whole when all went well.
        beside: another file that comes with it.
    """

    name: str
    file: str
    write: Callable[[Path, Reading], AbstractContextManager[WriteRow]]
    beside: str | None = None

    @property
    def files(self) -> list[str]:
        """Names of all that it leaves."""
        return [self.file] if self.beside is None else [self.file, self.beside]


@contextmanager
def _write_table(schema: Schema, path: Path, reading: Reading) -> Iterator[WriteRow]:
    with open_writers([path], schema.arrow(), partial(reading.header, schema)) as write:
        rows = RowBuffer(schema.arrow(), write)
        yield rows.append
        rows.flush()


@contextmanager
def _draw_plot(path: Path, reading: Reading) -> Iterator[WriteRow]:
    """Made from all scores at once, which takes 0.1 kB of memory a row."""
    batches: list[pa.RecordBatch] = []
    rows = RowBuffer(plot.SCHEMA, batches.append)
    yield rows.append
    rows.flush()
    truth = csv.read_csv(DEMO_TRUTH) if reading.media.path.resolve() == DEMO_CLIP else None
    plot.draw(pa.Table.from_batches(batches, plot.SCHEMA), path, title=reading.name, truth=truth)


@contextmanager
def _write_episodes(
    write: Callable[[Path, Annotations], None], shortest_s: float, path: Path, reading: Reading
) -> Iterator[WriteRow]:
    """Made from all episodes at once, of which there are few."""
    episodes = Episodes(unit_thresholds(reading.header()), shortest_s)
    found: list[Episode] = []
    yield lambda row: found.extend(episodes.push(row))
    found += episodes.flush()
    tiers, folder = tiers_of(found, reading.media.info.begin_s), path.parent.parent  # it is on a stage in its folder
    write(path, Annotations(tiers, reading.header(), reading.media.path, folder))


@contextmanager
def _write_crops(path: Path, reading: Reading) -> Iterator[WriteRow]:
    """As Aff-Wild2 lays them out: a folder for each person, and frame k, from 0, is image k + 1."""
    clip = Path(reading.name).stem

    def write(row: Row) -> None:
        if CROP in row:
            person = path / (f"{clip}_person{row['person']}" if row["person"] else clip)
            jpeg = cv2.imencode(".jpg", cv2.cvtColor(row[CROP], cv2.COLOR_RGB2BGR))[1]
            with _refusal(person):
                person.mkdir(exist_ok=True)
                (person / f"{row['frame'] + 1:05d}.jpg").write_bytes(jpeg.tobytes())

    with _refusal(path):
        path.mkdir()
    yield write


@contextmanager
def _refusal(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise output_error(path, error) from error


def _tables(file: str, schema: Schema) -> Iterator[Output]:
    """One table in every format; only Parquet holds its header itself."""
    for suffix in WRITERS:
        beside = None if suffix == ".parquet" else f"{file}{suffix}.header.json"
        yield Output(suffix[1:], f"{file}{suffix}", partial(_write_table, schema), beside)


TABLES = tuple(_tables("affect", AFFECT))
OUTPUTS = (
    *TABLES,
    Output("vtt", "affect.vtt", partial(_write_episodes, write_vtt, SHORTEST_CUE_S)),
    Output("eaf", "affect.eaf", partial(_write_episodes, write_eaf, SHORTEST_S)),
    Output("textgrid", "affect.TextGrid", partial(_write_episodes, write_textgrid, SHORTEST_S)),
    Output("plot", "affect.svg", _draw_plot),
)
"""All that can be asked for by name."""
LANDMARK_TABLES = tuple(_tables("landmarks", LANDMARKS))
"""Written beside the tables of the same formats if the options ask for landmarks."""
CROPS = Output("crops", "cropped_aligned", _write_crops)
"""Written if the options ask for crops."""
EVERYTHING = (*OUTPUTS, *LANDMARK_TABLES, CROPS)
"""All that a run can leave."""
DEFAULT = ("parquet", "csv")


@dataclass(frozen=True)
class Analysis:
    """What is done with each file of a batch: called with a job, it reads the source and writes its result folder.

    Attributes:
        out: folder in which the result folders lie.
        options: how files are read; their landmarks are written in the formats of the table, their crops as files.
        outputs: names of `OUTPUTS`.
        resume: leave a file alone whose result is whole and would be the same today.
        models: what fills the affect columns; those that the options name if not given.

    Raises:
        RecipeError: an output that there is not; landmarks without a table.
    """

    out: Path
    options: Options
    outputs: tuple[str, ...] = DEFAULT
    resume: bool = False
    models: Models | None = None

    def __post_init__(self) -> None:
        known = [output.name for output in OUTPUTS]
        if unknown := [name for name in self.outputs if name not in known]:
            raise RecipeError(f"There is no output {unknown[0]!r}.", f"Choose among: {', '.join(known)}.")
        tables = [table.name for table in TABLES]
        if self.options.landmarks and not set(tables) & set(self.outputs):
            raise RecipeError("Landmarks need a format of a table.", f"Add one of: {', '.join(tables)}.")

    @property
    def chosen(self) -> list[Output]:
        """All that is written."""
        by_name = (*OUTPUTS, *LANDMARK_TABLES) if self.options.landmarks else OUTPUTS
        return [output for output in by_name if output.name in self.outputs] + [CROPS] * self.options.crops

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
        """Read a source and write the outputs as its rows come; they appear together at the end, ``run.json`` last.

        All is written to a hidden folder within ``folder`` first, so that a failure leaves an older result as it was.

        Returns:
            The content of ``run.json``.

        Raises:
            InputError, OutputError: as when called with a job.
        """
        started = time.perf_counter()
        reading = Reading(source, self.options, self.models, share_done=share_done)
        with _staged(folder) as stage:
            with ExitStack() as files:
                writes = [files.enter_context(output.write(stage / output.file, reading)) for output in self.chosen]
                with closing(reading.read()) as rows:
                    for row in rows:
                        for write in writes:
                            write(row)
            record = self._record(reading, time.perf_counter() - started)
            write_json(stage / RECORD, record)
            _replace(folder, stage)
        return record

    def is_complete(self, folder: Path, source: Path) -> bool:
        """Whether a folder holds the whole result of this very file (see `_fingerprint`), made as it would be now.

        As now means these options and models, the detector that ``auto`` stands for now, its weights, and today's
        schema. More outputs than are asked for do no harm.
        """
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            made = [record[key] for key in ("schema_version", "detector", "model", "voice", "input")]
            made += [_reading_options(record["options"])]
            here = {output.file for output in self.chosen} <= set(record["outputs"])
            now = [AFFECT.version, detectors.describe(self.options.detector), *self._models().describe().values()]
            now += [_fingerprint(source), _reading_options(to_dict(self.options))]
        except (OSError, ValueError, KeyError, TypeError, WeightsError):
            return False
        return here and now == made and all((folder / output.file).exists() for output in self.chosen)

    def _models(self) -> Models:
        return self.models or open_models(self.options.model)

    def _record(self, reading: Reading, seconds: float) -> dict[str, Any]:
        return {
            "file": str(reading.media.path),
            "input": _fingerprint(reading.media.path),
            "outputs": [output.file for output in self.chosen],
            "rows": reading.rows,
            "frames": reading.frames,
            "persons": len(reading.persons),
            "seconds": round(seconds, 3),
            "stages": reading.timer.summary(),
            **reading.header(),
        }


def line(record: dict[str, Any]) -> str:
    """What a record of a run says in one line."""
    media = record["media"]
    sound = f"sound: {media['sound_damage']}" if media["sound_damage"] else None
    parts = [_count(record[f"{what}s"], what) for what in ("row", "frame", "person")]
    return f"{record['result']}: " + ", ".join([*parts, *filter(None, (media["damage"], sound))])


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _reading_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options that the values in the rows depend on; the others say what is written of them."""
    return {name: value for name, value in options.items() if name not in ("landmarks", "crops")}


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A folder within ``folder`` to write to, which is gone afterwards; so is ``folder``, if nothing came of it.

    Raises:
        OutputError: there can be none.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{TEMPORARY}*"):  # by a run that was killed
            shutil.rmtree(left)
        stage = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=folder))
    except OSError as error:
        raise output_error(folder, error) from error
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
    try:
        old = Path(tempfile.mkdtemp(dir=stage))
        for name in (RECORD, *stale):
            if (folder / name).exists():
                (folder / name).replace(old / name)
        for name in (*made, RECORD):
            (stage / name).replace(folder / name)
    except OSError as error:
        raise output_error(folder, error) from error


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
