"""What a training run tells while it goes: a CSV file, TensorBoard events, and progress on stderr."""

import csv
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sentio.core.progress import progress, silent
from sentio.core.writers import write_text

COLUMNS = ("step", "epoch", "name", "value")


class RunLog:
    """Scalars by step in ``folder/logs/metrics.csv`` (one row a value) and as TensorBoard events beside it.

    Args:
        folder: the run's folder.
        step: steps done; rows of later steps, written before a kill, are dropped so that none appears twice.
        total: steps of the whole run.
        active: False makes an object that does nothing (all processes but the first).
    """

    def __init__(self, folder: Path, *, step: int, total: int, active: bool = True) -> None:
        self.active = active
        self._open = ExitStack()
        self._tell, self._done, self._total = silent, step, total
        self._shown: dict[str, float] = {}
        if active:
            path = folder / "logs" / "metrics.csv"
            _drop_rows_after(path, step)
            self._file = path.open("a", encoding="utf-8", newline="")
            self._rows = csv.writer(self._file, lineterminator="\n")
            self._events = _tensorboard(folder / "logs", step)

    def __enter__(self) -> Self:
        self._tell = self._open.enter_context(progress("training", show=self.active))
        self._tell(self._done, self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        if self.active:
            self._file.close()
            self._events.close()

    def write(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Record named scalars of a step."""
        if self.active:
            self._rows.writerows((step, epoch, name, repr(float(value))) for name, value in values.items())
            self._file.flush()
            for name, value in values.items():
                self._events.add_scalar(name, value, step)

    def show(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Move the progress bar and update the figures beside it."""
        self._shown |= values
        figures = [f"{name} {value:.4g}" for name, value in self._shown.items()]
        self._tell(step, self._total, ", ".join([f"epoch {epoch}", f"step {step}", *figures]))

    def say(self, text: str) -> None:
        """Print a line to stderr, above the progress bar."""
        if self.active:
            print(text, file=sys.stderr, flush=True)


def _drop_rows_after(path: Path, step: int) -> None:
    rows = [list(COLUMNS)]
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            rows += [row for row in csv.reader(file) if _is_row_until(row, step)]
    write_text(path, "".join(",".join(row) + "\n" for row in rows))


def _is_row_until(row: list[str], step: int) -> bool:
    """A kill may have cut the last line short, and the header is no row."""
    return len(row) == len(COLUMNS) and row[0].isdigit() and int(row[0]) <= step


def _tensorboard(folder: Path, step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1)
