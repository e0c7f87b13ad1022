"""A stretch of a session becomes a result folder like that of a file: the same outputs, with events and names."""

import csv
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from sentio.affect.analysis.options import Options
from sentio.affect.analysis.rows import NO_PICTURE, Row
from sentio.affect.analysis.sources import RESULT
from sentio.affect.labels import FRAME_RATE
from sentio.affect.media import Damage, Info
from sentio.affect.results.folder import Choice, choose, writing
from sentio.affect.results.origin import Origin
from sentio.affect.results.outputs import TABLES, Output, WriteRow
from sentio.core.errors import DiskFullError, InputError, OutputError, SentioError
from sentio.core.results import Schema
from sentio.core.writers import refusals_told

LEAST_FREE = 64 << 20
"""Bytes on the disk at which a recording ends, while there is still room to finish it."""
CHECK_S = 1.0
"""Seconds between two looks at the disk."""
PAUSE_S = 2.0
"""Seconds without a picture after which the last one is not taken to have lasted until the next [CHOSEN]."""
MAX_EVENTS = 10_000
MAX_LABEL_BYTES = 200
"""In a folder's name, which has 255 on most disks."""


class Recording:
    """Rows on their way to a folder; what the outputs know of where they come from, an `Origin`.

    Attributes:
        folder: of the result; it appears as a whole when the recording is finished.
        name: for the column ``file``.
        options: of the session's stream.
        events: what was marked, with its time.
        names: what persons are called, by number.
        rows: how many there have been.

    Args:
        out: folder of all recordings.
        label: added to the folder's name; what no file name should have is left out.
        outputs: names of what to write, as for `sentio analyze`; what needs a file is left out.
        options: of the stream.
        describe: what makes the rows; called at the beginning and at the end.
        info: what the session's media hold.
        zero_s: time of the session's first picture on the page's clock: 0 in the table.
        names: the session's own; they may change until the end.

    Raises:
        OutputError: the folder cannot be written.
        DiskFullError: no space is left.
    """

    path = None

    def __init__(
        self,
        out: Path,
        label: str,
        outputs: Sequence[str],
        options: Options,
        describe: Callable[[], dict[str, Any]],
        info: Info,
        *,
        zero_s: float,
        names: dict[int, str],
    ) -> None:
        self.folder = new_folder(out, label)
        self.name = self.folder.stem
        self._info, self.options, self.names = info, options, names
        self.events: list[dict[str, Any]] = []
        self.rows = self.frames = 0
        self._persons: set[int] = set()
        self._describe, self._zero_s = describe, zero_s
        self._started, self._first_s, self._last_s = datetime.now().astimezone(), 0.0, 0.0
        self._step_s, self._paused_s = 1 / FRAME_RATE, 0.0  # from one picture to the next; without pictures, in all
        self._checked = 0.0
        choice = choose(outputs, options, info, None)
        rest = [output for output in choice.outputs if output not in TABLES]
        tables = [output for output in choice.outputs if output in TABLES]
        events = Output("events", "events.csv", self._write_events)
        choice = Choice((events, *rest, *tables), choice.left_out)  # the last is finished first, see `_write_events`
        self._open = ExitStack()
        self._write: WriteRow = self._open.enter_context(writing(self.folder, choice, self, self._counts))

    @property
    def info(self) -> Info:
        """What the session's media hold, with the length and the rate of the pictures so far."""
        seen_s = self.seconds - self._paused_s
        rate = (self.frames - 1) / seen_s if seen_s else 0.0
        return replace(self._info, duration_s=self.seconds, rate=round(rate, 2))

    @property
    def seconds(self) -> float:
        """From its first picture to its last one."""
        return self._last_s - self._first_s

    def share_done(self, share: float) -> None:
        """Nothing is read a second time."""

    def header(self, schema: Schema) -> dict[str, Any]:
        """Provenance of a table with this schema."""
        losses = {"damage": None, "losses": asdict(Damage()), "sound_damage": None, "sound_losses": asdict(Damage())}
        return schema.describe(
            {
                "source": self.name,
                "started": self._started.isoformat(timespec="milliseconds"),
                **self._describe(),
                "media": asdict(self.info) | losses,
                "events": self.events,
                "names": {str(person): name for person, name in sorted(self.names.items())},
            }
        )

    def push(self, time_s: float, rows: Iterable[Row]) -> None:
        """Write what was decided with the picture of a time on the page's clock; a pause before it has a row.

        Raises:
            OutputError: they cannot be written.
            DiskFullError: there is just room enough to finish; the rows are written.
        """
        if not self.frames:
            self._first_s = self._last_s = time_s
        elif time_s - self._last_s > PAUSE_S:
            self._paused_s += time_s - self._last_s - self._step_s
            self._take({"time_s": self._last_s + self._step_s, "reason": NO_PICTURE})
        else:
            self._step_s = time_s - self._last_s
        self._last_s = time_s
        self.frames += 1
        for row in rows:
            self._take(row)
        self._check_disk()

    def _take(self, row: Row) -> None:
        self._write(row | {"file": self.name, "time_s": row["time_s"] - self._zero_s})
        self.rows += 1
        if row.get("person") is not None:
            self._persons.add(row["person"])

    def mark(self, time_s: float, label: str) -> None:
        """Note an event at a time on the page's clock.

        Raises:
            InputError: there are too many.
        """
        if len(self.events) >= MAX_EVENTS:
            raise InputError(f"A recording holds at most {MAX_EVENTS} events.", "Begin another one.")
        self.events.append({"time_s": round(time_s - self._zero_s, 6), "label": label})

    def finish(self) -> list[str]:
        """Write everything to its place; gives the names of the files.

        Raises:
            OutputError: not all of it can be written; the tables that are whole are kept.
            DiskFullError: no space is left, not even for them.
        """
        try:
            self._open.close()
        except Exception as error:
            kept = self._files()
            if not kept:
                raise
            what = error.what if isinstance(error, SentioError) else f"a defect of sentio, {error!r}."
            raise OutputError(
                f"The recording is not whole: {what}", f"See {', '.join(kept)} in {self.folder}."
            ) from error
        return self._files()

    def _files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []

    def _check_disk(self) -> None:
        now = time.monotonic()
        if now - self._checked < CHECK_S:
            return
        self._checked = now
        if shutil.disk_usage(self.folder).free < LEAST_FREE:
            raise DiskFullError("The disk is almost full: the recording ends here, and is whole.", "Free some space.")

    def _counts(self) -> dict[str, Any]:
        counts = {"rows": self.rows, "frames": self.frames, "persons": len(self._persons)}
        return {**counts, "seconds": round(self.seconds, 3)}

    @contextmanager
    def _write_events(self, path: Path, _: Origin) -> Iterator[WriteRow]:
        """Finished last; if another output has failed before, the tables are taken off the stage, for nobody comes back
        to be recorded again."""
        try:
            yield lambda row: None
        except Exception:
            for output in TABLES:
                for name in output.files:
                    if (path.parent / name).exists():
                        (path.parent / name).replace(self.folder / name)
            self._list_events(self.folder / path.name)
            raise
        self._list_events(path)

    def _list_events(self, path: Path) -> None:
        with refusals_told(path), path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["time_s", "label"])
            table.writerows([event["time_s"], event["label"]] for event in self.events)


def new_folder(out: Path, label: str = "") -> Path:
    """Make a folder, so that no other session has it: ``2026-11-29_07-30-00_NAME.sentio``, by the clock on the wall.

    Raises:
        OutputError: there can be none.
    """
    words = re.sub(r"[^\w-]+", "_", label).strip("_")[:60].encode()[:MAX_LABEL_BYTES].decode(errors="ignore")
    base = "_".join(filter(None, [datetime.now().strftime("%Y-%m-%d_%H-%M-%S"), words]))
    with refusals_told(out):
        out.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            folder = out / f"{base if number == 1 else f'{base}_{number}'}{RESULT}"
            with suppress(FileExistsError):
                folder.mkdir()
                break
    return folder
