"""What fills the affect columns: a network for the faces, another for the voice, both from exported weights."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.analysis.voice import HOP_S, VoiceModel, VoiceScore
from sentio.affect.faces import TrackedFace
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.table import AU_COLUMNS, P_COLUMNS
from sentio.core import weights
from sentio.core.errors import WeightsError

BATCH_FACES = 16
"""Faces in one call of the network: more are no quicker, and a crowd would fill the memory."""
OUTPUTS = {"valence_arousal": ("valence", "arousal"), "expression": P_COLUMNS, "action_units": AU_COLUMNS}
"""The columns that each output of a face network stands for."""

Row = dict[str, Any]


class AffectModel(Protocol):
    """What fills the affect columns of a face."""

    def describe(self) -> dict[str, Any]:
        """Name, weights' hash, causal or not, smoothing, as JSON knows it: goes to the table's header."""
        ...

    def score(self, faces: Sequence[tuple[float, TrackedFace]]) -> Sequence[Row]:
        """Affect columns of each face; ``faces`` are (time in s, face) pairs in order of time, then of person."""
        ...


class FaceModel:
    """An exported face network. Every face is judged by itself, so one object serves all files.

    Nothing is smoothed over time: what a row says was seen in its own picture, and smoothing can be added later, but
    not taken away.

    Args:
        name: of a card, or the path of one: its input is ``face`` (N, 3, S, S), its outputs are any of `OUTPUTS`.

    Raises:
        WeightsError: missing, damaged, or another kind of model.
    """

    def __init__(self, name: str = "face") -> None:
        self.card = weights.card(name)
        self.outputs = {output: columns for output, columns in OUTPUTS.items() if output in self.card.outputs}
        shape = self.card.inputs.get("face", ())
        widths = {output: (len(columns),) for output, columns in self.outputs.items()}
        if (
            self.card.inputs.keys() != {"face"}
            or len(shape) != 4
            or not widths
            or any(self.card.outputs[output][1:] != width for output, width in widths.items())
        ):
            raise WeightsError(
                f"The weights {name!r} do not judge single faces: from {self.card.inputs} they make "
                f"{self.card.outputs}.",
                f"Export a model with the input face (N, 3, S, S) and outputs (N, n) of {', '.join(OUTPUTS)}.",
            )
        self.side = int(shape[-1])
        self._session = weights.session(name)

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.card.name,
            "sha256": self.card.files["onnx"].sha256,
            "causal": True,
            "smoothing": "none",
            **self.card.details,
        }

    def score(self, faces: Sequence[tuple[float, TrackedFace]]) -> list[Row]:
        rows: list[Row] = []
        for start in range(0, len(faces), BATCH_FACES):
            pixels = face_pixels([face.crop for _, face in faces[start : start + BATCH_FACES]], self.side)
            found = self._session.run(list(self.outputs), {"face": pixels})
            values = dict(zip(self.outputs, found, strict=True))
            rows += [self._row({output: part[k] for output, part in values.items()}) for k in range(len(pixels))]
        return rows

    def _row(self, values: dict[str, NDArray[np.float32]]) -> Row:
        row: Row = {}
        for output, columns in self.outputs.items():
            row |= dict(zip(columns, values[output].tolist(), strict=True))
        if "expression" in values:
            row["expression"] = EXPRESSIONS[int(values["expression"].argmax())]
        return row


def face_pixels(crops: Sequence[NDArray[np.uint8]], side: int) -> NDArray[np.float32]:
    """(N, 3, side, side) RGB in [0, 1] from aligned crops (H, W, 3)."""
    small = [cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) for crop in crops]
    return np.ascontiguousarray(np.stack(small).transpose(0, 3, 1, 2), np.float32) / np.float32(255)


@dataclass(frozen=True)
class Models:
    """What fills the columns of a face, and those of the voice; None leaves them null."""

    face: AffectModel | None = None
    voice: VoiceModel | None = None

    def describe(self) -> dict[str, Any]:
        """For the header."""
        return {
            "model": self.face.describe() if self.face else None,
            "voice": self.voice.describe() if self.voice else None,
        }


def open_models(name: str) -> Models:
    """The models of a run: the face network ``name`` (see :class:`FaceModel`) and the voice's; neither for ``none``.

    Raises:
        WeightsError: missing, damaged, or another kind of model.
    """
    return Models() if name == "none" else _open(name, _sha256(name), _sha256("voice"))


@cache
def _open(name: str, face_sha256: str, voice_sha256: str) -> Models:
    """Kept for as long as the cards promise the same bytes: opening takes longer than reading a picture."""
    return Models(FaceModel(name), VoiceModel())


def _sha256(name: str) -> str:
    file = weights.card(name).files.get("onnx")
    return file.sha256 if file else ""


class NewestScore:
    """The voice at the times of the pictures, which rise; reads one score ahead of them."""

    def __init__(self, scores: Iterator[VoiceScore]) -> None:
        self._scores = scores
        self._newest: VoiceScore | None = None
        self._next = next(scores, None)

    def at(self, time_s: float) -> Row:
        """Columns of the newest score that is not later; null before the first one and when the sound is over."""
        while self._next is not None and self._next.time_s <= time_s:
            self._newest, self._next = self._next, next(self._scores, None)
        if self._newest is None or time_s >= self._newest.time_s + 2 * HOP_S:  # what follows the last is under a step
            return {}
        return voice_columns(self._newest)

    def finish(self) -> None:
        """Read the rest of the sound, so that the report of what was lost in it is complete."""
        for _ in self._scores:
            pass


def voice_columns(score: VoiceScore) -> Row:
    """A score under the names of the table."""
    expression = None if score.expression is None else EXPRESSIONS[int(score.expression.argmax())]
    return {
        "speech": score.speech,
        "voice_valence": score.valence,
        "voice_arousal": score.arousal,
        "voice_expression": expression,
    }
