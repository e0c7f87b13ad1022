"""Results of other tools become result folders like our own: the same table, report, plot and annotations."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentio import __version__
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.rows import Row
from sentio.affect.analysis.sources import RESULT
from sentio.affect.foreign import Study, read
from sentio.affect.labels import ACTION_UNITS
from sentio.affect.media import Info, open_media
from sentio.affect.media.info import IMAGES
from sentio.affect.results.folder import RECORD, choose, writing
from sentio.affect.results.outputs import DEFAULT
from sentio.core.config import to_dict
from sentio.core.counts import counted
from sentio.core.errors import InputError, OutputError
from sentio.core.jobs import Job, Outcome, ShareDone, distinct, expand
from sentio.core.results import Schema
from sentio.core.weights import sha256

SHOWN = 20
"""Scores out of range that are named one by one."""
SEEN = 0.5
"""Probability from which an action unit counts as seen, for the files of other tools name none [CHOSEN]."""


@dataclass(frozen=True)
class Converted:
    """The origin of the rows of a study: what the outputs know of it.

    Attributes:
        study: what the tool says.
        source: the tool's file.
        folder: of the result.
        path: the media file that it is about; None if that is not at hand.
        info: what the media hold.
    """

    study: Study
    source: Path
    folder: Path
    path: Path | None
    info: Info

    @property
    def options(self) -> Options:
        """Those of our own readings at their defaults: nothing here depends on them."""
        return Options()

    @property
    def name(self) -> str:
        """Of the media, as far as it is known, else of the tool's file."""
        return self.path.name if self.path else self.study.media or self.source.name

    def share_done(self, share: float) -> None:
        """Nothing is made after the last row."""

    def header(self, schema: Schema) -> dict[str, Any]:
        """Provenance of a table with this schema."""
        return schema.describe(
            {
                "source": self.name,
                "sentio": __version__,
                "options": to_dict(self.options),
                "detector": None,
                "model": {"name": self.study.tool, "thresholds": [SEEN] * len(ACTION_UNITS)},
                "converted": self.describe(),
                "media": asdict(self.info),
            }
        )

    def describe(self) -> dict[str, Any]:
        """Which file of which tool it is, and what of it has no place in the table."""
        return {
            "tool": self.study.tool,
            "file": str(self.source.resolve()),
            "sha256": sha256(self.source),
            "left_out": list(self.study.left_out),
            "out_of_range": _out_of_range(self.study),
        }


@dataclass(frozen=True)
class Conversion:
    """What is done with each file of another tool: called with a job, it writes a result folder.

    Attributes:
        out: folder in which the result folders lie.
        outputs: names of what to write.
        video: the media that the files are about: its frames have the times, and the report plays it.
        fps: frames a second, for tools that keep no times, where the video is not at hand.
    """

    out: Path
    outputs: tuple[str, ...] = DEFAULT
    video: Path | None = None
    fps: float | None = None

    def __call__(self, job: Job, share_done: ShareDone) -> Outcome:
        """Read the job's source and write what it says.

        Raises:
            InputError: it cannot be read, or tells no times and neither video nor rate is given; several media are in
                it, and one video is given.
            OutputError: the folder cannot be written, or holds another result.
        """
        studies = [study for study in read(job.source) if study.rows]
        if self.video is not None and len(studies) > 1:
            what = f"{job.source} is about {counted(len(studies), 'file')}, and one video is given."
            raise InputError(what, "Leave out --video.")
        folder = self.out / job.result
        places = [Path()] if len(studies) == 1 else distinct(_places(studies))
        for number, (study, place) in enumerate(zip(studies, places, strict=True)):
            share_done(number / len(studies))
            self._write(study, job.source, folder / place)
        counts = {"rows": sum(len(study.rows) for study in studies), "files": len(studies)}
        first = studies[0]  # what is left out and out of range is that of the file, and so the same for all
        told = {"file": str(job.source), "tool": first.tool, "left_out": list(first.left_out)}
        found = {"out_of_range": _out_of_range(first), "result": str(folder)}
        return Outcome(str(job.source), "done", told | counts | found)

    def _write(self, study: Study, source: Path, folder: Path) -> None:
        rows = self._timed(study, source)
        origin = Converted(study, source, folder, self.video, self._info(rows))
        _refuse_another(folder, source)
        choice = choose(self.outputs, origin.options, origin.info, origin.path)
        persons = {row["person"] for row in rows if "person" in row}
        counts = {"rows": len(rows), "frames": len({row["frame"] for row in rows}), "persons": len(persons)}
        with writing(folder, choice, origin, lambda: counts) as write_row:
            for row in rows:
                write_row({"file": origin.name, "modality": "none" if "reason" in row else "face"} | row)

    def _info(self, rows: list[Row]) -> Info:
        if self.video is not None:
            with open_media(self.video) as media:
                return media.info
        times = np.unique(np.round([row["time_s"] for row in rows], 6))  # microseconds
        if len(times) < 2:
            return Info(IMAGES, has_video=True, has_audio=False)
        rate = float(1 / np.median(np.diff(times)))
        return Info("", has_video=True, has_audio=False, start_s=float(times[0]), begin_s=float(times[0]), rate=rate)

    def _timed(self, study: Study, source: Path) -> list[Row]:
        """The rows in order of time, which the tool tells, or the video, or the rate."""
        if study.has_times:
            return sorted(study.rows, key=lambda row: (row["time_s"], row.get("person", -1)))
        if self.video is not None:
            times = _frame_times(self.video)
            if (last := max(row["frame"] for row in study.rows)) >= len(times):
                what = f"{source} tells of frame {last}, and {self.video} has {counted(len(times), 'frame')}, from 0."
                raise InputError(what, "Give the video that the file is about.")
            return [row | {"time_s": float(times[row["frame"]])} for row in study.rows]
        if self.fps is None:
            what = f"{source}: {study.tool} keeps no times of frames."
            raise InputError(what, "Give --video FILE, which has them, or --fps RATE.")
        return [row | {"time_s": row["frame"] / self.fps} for row in study.rows]


def find(paths: Sequence[Path]) -> list[Job]:
    """Jobs of files and patterns: the result of ``clip.csv`` is ``clip.csv.sentio``.

    A path that is missing, and a folder, are jobs, too, with the reason for their failure.
    """
    found: list[tuple[Path, InputError | None]] = []
    for path in paths:
        try:
            found += [(match, _refusal(match)) for match in expand(path)]
        except InputError as error:
            found.append((path, error))
    names = distinct((path, Path(path.name)) for path, _ in found)
    return [
        Job(path, name.with_name(name.name + RESULT), refusal)
        for (path, refusal), name in zip(found, names, strict=True)
    ]


def line(record: dict[str, Any]) -> str:
    """What a record of a job says: one line, and one of what was out of range."""
    number, faults = len(record["left_out"]), record["out_of_range"]
    left_out = f", {counted(number, 'column has', 'columns have')} no place here (run.json)" if number else ""
    files = f" of {record['files']} files" if record["files"] > 1 else ""
    first = f"{record['result']}: {counted(record['rows'], 'row')}{files} from {record['tool']}{left_out}"
    if not faults["count"]:
        return first
    empty = counted(faults["count"], "score out of range is", "scores out of range are")
    return f"{first}\n  {empty} left empty (run.json); {faults['first'][0]}"


def _out_of_range(study: Study) -> dict[str, Any]:
    """How many scores of the tool's file are none, and the first of them."""
    return {"count": len(study.faults), "first": list(map(str, study.faults[:SHOWN]))}


def _refusal(path: Path) -> InputError | None:
    if not path.is_dir():
        return None
    return InputError(f"{path} is a folder.", "Name its files, or a pattern: 'FOLDER/*.csv'.")


def _places(studies: list[Study]) -> list[tuple[Path, Path]]:
    names = [Path(f"{study.media or 'unnamed'}{RESULT}") for study in studies]
    return [(Path(str(number)) / name, name) for number, name in enumerate(names)]


def _frame_times(video: Path) -> NDArray[np.float64]:
    """(N,) time stamps of the decoded frames."""
    with open_media(video) as media:
        return np.array([frame.time_s for frame in media])


def _refuse_another(folder: Path, source: Path) -> None:
    """See that a result to be replaced is of this file.

    Raises:
        OutputError: it is of another one, or an analysis of ours.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        same = record["converted"]["file"] == str(source.resolve())
    except (OSError, ValueError):  # no result
        return
    except (KeyError, TypeError):
        same = False
    if not same:
        raise OutputError(f"{folder} holds another result.", "Choose another folder with --out, or remove it.")
