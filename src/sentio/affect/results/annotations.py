"""What goes into files for other tools: episodes as tiers, on the clock that media players show."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentio.affect.results.episodes import AVERAGED, EXPRESSION, FACE, VOICE, Episode

ORDER = (EXPRESSION, VOICE, *(kind for kind in AVERAGED if kind not in (EXPRESSION, VOICE, FACE)), FACE)
"""The tiers of a person, one below the other."""


@dataclass(frozen=True)
class Span:
    """An episode on the clock of players.

    Attributes:
        start_ms: whole milliseconds from the beginning of the media, 0 or more.
        end_ms: later than ``start_ms``.
        label: what is read.
        means: see `Episode`.
    """

    start_ms: int
    end_ms: int
    label: str
    means: Mapping[str, float]


@dataclass(frozen=True)
class Tier:
    """The episodes of one kind and person, which follow one another, with gaps or without.

    Attributes:
        person: None for what is of the file.
        kind: see `Episode`.
        spans: one or more, in order of time.
    """

    person: int | None
    kind: str
    spans: tuple[Span, ...]

    @property
    def who(self) -> str:
        """The person's number; empty for what is of the file."""
        return "" if self.person is None else f"person {self.person}"

    @property
    def name(self) -> str:
        """Different for each tier of a file."""
        return f"{self.who} {self.kind}".lstrip()


@dataclass(frozen=True)
class Annotations:
    """What is known of a file when all of it was read.

    Attributes:
        tiers: those that have episodes, by person, those of the file last.
        header: of the table: how it was made.
        media: the file or folder that was read; None if there is none.
        folder: in which the product will lie, for a link to the media.
    """

    tiers: tuple[Tier, ...]
    header: Mapping[str, Any]
    media: Path | None
    folder: Path

    @property
    def end_ms(self) -> int:
        """End of the last episode."""
        return max((tier.spans[-1].end_ms for tier in self.tiers), default=0)

    def who(self, tier: Tier) -> str:
        """The person's name, on one line, as the header has it; else the number; empty for what is of the file."""
        name: str = (self.header.get("names") or {}).get(str(tier.person), "")
        return " ".join(name.split()) or tier.who

    @property
    def provenance(self) -> str:
        """See `provenance_of`."""
        return provenance_of(self.header)


def provenance_of(header: Mapping[str, Any]) -> str:
    """A header without its columns: a line of JSON, in ASCII, in which there is no ``>``, whatever the names."""
    told = {name: value for name, value in header.items() if name != "columns"}
    return json.dumps(told).replace(">", "\\u003e")


def tiers_of(episodes: Iterable[Episode], begin_s: float) -> tuple[Tier, ...]:
    """Put episodes in order.

    Args:
        episodes: of one file, in any order.
        begin_s: the time of the table at which players begin to count; what comes before it is left out.
    """
    found: dict[tuple[int | None, str], list[Span]] = {}
    for episode in sorted(episodes, key=lambda episode: episode.start_s):
        start_ms, end_ms = (max(0, round((time_s - begin_s) * 1000)) for time_s in (episode.start_s, episode.end_s))
        if start_ms < end_ms:
            span = Span(start_ms, end_ms, episode.label, episode.means)
            found.setdefault((episode.person, episode.kind), []).append(span)
    tiers = [Tier(person, kind, tuple(spans)) for (person, kind), spans in found.items()]
    return tuple(sorted(tiers, key=lambda tier: (tier.person is None, tier.person or 0, ORDER.index(tier.kind))))
