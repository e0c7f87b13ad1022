"""CSV of OpenFace 2: FeatureExtraction, FaceLandmarkVidMulti and FaceLandmarkImg.

Its columns: https://github.com/TadasBaltrusaitis/OpenFace/wiki/Output-Format. Frames are counted from 1; angles are in
radians, of the rotation Rx Ry Rz with x to the right, y down, z away from the camera; ``AU01_r`` is a strength from 0
to 5, ``AU01_c`` whether it is seen, 0 or 1.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from sentio.affect.foreign.study import (
    NO_FACE,
    TWO_DIGIT_UNITS,
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

POSE = {"pose_yaw": ("pose_Ry", -1), "pose_pitch": ("pose_Rx", 1), "pose_roll": ("pose_Rz", -1)}
"""Ours from theirs, and the sign: their positive yaw is to the person's right, their positive roll clockwise."""
USED = re.compile(r"frame|timestamp|face(_id)?|confidence|success|pose_R[xyz]|[xy]_\d+|AU\d+_[rc]")


def _knows(header: list[str]) -> bool:
    return "confidence" in header and any(re.fullmatch(r"AU\d\d_[rc]|pose_Rx", name) for name in header)


def _read(path: Path) -> list[Study]:
    return [table_study(TOOL.name, path, _row, _used)]


def _used(name: str) -> bool:
    unit = re.fullmatch(r"(AU\d+)_[rc]", name)
    return unit[1] in TWO_DIGIT_UNITS if unit else bool(USED.fullmatch(name))


def _row(fields: Fields, path: Path) -> Row:
    """Without a frame it is of a single picture."""
    row: Row = {"frame": whole(fields, "frame", path, least=1) - 1 if "frame" in fields else 0}
    row |= {"time_s": 0.0} if "frame" not in fields else told({"time_s": number(fields, "timestamp")})
    if number(fields, "success") == 0:
        return row | {"reason": NO_FACE}
    row["person"] = int(number(fields, "face_id") or number(fields, "face") or 0)
    row |= told({"face_score": score(fields, "confidence")}) | _box(fields)
    for name, (theirs, sign) in POSE.items():
        if (angle := number(fields, theirs)) is not None:
            row[name] = sign * math.degrees(angle)
    for theirs, name in TWO_DIGIT_UNITS.items():
        row |= told({name: score(fields, f"{theirs}_c"), f"{name}_intensity": strength(fields, f"{theirs}_r")})
    return row


def _box(fields: Mapping[str, str]) -> Row:
    """Around the landmarks, for it keeps no box."""
    xs, ys = ([number(fields, f"{axis}_{k}") for k in range(68)] for axis in "xy")
    x, y = [v for v in xs if v is not None], [v for v in ys if v is not None]
    if not x or not y:
        return {}
    return {"face_x": min(x), "face_y": min(y), "face_w": max(x) - min(x), "face_h": max(y) - min(y)}


TOOL = Tool("OpenFace", _knows, _read)
