"""CSV of Py-Feat: what ``Fex.to_csv`` writes for the detectors of versions 0.4 to 2.

Frames are counted from 0; of time it keeps whole seconds only. ``AU01`` is a probability; the emotions are
probabilities of seven classes, or of eight with contempt. The angles of the head are left out: they are degrees in some
versions and radians in others, and the file does not tell.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from sentio.affect.foreign.study import (
    NO_FACE,
    TWO_DIGIT_UNITS,
    Fault,
    Fields,
    Row,
    Study,
    Tool,
    header_of,
    in_order,
    media_name,
    number,
    score,
    table_rows,
    told,
    whole,
)
from sentio.affect.labels import EXPRESSIONS

BOX = {"face_x": "FaceRectX", "face_y": "FaceRectY", "face_w": "FaceRectWidth", "face_h": "FaceRectHeight"}
EMOTIONS = {name.lower(): name for name in EXPRESSIONS[:7]} | {"contempt": "Other"}
"""Their names and ours, in the order of ours."""
AFFECT = ("valence", "arousal")
"""The names are the same."""
USED = {*TWO_DIGIT_UNITS, *BOX.values(), *EMOTIONS, *AFFECT, "FaceScore", "input", "frame", "Identity", ""}


def _knows(header: list[str]) -> bool:
    return "FaceScore" in header and ("AU01" in header or "anger" in header or "happiness" in header)


def _read(path: Path) -> list[Study]:
    left_out = tuple(name for name in header_of(path) if name not in USED)
    by_file: dict[str, list[Row]] = {}
    seen: Counter[tuple[str, int]] = Counter()
    faults: list[Fault] = []
    for fields in table_rows(path, faults):
        file, frame = fields.get("input", ""), whole(fields, "frame", path)
        by_file.setdefault(file, []).append(_row(fields, frame, seen[file, frame]))
        seen[file, frame] += 1
    sort = _picture if _are_pictures(by_file) else in_order
    return [Study(TOOL.name, media_name(file), sort(rows), left_out, tuple(faults)) for file, rows in by_file.items()]


def _are_pictures(by_file: Mapping[str, list[Row]]) -> bool:
    """Of pictures, the frames count the files."""
    return len(by_file) > 1 and all(len({row["frame"] for row in rows}) == 1 for rows in by_file.values())


def _picture(rows: list[Row]) -> list[Row]:
    return [row | {"frame": 0, "time_s": 0.0} for row in rows]


def _row(fields: Fields, frame: int, place: int) -> Row:
    if number(fields, "FaceRectX") is None:
        return {"frame": frame, "reason": NO_FACE}
    identity = re.fullmatch(r"Person_(\d{1,9})", fields.get("Identity", ""))
    row: Row = {"frame": frame, "person": int(identity[1]) if identity else place}
    row |= told({name: number(fields, theirs) for name, theirs in BOX.items()})
    row |= told({name: score(fields, name, least=-1.0) for name in AFFECT} | {"face_score": score(fields, "FaceScore")})
    row |= told({name: score(fields, theirs) for theirs, name in TWO_DIGIT_UNITS.items()})
    emotions = told({name: score(fields, theirs) for theirs, name in EMOTIONS.items()})
    row |= {f"p_{name.lower()}": value for name, value in emotions.items()}
    return row | ({"expression": max(emotions, key=lambda name: emotions[name])} if emotions else {})


TOOL = Tool("Py-Feat", _knows, _read)
