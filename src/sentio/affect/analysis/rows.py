"""A frame's faces and scores become rows of the table, with the voice that belongs to its time."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentio.affect.analysis.models import FaceScore
from sentio.affect.analysis.speaking import Speakers, mouth_opening
from sentio.affect.analysis.voice import HOP_S, VoiceScore
from sentio.affect.faces.alignment import SIZE, Matrix, apply, beyond, invert, to_crop
from sentio.affect.faces.detection import Image
from sentio.affect.faces.tracking import FaceFrame, TrackedFace
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.table import SCORES, X_COLUMNS, Y_COLUMNS

DOUBTFUL = "damaged picture"
"""Reason of a face that is fit but seen in a picture whose data was damaged."""
BRIDGED = "no face, bridged"
"""Reason of a row of somebody whose face is not seen, but was, and is again: a model over time fills the gap."""
NO_PICTURE = "no picture"
"""Reason of a row of a file that has sound only."""
MOST_SCORES = 240
"""Scores of the voice, a minute of them, that are kept for frames that do not wait for sound."""

Row = dict[str, Any]
SCORED = frozenset(column.name for column in SCORES)
NOBODY = -1
"""The number of no person."""
CROP = "crop"
"""Key of the aligned face in a row; no column of a table."""
PIXELS = np.stack(np.meshgrid(*[np.arange(float(SIZE))] * 2), axis=-1).reshape(-1, 2)
"""Centres of the pixels of a crop, row by row: (SIZE * SIZE, 2)."""


@dataclass(frozen=True)
class ScoredFrame:
    """The faces of one frame and what the model says of each.

    Attributes:
        number: of the frame within its file.
        doubtful: its data was damaged.
        faces: those found in it.
        scores: one for each face, in their order.
        bridged: persons without a face in it, and what a model over time says of them.
    """

    number: int
    doubtful: bool
    faces: FaceFrame
    scores: tuple[FaceScore, ...]
    bridged: tuple[tuple[int, FaceScore], ...] = ()


class Rows:
    """Joins frames and voice by their times alone; which of them comes first does not matter.

    The rows of a frame hold the newest score of the voice that is not later than the frame, so they wait until the
    sound has come so far, or has ended. Null before the first score, and from half a second after the last one on.
    Who speaks follows from the scores and the mouths up to the frame; see :class:`Speakers`.

    Args:
        file: name of the file, for the column.
        pictures: whether frames will come; without them every score of the voice is a row.
        sound: whether to wait for the scores of a voice; those that come anyway are taken, too.
        landmarks: rows have the landmarks that the model finds, too.
        crops: rows have the aligned face as `CROP`, too.
    """

    def __init__(
        self, file: str, *, pictures: bool = True, sound: bool = False, landmarks: bool = False, crops: bool = False
    ) -> None:
        self._file = file
        self._pictures = pictures
        self._landmarks, self._crops = landmarks, crops
        self._sound_over = not sound
        self._scores: deque[VoiceScore] = deque()  # later than the last frame given on
        self._newest: VoiceScore | None = None  # that is not
        self._held: deque[tuple[float, list[Row], dict[int, float]]] = deque()  # time, rows, mouths by person
        self._speakers = Speakers()

    @property
    def waiting(self) -> bool:
        """Whether frames wait for sound."""
        return bool(self._held)

    def push_frame(self, frame: ScoredFrame) -> list[Row]:
        """Take the next frame; gives the rows that are decided by now."""
        rows = frame_rows(self._file, frame, landmarks=self._landmarks, crops=self._crops)
        self._held.append((frame.faces.time_s, rows, mouths_of(frame)))
        return self._decided()

    def push_score(self, score: VoiceScore) -> list[Row]:
        """Take the next score of the voice, `HOP_S` after the last one; gives the rows that are decided by now."""
        if not self._pictures:
            row = {"file": self._file, "time_s": score.time_s, "reason": NO_PICTURE} | voice_columns(score)
            return [row | {"modality": modality(row)}]
        self._scores.append(score)
        if self._sound_over and len(self._scores) > MOST_SCORES:  # sound goes on where pictures have paused
            self._scores.popleft()
        return self._decided()

    def end_sound(self) -> list[Row]:
        """No more scores will come; gives the rows that waited for them."""
        self._sound_over = True
        return self._decided()

    def _decided(self) -> list[Row]:
        rows: list[Row] = []
        while self._held and (self._sound_over or self._reached(self._held[0][0])):
            time_s, of_frame, mouths = self._held.popleft()
            voice = self._voice_at(time_s)
            speaking = self._speakers.push(time_s, mouths)
            for row in of_frame:
                row |= voice
                row |= {"modality": modality(row), "speaking": speaking.get(row.get("person", NOBODY))}
            rows += of_frame
        return rows

    def _reached(self, time_s: float) -> bool:
        """Whether no score to come can be the newest one at a time."""
        last = self._scores[-1] if self._scores else self._newest
        return last is not None and time_s < last.time_s + HOP_S

    def _voice_at(self, time_s: float) -> Row:
        while self._scores and self._scores[0].time_s <= time_s:
            self._newest = self._scores.popleft()
            self._speakers.hear(self._newest)
        if self._newest is None or time_s >= self._newest.time_s + 2 * HOP_S:
            return {}
        return voice_columns(self._newest)


def frame_rows(file: str, frame: ScoredFrame, *, landmarks: bool = False, crops: bool = False) -> list[Row]:
    """The rows of a frame without its voice: one for each person, or one that says why there is none."""
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


def mouths_of(frame: ScoredFrame) -> dict[int, float]:
    """How far the mouths are open whose landmarks are known, by person."""
    pairs = zip(frame.faces.faces, frame.scores, strict=True)
    return {face.person: mouth_opening(score.landmarks) for face, score in pairs if score.landmarks is not None}


def modality(row: Row) -> str:
    """Which of face and voice tell an affect: ``face``, ``voice``, ``both`` or ``none``."""
    face, voice = not SCORED.isdisjoint(row), row.get("voice_expression") is not None
    return {(True, True): "both", (True, False): "face", (False, True): "voice"}.get((face, voice), "none")


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
