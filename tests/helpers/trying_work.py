"""Work for the jobs of a cluster whose files say what happens to them; workers import it from here."""

import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from sentio.core.errors import DiskFullError, InputError
from sentio.core.jobs import Job, Outcome, ShareDone
from sentio.core.writers import atomic_path


@dataclass(frozen=True)
class Copying:
    """Copies a file, unless its text begins with what keeps it from that.

    Attributes:
        out: folder of the results; in ``out/began`` lies a file for each try, which holds the process that tried.
        weights: what it says it is made with.
    """

    out: Path
    weights: str = "some"

    def made_with(self) -> str:
        return str(os.getpid()) if self.weights == "process" else self.weights

    def __call__(self, job: Job, share_done: ShareDone) -> Outcome:
        text = job.source.read_text()
        tries = self.note(job)
        with atomic_path(self.out / job.result) as temporary:
            temporary.write_text(text[:1])
            if text.startswith("bad"):
                raise InputError(f"{job.source} is bad.", "Mend it.")
            if text.startswith("full"):
                raise DiskFullError("The disk is full.", "Free some space.")
            if text.startswith("deadly"):
                os.kill(os.getpid(), signal.SIGKILL)
            while text.startswith("deaf"):
                time.sleep(0.02)
            while text.startswith("endless") or (text.startswith("slow at first") and tries == 1):
                time.sleep(0.02)
                share_done(0.5)
            shutil.copy(job.source, temporary)
        return Outcome(str(job.source), "done", {"text": text})

    def note(self, job: Job) -> int:
        """Say that a try has begun; its number, from 1."""
        began = self.out / "began"
        began.mkdir(exist_ok=True)
        number = 1 + len(list(began.glob(f"{job.source.name}.*")))
        hidden = began / f".{job.source.name}.{os.getpid()}"
        hidden.write_text(str(os.getpid()))
        hidden.rename(began / f"{job.source.name}.{number}")
        return number
