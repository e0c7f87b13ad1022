"""From media to rows: a `Stream` whose parts run side by side, decoding ahead of it and writers behind it.

Each part runs in a thread of its own and hands on through a short queue, so that memory does not grow with the length
of the video; the libraries that do the work release Python's lock. Before the faces few pictures wait, for they are
large; behind them crops, enough for the batches of the model.
"""

import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sentio.affect.analysis.baseline import Rest, parse, rest_of
from sentio.affect.analysis.models import BATCH_FACES, Models, ScoredFrame
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.rows import Row
from sentio.affect.analysis.stream import Stream
from sentio.affect.analysis.voice import HOP_S, VoiceScore
from sentio.affect.media import DECLARING, Damage, Frame, Info, Media, open_media
from sentio.affect.table import AFFECT, AFFECT_AND_POINTS
from sentio.core.ahead import ahead
from sentio.core.bench import StageTimer
from sentio.core.errors import InputError
from sentio.core.jobs import ShareDone, distinct
from sentio.core.results import RowBuffer, Schema, Table

PICTURES_AHEAD = 4
"""Decoded pictures that may wait for the faces: four of 4K are 100 MB."""
FACES_AHEAD = 4 * BATCH_FACES
"""Frames that may wait as crops of their faces, 38 kB each: while a batch is scored, the next ones are filled."""

T = TypeVar("T")
Item = TypeVar("Item", contravariant=True)


class Part(Protocol[Item, T]):
    """What lives in time: takes items in order, and gives what is decided by now."""

    def push(self, item: Item, /) -> list[T]:
        """Take the next item."""

    def flush(self) -> list[T]:
        """What is held back, at the end."""


class Reading:
    """One media file on its way to rows, and what is counted on the way.

    Attributes:
        name: of the file, as the table has it.
        media: what is read.
        folder: in which the results will lie.
        rows, frames, persons: how many there have been; of the persons, their numbers.
        timer: seconds of work by stage: decode, faces, model, time, voice.
        rereads: whether the file will be read once more by an output, which counts as half of the work.

    Args:
        path: file or folder.
        options: see :class:`Options`.
        models: what fills the affect columns; those that the options name if not given.
        name: for the table; the last part of the path if not given.
        folder: in which the results will lie, if in any.
        share_done: called after every frame, and while nothing comes, with the share that is done; what it raises
            ends the reading.

    Raises:
        InputError: the file is missing, empty, damaged beyond reading or no media, or ends before ``options.start``.
        WeightsError: weights are missing or damaged.
    """

    def __init__(
        self,
        path: Path,
        options: Options,
        models: Models | None = None,
        *,
        name: str | None = None,
        folder: Path = Path(),
        share_done: ShareDone = lambda share: None,
    ) -> None:
        self.name, self.folder = name or file_name(path), folder
        self.media: Media = open_media(path, start=options.start, end=options.end, fps=options.fps)
        info = self.media.info
        declared_s = info.duration_s if info.format.startswith(DECLARING) else None  # elsewhere it is an estimate
        if options.start is not None and declared_s and options.start >= info.start_s + declared_s:
            raise self._nothing(options)
        models = models and models.of_file(self.media.path)
        self.stream = Stream(
            options,
            models,
            file=self.name,
            pictures=info.has_video,
            sound=info.has_audio,
            timed=info.has_clock,
            rest=_rest_of_file(options, models),
        )
        self.timer = StageTimer()
        self.rows = self.frames = 0
        self.persons: set[int] = set()
        self.rereads = False
        self._share, self._share_done = 0.0, share_done

    @property
    def path(self) -> Path:
        """The file or folder that is read."""
        return self.media.path

    @property
    def info(self) -> Info:
        """What it holds."""
        return self.media.info

    @property
    def options(self) -> Options:
        """How it is read."""
        return self.stream.options

    def share_done(self, share: float) -> None:
        """Be told how far the second reading has come."""
        self._share_done((1 + share) / 2)

    def header(self, schema: Schema = AFFECT) -> dict[str, Any]:
        """Provenance of a table with this schema; the report of losses is complete once all rows were read."""
        return schema.describe({"source": self.name, **self.stream.describe(), "media": self.describe_media()})

    def describe_media(self) -> dict[str, Any]:
        """What the file holds, and what of it was lost."""
        losses = {**_losses("", self.media.damage), **_losses("sound_", self.media.audio_damage)}
        return {**asdict(self.info), **losses}

    def read(self) -> Generator[Row, None, None]:
        """All rows, in order of frame, then person.

        Raises:
            InputError: there are none, or the file can no longer be read.
        """
        with ExitStack() as threads:
            rows = self._frame_rows(threads) if self.stream.pictures else self._sound_rows(threads)
            for row in rows:
                self.rows += 1
                yield row
        if not self.rows:
            raise self._nothing(self.options)

    def _frame_rows(self, threads: ExitStack) -> Iterator[Row]:
        frames = ahead(self._decoded(), PICTURES_AHEAD)
        found = ahead(self._through("faces", self.stream.finder, frames), FACES_AHEAD)
        scored = ahead(self._through("model", self.stream.scorer, found), FACES_AHEAD)
        done = self._heard(scored, ahead(self._voice(), PICTURES_AHEAD))
        if self.stream.temporal is not None:
            done = self._through("time", self.stream.temporal, done)
        for frame in self._thread(threads, done, FACES_AHEAD):
            yield from self.stream.frame_rows(frame)
            self.frames += 1
            self.persons.update(face.person for face in frame.faces.faces)
            self._tell(frame.faces.time_s)
        yield from self.stream.baseline.flush() if self.stream.baseline else ()

    def _sound_rows(self, threads: ExitStack) -> Iterator[Row]:
        for score in self._thread(threads, self._voice(), PICTURES_AHEAD):
            yield self.stream.rows.of_score(score)
            self._tell(score.time_s)

    def _voice(self) -> Generator[VoiceScore, None, None]:
        if self.stream.voice is not None:
            yield from self._through("voice", self.stream.voice, self.media.audio())

    def _heard(
        self, scored: Generator[ScoredFrame, None, None], scores: Generator[VoiceScore, None, None]
    ) -> Generator[ScoredFrame, None, None]:
        """The frames with the voice of their time; the sound is read as far as they need it, and then to its end."""
        hearing = self.stream.hearing
        with closing(scored), closing(scores):
            for frame in scored:
                yield from hearing.push(frame)
                while hearing.waiting:
                    score = next(scores, None)
                    yield from hearing.end_sound() if score is None else hearing.push_score(score)
            for _ in scores:  # so that the report of what was lost in the sound is complete
                pass

    def _thread(self, threads: ExitStack, items: Iterator[T], depth: int) -> Iterator[T]:
        """The items, made in a thread that ends with the reading."""
        return threads.enter_context(closing(ahead(items, depth, waiting=lambda: self._share_done(self._share))))

    def _decoded(self) -> Iterator[Frame]:
        frames = iter(self.media)
        while True:
            with self.timer.stage("decode"):
                frame = next(frames, None)
                if frame is None:
                    return
                _ = frame.image  # made here, so that the next stage need not wait for it
            yield frame

    def _through(self, stage: str, part: Part[Item, T], items: Iterable[Item]) -> Generator[T, None, None]:
        """What a part makes of the items; the time is counted for a stage."""
        with ExitStack() as stack:
            if isinstance(items, Generator):
                stack.enter_context(closing(items))
            for item in items:
                with self.timer.stage(stage):
                    decided = part.push(item)
                yield from decided
        yield from part.flush()

    def _tell(self, time_s: float) -> None:
        info, options = self.info, self.options
        end = min(info.start_s + (info.duration_s or 0), math.inf if options.end is None else options.end)
        start = max(info.start_s, -math.inf if options.start is None else options.start)
        share = min(1.0, max(0.0, time_s - start) / (end - start)) if end > start else 0.0
        self._share = share / 2 if self.rereads else share
        self._share_done(self._share)

    def _nothing(self, options: Options) -> InputError:
        path, info = self.path, self.info
        if options.start is not None or options.end is not None:
            length = f"it ends at {info.start_s + info.duration_s:g} s" if info.duration_s else "its length is unknown"
            stretch = f"{options.start or 0:g} s" + (f" to {options.end:g} s" if options.end is not None else " on")
            fix = "Give an earlier start." if options.start is not None else "Give a later end."
            return InputError(f"{path} has nothing to read from {stretch}: {length}.", fix)
        if info.has_video:
            return InputError(f"{path} gives no picture that can be shown.", "Copy or export it again.")
        if self.stream.voice:
            what = f"{path} is too short for a score: there is one after every {HOP_S} s of sound."
            return InputError(what, "Give a longer piece of sound.")
        return InputError(f"{path} has no pictures.", "Give a file with pictures, or let a model score the voice.")


def _rest_of_file(options: Options, models: Models | None) -> Rest | None:
    """What the file that is to be the baseline says of the person in it; None if no file is.

    Raises:
        InputError: it cannot be read, or shows no face for long enough, or several.
    """
    if options.baseline is None or parse(options.baseline) is not None:
        return None
    path = Path(options.baseline)
    return _read_rest(path, path.stat().st_mtime_ns, replace(options, baseline=None, start=None, end=None), models)


@lru_cache(maxsize=4)
def _read_rest(path: Path, changed_ns: int, options: Options, models: Models | None) -> Rest:
    rows = list(Reading(path, options, models).read())
    seen = {row["person"] for row in rows if row.get("person") is not None}
    rest = rest_of(rows) if len(seen) == 1 else None
    if rest is None:
        what = f"{path} shows {len(seen)} people" if len(seen) > 1 else f"{path} shows no face for long enough"
        raise InputError(f"{what}, and is to show one at rest.", "Cut out a second or more of the one it is about.")
    return rest


def analyze(
    source: Path | str | Sequence[Path | str] | NDArray[np.uint8],
    *,
    times: Sequence[float] | NDArray[np.floating[Any]] | None = None,
    options: Options | None = None,
    models: Models | None = None,
) -> Table:
    """Read media files, pictures or folders of pictures, or pictures in memory.

    Args:
        source: a file or folder; a list of them, for one table of all; or RGB pictures, uint8 (H, W, 3) or
            (T, H, W, 3).
        times: (T,) rising times in seconds of pictures in memory; a single one is at 0 by default.
        options: see :class:`Options`.
        models: what fills the affect columns; those that the options name if not given.

    Returns:
        One row per decoded frame and person; a frame without a face has one row that says why. A file of sound has a
        row for every score of the voice. With ``options.landmarks`` the columns ``table.POINTS`` stand behind the
        others. ``header["media"]`` tells what was lost on the way; for a list it stands in ``header["sources"]``, with
        the model over time of each file, which may be another where there is no sound. The column ``file`` is the
        file's name; files of a list that share one have as many of the folders above in front as tell them apart.

    Raises:
        InputError: a file is missing, empty, damaged beyond reading, or no media; pictures or times of a wrong kind;
            crops are asked for.
        WeightsError: the weights are missing or damaged.
    """
    options = options or Options()
    schema = AFFECT_AND_POINTS if options.landmarks else AFFECT
    if options.crops:
        raise InputError("A table holds no pictures.", "Take the crops from the rows of sentio.stream.")
    if isinstance(source, np.ndarray):
        return _analyze_pictures(source, times, options, models, schema)
    if times is not None:
        raise InputError("Files have times of their own.", "Leave times out; it is for pictures in memory.")
    if isinstance(source, str | Path):
        reading = Reading(Path(source), options, models)
        rows = _collect(reading.read(), schema)
        return Table(rows, reading.header(schema))
    if not all(isinstance(path, str | Path) for path in source):
        raise InputError("Neither files nor pictures.", "Give a path, a list of paths, or one array of pictures.")
    return _analyze_list([Path(path) for path in source], options, models, schema)


def _analyze_list(paths: list[Path], options: Options, models: Models | None, schema: Schema) -> Table:
    if not paths:
        raise InputError("There is no file in the list.")
    places = {path.parent.resolve() / file_name(path): path for path in paths}  # each file once
    names = distinct((place, Path(place.name)) for place in places)
    pairs = zip(places.values(), names, strict=True)
    readings = [Reading(path, options, models, name=_text(name)) for path, name in pairs]  # all, before one is read
    tables = [_collect(reading.read(), schema) for reading in readings]
    made = [reading.stream.describe() for reading in readings]
    sources = [
        {"source": reading.name, "temporal": how["temporal"], "media": reading.describe_media()}
        for reading, how in zip(readings, made, strict=True)
    ]
    header = next((how for how in made if how["temporal"]), made[0])  # one of those that there are
    return Table(pa.concat_tables(tables), schema.describe({**header, "sources": sources}))


def _analyze_pictures(
    pictures: NDArray[np.uint8],
    times: Sequence[float] | NDArray[np.floating[Any]] | None,
    options: Options,
    models: Models | None,
    schema: Schema,
) -> Table:
    pictures = pictures[None] if pictures.ndim == 3 else pictures  # (T, H, W, 3)
    moments = np.zeros(1) if times is None and len(pictures) == 1 else np.asarray(times, np.float64)
    fix = "Give uint8 (H, W, 3), or (T, H, W, 3) with T times in seconds."
    if pictures.ndim != 4 or pictures.shape[3] != 3 or not len(pictures):
        raise InputError(f"An array {pictures.shape} holds no colour pictures.", fix)
    if moments.shape != (len(pictures),):
        raise InputError(f"Pictures {pictures.shape} and times {moments.shape} do not belong together.", fix)
    if (options.start, options.end, options.fps) != (None, None, None):
        raise InputError("start, end and fps are for files.", "Choose among the pictures yourself.")
    stream = Stream(options, models, file="array", timed=len(pictures) > 1)
    rows = (
        row for picture, time_s in zip(pictures, moments.tolist(), strict=True) for row in stream.push(picture, time_s)
    )
    table = _collect(_followed_by(rows, stream.flush), schema)
    media = {"format": "array", "frames": len(pictures), "size": pictures.shape[2:0:-1]}
    return Table(table, schema.describe({"source": "array", **stream.describe(), "media": media}))


def _followed_by(items: Iterable[T], rest: Callable[[], Iterable[T]]) -> Generator[T, None, None]:
    yield from items
    yield from rest()


def _collect(rows: Generator[Row, None, None], schema: Schema) -> "pa.Table":
    """All rows as one table in memory."""
    batches: list[pa.RecordBatch] = []
    with closing(rows):
        RowBuffer(schema.arrow(), batches.append).fill(rows)
    return pa.Table.from_batches(batches, schema.arrow())


def file_name(path: Path) -> str:
    """Last part of a path, also of ``.`` and ``..``; bytes that are no UTF-8 are written as ``\\udcXX``."""
    return _text(path if path.name not in ("", "..") else Path(path.resolve().name), last=True)


def _text(path: Path, *, last: bool = False) -> str:
    return os.fspath(path.name if last else path).encode("utf-8", "backslashreplace").decode()


def _losses(prefix: str, damage: Damage) -> dict[str, Any]:
    return {f"{prefix}damage": str(damage) if damage else None, f"{prefix}losses": asdict(damage)}
