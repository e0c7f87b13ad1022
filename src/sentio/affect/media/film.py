"""Writes an MP4 film in H.264: each picture at its own time, with the sound of the file that they are from."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from sentio.affect.media.container import open_container, video_stream
from sentio.affect.media.frame import Image
from sentio.affect.media.soundtrack import Soundtrack
from sentio.core.errors import OutputError
from sentio.core.writers import output_error

ENCODER = "libx264"
QUALITY = {"preset": "veryfast", "crf": "20", "bf": "0"}
"""Text stays sharp at it [CHOSEN]. Pictures are stored in the order of showing, so that the file's length is true."""
KEY_S = 2.0
"""Seconds between two pictures from which a player can begin, so that it finds a moment quickly."""
COARSEST, FINEST = Fraction(1, 10_000), Fraction(1, 1_000_000)
"""Lengths of a tick in seconds: repaired time stamps need one much shorter than a picture, and H.264 has a limit."""
MPEG_TICK = Fraction(1, 90_000)
BT709 = 1
"""FFmpeg's number of the colours of high definition, as matrix, primaries and curve alike."""


def check_encoder() -> None:
    """See that films can be written, before work is put into them.

    Raises:
        OutputError: this PyAV has no H.264 encoder, as may be if it was not installed from its wheel.
    """
    if ENCODER not in av.codecs_available:
        raise OutputError(f"PyAV has no encoder {ENCODER} for H.264 here.", "Install its wheel: pip install av")


class Film:
    """An MP4 file that grows; whole when left without an exception. Players can show it while it still loads.

    Args:
        path: of the file, which is written over.
        size: (width, height) of the film. Sides that are odd grow by a pixel, for H.264 stores colours for two by two.
        time_base: seconds of a tick of the source's clock, in which the times of the pictures are whole numbers.
        zero_s: time of the source at which the film begins.
        rate: pictures per second, about; the last one is shown for as long.
        aspect: width of a pixel by its height.
        sound: what is heard.
        comment: kept in the file, where players show it among its properties.

    Raises:
        OutputError: it cannot be written, or there is no encoder.
        DiskFullError: no space is left.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        *,
        time_base: Fraction,
        zero_s: float = 0.0,
        rate: float,
        aspect: float = 1.0,
        sound: Soundtrack | None = None,
        comment: str = "",
    ) -> None:
        check_encoder()
        self._path = path
        self._size = size[0] + size[0] % 2, size[1] + size[1] % 2
        self._tick = max(time_base / max(1, math.ceil(time_base / COARSEST)), FINEST)
        self._zero = round(zero_s / self._tick)
        self._length = max(1, round(1 / rate / self._tick))
        self._last: int | None = None  # tick of the newest picture
        with self._writing():
            options = {"movflags": "+faststart", "movie_timescale": str(self._tick.denominator)}
            self._container = av.open(str(path.absolute()), "w", "mp4", container_options=options)
            self._container.metadata["comment"] = comment
            self._video = self._picture_stream(rate, aspect)
            self._sounds = sound.packets(self._container, zero_s) if sound else iter(())
            self._next = next(self._sounds, None)

    def push(self, picture: Image, time_s: float) -> None:
        """Add a picture, and the sound up to it.

        Args:
            picture: RGB (H, W, 3), uint8; one of another size than the film is fitted into it, with black borders.
            time_s: of the source, later than the picture before.
        """
        tick = round(time_s / self._tick) - self._zero
        self._last = tick if self._last is None else max(tick, self._last + 1)
        frame = av.VideoFrame.from_ndarray(fitted(picture, self._size), "rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range="MPEG")
        frame.pts, frame.time_base, frame.duration = self._last, self._tick, self._length
        with self._writing():
            self._mux_sound(float(self._last * self._tick))
            self._container.mux(self._video.encode(frame))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            with suppress(av.FFmpegError):
                self._container.close()
            return
        with self._writing():
            self._container.mux(self._video.encode(None))
            self._mux_sound(math.inf)
            self._container.close()

    def _picture_stream(self, rate: float, aspect: float) -> VideoStream:
        stream = cast(VideoStream, self._container.add_stream(ENCODER, Fraction(rate).limit_denominator(1001)))
        stream.width, stream.height, stream.pix_fmt = *self._size, "yuv420p"
        context: Any = stream.codec_context
        context.time_base = self._tick
        context.gop_size = max(1, round(KEY_S * rate))
        context.options = QUALITY
        context.sample_aspect_ratio = Fraction(aspect).limit_denominator(1000)
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = 1  # 16 to 235, as television has it
        return stream

    def _mux_sound(self, until_s: float) -> None:
        """Add the sound that begins before a moment of the film: the two lie side by side in the file."""
        while self._next is not None and self._next[0] < until_s:
            with suppress(av.error.InvalidDataError):  # of a packet that no film can hold
                self._container.mux(self._next[1])
            self._next = next(self._sounds, None)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except av.FFmpegError as error:
            raise output_error(self._path, OSError(error.errno or 0, error.strerror or str(error))) from error


def tick_of(path: Path) -> Fraction:
    """Seconds of a tick of the clock of a file's pictures; that of MPEG where it has none.

    Raises:
        MediaError: the file cannot be opened.
    """
    if path.is_dir():
        return MPEG_TICK
    with open_container(path) as container:
        stream = video_stream(container)
        return (stream.time_base if stream is not None else None) or MPEG_TICK


def fitted(picture: Image, size: tuple[int, int]) -> Image:
    """A picture in a frame of (width, height): a missing row or column is repeated, other sizes are scaled to fit."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    if not (0 <= size[0] - width <= 1 and 0 <= size[1] - height <= 1):
        scale = min(size[0] / width, size[1] / height)
        within = max(1, round(width * scale)), max(1, round(height * scale))
        scaled = cv2.resize(picture, within, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        left, top = (size[0] - within[0]) // 2, (size[1] - within[1]) // 2
        whole = np.zeros((size[1], size[0], 3), np.uint8)
        whole[top : top + within[1], left : left + within[0]] = scaled
        return whole
    edges = 0, size[1] - height, 0, size[0] - width
    return np.asarray(cv2.copyMakeBorder(picture, *edges, cv2.BORDER_REPLICATE), np.uint8)
