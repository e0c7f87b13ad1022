"""Where rows come from: a file that is read, or a session that is recorded."""

from pathlib import Path
from typing import Any, Protocol

from sentio.affect.analysis.options import Options
from sentio.affect.media import Info
from sentio.core.results import Schema


class Origin(Protocol):
    """What the outputs of a run know of the source of their rows."""

    @property
    def name(self) -> str:
        """As the column ``file`` has it."""

    @property
    def path(self) -> Path | None:
        """The media file or folder; None of a session, which is in no file."""

    @property
    def folder(self) -> Path:
        """In which the results will lie."""

    @property
    def info(self) -> Info:
        """What the media hold."""

    @property
    def options(self) -> Options:
        """How they are read."""

    def share_done(self, share: float) -> None:
        """Be told how far what comes after the last row has come, 0 to 1; what it raises ends the work."""

    def header(self, schema: Schema) -> dict[str, Any]:
        """Provenance of a table with this schema; complete once all rows were given."""
