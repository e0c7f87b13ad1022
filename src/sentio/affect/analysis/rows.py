"""Frames with their scores become rows of the table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentio.affect.analysis.models import ScoredFrame
from sentio.affect.analysis.voice import VoiceScore
from sentio.affect.faces.alignment import SIZE, Matrix, apply, beyond, invert, to_crop
from sentio.affect.faces.detection import Image
from sentio.affect.faces.tracking import TrackedFace
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.table import SCORES, X_COLUMNS, Y_COLUMNS

DOUBTFUL = "damaged picture"
"""Reason of a face that is fit but seen in a picture whose data was damaged."""
BRIDGED = "no face, bridged"
"""Reason of a row of somebody whose face is not seen, but was, and is again: a model over time fills the gap."""
NO_PICTURE = "no picture"
"""Reason of a row of a file that has sound only."""

Row = dict[str, Any]
SCORED = frozenset(column.name for column in SCORES)
NOBODY = -1
"""The number of no person."""
CROP = "crop"
"""Key of the aligned face in a row; no column of a table."""
PIXELS = np.stack(np.meshgrid(*[np.arange(float(SIZE))] * 2), axis=-1).reshape(-1, 2)
"""Centres of the pixels of a crop, row by row: (SIZE * SIZE, 2)."""


class Rows:
    """The rows of one file.

    Args:
        file: name of the file, for the column.
        hears: whether what is said of a face rests on the voice that is credited to its person, too.
        half_widths: of the intervals of valence and arousal, as far as the model has any.
        landmarks: rows have the landmarks that the model finds, too.
        crops: rows have the aligned face as `CROP`, too.
    """

    def __init__(
        self,
        file: str,
        *,
        hears: bool = False,
        half_widths: Mapping[str, float] | None = None,
        landmarks: bool = False,
        crops: bool = False,
    ) -> None:
        self._file, self._hears, self._half_widths = file, hears, half_widths or {}
        self._landmarks, self._crops = landmarks, crops

    def of_frame(self, frame: ScoredFrame) -> list[Row]:
        """Those of a frame: one for each person, or one that says why there is none."""
        rows = frame_rows(self._file, frame, landmarks=self._landmarks, crops=self._crops)
        voice = {} if frame.voice is None else voice_columns(frame.voice)
        for row in rows:
            person = row.get("person", NOBODY)
            row |= voice | bounds(row, self._half_widths)
            row["modality"] = modality(row, theirs=not self._hears or person in frame.heard)
            row["speaking"] = frame.speaking.get(person)
        return rows

    def of_score(self, score: VoiceScore) -> Row:
        """That of a score of the voice in a file without pictures."""
        row = {"file": self._file, "time_s": score.time_s, "reason": NO_PICTURE} | voice_columns(score)
        return row | {"modality": modality(row)}


def frame_rows(file: str, frame: ScoredFrame, *, landmarks: bool = False, crops: bool = False) -> list[Row]:
    """The rows of a frame without its sound: one for each person, or one that says why there is none."""
    base: Row = {"file": file, "frame": frame.number, "time_s": frame.faces.time_s}
    rows: list[Row] = []
    for face, score in zip(frame.faces.faces, frame.scores, strict=True):
        row = base | face_columns(face) | score.columns
        if landmarks and score.landmarks is not None:
            points = points_in_picture(score.landmarks, to_crop(face.landmarks))
            row |= dict(zip((*X_COLUMNS, *Y_COLUMNS), points.T.ravel().tolist(), strict=True))
        if crops:
            row[CROP] = bordered_crop(face, frame.faces.size)
        rows.append(row)
    rows += [base | {"person": person, "reason": BRIDGED} | score.columns for person, score in frame.bridged]
    rows.sort(key=lambda row: row["person"])
    rows = rows or [base | {"reason": str(frame.faces.reason)}]
    if frame.doubtful:
        rows = [row | {"reason": row["reason"] or DOUBTFUL} for row in rows]
    return rows


def bounds(row: Row, half_widths: Mapping[str, float]) -> Row:
    """The ends of the intervals around a row's values, within [-1, 1]."""
    ends: Row = {}
    for name, width in half_widths.items():
        if (value := row.get(name)) is not None:
            ends |= {f"{name}_lo": max(value - width, -1.0), f"{name}_hi": min(value + width, 1.0)}
    return ends


def modality(row: Row, *, theirs: bool = True) -> str:
    """Which of face and voice tell an affect: ``face``, ``voice``, ``both`` or ``none``.

    Args:
        row: of a frame, or of a score of the voice.
        theirs: whether a voice counts beside a face.
    """
    face, voice = not SCORED.isdisjoint(row), row.get("voice_expression") is not None
    if face:
        return "both" if voice and theirs else "face"
    return "voice" if voice else "none"


def face_columns(face: TrackedFace) -> Row:
    """Where a face is and how fit, under the names of the table."""
    x, y, width, height = face.box
    return {
        "person": face.person,
        "face_x": x,
        "face_y": y,
        "face_w": width,
        "face_h": height,
        "face_score": face.score,
        "quality": face.quality.value,
        "reason": str(face.quality.reason) or None,
    }


def points_in_picture(points: NDArray[np.float32], matrix: Matrix) -> NDArray[np.float64]:
    """(K, 2) from [-1, 1] in the crop to pixels of the picture; ``matrix`` leads from picture to crop."""
    pixels = (points.astype(np.float64) + 1) * (SIZE / 2) - 0.5  # the edges are half a pixel beyond the centres
    return apply(invert(matrix), pixels)


def bordered_crop(face: TrackedFace, frame_size: tuple[int, int]) -> Image:
    """The aligned crop as Aff-Wild2 has it, black beyond the border of the frame (height, width)."""
    crop = face.crop.copy()
    crop[beyond(face.landmarks, frame_size, PIXELS).reshape(SIZE, SIZE)] = 0
    return crop


def voice_columns(score: VoiceScore) -> Row:
    """A score of the voice under the names of the table."""
    expression = None if score.expression is None else EXPRESSIONS[int(score.expression.argmax())]
    return {
        "speech": score.speech,
        "voice_valence": score.valence,
        "voice_arousal": score.arousal,
        "voice_expression": expression,
    }
