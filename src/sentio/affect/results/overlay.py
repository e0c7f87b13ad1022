"""A film of the pictures that were read, with what was read in them drawn on each, and with their sound.

Rows may be decided later than their pictures, so they wait in a file until all are there, and the pictures are read
once more: memory does not grow with length.
"""

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import pyarrow as pa
from pyarrow import ipc

from sentio.affect.analysis.rows import Row
from sentio.affect.media import Info, Media, MediaError, open_media
from sentio.affect.media.film import Film, check_encoder, tick_of
from sentio.affect.media.frame import Frame, Image
from sentio.affect.media.soundtrack import Soundtrack
from sentio.affect.results.annotations import provenance_of
from sentio.affect.results.captions import NOTICE
from sentio.affect.results.drawing import COLUMNS, Drawing, enlargement
from sentio.affect.results.episodes import unit_thresholds
from sentio.affect.results.origin import Origin
from sentio.affect.table import AFFECT
from sentio.core.ahead import ahead
from sentio.core.results import RowBuffer
from sentio.core.writers import refusals_told

SCHEMA = pa.schema([AFFECT.arrow().field(name) for name in ("frame", *COLUMNS)])
"""What waits of the rows."""

LARGEST = 4096
"""Pixels of the longer side of a film: more is not played everywhere. Larger pictures are drawn on, then reduced."""

Drawn = tuple[Image, float, int]
"""A picture, its time in seconds, and how many rows are drawn by now."""


def suits(info: Info) -> bool:
    """Whether there are pictures that follow one another."""
    return info.has_video and info.has_length


@contextmanager
def write_overlay(path: Path, origin: Origin) -> Iterator[Callable[[Row], None]]:
    """Take the rows of a file, then draw the film.

    Raises:
        OutputError: it cannot be written, or there is no encoder.
        DiskFullError: no space is left.
        MediaError: the file has changed since its rows were read, or can no longer be read.
    """
    check_encoder()
    with refusals_told(path), TemporaryFile(dir=path.parent) as waiting:
        with ipc.new_stream(waiting, SCHEMA) as sink:
            rows = RowBuffer(SCHEMA, sink.write_batch)
            yield rows.append
            rows.flush()
        waiting.seek(0)
        _write_film(path, origin, _rows_of(waiting), rows.rows)


def _rows_of(waiting: IO[bytes]) -> Iterator[Row]:
    for batch in ipc.open_stream(waiting):
        yield from batch.to_pylist()


def _write_film(path: Path, origin: Origin, rows: Iterator[Row], count: int) -> None:
    assert origin.path is not None  # see `Output.rereads`
    info, options = origin.info, origin.options
    start_s = -math.inf if options.start is None else options.start
    end_s = math.inf if options.end is None else options.end
    sound = Soundtrack(origin.path, start_s, end_s) if info.has_audio else None
    share = 0.0

    def tell() -> None:
        origin.share_done(share)

    aspect = 1 / info.sample_aspect if info.rotation % 180 else info.sample_aspect
    with (
        open_media(origin.path, start=options.start, end=options.end, fps=options.fps) as media,
        closing(ahead(_drawn(media, origin, rows), waiting=tell)) as pictures,
        Film(
            path,
            film_size(*info.size),
            time_base=tick_of(origin.path),
            zero_s=max(min(info.begin_s, info.start_s), start_s),
            rate=min(info.rate, options.fps or math.inf),
            aspect=aspect,
            sound=sound,
            comment=f"{NOTICE} {provenance_of(origin.header(AFFECT))}",
        ) as film,
    ):
        for picture, time_s, done in pictures:
            film.push(picture, time_s)
            share = done / count
            tell()


def film_size(width: int, height: int) -> tuple[int, int]:
    """That of the film of pictures of such a size: enlarged as they are drawn on, but for the largest."""
    factor = min(enlargement(width, height), LARGEST / max(width, height))
    return max(1, round(factor * width)), max(1, round(factor * height))


def _drawn(media: Media, origin: Origin, rows: Iterator[Row]) -> Generator[Drawn, None, None]:
    """Each picture with its rows on it, decoded in a thread of its own."""
    header = origin.header(AFFECT)
    names = {int(person): name for person, name in header.get("names", {}).items()}
    drawing, done = Drawing(unit_thresholds(header), names), 0
    frames = ahead(_decoded(media))
    with closing(frames):
        for number, of_frame in groupby(rows, key=lambda row: row["frame"]):
            frame, group = next(frames, None), list(of_frame)
            if frame is None or frame.index != number:
                raise MediaError(f"{media.path} has changed while it was read.", "Wait until it is whole.")
            done += len(group)
            yield drawing.draw(frame.image, group), frame.time_s, done


def _decoded(media: Media) -> Iterator[Frame]:
    for frame in media:
        _ = frame.image  # made here, so that the next stage need not wait for it
        yield frame
