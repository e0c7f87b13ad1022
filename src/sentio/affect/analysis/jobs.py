"""Many media files: find them, share them out, skip what is done, go on after a failure, leave only whole results."""

import glob
import json
import os
import re
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sentio.affect.analysis import pipeline
from sentio.affect.analysis.models import Models, open_models
from sentio.affect.media.images import SUFFIXES as IMAGE_SUFFIXES
from sentio.core.errors import InputError, OutputError, RecipeError, SentioError
from sentio.core.interrupts import stop_requests
from sentio.core.progress import progress
from sentio.core.writers import write_json

MEDIA_NAME = re.compile(
    r".+\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|m?ts|m2ts|flv|wmv|3gp|ogv|gif|mjpeg|mxf|dv|wav|flac|mp3|m4a|aac|og[ga]|opus|wma)",
    re.IGNORECASE | re.DOTALL,
)
"""Videos and sounds that are looked for in folders; a file that is named itself may have any name."""
DEMO_CLIP = Path(__file__).resolve().parents[2] / "assets" / "demo.mp4"


@dataclass(frozen=True)
class Job:
    """One input and the name of its result folder, relative to the output folder."""

    source: Path
    result: Path


@dataclass(frozen=True)
class Shard:
    """The part of a batch that one of ``count`` runs takes; ``index`` is from 1 to ``count``."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read ``i/n``.

        Raises:
            RecipeError: it is not of that form.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        index, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= index <= count:
            raise RecipeError(f"The shard {text!r} is not valid.", "Write i/n with 1 <= i <= n, e.g. 3/16.")
        return cls(index, count)

    def of(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Every ``count``-th job, beginning with number ``index``."""
        return jobs[self.index - 1 :: self.count]

    @property
    def failed_name(self) -> str:
        """Name of the list of failures: shards that share an output folder must not overwrite each other's."""
        return "failed.json" if self.count == 1 else f"failed-{self.index}-of-{self.count}.json"


@dataclass(frozen=True)
class Batch:
    """What all files of one run share."""

    out: Path
    options: pipeline.Options
    formats: tuple[str, ...] = ("parquet", "csv")
    plot: bool = False
    shard: Shard = Shard()
    resume: bool = False


@dataclass
class Summary:
    """What came of a run. ``failed`` lists file, error and what to do."""

    done: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        """One line a file, then one for the whole."""
        lines = [
            f"{run['result']}: {_count(run, 'row')}, {_count(run, 'frame')}, {_count(run, 'person')}{_losses(run)}"
            for run in self.done
        ]
        lines += [f"failed: {entry['file']}: {entry['error']}\n  {entry['fix']}" for entry in self.failed]
        return "\n".join([*lines, f"{len(self.done)} done, {len(self.skipped)} skipped, {len(self.failed)} failed"])


def find(paths: Iterable[Path]) -> list[Job]:
    """Resolve files, folders and patterns to jobs, sorted, each source once.

    A folder is walked: every video or sound in it is a job, and so is every folder that directly holds pictures
    but no video (an image sequence). Hidden files and result folders are passed over, and so is a link back to a
    folder seen before.

    Raises:
        InputError: a path or pattern that matches nothing, or a folder without media.
    """
    sources: dict[Path, Path] = {}  # source -> path of its result, relative
    places: set[Path] = set()
    for path in paths:
        matches = [path] if os.path.lexists(path) else _matches(path)
        if not matches:
            raise InputError(
                f"{path} does not exist, or you may not look there.", "Check the spelling; a pattern may match nothing."
            )
        for match in matches:
            for source, result in _expand(match):
                if (place := source.parent.resolve() / source.name) not in places:
                    places.add(place)
                    sources[source] = result
    return _named(sources)


def run(batch: Batch, jobs: Sequence[Job], *, show: bool = True) -> Summary:
    """Analyze the batch's share of the jobs; a failure is noted and the next one taken.

    Args:
        batch: output folder and options.
        jobs: all that there is to read.
        show: show how far it has come.

    Returns:
        The summary, also when everything failed; the failures are in ``failed.json`` in the output folder, too.

    Raises:
        OutputError: the list of failures would replace a file that is none.
        WeightsError: the models cannot be opened, so that every file would fail.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the file that was being read leaves nothing behind.
    """
    _refuse_foreign(batch.out / batch.shard.failed_name)
    models = open_models(batch.options.model)
    summary, jobs = Summary(), batch.shard.of(jobs)
    try:
        with stop_requests() as stop, progress("analyze", show=show) as tell:
            for number, job in enumerate(jobs):

                def share_done(share: float, number: int = number, name: str = job.source.name) -> None:
                    if stop:
                        raise KeyboardInterrupt
                    tell(number + share, len(jobs), name)

                share_done(0.0)
                _run_one(batch, job, models, summary, share_done)
            tell(len(jobs), len(jobs))
    finally:
        _list_failures(batch, summary.failed)
    return summary


def _refuse_foreign(path: Path) -> None:
    """See that a list of failures to be replaced is one of ours."""
    if not path.exists():
        return
    try:
        ours = all({"file", "error", "fix"} == set(entry) for entry in json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        ours = False
    if not ours:
        raise OutputError(f"{path} is in the way; it is no list of failures.", "Choose another folder with --out.")


def _list_failures(batch: Batch, failed: list[dict[str, str]]) -> None:
    path = batch.out / batch.shard.failed_name
    if failed:
        write_json(path, failed)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot write to {batch.out}: {error.strerror}.", "Choose another folder with --out."
        ) from error


def _run_one(batch: Batch, job: Job, models: Models, summary: Summary, progress: Callable[[float], None]) -> None:
    folder, formats, plot = batch.out / job.result, batch.formats, batch.plot
    if batch.resume and pipeline.is_complete(folder, job.source, batch.options, formats, models, plot=plot):
        summary.skipped.append(str(job.source))
        return
    try:
        record = pipeline.analyze_to(
            folder, job.source, options=batch.options, models=models, formats=formats, plot=plot, progress=progress
        )
        summary.done.append(record | {"result": str(folder)})
    except SentioError as error:
        summary.failed.append({"file": str(job.source), "error": error.what, "fix": error.fix})
    except Exception as error:  # a defect of ours must not cost the rest of the batch
        fix = f"This is a defect of sentio; please report it with this text:\n{traceback.format_exc()}"
        summary.failed.append({"file": str(job.source), "error": repr(error), "fix": fix})


def _matches(pattern: Path) -> list[Path]:
    """Paths that a pattern names: the shell expands most, but not those in quotes or on Windows."""
    anchor = Path(pattern.anchor) if pattern.anchor else Path()
    return sorted(anchor.glob(str(pattern.relative_to(anchor)))) if glob.has_magic(str(pattern)) else []


def _expand(path: Path) -> list[tuple[Path, Path]]:
    """Sources below ``path``, each with the relative path that its result folder is named after."""
    if not path.is_dir():
        return [(path, Path(path.name))]
    found, seen = [], set()
    folders = [path, *sorted(p for p in path.rglob("*") if p.is_dir())]
    for folder in folders:
        relative, place = folder.relative_to(path), folder.resolve()
        if place in seen or any(part.startswith(".") or part.endswith(".sentio") for part in relative.parts):
            continue
        seen.add(place)
        try:
            files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
        except OSError:
            found.append((folder, relative))  # reading it will tell why
            continue
        media = [file for file in files if MEDIA_NAME.fullmatch(file.name)]
        found += [(file, relative / file.name) for file in media]
        if not media and any(file.suffix.lower() in IMAGE_SUFFIXES for file in files):
            found.append((folder, relative if relative.parts else Path(folder.resolve().name)))
    if not found:
        raise InputError(f"There are no videos, sounds or pictures in {path}.")
    return found


def _named(sources: dict[Path, Path]) -> list[Job]:
    """``clip.mp4`` gives ``clip.sentio``; where two would share a name, both keep their suffix: ``clip.mp4.sentio``."""
    stems = [result.with_suffix("") for result in sources.values()]
    times, jobs = Counter(stems), []
    for (source, result), stem in zip(sources.items(), stems, strict=True):
        base = stem if times[stem] == 1 else result
        jobs.append(Job(source, base.with_name(base.name + ".sentio")))
    taken: dict[Path, Job] = {}
    for job in jobs:
        if (other := taken.setdefault(job.result, job)) is not job:
            raise InputError(
                f"{other.source} and {job.source} would both be written to {job.result}.",
                "Name the folder that holds both, or give them in separate runs with different --out.",
            )
    return sorted(jobs, key=lambda job: str(job.source))


def _count(run: dict[str, Any], what: str) -> str:
    number = run[f"{what}s"]
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _losses(run: dict[str, Any]) -> str:
    media = run["media"]
    sound = f"sound: {media['sound_damage']}" if media["sound_damage"] else None
    return "".join(f", {lost}" for lost in (media["damage"], sound) if lost)
