"""Many files, one job each: share them out, go on after a failure, say what came of each.

A job is a path to read and a path to write; what is done with it is a function that returns an `Outcome`, and changes
nothing else. So the same function serves here, in another process or on another machine (`sentio.core.cluster`).
"""

import glob
import json
import os
import re
import traceback
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from sentio.core.errors import DiskFullError, InputError, OutputError, RecipeError, SentioError
from sentio.core.interrupts import stop_requests
from sentio.core.progress import progress
from sentio.core.writers import try_folder, write_json

ShareDone = Callable[[float], None]
"""Told the share of a job that is done, 0 to 1; what it raises ends the job."""


@dataclass(frozen=True)
class Job:
    """One input and where its result goes.

    Attributes:
        source: file or folder to read.
        result: file or folder to write, relative to the output folder of the run if it has one.
        refusal: why it cannot be read, known before it is tried.
    """

    source: Path
    result: Path
    refusal: SentioError | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        source: path of the input as text.
        state: ``done``, ``skipped`` (the result was there), ``failed``, or ``untried`` (the disk was full before).
        record: what there is to tell of a job that is done, as JSON knows it.
        error: what happened to a failed one.
        fix: what to do about it.
        disk_full: it failed for want of space, so that the next one would, too.
    """

    source: str
    state: Literal["done", "skipped", "failed", "untried"]
    record: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    fix: str = ""
    disk_full: bool = False

    @property
    def failure(self) -> dict[str, str]:
        """An entry of the list of failures."""
        return {"file": self.source, "error": self.error, "fix": self.fix}

    @property
    def complaint(self) -> str:
        """The same for people; the input is named once, for most errors name it themselves."""
        named = re.search(rf"(?<!\S){re.escape(self.source)}(?=[\s,:]|\.?$)", self.error)
        return f"{self.error if named else f'{self.source}: {self.error}'}\n  {self.fix}".rstrip()


Work = Callable[[Job, ShareDone], Outcome]
"""What is done with a job; errors may be raised, see `attempt`."""
W = TypeVar("W", bound=Work, contravariant=True)
Told = Callable[[float, str], None]
"""Told the jobs that are done, and the name of the one in hand; what it raises ends the run."""


class Each(Protocol[W]):
    """How the jobs of a run are done: `in_turn`, or on a cluster."""

    def __call__(
        self, jobs: Sequence[Job], work: W, out: Path | None, told: Told, /
    ) -> Generator[tuple[int, Outcome], None, None]:
        """What came of the jobs by their numbers, as they are done; on a full disk no other is begun."""


@dataclass(frozen=True)
class Summary:
    """What came of a run, job by job in order."""

    outcomes: tuple[Outcome, ...]

    def of(self, state: str) -> list[Outcome]:
        """The outcomes in a state."""
        return [outcome for outcome in self.outcomes if outcome.state == state]

    @property
    def failed(self) -> list[dict[str, str]]:
        """File, error and fix of every failure."""
        return [outcome.failure for outcome in self.of("failed")]

    @property
    def complaints(self) -> list[str]:
        """What people are told of the failures, and of what was not tried."""
        failed = [f"failed: {outcome.complaint}" for outcome in self.of("failed")]
        return failed + [f"not tried: {outcome.source}" for outcome in self.of("untried")]

    @property
    def whole(self) -> bool:
        """Whether every job is done or was done before."""
        return not self.of("failed") and not self.of("untried")

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: records of what is done, paths of what was skipped or untried, failures with a fix."""
        return {
            "done": [outcome.record for outcome in self.of("done")],
            "skipped": [outcome.source for outcome in self.of("skipped")],
            "failed": self.failed,
            "untried": [outcome.source for outcome in self.of("untried")],
        }

    def text(self, line: Callable[[dict[str, Any]], str]) -> str:
        """A line of each record as ``line`` makes it, the failures, and one line for the whole."""
        lines = [line(outcome.record) for outcome in self.of("done")] + self.complaints
        counts = f"{len(self.of('done'))} done, {len(self.of('skipped'))} skipped, {len(self.failed)} failed"
        if untried := self.of("untried"):
            counts += f", {len(untried)} not tried, for the disk is full; what is done is whole"
        return "\n".join([*lines, counts])


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


def in_turn(
    jobs: Sequence[Job], work: Work, out: Path | None, told: Told, /
) -> Generator[tuple[int, Outcome], None, None]:
    """Do jobs here, one after the other; see :class:`Each`."""
    for number, job in enumerate(jobs):

        def share_done(share: float, number: int = number, name: str = job.source.name) -> None:
            told(number + share, name)

        share_done(0.0)
        outcome = attempt(work, job, share_done)
        yield number, outcome
        if outcome.disk_full:
            return


def run(
    jobs: Sequence[Job],
    work: W,
    out: Path | None,
    *,
    shard: Shard | None = None,
    title: str,
    show: bool,
    each: Each[W] = in_turn,
) -> Summary:
    """Do a shard of the jobs; a failure is noted and the next one taken, but on a full disk the run ends.

    Args:
        jobs: all that there is to do.
        work: what is done with each.
        out: the output folder; the failures are listed there, too, in ``failed.json``. None if there is none, and so no
            such list: results then lie each in a place of its own.
        shard: the part of the jobs to take; all by default.
        title: what is done, for the progress bar.
        show: show how far it has come.
        each: how, and so where, they are done.

    Raises:
        OutputError: the output folder cannot be written, or the list of failures would replace a file that is none.
        DiskFullError: there is no room to begin with.
        ClusterError: the machines of a cluster cannot do the work.
        KeyboardInterrupt: Ctrl-C or SIGTERM; a job that was in hand leaves nothing behind.
    """
    shard = shard or Shard()
    jobs = shard.of(jobs)
    failures = None if out is None else out / shard.failed_name
    if failures is not None:
        _refuse_foreign(failures)
        try_folder(failures.parent)
    outcomes: dict[int, Outcome] = {}
    try:
        with stop_requests() as stop, progress(title, show=show) as tell:

            def told(done: float, name: str) -> None:
                if stop:
                    raise KeyboardInterrupt
                tell(done, len(jobs), name)

            with closing(each(jobs, work, out, told)) as done:
                outcomes.update(done)
            tell(len(outcomes), len(jobs))
    finally:
        if failures is not None:
            _list_failures(failures, Summary(tuple(outcomes[number] for number in sorted(outcomes))).failed)
    untried = (Outcome(str(job.source), "untried") for job in jobs)
    return Summary(tuple(outcomes.get(number, outcome) for number, outcome in enumerate(untried)))


def attempt(work: Work, job: Job, share_done: ShareDone) -> Outcome:
    """Do one job; whatever goes wrong is its outcome."""
    source = str(job.source)
    try:
        if job.refusal is not None:
            raise job.refusal
        return work(job, share_done)
    except SentioError as error:
        full = isinstance(error, DiskFullError)
        return Outcome(source, "failed", error=error.what, fix=error.fix, disk_full=full)
    except Exception as error:  # a defect of ours must not cost the rest of the batch
        fix = f"This is a defect of sentio; please report it with this text:\n{traceback.format_exc()}"
        return Outcome(source, "failed", error=repr(error), fix=fix)


def expand(path: Path) -> list[Path]:
    """The paths that an argument names: itself if it is there, else what it matches as a pattern, sorted.

    The shell expands most patterns, but not those in quotes or on Windows.

    Raises:
        InputError: there is nothing of the kind.
    """
    if os.path.lexists(path):
        return [path]
    anchor = Path(path.anchor) if path.anchor else Path()
    if glob.has_magic(str(path)) and (found := sorted(anchor.glob(str(path.relative_to(anchor))))):
        return found
    what = f"{path} does not exist, or its folder may not be read."
    raise InputError(what, "Check the spelling; a pattern may match nothing.")


def distinct(places: Iterable[tuple[Path, Path]]) -> list[Path]:
    """Names that differ, from (path, name) pairs in which the name is the end of the path, or like it.

    A name that several share is led by as many of the folders above as it takes: ``one/x.mp4`` and ``two/x.mp4``. The
    order of the pairs does not matter.
    """
    pairs = list(places)
    added = [0] * len(pairs)
    while True:
        names = [_led(path, name, more) for (path, name), more in zip(pairs, added, strict=True)]
        owners: dict[Path, list[int]] = {}
        for index, name in enumerate(names):
            owners.setdefault(name, []).append(index)
        longer = [
            index
            for group in owners.values()
            if len(group) > 1
            for index in group
            if added[index] < len(_above(*pairs[index]))
        ]
        if not longer:
            return names
        for index in longer:
            added[index] += 1


def _above(path: Path, name: Path) -> tuple[str, ...]:
    """The folders above a name, without the root of the file system."""
    parts = path.parts[1:] if path.anchor else path.parts
    return parts[: -len(name.parts)]


def _led(path: Path, name: Path, more: int) -> Path:
    above = _above(path, name)
    return Path(*above[len(above) - more :], name)


def _refuse_foreign(path: Path) -> None:
    """See that a list of failures to be replaced is one of ours."""
    if not path.exists():
        return
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        ours = isinstance(entries, list) and all({"file", "error", "fix"} == set(entry) for entry in entries)
    except (OSError, ValueError, TypeError):
        ours = False
    if not ours:
        raise OutputError(f"{path} is in the way; it is no list of failures.", "Choose another folder with --out.")


def _list_failures(path: Path, failed: list[dict[str, str]]) -> None:
    """Write the list of failures, or take the last one away. On a full disk the summary must do."""
    try:
        if failed:
            write_json(path, failed)
        else:
            path.unlink(missing_ok=True)
    except DiskFullError:
        return
    except OSError as error:
        fix = "Choose another folder with --out."
        raise OutputError(f"Cannot write to {path.parent}: {error.strerror}.", fix) from error
