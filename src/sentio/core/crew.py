"""The workers of a run on a cluster: what each must see, what it does, and what is done when it is lost."""

import logging
import os
import secrets
import shutil
import socket
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from sentio import __version__
from sentio.core.errors import ClusterError, SentioError
from sentio.core.jobs import Job, Outcome, ShareDone, Told, attempt
from sentio.core.runtime import share_cores
from sentio.core.writers import MARK, TEMPORARY, try_folder, write_text

log = logging.getLogger(__name__)
TRIES = 3
"""Workers that a job may cost: one that fills the memory each time must not take all of them."""
POLL_S = 0.5
"""Seconds between two looks at whether to stop and whether there are more machines, while no job ends."""
GRACE_S = 10.0
"""Seconds that jobs in hand have to clear up after Ctrl-C, before their workers are killed."""
ENDED_S = 5.0
"""Seconds in which a worker that was killed is gone."""


class Portable(Protocol):
    """Work that can be sent to another machine, where it opens what it needs."""

    def __call__(self, job: Job, share_done: ShareDone, /) -> Outcome:
        """Do a job; errors may be raised, see :func:`sentio.core.jobs.attempt`."""

    def made_with(self) -> Any:
        """What results depend on besides the files: the same on all machines that share a run."""


@dataclass(frozen=True)
class Sight:
    """What a worker must see of the machine that sends the jobs.

    Attributes:
        folder: in which that machine works; relative paths begin there.
        probe: file that it wrote where results go, if anywhere.
        secret: what is in it.
        sources: folders of the files to be read.
        made_with: what results depend on, see :class:`Portable`.
        version: of sentio.
    """

    folder: Path
    probe: Path
    secret: str
    sources: tuple[Path, ...]
    made_with: Any
    version: str


@dataclass(frozen=True)
class Greeting:
    """What a worker says of itself.

    Attributes:
        host: name of its machine.
        mark: in the names of files that it has not finished.
        trouble: why it cannot do the work.
    """

    host: str
    mark: str
    trouble: str


class Worker:
    """A process of the cluster that does jobs, one at a time, and keeps what the work has opened."""

    def __init__(self, work: Portable) -> None:
        self.work, self.stopping = work, Event()

    def greet(self, sight: Sight) -> Greeting:
        """See whether it can do the work."""
        share_cores()  # Ray sets OMP_NUM_THREADS to the CPUs of a worker, which is 1
        try:
            trouble = self._trouble(sight)
        except (SentioError, OSError) as error:
            trouble = str(error)
        return Greeting(socket.gethostname(), MARK, trouble)

    def _trouble(self, sight: Sight) -> str:
        if sight.version != __version__:
            return f"it has sentio {__version__}, and this machine {sight.version}"
        os.chdir(sight.folder)
        unseen = [str(folder) for folder in sight.sources if not folder.is_dir()]
        if not sight.probe.is_file() or sight.probe.read_text() != sight.secret:
            unseen.append(str(sight.probe.parent))
        if unseen:
            return f"it does not see what this machine has in {', '.join(unseen[:3])}"
        try_folder(sight.probe.parent)
        return "" if self.work.made_with() == sight.made_with else "it has other weights than this machine"

    def do(self, job: Job) -> Outcome | None:
        """Do a job; None if it was stopped."""

        def share_done(_: float) -> None:
            if self.stopping.is_set():
                raise KeyboardInterrupt

        try:
            return attempt(self.work, job, share_done)
        except KeyboardInterrupt:
            return None

    def stop(self) -> None:
        """Let the job in hand clear up and end."""
        self.stopping.set()


@contextmanager
def sight(jobs: Iterable[Job], work: Portable, out: Path | None) -> Iterator[Sight]:
    """What workers must see for these jobs; the probe lies there for as long."""
    jobs = list(jobs)
    results = out or jobs[0].result.parent
    sources = tuple(folder for folder in dict.fromkeys(job.source.parent for job in jobs) if folder.is_dir())
    probe = results / f"{TEMPORARY}{MARK}-probe"
    seen = Sight(Path.cwd(), probe, secrets.token_hex(), sources, work.made_with(), __version__)
    write_text(seen.probe, seen.secret)
    try:
        yield seen
    finally:
        seen.probe.unlink(missing_ok=True)


@dataclass(frozen=True)
class Hired:
    """A worker that is awaited.

    Attributes:
        handle: by which Ray knows it.
        greeting: None until it has greeted.
        number: of the job that it has in hand.
    """

    handle: Any
    greeting: Greeting | None = None
    number: int | None = None


class Crew:
    """The workers of a run: hired while there are jobs and CPUs for them, replaced when they are lost.

    Args:
        ray: the module, connected to a cluster.
        gpus: what each worker asks for, beside one CPU.
        jobs: by their numbers.
        work: what is done with each.
        out: the output folder, if there is one.
        sight: what workers must see.
    """

    def __init__(
        self, ray: Any, gpus: float, jobs: Mapping[int, Job], work: Portable, out: Path | None, sight: Sight
    ) -> None:
        self._ray, self._jobs, self._out = ray, jobs, out or Path()
        self._waiting = deque(jobs)
        self._awaited: dict[Any, Hired] = {}  # by what Ray calls their next answer
        self._losses: Counter[int] = Counter()
        self._left_out = self._done = 0
        self._asked = "GPU" if gpus else "CPU", gpus or 1
        options = {"num_cpus": 1, "num_gpus": gpus, "max_concurrency": 2, "scheduling_strategy": "SPREAD"}
        self._worker = ray.remote(Worker).options(**options)
        self._work, self._sight = ray.put(work), ray.put(sight)

    def outcomes(self, told: Told) -> Generator[tuple[int, Outcome], None, None]:
        """What came of the jobs, as they are done.

        Raises:
            ClusterError: no worker can do the work, or before the first job is done one cannot.
        """
        name = "waiting for a worker"
        while self._waiting or self._in_hand():
            told(self._done, name)
            ready, _ = self._ray.wait(list(self._awaited), timeout=POLL_S) if self._awaited else ((), ())
            for answer in ready:
                hired = self._awaited.pop(answer)
                outcome = self._take(hired, answer)
                if outcome is not None and hired.number is not None:
                    self._done, name = self._done + 1, self._jobs[hired.number].source.name
                    yield hired.number, outcome
            if not ready:
                self._hire()

    def close(self) -> None:
        """Stop the jobs in hand, if any, and end all workers; what those leave that do not end in time is cleared."""
        stopped = self._in_hand()
        try:
            for hired in stopped.values():
                hired.handle.stop.remote()
            self._wait(stopped, GRACE_S)
        finally:
            for hired in self._awaited.values():
                self._ray.kill(hired.handle)
            self._wait(stopped, ENDED_S)
            for hired in stopped.values():
                self._clear(hired)
            self._awaited.clear()

    def _in_hand(self) -> dict[Any, Hired]:
        """Those that do a job."""
        return {answer: hired for answer, hired in self._awaited.items() if hired.number is not None}

    def _wait(self, answers: Mapping[Any, Hired], seconds: float) -> None:
        """Wait until all are given, or known never to be."""
        if answers:
            self._ray.wait(list(answers), num_returns=len(answers), timeout=seconds)

    def _hire(self) -> None:
        """As many workers as there are jobs, and machines for them; one at least, which waits for a machine."""
        resource, each = self._asked
        there = max(int(self._ray.cluster_resources().get(resource, 0) / each) - self._left_out, 1)
        for _ in range(min(there, len(self._waiting) + len(self._in_hand())) - len(self._awaited)):
            handle = self._worker.remote(self._work)
            self._awaited[handle.greet.remote(self._sight)] = Hired(handle)

    def _take(self, hired: Hired, answer: Any) -> Outcome | None:
        """Take the answer of a worker, which is an outcome or a greeting, and give it the next job."""
        try:
            found = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            return self._lose(hired, " ".join(str(error).split()))
        if isinstance(found, Greeting):
            self._welcome(hired, found)
            return None
        outcome: Outcome = found
        if outcome.disk_full:
            self._waiting.clear()
        self._give(hired)
        return outcome

    def _welcome(self, hired: Hired, greeting: Greeting) -> None:
        if greeting.trouble:
            self._leave_out(hired, f"A worker on {greeting.host} cannot do the work: {greeting.trouble}.")
        else:
            self._give(replace(hired, greeting=greeting))

    def _give(self, hired: Hired) -> None:
        """Give a worker the next job, or leave to go."""
        if self._waiting:
            number = self._waiting.popleft()
            self._awaited[hired.handle.do.remote(self._jobs[number])] = replace(hired, number=number)
        else:
            self._ray.kill(hired.handle)

    def _lose(self, hired: Hired, error: str) -> Outcome | None:
        """Put the job of a lost worker back, unless it has cost too many, and hire another."""
        if hired.greeting is None or hired.number is None:
            self._leave_out(hired, f"A worker cannot begin: {error}")
            return None
        self._ray.kill(hired.handle)  # it may only have been out of reach
        self._clear(hired)
        host, source = hired.greeting.host, str(self._jobs[hired.number].source)
        self._losses[hired.number] += 1
        if self._losses[hired.number] == TRIES:
            what = f"{TRIES} workers were lost over it, the last on {host}: {error}"
            fix = "See whether the machine has memory enough for it; without --ray it is done here."
            return Outcome(source, "failed", error=what, fix=fix)
        log.warning("The worker on %s was lost; %s is done again.", host, source)
        self._waiting.appendleft(hired.number)
        self._hire()
        return None

    def _leave_out(self, hired: Hired, what: str) -> None:
        """Do without a worker.

        Raises:
            ClusterError: nothing is done yet, or there is no other.
        """
        self._ray.kill(hired.handle)
        if not self._done or all(other.greeting is None for other in self._awaited.values()):
            raise ClusterError(what, "All machines need this version of sentio, its weights and the same folders.")
        self._left_out += 1
        log.warning("%s It is left out.", what)

    def _clear(self, hired: Hired) -> None:
        """Take away what a worker that is gone has left unfinished of its job."""
        if hired.greeting is None or hired.number is None:
            return
        target = self._out / self._jobs[hired.number].result
        for left in (*target.glob(f"{TEMPORARY}*"), *target.parent.glob(f"{TEMPORARY}{hired.greeting.mark}-*")):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        with suppress(OSError):
            target.rmdir()  # the folder of a result that did not come
