"""What the rows of a frame say, drawn onto its picture: boxes and panels of the faces, and a panel of the voice.

Everything is as large as the picture: lengths are pixels in one that is 720 high.
"""

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np

from sentio.affect.analysis.rows import Row
from sentio.affect.analysis.speaking import SPEAKS
from sentio.affect.labels import UNIT_COLUMNS, UNITS_BY_NUMBER, VALENCE_AROUSAL
from sentio.affect.media.frame import Image
from sentio.affect.results.canvas import Box, Canvas, width_of
from sentio.affect.results.colours import CLASSES, CURVES_ON_DARK, DIM, GROUND, LIGHT, WARNING, of_person
from sentio.affect.results.places import Places
from sentio.affect.table import P_COLUMNS

LEAST_HEIGHT = 480
"""A lower picture is enlarged, by a whole number, to at least so many pixels: else nothing on it could be read."""
SLENDER = 1.2
"""A picture counts as at most so many of its widths high, so that panels have room on that of a telephone."""
SMALLEST = 0.75
"""Share of all lengths that is left in a small picture."""

CAPITAL, LINE = 10.5, 21.0
"""Height of a capital; from line to line."""
MARGIN, GAP, PAD, RADIUS = 12.0, 14.0, 10.0, 8.0
"""Around the picture; between face and panel; within a panel; of its corners."""
WIDTH, NAME, NUMBER, BAR = 222.0, 66.0, 54.0, 7.0
"""Of a panel; of the names and the numbers in it; of a bar."""
CHIP = 18.0
"""From the left edge of a chip to the name behind it."""
OPACITY = 0.7
UNITS = 4
"""Action units of a face that are listed, the most probable of those that are seen."""
SEEN = 0.5
"""Probability from which on an action unit counts as seen that has no threshold."""
FULL = 4
"""Faces of a picture that have panels; of more, each has one line."""

BOX_COLUMNS = ("face_x", "face_y", "face_w", "face_h")
_HEARD = ("speaking", "speech", "voice_valence", "voice_arousal", "voice_expression")
COLUMNS = (
    *("person", "reason", *BOX_COLUMNS, *VALENCE_AROUSAL, "expression", *P_COLUMNS, *UNIT_COLUMNS.values()),
    *_HEARD,
)
"""Those of a table from which a frame is drawn; all may be null, and any may be missing in a row."""
Line = Callable[[Canvas, float, float, float], None]
"""Draws a line of a panel, given its left end, the height on which letters stand, and its length."""


class Drawing:
    """Draws frame after frame, and remembers where panels were, so that they are calm.

    Args:
        thresholds: probabilities from which on action units count as seen, by name.
        names: of persons; the others are called by their numbers.
    """

    def __init__(self, thresholds: Mapping[str, float] | None = None, names: Mapping[int, str] | None = None) -> None:
        self._thresholds, self._names = thresholds or {}, names or {}
        self._places = Places()

    def draw(self, picture: Image, rows: Sequence[Row]) -> Image:
        """A new picture, `enlargement` times as large, with what the rows of its frame say.

        Args:
            picture: RGB (H, W, 3), uint8, upright, as the rows count its pixels.
            rows: of this frame.
        """
        factor = enlargement(picture.shape[1], picture.shape[0])
        canvas = Canvas(_enlarged(picture, factor))
        unit = unit_of(canvas.width, canvas.height)
        persons = [row for row in rows if row.get("person") is not None]
        faces = {row["person"]: _box(row, factor) for row in persons if row.get(BOX_COLUMNS[0]) is not None}
        inside = MARGIN * unit, MARGIN * unit, canvas.width - 2 * MARGIN * unit, canvas.height - 2 * MARGIN * unit
        for row in persons:
            if row["person"] in faces:
                _outline(canvas, faces[row["person"]], row, unit)
                if speaks(row):
                    _speech_mark(canvas, faces[row["person"]], of_person(row["person"]), unit)
        panels = []
        if rows and rows[0].get("speech") is not None:
            lines = _voice(rows[0], unit)
            panels.append(self._places.corner((WIDTH * unit, _height(lines, unit)), faces, inside))
            _panel(canvas, panels[0], lines, unit)
        if not persons and rows:
            self._note(canvas, rows[0], unit)
        for row in sorted(persons, key=lambda row: -_area(faces.get(row["person"]))):
            lines, wide = self._lines(row, unit, full=len(persons) <= FULL)
            place = self._places.find(row["person"], (wide, _height(lines, unit)), faces, panels, inside, GAP * unit)
            _panel(canvas, place, lines, unit)
            panels.append(place)
        return canvas.picture

    def _note(self, canvas: Canvas, row: Row, unit: float) -> None:
        """Why there is no face."""
        reason = str(row.get("reason") or "")
        line = _text(reason, WARNING, unit)
        wide = width_of(reason, CAPITAL * unit) + 2 * PAD * unit
        _panel(canvas, (MARGIN * unit, MARGIN * unit, wide, _height([line], unit)), [line], unit)

    def _lines(self, row: Row, unit: float, *, full: bool) -> tuple[list[Line], float]:
        """Those of a person's panel, and its width."""
        number = row["person"]
        name = self._names.get(number, f"person {number}")
        if not full:
            what = (
                name + (" speaks" if speaks(row) else "") + (f": {row['expression']}" if row.get("expression") else "")
            )
            return [_title(what, number, unit)], width_of(what, CAPITAL * unit) + (2 * PAD + CHIP) * unit
        lines = [_title(name, number, unit, "speaks" if speaks(row) else "")]
        if row.get("reason"):
            lines.append(_text(row["reason"], WARNING, unit))
        if row.get("expression"):
            lines += [_expression(row, unit), *_circumplex(row, "", unit), *self._units(row, unit)]
        return lines, WIDTH * unit

    def _units(self, row: Row, unit: float) -> list[Line]:
        """The action units that are seen most clearly, in the order of their numbers; the places of others are left."""
        known = {name: row[column] for name, column in UNIT_COLUMNS.items() if row.get(column) is not None}
        beyond = {name: value - self._thresholds.get(name, SEEN) for name, value in known.items()}
        seen = sorted((name for name in beyond if beyond[name] >= 0), key=lambda name: -known[name])[:UNITS]
        lines = [
            _bar(name, known[name], f"{known[name]:.2f}", of_person(row["person"]), unit)
            for name in sorted(seen, key=UNITS_BY_NUMBER.index)
        ]
        empty = _text("" if seen else "no action unit", DIM, unit)
        return lines + [empty, *[_text("", DIM, unit)] * UNITS][: UNITS - len(lines)] if known else []


def enlargement(width: int, height: int) -> int:
    """The whole number of times by which a picture is enlarged."""
    return -(-LEAST_HEIGHT // max(1, _height_that_counts(width, height)))


def unit_of(width: int, height: int) -> float:
    """Pixels of a picture that are one in a picture of 720."""
    return max(SMALLEST, _height_that_counts(width, height) / 720)


def _height_that_counts(width: int, height: int) -> int:
    return min(height, round(SLENDER * width))


def _enlarged(picture: Image, factor: int) -> Image:
    if factor == 1:
        return picture.copy()
    size = picture.shape[1] * factor, picture.shape[0] * factor
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def _box(row: Row, factor: int) -> Box:
    x, y, width, height = (factor * row[column] for column in BOX_COLUMNS)
    return x, y, width, height


def _area(box: Box | None) -> float:
    return 0.0 if box is None else box[2] * box[3]


def _outline(canvas: Canvas, box: Box, row: Row, unit: float) -> None:
    """The box of a face; of dashes if it is not fit."""
    radius, dashes = 0.08 * min(box[2:]), 7 * unit if row.get("reason") else 0.0
    canvas.outline(box, radius, 4.5 * unit, GROUND, dashes=dashes)
    canvas.outline(box, radius, 2.5 * unit, of_person(row["person"]), dashes=dashes)


def speaks(row: Row) -> bool:
    """Whether this person counts as the one who speaks."""
    return bool((row.get("speaking") or 0.0) >= SPEAKS)


def _speech_mark(canvas: Canvas, box: Box, colour: str, unit: float) -> None:
    """Bars as of a sound's level, on a ground of their own, in the middle of the lower edge of a box."""
    bar, heights = 5 * unit, (8.0, 18.0, 12.0, 6.0)
    width, height = (2 * len(heights) + 1) * bar, 28 * unit
    left, middle = box[0] + (box[2] - width) / 2, box[1] + box[3]
    canvas.panel((left, middle - height / 2, width, height), height / 2, GROUND)
    for number, high in enumerate(heights):
        place = left + (2 * number + 1) * bar
        canvas.panel((place, middle - high * unit / 2, bar, high * unit), bar / 2, colour)


def _height(lines: Sequence[Line], unit: float) -> float:
    return (len(lines) * LINE + 2 * PAD - (LINE - CAPITAL)) * unit


def _panel(canvas: Canvas, box: Box, lines: Sequence[Line], unit: float) -> None:
    """A dark ground with lines on it."""
    canvas.panel(box, RADIUS * unit, GROUND, OPACITY)
    x, y, width, _ = box
    for number, draw in enumerate(lines):
        draw(canvas, x + PAD * unit, y + (PAD + CAPITAL + number * LINE) * unit, width - 2 * PAD * unit)


def _voice(row: Row, unit: float) -> list[Line]:
    """Those of the panel of the voice: always as many, for else it would jump when somebody begins to speak."""
    expression = row.get("voice_expression")
    speech = _bar("speech", row["speech"], f"{row['speech']:.2f}", LIGHT, unit)
    return [_pair("voice", expression or "silent", LIGHT, unit), speech, *_circumplex(row, "voice_", unit)]


def _expression(row: Row, unit: float) -> Line:
    name = row["expression"]
    probability = row.get(f"p_{name.lower()}")
    return _pair(name, "" if probability is None else f"{probability:.2f}", CLASSES.get(name, LIGHT), unit)


def _circumplex(row: Row, prefix: str, unit: float) -> list[Line]:
    lines = []
    for name, colour in CURVES_ON_DARK.items():
        value = row.get(prefix + name)
        lines.append(_bar(name, value, "" if value is None else f"{value:+.2f}", colour, unit, signed=True))
    return lines


def _title(text: str, person: int, unit: float, state: str = "") -> Line:
    """A chip of the person's colour, a text, and what the person does at the right end."""

    def draw(canvas: Canvas, x: float, y: float, width: float) -> None:
        side = CAPITAL * unit
        canvas.panel((x, y - side, side, side), 0.3 * side, of_person(person))
        canvas.text(x + CHIP * unit, y, text, side, LIGHT)
        canvas.text(x + width, y, state, side, LIGHT, align=1)

    return draw


def _text(text: str, colour: str, unit: float) -> Line:
    def draw(canvas: Canvas, x: float, y: float, width: float) -> None:
        canvas.text(x, y, text, CAPITAL * unit, colour)

    return draw


def _pair(left: str, right: str, colour: str, unit: float) -> Line:
    def draw(canvas: Canvas, x: float, y: float, width: float) -> None:
        canvas.text(x, y, left, CAPITAL * unit, colour)
        canvas.text(x + width, y, right, CAPITAL * unit, colour, align=1)

    return draw


def _bar(name: str, value: float | None, number: str, colour: str, unit: float, *, signed: bool = False) -> Line:
    """A name, a bar from 0 to a value up to 1 (from the middle to either side, if signed), and a number."""

    def draw(canvas: Canvas, x: float, y: float, width: float) -> None:
        canvas.text(x, y, name, CAPITAL * unit, DIM)
        canvas.text(x + width, y, number, CAPITAL * unit, LIGHT, align=1)
        left, whole, high = x + NAME * unit, width - (NAME + NUMBER) * unit, BAR * unit
        top = y - (CAPITAL + BAR) / 2 * unit
        canvas.panel((left, top, whole, high), high / 2, LIGHT, 0.2)
        if value is None:
            return
        zero = left + whole / 2 if signed else left
        end = zero + max(-1.0, min(1.0, value)) * (whole / 2 if signed else whole)
        canvas.panel((min(zero, end), top, abs(end - zero), high), 0 if signed else high / 2, colour)
        if signed:
            canvas.panel((zero - unit, top - 2 * unit, max(1, 1.5 * unit), high + 4 * unit), 0, LIGHT)

    return draw
