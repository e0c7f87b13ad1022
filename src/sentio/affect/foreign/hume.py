"""JSON of Hume's Expression Measurement, as its batch API gave it (``GET /v0/batch/jobs/ID/predictions``).

A list of sources, each with predictions by file; of these the model ``face`` is read. Its 48 emotions are scores from 0
to 1 that do not exclude one another: six of them have a class of ours, none is Neutral, so that no expression is named.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sentio.affect.foreign.study import JSON, LARGEST, Fault, Row, Study, Tool, in_order, media_name, told, within
from sentio.affect.labels import UNIT_COLUMNS
from sentio.core.errors import InputError

EMOTIONS = {
    "Anger": "p_anger",
    "Disgust": "p_disgust",
    "Fear": "p_fear",
    "Joy": "p_happiness",
    "Sadness": "p_sadness",
    "Surprise (positive)": "p_surprise",
    "Surprise (negative)": "p_surprise",
}
"""Theirs and ours; of the two surprises the larger."""
BOX = {"face_x": "x", "face_y": "y", "face_w": "w", "face_h": "h"}


def _knows(header: list[str]) -> bool:
    return header == JSON


def _read(path: Path) -> list[Study]:
    try:
        sources = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON that can be read: {error}.") from error
    try:
        found = [source["results"] for source in _listed(sources)]
        faults: list[Fault] = []
        entries = [entry for results in found if results is not None for entry in results["predictions"]]
        studies = [_study(entry, faults) for entry in entries]
        return [replace(study, faults=tuple(faults)) for study in studies]
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        what = f"{path} is JSON, but no predictions of Hume: {error!r} is missing or of another kind."
        raise InputError(what, "Give the predictions of a batch job, as the API or the site gave them.") from error


def _listed(sources: Any) -> list[Any]:
    """A single source may come without its list."""
    return sources if isinstance(sources, list) else [sources]


def _study(entry: Mapping[str, Any], faults: list[Fault]) -> Study:
    models = entry["models"]
    groups = (models.get("face") or {}).get("grouped_predictions") or []
    people = {str(group["id"]): group["predictions"] for group in groups}
    numbered = enumerate(people.values())
    rows = in_order(row for number, faces in numbered for row in _rows(number, faces, len(people), faults))
    left_out = {name for faces in people.values() for face in faces for name in _unplaced(face)}
    others = {f"model {name}" for name, found in models.items() if name != "face" and found}
    return Study(TOOL.name, media_name(str(entry["file"])), rows, tuple(sorted(left_out | others)))


def _rows(group: int, faces: list[Mapping[str, Any]], groups: int, faults: list[Fault]) -> Iterator[Row]:
    """Of one id; where ids were not asked for, there is one, and the faces of a frame are counted."""
    seen: dict[int, int] = {}
    for face in faces:
        frame = int(_number(face["frame"], least=0))
        person = group if groups > 1 else seen.get(frame, 0)
        seen[frame] = seen.get(frame, 0) + 1
        yield _row(frame, person, face, faults)


def _row(frame: int, person: int, face: Mapping[str, Any], faults: list[Fault]) -> Row:
    def score(column: str, value: Any) -> float | None:
        return within(_number(value), str(value), f"frame {frame}", column, 0.0, faults)

    row: Row = {"frame": frame, "time_s": _number(face["time"]), "person": person}
    row |= {name: _number(face["box"][theirs]) for name, theirs in BOX.items()}
    row |= told({"face_score": score("prob", face["prob"])})
    for emotion in face["emotions"]:
        if (name := EMOTIONS.get(emotion["name"])) and (value := score(emotion["name"], emotion["score"])) is not None:
            row[name] = max(row.get(name, 0.0), value)
    for action in face.get("facs") or []:
        if name := _unit(action["name"]):
            row |= told({name: score(action["name"], action["score"])})
    return row


def _number(value: Any, least: float = -LARGEST) -> float:
    """A number of a row.

    Raises:
        ValueError: it is none, or out of range.
    """
    if not least <= float(value) <= LARGEST:
        raise ValueError(value)
    return float(value)


def _unit(name: str) -> str | None:
    """``AU1 Inner Brow Raise`` and the like."""
    found = re.match(r"AU(\d+)\b", name)
    return UNIT_COLUMNS.get(f"AU{found[1]}") if found else None


def _unplaced(face: Mapping[str, Any]) -> Iterator[str]:
    yield from (emotion["name"] for emotion in face["emotions"] if emotion["name"] not in EMOTIONS)
    yield from (action["name"] for action in face.get("facs") or [] if _unit(action["name"]) is None)
    yield from (item["name"] for item in face.get("descriptions") or [])


TOOL = Tool("Hume", _knows, _read)
