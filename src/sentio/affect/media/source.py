"""The bytes of a file as FFmpeg gets them: without its name, and with a limit on how long they may take.

A read from a dead network drive or a dying disk may never come back, and nothing can end it from outside. So a thread
of its own does the reading; who waits for it notices Ctrl-C and the time, and leaves the thread behind.
"""

import threading
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from queue import Empty, Queue
from stat import S_ISREG
from typing import Any, TypeVar

from sentio.core.errors import InputError
from sentio.core.interrupts import stop_requested

STALL_S = 30.0
"""Longest wait for one piece of a file."""

POLL_S = 0.1
"""Between two looks at whether the user wants to stop."""

T = TypeVar("T")


class MediaError(InputError):
    """A file or folder that gives neither pictures nor sound."""


class StallError(MediaError):
    """A read that does not come back: others from the same place would not, either."""


class Source:
    """A regular file, opened for reading; `read`, `seek` and `tell` are those of an unbuffered Python file.

    Args:
        path: the file.

    Attributes:
        failure: what ended the reading for good: a stall or Ctrl-C. FFmpeg passes over errors of its callbacks or
            takes them for others, so that its caller must look here.

    Raises:
        OSError: the file cannot be opened.
        MediaError: it is no regular file, or opening it stalls.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.failure: BaseException | None = None
        # No SimpleQueue: a signal that comes just as the time of a get() is over makes it wait forever (CPython 3.11).
        self._asked: Queue[Callable[[], Any] | None] = Queue()
        self._given: Queue[tuple[Any, BaseException | None]] = Queue()
        self._thread = threading.Thread(target=self._work, name="sentio-read", daemon=True)
        self._thread.start()
        try:
            self._file: FileIO = self._wait_for(self._open)
        except BaseException:
            self._leave()
            raise

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`.

        Raises:
            OSError: the system refuses.
            MediaError: the read stalls, or one did before.
        """
        try:
            return self._wait_for(lambda: self._file.read(size))
        except KeyboardInterrupt as error:  # PyAV loses what is no Exception; `failure` keeps it
            raise MediaError(f"The reading of {self._path} was interrupted.") from error

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        """Close the file; one that stalls is closed when its read comes back."""
        self._asked.put(lambda: self._file.close())
        self._leave()

    def _leave(self) -> None:
        self._asked.put(None)
        if self.failure is None:
            self._thread.join()

    def _open(self) -> FileIO:
        if not S_ISREG(self._path.stat().st_mode):
            raise MediaError(f"{self._path} is not a regular file.", "Give a file or a folder of images.")
        return self._path.open("rb", buffering=0)

    def _work(self) -> None:
        for call in iter(self._asked.get, None):
            try:
                self._given.put((call(), None))
            except BaseException as error:
                self._given.put((None, error))

    def _wait_for(self, call: Callable[[], T]) -> T:
        """Let the thread do it. Waits are counted, not timed: a process that was put to sleep has not waited."""
        if self.failure is not None:
            raise self.failure
        try:
            self._asked.put(call)
            for _ in range(round(STALL_S / POLL_S)):
                try:
                    value, error = self._given.get(timeout=POLL_S)
                except Empty:
                    if stop_requested():
                        raise KeyboardInterrupt from None
                    continue
                if error is not None:
                    raise error
                return value  # type: ignore[no-any-return]
            raise StallError(
                f"{self._path} gives nothing for {STALL_S:.0f} s: its disk or network stalls.",
                "Check the drive or the connection, or copy the file to this machine.",
            )
        except (KeyboardInterrupt, MediaError) as error:
            self.failure = error
            raise
