"""A picture of a result table: the scores of the voice and of every person over time, as one SVG file.

Grey is where there was nobody, or no sound, to score. A pixel of width shows the mean of the frames that fall on it.
Where the true labels are known, they are dashed beside the curves and a band above the expression that was read.
"""

import base64
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS
from sentio.affect.results.colours import CLASSES, CURVES
from sentio.affect.table import AFFECT, AU_COLUMNS, P_COLUMNS
from sentio.core.counts import counted
from sentio.core.writers import write_text

VOICE = tuple(f"voice_{name}" for name in CURVES)
COLUMNS = ["time_s", "person", "quality", *CURVES, "expression", *P_COLUMNS, *AU_COLUMNS, "speech", *VOICE]
"""What is needed of a table."""
SCHEMA = pa.schema([AFFECT.arrow().field(name) for name in COLUMNS])
PERSONS = 8
"""Persons that are drawn, those seen most often."""

LEFT, WIDTH, RIGHT = 90, 1000, 20  # pixels: labels, time, margin
ROW, CURVE, HEAD = 13, 90, 26  # heights of a row of a map, of a panel of curves, of a title
DARK = np.array([99, 45, 8])  # blue, green, red of 1; 0 is white
GREY = "#e3e3e3"

Floats = NDArray[np.float64]


def draw(
    table: pa.Table,
    path: Path,
    *,
    title: str = "",
    names: Mapping[str, str] | None = None,
    truth: pa.Table | None = None,
) -> None:
    """Draw a table of affect.

    Args:
        table: has `COLUMNS`, or more.
        path: of the SVG file.
        title: to stand on top.
        names: of persons by number, as a header has them; the others are called by their numbers.
        truth: time_s, valence, arousal and expression as they are, of the one person there is; rows in order of time,
            each until the next.

    Raises:
        OutputError: the file cannot be written.
    """
    time_s, person = _column(table, "time_s"), _column(table, "person")
    page = _Page(time_s)
    about = "faces and voice as a viewer would rate them; white is 0, blue is 1, grey is nobody"
    page.title(f"{_printable(title)}: {about}", 15)
    first = np.unique(time_s, return_index=True)[1]  # the voice is the same in all rows of a time
    voice = {name: _column(table, name)[first] for name in ("speech", *VOICE)}
    if not np.isnan(voice["speech"]).all():
        page.title("voice, whoever speaks")
        page.curves(time_s[first], [voice[name] for name in VOICE])
        page.map(time_s[first], [voice["speech"]], ["speech"])
    true = _at(truth, page.clock) if truth is not None else {}
    found, frames = np.unique(person[~np.isnan(person)], return_counts=True)
    for number in sorted(found[np.argsort(-frames, kind="stable")][:PERSONS]):
        own = person == number
        values = {name: _column(table, name)[own] for name in COLUMNS}
        known = "; true: dashed, and the upper band" if true else ""
        name = _printable((names or {}).get(f"{number:.0f}", "")) or f"person {number:.0f}"
        page.title(f"{name}, in {own.sum()} of {counted(len(first), 'frame')}{known}")
        page.curves(time_s[own], [values[name] for name in CURVES], [true[name] for name in CURVES if true])
        if true:
            page.band(page.clock, true["expression"], "true")
        page.band(time_s[own], values["expression"], "expression")
        page.map(time_s[own], [values["quality"]], ["quality"])
        page.map(time_s[own], [values[name] for name in P_COLUMNS], EXPRESSIONS)
        page.map(time_s[own], [values[name] for name in AU_COLUMNS], ACTION_UNITS)
    if len(found) > PERSONS:
        page.title(f"{counted(len(found) - PERSONS, 'more person')}, seen less often: in the table only")
    if not len(found):
        page.title("no face")
    page.axis()
    write_text(path, page.svg())


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())


def _column(table: pa.Table, name: str) -> Floats:
    """A column of numbers; null is NaN. An expression is its number."""
    if name == "expression":
        numbers = {label: number for number, label in enumerate(EXPRESSIONS)}
        return np.array([numbers.get(label, np.nan) for label in table[name].to_pylist()], np.float64)
    return np.asarray(table[name].cast(pa.float64()).to_numpy(), np.float64)


def _at(truth: pa.Table, moments: Floats) -> dict[str, Floats]:
    """The true values at these times, by name: those of the last row that is not later."""
    row = np.searchsorted(_column(truth, "time_s"), moments + 1e-6, side="right") - 1
    values = {name: _column(truth, name) for name in (*CURVES, "expression")}
    return {name: np.where(row >= 0, column[row], np.nan) for name, column in values.items()}


class _Page:
    """Panels one below the other over the same time."""

    def __init__(self, time_s: Floats) -> None:
        self.clock = np.unique(time_s)
        steps = np.diff(self.clock)
        self.start = float(self.clock[0]) if len(self.clock) else 0.0
        self.span = float(self.clock[-1] - self.start + np.median(steps)) if len(steps) else 1.0
        self.parts: list[str] = []
        self.y = 4.0

    def title(self, text: str, size: int = 13) -> None:
        self.y += HEAD
        self.text(LEFT, self.y - 7, text, size, "start")

    def text(self, x: float, y: float, text: str, size: int = 11, anchor: str = "end") -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def curves(self, time_s: Floats, values: Sequence[Floats], true: Sequence[Floats] = ()) -> None:
        """Valence and arousal, -1 to 1; true ones are dashed and of every moment."""
        lines = [self.pixels(time_s, line) for line in values]
        self._image(0 * lines[0][None], CURVE)
        middle = self.y + CURVE / 2
        self.parts.append(f'<path d="M{LEFT} {middle}h{WIDTH}" stroke="#999" stroke-width=".5"/>')
        for y, label in ((self.y + 9, "1"), (middle + 4, "0"), (self.y + CURVE, "-1")):
            self.text(LEFT - 5, y, label)
        for place, ((name, colour), line) in enumerate(zip(CURVES.items(), lines, strict=True)):
            self.parts.append(f'<g fill="{colour}">')
            self.text(LEFT - 22, self.y + 30 + 36 * place, name)
            self.parts.append(f'</g><path d="{_path(line, middle)}" stroke="{colour}" fill="none"/>')
        for line, colour in zip(true, CURVES.values(), strict=False):
            course = _path(self.pixels(self.clock, line), middle)
            self.parts.append(f'<path d="{course}" stroke="{colour}" stroke-dasharray="5 4" opacity=".8" fill="none"/>')
        self.y += CURVE + 3

    def map(self, time_s: Floats, values: Sequence[Floats], names: Sequence[str]) -> None:
        """A row of colour for each list of values, 0 to 1."""
        self._image(np.stack([self.pixels(time_s, row) for row in values]), ROW * len(names))
        for place, name in enumerate(names):
            self.text(LEFT - 5, self.y + ROW * (place + 0.8), name)
        self.y += ROW * len(names) + 3

    def band(self, time_s: Floats, numbers: Floats, name: str) -> None:
        """The expression of each pixel, the most frequent of its frames, in the colour of its class."""
        each = [np.where(np.isnan(numbers), np.nan, numbers == number) for number in range(len(CLASSES))]
        shares = np.stack([self.pixels(time_s, values) for values in each])  # (8, WIDTH)
        here = np.where(np.isnan(shares[0]), -1, shares.argmax(0))
        self.parts.append(f'<rect x="{LEFT}" y="{self.y:.1f}" width="{WIDTH}" height="{ROW}" fill="{GREY}"/>')
        self.text(LEFT - 5, self.y + ROW * 0.8, name)
        edges = [0, *(np.flatnonzero(np.diff(here)) + 1), WIDTH]
        for start, end in pairwise(edges):
            if here[start] >= 0:
                label, colour = list(CLASSES.items())[here[start]]
                place = f'x="{LEFT + start}" y="{self.y:.1f}" width="{end - start}" height="{ROW}"'
                self.parts.append(f'<rect {place} fill="{colour}"/>')
                if end - start > 8 * len(label):
                    self.text(LEFT + (start + end) / 2, self.y + ROW * 0.8, label, 10, "middle")
        self.y += ROW + 1

    def pixels(self, time_s: Floats, values: Floats) -> Floats:
        """(WIDTH,) means of the values by pixel; a frame lasts until the next one of the file, NaN is nothing."""
        on_clock = np.full(len(self.clock), np.nan)
        on_clock[np.searchsorted(self.clock, time_s)] = values
        place = np.minimum((self.clock - self.start) / self.span * WIDTH, WIDTH - 1).astype(int)
        known = ~np.isnan(on_clock)
        total = np.bincount(place[known], on_clock[known], WIDTH)
        count = np.bincount(place[known], minlength=WIDTH)
        mean = np.divide(total, count, out=np.full(WIDTH, np.nan), where=count > 0)
        frames = np.bincount(place, minlength=WIDTH) > 0
        return np.asarray(mean[np.maximum.accumulate(np.where(frames, np.arange(WIDTH), 0))])

    def axis(self) -> None:
        """Seconds at round numbers, about ten of them."""
        power = 10.0 ** np.floor(np.log10(self.span / 10))
        step = power * next(factor for factor in (1, 2, 5, 10) if power * factor >= self.span / 10)
        for tick in np.arange(np.ceil(self.start / step), (self.start + self.span) // step + 1) * step:
            x = LEFT + (tick - self.start) / self.span * WIDTH
            self.parts.append(f'<path d="M{x:.1f} {self.y}v5" stroke="#333"/>')
            self.text(x, self.y + 17, f"{round(tick, 6):g} s", anchor="middle")
        self.y += HEAD

    def svg(self) -> str:
        """The whole file."""
        width, height = LEFT + WIDTH + RIGHT, round(self.y + 4)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" font-family="sans-serif" fill="#222">\n<rect width="100%" height="100%" '
            'fill="white"/>\n' + "\n".join(self.parts) + "\n</svg>\n"
        )

    def _image(self, rows: Floats, height: float) -> None:
        """Values (N, WIDTH) from 0 to 1 as colours over grey, which shows where they are NaN."""
        colour = 255 + np.nan_to_num(rows.clip(0, 1))[..., None] * (DARK - 255)
        image = np.concatenate([colour, np.where(np.isnan(rows), 0, 255)[..., None]], -1).round().astype(np.uint8)
        data = base64.b64encode(cv2.imencode(".png", image)[1].tobytes()).decode()
        place = f'x="{LEFT}" y="{self.y:.1f}" width="{WIDTH}" height="{height}"'
        self.parts.append(
            f'<rect {place} fill="{GREY}"/><image {place} preserveAspectRatio="none" '
            f'style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
        )


def _path(line: Floats, middle: float) -> str:
    """A path through the pixels that have a value, broken where one has none; a lone one is a dash."""
    known = ~np.isnan(line)
    begins = known & ~np.concatenate([[False], known[:-1]])
    y = middle - line.clip(-1, 1) * CURVE / 2
    return "".join(f"{'M' if begins[x] else 'L'}{LEFT + x} {y[x]:.1f}h1" for x in np.flatnonzero(known))
