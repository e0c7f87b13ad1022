"""From a media file to the result table: decode | find, follow and align faces | model, voice | table, side by side.

Each stage runs in a thread of its own and hands on through a short queue, so that memory does not grow with the length
of the video; the libraries that do the work release Python's lock.
"""

import json
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import pyarrow as pa

from sentio import __version__
from sentio.affect.analysis import plot as plots
from sentio.affect.analysis import voice
from sentio.affect.analysis.models import Models, NewestScore, Row, open_models, voice_columns
from sentio.affect.analysis.voice import VoiceScore
from sentio.affect.faces import (
    Detector,
    FaceFrame,
    FaceTracker,
    Haar,
    Studio,
    TrackedFace,
    TrackingConfig,
    YuNet,
    default_name,
)
from sentio.affect.media import Damage, Frame, Media, open_media
from sentio.affect.table import AFFECT
from sentio.core.ahead import ahead
from sentio.core.bench import StageTimer
from sentio.core.config import to_dict
from sentio.core.errors import InputError, OutputError, RecipeError, WeightsError
from sentio.core.results import RowBuffer, Table, open_writers
from sentio.core.writers import TEMPORARY, WRITERS, write_json

BATCH_FRAMES = 16
"""Frames whose faces go to the model in one call."""
RECORD = "run.json"
PLOT = "affect.svg"
DETECTORS: dict[str, Callable[[], Detector]] = {"studio": Studio, "yunet": YuNet, "haar": Haar}
DOUBTFUL = "damaged picture"
"""Reason of a face that is fit but seen in a picture whose data was damaged."""
NO_PICTURE = "no picture"
"""Reason of a row of a file that has sound only."""

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """What can be chosen about reading a file.

    Attributes:
        detector: ``auto`` is YuNet when it is fetched, else ``studio``, the package's own.
        search_interval: seconds between two searches of the whole picture for faces; known ones are followed.
        fps: frames a second to keep, by time; all if None.
        start: first second to read.
        end: last second to read.
        model: face network that fills the affect columns: a name of weights, or the path of an exported card; with
            ``none`` they stay null, the voice's, too.
    """

    detector: Literal["auto", "studio", "yunet", "haar"] = "auto"
    search_interval: float = 0.2
    fps: float | None = None
    start: float | None = None
    end: float | None = None
    model: str = "face"

    def __post_init__(self) -> None:
        if self.detector not in ("auto", *DETECTORS):
            raise RecipeError(f"There is no detector {self.detector!r}.", f"Choose auto, {', '.join(DETECTORS)}.")
        if not 0 <= self.search_interval < math.inf:
            raise RecipeError(f"The search interval {self.search_interval} s is no length of time.")


def analyze(path: Path | str, *, options: Options | None = None, models: Models | None = None) -> Table:
    """Read one media file, picture or folder of pictures.

    Args:
        path: the file or folder.
        options: see :class:`Options`.
        models: what fills the affect columns; those that the options name if not given.

    Returns:
        One row per decoded frame and person; a frame without a face has one row that says why. A file of sound has a
        row for every score of the voice. ``header["media"]`` tells what was lost on the way.

    Raises:
        InputError: the file is missing, empty, damaged beyond reading, or no media.
        WeightsError: the weights are missing or damaged.
    """
    options = options or Options()
    batches: list[pa.RecordBatch] = []
    run = _Run(Path(path), options, models or open_models(options.model))
    with closing(run.rows()) as rows:
        _collect(rows, RowBuffer(AFFECT.arrow(), batches.append))
    return Table(pa.Table.from_batches(batches, AFFECT.arrow()), run.header())


def analyze_to(
    folder: Path,
    path: Path,
    *,
    options: Options,
    models: Models,
    formats: Sequence[str] = ("parquet", "csv"),
    plot: bool = False,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """Like :func:`analyze`, with the table written to ``folder`` as it grows.

    ``run.json`` is written last: a folder without it is unfinished.

    Args:
        folder: gets ``affect.parquet``, ``affect.csv`` and so on, whole or not at all, and ``run.json``.
        path: the media file.
        options: see :class:`Options`.
        models: as in :func:`analyze`.
        formats: suffixes of the tables.
        plot: draw ``affect.svg``, too; it is made from all scores at once, which takes 0.1 kB of memory a row.
        progress: called after every frame with the share that is done, 0 to 1; what it raises ends the reading.

    Returns:
        The content of ``run.json``.

    Raises:
        InputError: as in :func:`analyze`.
        OutputError: the folder cannot be written.
    """
    run = _Run(path, options, models, progress)
    schema, tables = AFFECT.arrow(), [folder / f"affect.{kind}" for kind in formats]
    _clear(folder, _products(formats, plot))
    started = time.perf_counter()
    drawn: list[pa.RecordBatch] = []
    with open_writers(tables, schema, run.header) as write, closing(run.rows()) as rows:

        def keep(batch: pa.RecordBatch) -> None:
            write(batch)
            if plot:
                drawn.append(batch.select(plots.COLUMNS))

        _collect(rows, RowBuffer(schema, keep))
    if plot:
        plots.draw(pa.Table.from_batches(drawn, plots.SCHEMA), folder / PLOT, title=run.name)
    record = {
        "file": str(path),
        "input": _fingerprint(path),
        "formats": list(formats),
        "rows": run.written,
        "frames": run.frames,
        "persons": len(run.persons),
        "seconds": round(time.perf_counter() - started, 3),
        "stages": run.timer.summary(),
        **run.header(),
    }
    write_json(folder / RECORD, record)
    return record


def _products(formats: Sequence[str], plot: bool) -> list[str]:
    """Names of the files that a run leaves besides its record."""
    return [f"affect.{kind}" for kind in formats] + [PLOT] * plot


def _clear(folder: Path, products: Sequence[str]) -> None:
    """Take away the mark of completeness, what a killed run left, and results that will not be made anew."""
    others = [name for name in (*(f"affect{suffix}" for suffix in WRITERS), PLOT) if name not in products]
    headers = [f"{name}.header.json" for name in others]
    try:
        for stale in [folder / name for name in (RECORD, *others, *headers)] + list(folder.glob(f"{TEMPORARY}*")):
            stale.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot write to {folder}: {error.strerror}.", "Choose another folder with --out."
        ) from error


def is_complete(
    folder: Path, path: Path, options: Options, formats: Sequence[str], models: Models, *, plot: bool = False
) -> bool:
    """Whether ``folder`` holds the whole result of this very file (size, time of change), made as it would be now.

    As now means these options and models, the detector that ``auto`` stands for now, its weights, and today's schema.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        made = (record["schema_version"], record["detector"], record["model"], record["voice"])
        found = (record["input"], record["options"], record["formats"], made)
        now = (AFFECT.version, _detector_now(_detector_name(options)), *models.describe().values())
        wanted = (_fingerprint(path), to_dict(options), list(formats), now)
    except (OSError, ValueError, KeyError, TypeError, WeightsError):
        return False
    return wanted == found and all((folder / name).is_file() for name in _products(formats, plot))


class Found(NamedTuple):
    """The faces of one frame; ``number`` is the frame's within the file, ``doubtful`` that its data was damaged."""

    number: int
    doubtful: bool
    faces: FaceFrame


class _Run:
    """One file on its way through the stages, and what is counted on the way."""

    def __init__(
        self,
        path: Path,
        options: Options,
        models: Models,
        progress: Callable[[float], None] = lambda share: None,
    ) -> None:
        self.path, self.options, self.models, self.progress = path, options, models, progress
        self.name = _name(path)
        self.detector = make_detector(self.options)
        self.media: Media = open_media(path, start=options.start, end=options.end, fps=options.fps)
        self.timer = StageTimer()
        self.frames = self.written = 0
        self.persons: set[int] = set()

    def header(self) -> dict[str, Any]:
        """Provenance; the report of losses is complete once all rows were read."""
        return AFFECT.describe(self._provenance())

    def _provenance(self) -> dict[str, Any]:
        return {
            "sentio": __version__,
            "source": self.name,
            "options": to_dict(self.options),
            "detector": _describe(self.detector),
            **self.models.describe(),
            "media": {
                **asdict(self.media.info),
                **_losses("", self.media.damage),
                **_losses("sound_", self.media.audio_damage),
            },
        }

    def rows(self) -> Generator[Row, None, None]:
        """All rows in order of frame, then person."""
        with closing(ahead(self._heard())) as scores:
            if not self.media.info.has_video:
                yield from self._sound_rows(scores)
                return
            voice = NewestScore(scores)
            with closing(ahead(self._tracked())) as tracked:
                for batch in _batched(tracked, BATCH_FRAMES):
                    yield from self._score(batch, voice)
            voice.finish()

    def _decoded(self) -> Iterator[Frame]:
        frames: Iterator[Frame] = iter(self.media)
        # The pixels are made in this stage, so that the next one need not wait for them.
        return self._timed("decode", (frame for frame in frames if frame.image is not None))

    def _heard(self) -> Iterator[VoiceScore]:
        """The scores of the voice; none without sound."""
        return self._timed("voice", voice.scores(self.media.audio(), self.models.voice) if self.models.voice else ())

    def _timed(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """The same items, the time of their making counted for a stage."""
        iterator = iter(items)
        while True:
            with self.timer.stage(stage):
                item = next(iterator, None)
            if item is None:
                return
            yield item

    def _tracked(self) -> Iterator[Found]:
        """The frames and their faces, in order."""
        tracker = FaceTracker(self.detector, TrackingConfig(search_interval_s=self.options.search_interval))
        waiting: deque[tuple[int, bool]] = deque()
        with closing(ahead(self._decoded())) as frames:
            for frame in frames:
                waiting.append((frame.index, frame.doubtful))
                with self.timer.stage("faces"):
                    decided = tracker.update(frame.image, frame.time_s)
                yield from (Found(*waiting.popleft(), faces) for faces in decided)
        yield from (Found(*waiting.popleft(), faces) for faces in tracker.flush())

    def _score(self, batch: list[Found], voice: NewestScore) -> Iterator[Row]:
        model = self.models.face
        faces = [(found.faces.time_s, face) for found in batch for face in found.faces.faces]
        with self.timer.stage("model"):
            scores = iter(model.score(faces) if model and faces else [{}] * len(faces))
        for found in batch:
            self.frames += 1
            time_s = found.faces.time_s
            base = {"file": self.name, "frame": found.number, "time_s": time_s, **voice.at(time_s)}
            rows = [base | _face_columns(face) | next(scores) for face in found.faces.faces]
            self.persons.update(face.person for face in found.faces.faces)
            for row in rows or [base | {"reason": str(found.faces.reason)}]:
                if found.doubtful:
                    row["reason"] = row["reason"] or DOUBTFUL
                self.written += 1
                yield row
            self._tell(time_s)

    def _sound_rows(self, scores: Iterator[VoiceScore]) -> Iterator[Row]:
        """One row per score, for a file without pictures."""
        for score in scores:
            self.written += 1
            yield {"file": self.name, "time_s": score.time_s, "reason": NO_PICTURE, **voice_columns(score)}
            self._tell(score.time_s)
        if self.models.voice and not self.written:
            raise InputError(
                f"{self.path} is too short for a score: there is one after every {voice.HOP_S} s of sound.",
                "Give a longer piece of sound.",
            )

    def _tell(self, time_s: float) -> None:
        info = self.media.info
        end = min(info.start_s + (info.duration_s or 0), math.inf if self.options.end is None else self.options.end)
        start = max(info.start_s, -math.inf if self.options.start is None else self.options.start)
        self.progress(min(1.0, (time_s - start) / (end - start)) if end > start else 0.0)


def _face_columns(face: TrackedFace) -> Row:
    x, y, width, height = face.box
    return {
        "person": face.person,
        "face_x": x,
        "face_y": y,
        "face_w": width,
        "face_h": height,
        "face_score": face.score,
        "quality": face.quality.value,
        "reason": str(face.quality.reason) or None,
    }


def _losses(prefix: str, damage: Damage) -> dict[str, Any]:
    return {f"{prefix}damage": str(damage) if damage else None, f"{prefix}losses": asdict(damage)}


def _collect(rows: Iterator[Row], buffer: RowBuffer) -> None:
    for row in rows:
        buffer.append(row)
    buffer.flush()


def _batched(items: Iterator[T], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def make_detector(options: Options) -> Detector:
    """The detector that the options ask for."""
    return DETECTORS[_detector_name(options)]()


def _describe(detector: Detector) -> dict[str, str]:
    return {"name": detector.name, "licence": detector.licence, "provenance": detector.provenance}


@cache
def _detector_now(name: str) -> dict[str, str]:
    """What a header would say of a detector; opened once, however many results are looked through."""
    return _describe(DETECTORS[name]())


def _detector_name(options: Options) -> str:
    return default_name() if options.detector == "auto" else options.detector


def _name(path: Path) -> str:
    """Last part of a path, also of ``.`` and ``..``; bytes that are no UTF-8 are written as ``\\udcXX``."""
    name = path.name if path.name not in ("", "..") else path.resolve().name
    return name.encode("utf-8", "backslashreplace").decode()


def _fingerprint(path: Path) -> dict[str, int]:
    """Size and time of change of a file; for a folder, of the files in it."""
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
    stats = [file.stat() for file in files]
    return {"bytes": sum(s.st_size for s in stats), "changed_ns": max((s.st_mtime_ns for s in stats), default=0)}
