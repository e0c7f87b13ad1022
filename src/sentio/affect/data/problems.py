"""What is wrong with a file, and where: collected and shown, so that one bad line does not stop the rest."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One finding. An error makes the file unusable, a warning leaves out the frames it names."""

    level: Level
    path: Path
    what: str
    line: int | None = None
    """1 is the file's first line."""

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{self.level}: {place}: {self.what}"

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "path": str(self.path)}
