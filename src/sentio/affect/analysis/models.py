"""What fills the affect columns: a network for faces, a model of them over time, one for the voice; all exported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.analysis.speech import BUILTIN
from sentio.affect.analysis.temporal import OverTime, TemporalModel, is_temporal
from sentio.affect.analysis.voice import VoiceModel, VoiceScore
from sentio.affect.faces.alignment import Matrix, to_crop
from sentio.affect.faces.tracking import FaceFrame, TrackedFace
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.table import (
    AU_COLUMNS,
    BOUNDED,
    FURTHER_COLUMNS,
    INTENSITY_COLUMNS,
    P_COLUMNS,
    POSE_COLUMNS,
    X_COLUMNS,
)
from sentio.core import weights
from sentio.core.errors import WeightsError

AUTO = "auto"
"""What leaves the choice open."""
FACE = "face"
"""The weights for single pictures, whose features models over time read."""
OVER_TIME, CAUSAL = "offline", "causal"
"""The weights that are chosen for pictures that follow each other, and where none may know the future; docs/time.md."""
HEARING = {OVER_TIME: "offline-av", CAUSAL: "causal-av"}
"""The weights that take their places where there is sound; docs/time.md."""
BATCH_FACES = 8
"""Faces in one call of the network: more are no quicker, and a crowd would fill the memory."""
OUTPUTS = {
    "valence_arousal": ("valence", "arousal"),
    "expression": P_COLUMNS,
    "action_units": AU_COLUMNS,
    "further_units": FURTHER_COLUMNS,
    "intensities": INTENSITY_COLUMNS,
    "pose": POSE_COLUMNS,
}
"""The columns that each output of a face network stands for. The pose is that of the head in the crop."""
LANDMARKS = "landmarks"
"""The output (N, 68, 2) with the points of Multi-PIE: -1 at the left and upper edges of the crop, 1 at the others."""
FEATURES = "features"
"""The output that is handed on, if there is one, for what reads a face over time."""


@dataclass(frozen=True)
class FaceScore:
    """What a model says of one face.

    Attributes:
        columns: values by the names of the table's columns.
        landmarks: (68, 2) x and y in the crop, as `LANDMARKS` has them; None if the model does not tell.
        features: (D,) what the model saw, for models over time; None if it does not tell.
    """

    columns: dict[str, Any]
    landmarks: NDArray[np.float32] | None = None
    features: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class ScoredFrame:
    """The faces of one frame and what the models say of them.

    Attributes:
        number: of the frame within its file.
        doubtful: its data was damaged.
        faces: those found in it.
        scores: one for each face, in their order.
        voice: the newest score of the voice at its time; None without one.
        speaking: how probable it is that somebody in view speaks, by person; of those of whom it is known.
        heard: persons in view to whom the voice is credited.
        bridged: persons without a face in it, and what a model over time says of them.
    """

    number: int
    doubtful: bool
    faces: FaceFrame
    scores: tuple[FaceScore, ...]
    voice: VoiceScore | None = None
    speaking: Mapping[int, float] = field(default_factory=dict)
    heard: frozenset[int] = frozenset()
    bridged: tuple[tuple[int, FaceScore], ...] = ()


class AffectModel(Protocol):
    """What fills the affect columns of a face."""

    def describe(self) -> dict[str, Any]:
        """Name, weights' hash, causal or not, smoothing, as JSON knows it: goes to the table's header."""
        ...

    def score(self, faces: Sequence[tuple[float, TrackedFace]]) -> Sequence[FaceScore]:
        """The score of each face; ``faces`` are (time in s, face) pairs in order of time, then of person."""
        ...


class FaceModel:
    """An exported face network. Every face is scored by itself, so one object serves all files.

    Nothing is smoothed over time: what a row says was seen in its own picture, and smoothing can be added later, but
    not taken away.

    Args:
        name: of a card, or the path of one: its input is ``face`` (N, 3, S, S), its outputs are any of `OUTPUTS`,
            and `LANDMARKS` and `FEATURES` if it has them.

    Raises:
        WeightsError: missing, damaged, or another kind of model.
    """

    def __init__(self, name: str = FACE) -> None:
        self.card = weights.card(name)
        self.outputs = {output: columns for output, columns in OUTPUTS.items() if output in self.card.outputs}
        shape = self.card.inputs.get("face", ())
        widths: dict[str, tuple[int, ...]] = {output: (len(columns),) for output, columns in self.outputs.items()}
        if self.has_landmarks:
            widths[LANDMARKS] = (len(X_COLUMNS), 2)
        if (
            self.card.inputs.keys() != {"face"}
            or len(shape) != 4
            or not self.outputs
            or any(self.card.outputs[output][1:] != width for output, width in widths.items())
        ):
            raise WeightsError(
                f"The weights {name!r} do not score single faces: from {self.card.inputs} they make "
                f"{self.card.outputs}.",
                f"Export a model with the input face (N, 3, S, S) and outputs (N, n) of {', '.join(OUTPUTS)}.",
            )
        self.side = int(shape[-1])
        self._asked = [*widths, *({FEATURES} & self.card.outputs.keys())]
        self._session = weights.session(name)

    @property
    def has_landmarks(self) -> bool:
        """Whether it finds the landmarks."""
        return LANDMARKS in self.card.outputs

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.card.name,
            "sha256": self.card.files["onnx"].sha256,
            "causal": True,
            "smoothing": "none",
            **self.card.details,
        }

    def score(self, faces: Sequence[tuple[float, TrackedFace]]) -> list[FaceScore]:
        scores: list[FaceScore] = []
        for start in range(0, len(faces), BATCH_FACES):
            batch = [face for _, face in faces[start : start + BATCH_FACES]]
            pixels = face_pixels([face.crop for face in batch], self.side)
            found = dict(zip(self._asked, self._session.run(self._asked, {"face": pixels}), strict=True))
            scores += [
                self._score(face, {name: part[k] for name, part in found.items()}) for k, face in enumerate(batch)
            ]
        return scores

    def _score(self, face: TrackedFace, values: dict[str, NDArray[np.float32]]) -> FaceScore:
        """The score of one face from its part of each output."""
        columns: dict[str, Any] = {}
        for output, names in self.outputs.items():
            columns |= dict(zip(names, values[output].tolist(), strict=True))
        if "expression" in values:
            columns["expression"] = EXPRESSIONS[int(values["expression"].argmax())]
        if "pose" in values:
            columns["pose_roll"] = roll_in_picture(columns["pose_roll"], to_crop(face.landmarks))
        return FaceScore(columns, values.get(LANDMARKS), values.get(FEATURES))


def face_pixels(crops: Sequence[NDArray[np.uint8]], side: int) -> NDArray[np.float32]:
    """(N, 3, side, side) RGB in [0, 1] from aligned crops (H, W, 3)."""
    small = [cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) for crop in crops]
    return np.ascontiguousarray(np.stack(small).transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def roll_in_picture(roll: float, matrix: Matrix) -> float:
    """Roll in [-180, 180) degrees of a head whose roll in the crop is known; ``matrix`` leads from picture to crop.

    The roll is the last of the head's turns (see ``synth.appearance.rotation``), so a turn of the picture adds to it.
    """
    turn = float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))  # clockwise, and y is down
    return (roll + turn + 180) % 360 - 180


@dataclass(frozen=True)
class Models:
    """What fills the columns of a face, and those of the voice; None leaves them null.

    The model over time reads the features that the face's leaves, and its answers replace those of the single face.
    """

    face: AffectModel | None = None
    voice: VoiceModel | None = None
    temporal: OverTime | None = None

    def of_file(self, path: Path) -> "Models":
        """The same for one file."""
        return replace(self, temporal=self.temporal and self.temporal.of_file(path))

    def gated(self, speech: str) -> "Models":
        """The same with another detector of speech, see :meth:`VoiceModel.gated`."""
        return replace(self, voice=self.voice and self.voice.gated(speech))

    @property
    def half_widths(self) -> dict[str, float]:
        """Of the intervals of `table.BOUNDED`, as the model tells that has the last word; nothing if it does not."""
        speaker = self.temporal or self.face
        told = (speaker.describe().get("intervals") or {}) if speaker else {}
        return {name: float(told[name]) for name in BOUNDED if name in told}

    def describe(self) -> dict[str, Any]:
        """For the header."""
        return {
            "model": self.face.describe() if self.face else None,
            "temporal": self.temporal.describe() if self.temporal else None,
            "voice": self.voice.describe() if self.voice else None,
        }


def choose(name: str, *, causal: bool = False, timed: bool = True, sound: bool = False) -> str:
    """The weights that a name stands for: with ``auto``, those for pictures that follow each other in time or not.

    Args:
        name: of weights, or ``auto``.
        causal: nothing may rest on what comes later.
        timed: the pictures follow each other in time.
        sound: there is sound with them.
    """
    if name != AUTO:
        return name
    if not timed:
        return FACE
    chosen = CAUSAL if causal else OVER_TIME
    return HEARING[chosen] if sound else chosen


def open_models(
    name: str,
    *,
    landmarks: bool = False,
    causal: bool = False,
    timed: bool = True,
    sound: bool = False,
    speech: str = BUILTIN,
) -> Models:
    """The models of a run: those that a name stands for (see `choose`), and the voice's; none at all for ``none``.

    Args:
        name: of weights for single faces (see :class:`FaceModel`), or over time (see :class:`TemporalModel`), which
            read what the embedded network for faces sees; or the path of such a card.
        landmarks: refuse a network that does not find them.
        causal: refuse a model that is not.
        timed: whether pictures follow each other in time.
        sound: whether there is sound with them.
        speech: what tells speech, see :meth:`VoiceModel.gated`.

    Raises:
        WeightsError: missing, damaged, another kind of model, without landmarks, or not causal.
    """
    name = choose(name, causal=causal, timed=timed, sound=sound)
    models = Models() if name == "none" else _open(name, _sha256(name), _sha256(FACE), _sha256("voice"))
    if landmarks and not (isinstance(models.face, FaceModel) and models.face.has_landmarks):
        what = "No model, no landmarks." if name == "none" else f"The weights {name!r} do not find landmarks."
        raise WeightsError(what, "Leave the landmarks out, or choose another model.")
    if causal and models.temporal and not models.temporal.is_causal:
        raise WeightsError(f"The weights {name!r} are not causal.", f"Choose others, such as {CAUSAL!r}.")
    return models.gated(speech)


@cache
def _open(name: str, sha256: str, face_sha256: str, voice_sha256: str) -> Models:
    """Kept for as long as the cards promise the same bytes: opening takes longer than reading a picture."""
    if not is_temporal(weights.card(name)):
        return Models(FaceModel(name), VoiceModel())
    face, temporal = FaceModel(FACE), TemporalModel(name)
    again = "Train and export it again on the features of these weights."
    found = face.card.outputs.get(FEATURES, (0,))[-1]
    if found != temporal.dim:
        what = f"The weights {name!r} read {temporal.dim} features of a face, those of {FACE!r} give {found}."
        raise WeightsError(what, again)
    stands_on = temporal.card.details.get("stands_on", {})
    if not isinstance(stands_on, dict):
        raise WeightsError(f"The card of the weights {name!r} is damaged: stands_on is {stands_on!r}.", again)
    for place, sha256 in stands_on.items():
        if weights.promised(place) != sha256:
            raise WeightsError(f"The weights {name!r} stand on other weights {place!r} than there are here.", again)
    return Models(face, VoiceModel(), temporal)


def _sha256(name: str) -> str:
    """That of the graph, as the card tells; nothing for weights without one.

    Raises:
        WeightsError: there are no such weights.
    """
    if name not in weights.cards() and Path(name).is_dir():
        fix = "The folder of a run is for sentio analyze --model alone; in Python: sentio.affect.trained.open_run."
        raise WeightsError(f"{name} is a folder, not weights by name or their card.", fix)
    if name not in weights.cards() and not name.endswith(".json"):
        there = [AUTO, "none", *(one for one, card in weights.cards().items() if one == FACE or is_temporal(card))]
        raise WeightsError(f"There are no weights named {name!r}.", f"For faces choose one of: {', '.join(there)}.")
    file = weights.card(name).files.get("onnx")
    return file.sha256 if file else ""
