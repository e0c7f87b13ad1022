"""The results of an experiment as one SVG file: a panel for each score, a row for each variant."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

LEFT, WIDTH, RIGHT = 230, 420, 20  # pixels: names, values, margin
ROW, HEAD, FOOT = 22, 34, 26  # heights of a variant, of a panel's title, of its axis
TITLE, LINE = 90, 18  # letters in a line of the title, its height in pixels
MARGIN = 0.06
"""Share of the values' range that is left free on either side."""

Band = tuple[float, float, float]
"""Mean, low, high; NaN where there is no interval."""


def draw(title: str, panels: Mapping[str, Mapping[str, tuple[Sequence[float], Band]]]) -> str:
    """Every seed as a point, and the interval over seeds as a bar; a variant is left out where it has no value.

    Args:
        title: to stand on top, in as many lines as it takes.
        panels: by score: by variant, the values of all seeds, and mean and interval.

    Returns:
        The file's text.
    """
    lines = textwrap.wrap(title, TITLE)
    parts = [_text(8, 20 + LINE * number, line, "font-weight='bold'") for number, line in enumerate(lines)]
    y = 12.0 + LINE * len(lines)
    for score, rows in panels.items():
        rows = {name: row for name, row in rows.items() if any(map(math.isfinite, row[0]))}
        parts += _panel(score, rows, y)
        y += HEAD + ROW * len(rows) + FOOT
    size = f"width='{LEFT + WIDTH + RIGHT}' height='{y:.0f}'"
    style = "font-family='sans-serif' font-size='12'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' {size} {style}><rect {size} fill='white'/>"
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def _panel(score: str, rows: Mapping[str, tuple[Sequence[float], Band]], top: float) -> list[str]:
    low, high = _range([value for values, band in rows.values() for value in (*values, *band)])

    def x(value: float) -> float:
        return LEFT + WIDTH * (value - low) / (high - low)

    parts = [_text(8, top + 22, score)]
    for number, (name, (values, (mean, least, most))) in enumerate(rows.items()):
        y = top + HEAD + ROW * (number + 0.5)
        parts.append(_text(LEFT - 10, y + 4, name, "text-anchor='end'"))
        parts.append(f"<path d='M{LEFT} {y:.1f}h{WIDTH}' stroke='#e3e3e3'/>")
        if math.isfinite(least):
            parts.append(f"<path d='M{x(least):.1f} {y:.1f}H{x(most):.1f}' stroke='#93b8e8' stroke-width='7'/>")
        if math.isfinite(mean):
            parts.append(f"<path d='M{x(mean):.1f} {y - 7:.1f}v14' stroke='#08306b' stroke-width='2'/>")
        points = [value for value in values if math.isfinite(value)]
        parts += [f"<circle cx='{x(value):.1f}' cy='{y:.1f}' r='3' fill='#08306b'/>" for value in points]
    below = top + HEAD + ROW * len(rows) + 14
    ends = ((low, "start"), (high, "end"))
    return parts + [_text(x(value), below, f"{value:.3f}", f"text-anchor='{side}' fill='#666'") for value, side in ends]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis that shows all finite values, and is never empty."""
    known = [value for value in values if math.isfinite(value)] or [0.0]
    margin = MARGIN * (max(known) - min(known)) or 0.5
    return min(known) - margin, max(known) + margin


def _text(x: float, y: float, text: str, more: str = "") -> str:
    printable = "".join(letter for letter in text if letter.isprintable())
    return f"<text x='{x:.1f}' y='{y:.1f}' {more}>{escape(printable)}</text>"
