"""Praat's TextGrid as text (https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html)."""

from collections.abc import Iterator
from pathlib import Path

from sentio.affect.results.annotations import Annotations, Tier
from sentio.core.writers import write_text


def write_textgrid(path: Path, annotations: Annotations) -> None:
    """Write every tier as one of intervals, from 0 to the end of the last episode; what is between them is empty.

    Raises:
        OutputError: the file cannot be written.
    """
    end_ms = annotations.end_ms
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", *_bounds(0, end_ms)]
    lines += ["tiers? <exists>", f"size = {len(annotations.tiers)}", "item []:"]
    for number, tier in enumerate(annotations.tiers, 1):
        intervals = list(_intervals(tier, end_ms))
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(tier.name)}"]
        lines += [*_bounds(0, end_ms, 8), f"        intervals: size = {len(intervals)}"]
        for place, (start, end, label) in enumerate(intervals, 1):
            lines += [f"        intervals [{place}]:", *_bounds(start, end, 12), f"            text = {_quoted(label)}"]
    write_text(path, "\n".join(lines) + "\n")


def _intervals(tier: Tier, end_ms: int) -> Iterator[tuple[int, int, str]]:
    """Start, end and label of intervals that leave no gap."""
    reached = 0
    for span in tier.spans:
        if reached < span.start_ms:
            yield reached, span.start_ms, ""
        yield span.start_ms, span.end_ms, span.label
        reached = span.end_ms
    if reached < end_ms:
        yield reached, end_ms, ""


def _bounds(start_ms: int, end_ms: int, spaces: int = 0) -> list[str]:
    return [f"{' ' * spaces}{name} = {ms / 1000:.3f}" for name, ms in (("xmin", start_ms), ("xmax", end_ms))]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
