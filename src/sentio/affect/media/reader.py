"""One way to read any media: a video, a sound file, an image or a folder of images."""

import math
import weakref
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from stat import S_ISDIR
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sentio.affect.labels import FRAME_RATE
from sentio.affect.media.audio import read_audio
from sentio.affect.media.container import accessing
from sentio.affect.media.damage import Damage
from sentio.affect.media.frame import AudioBlock, Frame
from sentio.affect.media.images import STILL, describe_images, list_images, read_images
from sentio.affect.media.info import probe
from sentio.affect.media.video import read_frames
from sentio.core.errors import InputError

TICK_SLACK_S = 0.001
"""Containers round stamps to milliseconds: a picture this much before a tick of `fps` stands for it."""


def open_media(
    path: str | Path,
    *,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    image_rate: float = FRAME_RATE,
) -> "Media":
    """Open a video, a sound file, an image or a folder of images for reading.

    Args:
        path: file or folder.
        start: leave out what lies before this time, in seconds on the file's own time line.
        end: leave out what lies at or after this time.
        fps: at most so many pictures a second: of the ticks k / fps after the first picture, each takes the first
            picture at or after it. Pictures keep their own index and time; none is shown twice or made up.
        image_rate: images per second of a folder; nothing else is timed by a rate.

    Raises:
        MediaError: the file is missing, unreadable, empty, cut off or not media.
        InputError: an option is out of range.
    """
    low, high = -math.inf if start is None else start, math.inf if end is None else end
    if not low < high:
        raise InputError(f"The stretch from {start} s to {end} s is empty.", "Give an end after the start.")
    for name, value in (("fps", fps), ("image_rate", image_rate)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{name} is {value}, which is no rate.", "Give pictures per second, above 0.")
    return Media(Path(path), low, high, fps, image_rate)


class Media:
    """Pictures and sound of one file or folder; see `open_media`.

    Iterating gives the frames, `audio()` the sound; each call reads the file anew, with its own decoder and its own
    report, so that pictures and sound may be read side by side. A reading holds the file open until it is exhausted,
    dropped or closed; `close`, or leaving the `with` block, ends all of them.

    Attributes:
        info: what the file holds.
        damage: report of the latest reading of the pictures, complete at its end.
        audio_damage: the same of the sound.
    """

    def __init__(self, path: Path, start: float, end: float, fps: float | None, image_rate: float) -> None:
        self.path = path
        self.damage = Damage()
        self.audio_damage = Damage()
        self._start, self._end, self._fps, self._image_rate = start, end, fps, image_rate
        self._readings: weakref.WeakSet[Generator[Any, None, None]] = weakref.WeakSet()
        with accessing(path):
            is_folder = S_ISDIR(path.stat().st_mode)
        if is_folder:
            self._images = list_images(path)
        else:
            self.info = probe(path)
            self._images = [path] if self.info.format.endswith(STILL) else []
        if self._images:
            self.info = describe_images(self._images, image_rate)

    def __iter__(self) -> Iterator[Frame]:
        self.damage = Damage()
        return self._track(self._frames(self.damage))

    def audio(self) -> Iterator[AudioBlock]:
        """Blocks of one second, without a gap between them; none where the file has no sound."""
        self.audio_damage = Damage()
        return self._track(self._blocks(self.audio_damage))

    def waveform(self) -> tuple[NDArray[np.float32], float]:
        """All the sound at once: mono float32 (N,) at 16 kHz, and the time of its first sample (0 without any)."""
        blocks = list(self.audio())
        if not blocks:
            return np.zeros(0, np.float32), 0.0
        return np.concatenate([block.samples for block in blocks]), blocks[0].time_s

    def close(self) -> None:
        """End all readings and close their files. Call it when no other thread is inside one."""
        for reading in list(self._readings):
            reading.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _track(self, reading: Generator[Any, None, None]) -> Iterator[Any]:
        self._readings.add(reading)
        return reading

    def _frames(self, damage: Damage) -> Generator[Frame, None, None]:
        if self._images:
            frames = read_images(self._images, self._image_rate, damage)
        else:
            frames = read_frames(self.path, self.info, damage)
        with closing(frames):
            yield from self._selected(frames)

    def _selected(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        origin = due = -math.inf
        for frame in frames:
            if frame.time_s >= self._end:
                return
            if frame.time_s < max(self._start, due - TICK_SLACK_S):
                continue
            if self._fps is not None:
                origin = frame.time_s if math.isinf(origin) else origin
                due = origin + (math.floor((frame.time_s - origin + TICK_SLACK_S) * self._fps) + 1) / self._fps
            yield frame

    def _blocks(self, damage: Damage) -> Generator[AudioBlock, None, None]:
        if self.info.has_audio:
            yield from read_audio(self.path, damage, self._start, self._end)
