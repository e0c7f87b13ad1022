"""What can be read instead of a page's camera: a camera of this machine, or a file in real time."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from sentio.affect.faces.detection import Image
from sentio.affect.media import SAMPLE_RATE, AudioBlock, Frame, open_media
from sentio.core.errors import InputError

SHOWN_WIDTH = 1280
"""Wider pictures are made smaller for the page; they are analyzed as they are."""
JPEG_QUALITY = 80
POLL_S = 0.05
"""Between two looks at whether to go on, while paused."""


@dataclass(frozen=True)
class Shown:
    """A picture to be analyzed, the JPEG of it that the page shows, and when it came, on `time.monotonic`."""

    frame: Frame
    jpeg: bytes
    came_s: float = field(default_factory=time.monotonic)

    @property
    def time_s(self) -> float:
        """Of the picture, in seconds."""
        return self.frame.time_s


Take = Callable[[Shown | AudioBlock], None]


class Control:
    """How a session holds its source: `stop` ends it for good, `pause` for a while."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.paused = threading.Event()

    def pause(self, on: bool) -> None:
        """Hold it, or let it go on."""
        (self.paused.set if on else self.paused.clear)()

    def wait(self, seconds: float) -> bool:
        """Let time go by; says whether to go on."""
        return not self.stop.wait(max(0.0, seconds))

    def hold(self) -> float:
        """Wait while it is paused; gives the seconds that took."""
        started = time.monotonic()
        while self.paused.is_set() and self.wait(POLL_S):
            pass
        return time.monotonic() - started


class Source(Protocol):
    """Pictures, and perhaps sound, that come in their own time."""

    name: str
    sound: bool

    def play(self, take: Take, control: Control) -> None:
        """Give everything to ``take``, each at its time, until it ends or is stopped.

        Raises:
            InputError: it cannot be read, or no longer.
        """


def open_source(text: str) -> Source:
    """A camera by its number, else a file.

    Raises:
        InputError: the camera is busy or not there; the file cannot be read, or has no pictures.
    """
    source: Source = Camera(int(text)) if text.isascii() and text.isdigit() else File(Path(text))
    return source


class File:
    """A file with pictures, played from its beginning.

    Sound is given just ahead of the picture of its time, so that its rows are those of `sentio analyze`.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        with open_media(path) as media:
            info = media.info
        self.sound = info.has_audio
        if not info.has_video:
            raise InputError(f"{path} has no pictures.", "Read it with: sentio analyze")

    def play(self, take: Take, control: Control) -> None:
        with open_media(self.path) as media, closing(_Sound(media.audio())) as sound:
            zero_s: float | None = None  # what a clock shows at time 0 of the file
            for frame in media:
                shown = Shown(frame, _jpeg(frame.image if frame.size[0] <= SHOWN_WIDTH else frame.scaled(SHOWN_WIDTH)))
                held_s = control.hold()
                zero_s = time.monotonic() - frame.time_s if zero_s is None else zero_s + held_s
                if not control.wait(zero_s + frame.time_s - time.monotonic()):
                    return
                for block in sound.until(frame.time_s):
                    take(block)
                take(replace(shown, came_s=time.monotonic()))
            for block in sound.rest():
                if zero_s is None or not control.wait(zero_s + block.time_s - time.monotonic()):
                    return
                take(block)


class Camera:
    """A camera of this machine, through OpenCV, for one session at a time; without sound."""

    sound = False

    def __init__(self, number: int) -> None:
        self.number, self.name = number, f"camera {number}"
        self._free = threading.Lock()
        with self._opened() as capture:
            self._read(capture)

    def play(self, take: Take, control: Control) -> None:
        if not self._free.acquire(blocking=False):
            raise InputError(f"Camera {self.number} is used by another page of this server.", "Close that page first.")
        try:
            with self._opened() as capture:
                number = 0
                while not control.stop.is_set():
                    image, time_s = self._read(capture), time.monotonic()
                    if not control.paused.is_set():
                        take(Shown(_frame(number, time_s, image), _jpeg(_reduced(image))))
                        number += 1
        finally:
            self._free.release()

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        capture = cv2.VideoCapture(self.number)
        try:
            if not capture.isOpened():
                raise InputError(
                    f"Camera {self.number} cannot be opened: there is none of this number, or another program uses it.",
                    f"Close programs that use it, or choose another number{_others()}.",
                )
            yield capture
        finally:
            capture.release()

    def _read(self, capture: Any) -> Image:
        there, image = capture.read()
        if not there or image is None:
            raise InputError(
                f"Camera {self.number} gives no picture: it was unplugged, or another program has taken it.",
                "Plug it in, close programs that use it, then start again.",
            )
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


class _Sound:
    """The sound of a file up to a time, and then up to a later one."""

    def __init__(self, blocks: Iterator[AudioBlock]) -> None:
        self._blocks = blocks
        self._next: AudioBlock | None = next(blocks, None)

    def until(self, time_s: float) -> Iterator[AudioBlock]:
        """All that was not given yet and lies before a time, to the sample."""
        while (block := self._next) is not None:
            count = round((time_s - block.time_s) * SAMPLE_RATE)
            if count < len(block.samples):
                if count > 0:
                    self._next = AudioBlock(block.time_s + count / SAMPLE_RATE, block.samples[count:])
                    yield AudioBlock(block.time_s, block.samples[:count])
                return
            self._next = next(self._blocks, None)
            yield block

    def rest(self) -> Iterator[AudioBlock]:
        """What lies behind the last picture."""
        while (block := self._next) is not None:
            self._next = next(self._blocks, None)
            yield block

    def close(self) -> None:
        """Close the file."""
        self._blocks.close()  # type: ignore[attr-defined]


def _frame(number: int, time_s: float, image: Image) -> Frame:
    return Frame(number, time_s, (image.shape[1], image.shape[0]), lambda _: image)


def _reduced(image: Image) -> Image:
    height, width = image.shape[:2]
    if width <= SHOWN_WIDTH:
        return image
    size = (SHOWN_WIDTH, max(1, round(height * SHOWN_WIDTH / width)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(image: Image) -> bytes:
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return encoded.tobytes()


def _others() -> str:
    """The cameras that this machine has, where it tells."""
    if not sys.platform.startswith("linux"):
        return ""
    numbers = sorted(int(path.name[5:]) for path in Path("/dev").glob("video*") if path.name[5:].isdigit())
    return f"; there are: {', '.join(map(str, numbers))}" if numbers else "; this machine shows none"
