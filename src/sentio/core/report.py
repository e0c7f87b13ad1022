"""What an evaluation gives: scores with all that they depend on, for machines and for people."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class Report(Protocol):
    """The result of an evaluation."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values; what is undefined is None."""
        ...

    def to_text(self) -> str:
        """The same for people, some lines."""
        ...


@dataclass(frozen=True)
class Figures:
    """Named scores.

    Attributes:
        header: what was measured: system, data, split, protocol, counts.
        scores: by name; NaN is undefined.
        intervals: of some scores, low and high.
        notes: what a reader must know before he believes the figures.
    """

    header: dict[str, Any]
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON values; an undefined score is None."""
        intervals = {name: [_finite(low), _finite(high)] for name, (low, high) in self.intervals.items()}
        return {
            "header": self.header,
            "scores": finite_or_none(self.scores),
            "intervals": intervals,
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """Header without what was not given, scores and notes."""
        lines = [f"{name}: {_plain(value)}" for name, value in self.header.items() if value not in (None, [], {})]
        for name, value in self.scores.items():
            low, high = self.intervals.get(name, (math.nan, math.nan))
            lines.append(f"{name:>18} {value:7.4f}" + ("" if math.isnan(low) else f"  [{low:.4f}, {high:.4f}]"))
        return "\n".join([*lines, *self.notes])


def _plain(value: object) -> str:
    """A value of a header without the marks of a language."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items() if part is not None)
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def finite_or_none(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: such values become null."""
    return {name: _finite(value) for name, value in values.items()}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
