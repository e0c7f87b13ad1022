"""The recordings of a session, one after the other, and what its page is told of them."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sentio.affect.analysis.rows import Row
from sentio.affect.analysis.stream import Stream
from sentio.affect.live.messages import Event, Name
from sentio.affect.live.record import Recording
from sentio.affect.media import Info
from sentio.core.errors import InputError, SentioError

TELL_S = 1.0
"""Seconds between two words on how long a recording is."""
MOST_NAMES = 256


class Recorder:
    """Records what a session sees, when it is asked to; a recording begins with the next picture.

    Args:
        out: folder of the recordings.
        outputs: names of what one leaves.
        post: sends a message to the page: its type and values.
        describe: what a header tells of the session.
    """

    def __init__(
        self, out: Path, outputs: Sequence[str], post: Callable[..., None], describe: Callable[[], dict[str, Any]]
    ) -> None:
        self._out, self._outputs, self._post, self._describe = out, outputs, post, describe
        self._names: dict[int, str] = {}
        self._label: str | None = None  # of a recording that waits for a picture
        self._recording: Recording | None = None
        self._told_s = 0.0

    def begin(self, label: str) -> None:
        """Record from the next picture on.

        Raises:
            InputError: a recording is running.
        """
        if self._recording is not None or self._label is not None:
            raise InputError("A recording is running already.")
        self._label = label
        self._tell(on=True)

    def end(self) -> None:
        """Finish the recording.

        Raises:
            InputError: there is none, or nothing in it.
            OutputError: it cannot be written.
        """
        if self._recording is not None:
            self.finish()
        elif self._label is not None:
            self._label = None
            self._tell(on=False)
            raise InputError("Nothing was recorded: no picture came.", "Let pictures come first.")
        else:
            raise InputError("No recording is running.")

    def keep(self, stream: Stream, zero_s: float, time_s: float, size: tuple[int, int], rows: list[Row]) -> None:
        """Write the rows of a picture, if they are to be recorded; if they cannot be, the recording ends.

        Args:
            stream: that gave the rows.
            zero_s: time of the session's first picture.
            time_s: time of this one.
            size: its (width, height).
            rows: what was decided with it.

        Raises:
            OutputError: they cannot be written.
            DiskFullError: there is no space left, or just enough to finish.
        """
        try:
            if self._label is not None:
                self._recording = self._started(self._label, stream, zero_s, time_s, size)
                self._label, self._told_s = None, time_s
            if self._recording is not None:
                self._recording.push(time_s, rows)
                if time_s - self._told_s >= TELL_S:
                    self._told_s = time_s
                    self._tell(on=True)
        except SentioError as error:
            say(str(error))
            self.finish()
            raise

    def finish(self) -> None:
        """Write what was recorded, if anything was, and forget a wish to record.

        Raises:
            OutputError: it cannot be written.
        """
        recording, was_asked = self._recording, self._recording is not None or self._label is not None
        if was_asked:
            self._tell(on=False)
        self._recording, self._label = None, None
        if recording is not None:
            files = recording.finish()
            self._post("recorded", folder=str(recording.folder), files=files)
            say(f"recorded {recording.folder}")

    def mark(self, event: Event) -> None:
        """Note an event, and tell the page that it is kept.

        Raises:
            InputError: no recording is running, or it has too many.
        """
        if self._recording is None:
            raise InputError("No recording is running, so the event is not kept.", "Begin a recording first.")
        self._recording.mark(event.time_s, event.label)
        self._post("marked", time_s=event.time_s, label=event.label)

    def name(self, wish: Name) -> None:
        """Note what a person is called; an empty name takes it away.

        Raises:
            InputError: too many have names.
        """
        if not wish.name:
            self._names.pop(wish.person, None)
        elif len(self._names) < MOST_NAMES or wish.person in self._names:
            self._names[wish.person] = wish.name
        else:
            raise InputError(f"At most {MOST_NAMES} persons have names.")

    def forget_names(self) -> None:
        """Persons are counted anew."""
        self._names = {}

    def _started(self, label: str, stream: Stream, zero_s: float, time_s: float, size: tuple[int, int]) -> Recording:
        info = Info("live", True, stream.voice is not None, start_s=time_s - zero_s, size=size, variable_rate=True)

        def describe() -> dict[str, Any]:
            return {**stream.describe(), "live": self._describe()}

        return Recording(
            self._out, label, self._outputs, stream.options, describe, info, zero_s=zero_s, names=self._names
        )

    def _tell(self, *, on: bool) -> None:
        recording = self._recording
        seconds, rows = (round(recording.seconds, 3), recording.rows) if recording else (0.0, 0)
        self._post("recording", on=on, seconds=seconds, rows=rows)


def say(text: str) -> None:
    """A line in the terminal of the server."""
    print(f"sentio: {text}", file=sys.stderr, flush=True)
