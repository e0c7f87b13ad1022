"""CSV of LibreFace: what ``libreface --input_path`` and ``get_facial_attributes`` write for a video or a picture.

Frames are counted from 0, times in milliseconds. ``au_1`` is whether it is seen, 0 or 1; ``au_1_intensity`` a strength
from 0 to 5; ``facial_expression`` the most probable of eight classes.
"""

from pathlib import Path

from sentio.affect.foreign.study import (
    NO_FACE,
    Fields,
    Row,
    Study,
    Tool,
    number,
    score,
    strength,
    table_study,
    told,
    whole,
)
from sentio.affect.labels import EXPRESSIONS, UNIT_COLUMNS

UNITS = tuple(UNIT_COLUMNS.values())
"""The names are the same."""
EXPRESSION = {name: name for name in EXPRESSIONS} | {"Contempt": "Other"}
USED = {
    *UNITS,
    *(f"{unit}_intensity" for unit in UNITS),
    *("frame_idx", "frame_time_in_ms", "facial_expression", "face_detection_score", ""),
}


def _knows(header: list[str]) -> bool:
    return "facial_expression" in header or {"frame_idx", "frame_time_in_ms"} <= set(header)


def _read(path: Path) -> list[Study]:
    return [table_study(TOOL.name, path, _row, USED.__contains__)]


def _row(fields: Fields, path: Path) -> Row:
    """Without a frame it is of a single picture."""
    row: Row = {"frame": whole(fields, "frame_idx", path) if "frame_idx" in fields else 0}
    time_ms = number(fields, "frame_time_in_ms") if "frame_idx" in fields else 0.0
    row |= {} if time_ms is None else {"time_s": time_ms / 1000}
    scores = told({unit: score(fields, unit) for unit in UNITS})
    scores |= told({f"{unit}_intensity": strength(fields, f"{unit}_intensity") for unit in UNITS})
    if expression := EXPRESSION.get(fields.get("facial_expression", "").capitalize()):
        scores["expression"] = expression
    if not scores:
        return row | {"reason": NO_FACE}
    return row | {"person": 0} | told({"face_score": score(fields, "face_detection_score")}) | scores


TOOL = Tool("LibreFace", _knows, _read)
