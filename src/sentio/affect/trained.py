"""A finished run whose windows answer for every frame, as a model that `analyze` reads files with; by torch.

Such a run (of face and voice: crossattn, softprompt) is used as it is evaluated: its own encoders see the aligned
faces and hear the sound of the whole file, its windows are of the frames as they come. It is not exported, since
encoders stay as large as they were published. What it does not answer is that of the embedded face model.
"""

from collections import deque
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sentio.affect.analysis.models import FaceModel, FaceScore, Models
from sentio.affect.analysis.temporal import BRIDGED_S, Arrays, Moment
from sentio.affect.analysis.voice import VoiceModel
from sentio.affect.backbones import Encoder
from sentio.affect.backbones.encoders import open_encoder
from sentio.affect.data.extraction import encode_faces, encode_sound
from sentio.affect.data.features import Features, silent
from sentio.affect.data.items import collate
from sentio.affect.faces.tracking import TrackedFace
from sentio.affect.labels import FRAME_RATE
from sentio.affect.media import open_media
from sentio.affect.protocol.scoring import probabilities
from sentio.affect.training.published import DataConfig
from sentio.core import runs, weights
from sentio.core.config import from_dict
from sentio.core.errors import InputError, RecipeError

Vector = NDArray[np.float32]


def open_run(run: Path) -> Models:
    """What a run leaves, as the models of :func:`sentio.analyze`; it reads files, and no streams.

    Args:
        run: the folder that ``sentio train`` made.

    Raises:
        RecipeError: it is none, or its windows answer for one frame each.
        WeightsError: weights are missing or damaged, also those of the sound encoder that its recipe names.
    """
    model = RunModel(run)
    return Models(EncodedFaces(FaceModel(), model.method.encoder), VoiceModel(), model)


class EncodedFaces:
    """The embedded face model's scores, with the features of another encoder."""

    def __init__(self, face: FaceModel, encoder: Encoder) -> None:
        self._face, self._encoder = face, encoder

    def describe(self) -> dict[str, Any]:
        return self._face.describe()

    def score(self, faces: Sequence[tuple[float, TrackedFace]]) -> list[FaceScore]:
        vectors = encode_faces(self._encoder, [face.crop for _, face in faces])
        return [replace(score, features=vector) for score, vector in zip(self._face.score(faces), vectors, strict=True)]


class RunModel:
    """A run over time: the windows of its recipe, and the sound of one file.

    Attributes:
        method: the trained system.
        length, hop: frames of a window, and from one to the next.
        bridge_s: longest gap without a face that is answered for.
        path: of the file whose sound is heard; None before one is given.
    """

    is_causal, hears = False, False  # the sound that it hears is that of the file, whoever speaks

    def __init__(self, run: Path) -> None:
        plan, self.method = runs.read_run(run, device="auto")
        self.data = from_dict(DataConfig, plan.data, where="data")
        windows = self.data.windows
        if windows.answers != "all" or windows.step != 1:
            raise RecipeError(
                f"The run {run} answers for single frames of its windows.",
                "Export it, if it has graphs: python -m sentio.core.export; see docs/time.md.",
            )
        self.run, self.length, self.hop = run, windows.length, windows.hop
        self.bridge_s = BRIDGED_S
        self.encoder = open_encoder(self.data.sound_encoder) if self.data.sound_encoder else None
        if self.encoder is not None:
            cast(nn.Module, self.encoder).to(self.method.device)
        self.path: Path | None = None

    def describe(self) -> dict[str, Any]:
        """For the header: system, run, hash of the weights, encoders, by how many frames a row may be late."""
        return {
            "name": self.method.name,
            "run": str(self.run),
            "sha256": weights.sha256(self.run / runs.BEST),
            "faces": self.method.encoder.info.name,
            "sound": f"{self.encoder.info.name} {self.encoder.info.provenance}" if self.encoder else None,
            "causal": False,
            "delay_frames": self.length + self.hop,
            "bridge_s": self.bridge_s,
        }

    def of_file(self, path: Path) -> "RunModel":
        """The same with the sound of a file."""
        found = copy(self)
        found.path = path
        return found

    @cached_property
    def sound(self) -> Features:
        """Of the file, encoded as a whole when it is first asked for: of several files that wait, none."""
        if self.encoder is None or self.path is None:
            return silent(0)
        with open_media(self.path) as media:
            samples, start_s = media.waveform()
        values, times = encode_sound(self.encoder, self.data.sound_steps, samples)
        return Features(values, times + start_s, 0.0, 0.0, np.empty(0))

    def track(self, start_s: float) -> "FrameTrack":
        """A track for a person whose face is seen from this time on.

        Raises:
            InputError: the run hears, and no file was given.
        """
        if self.encoder is not None and self.path is None:
            raise InputError(f"The run {self.run} hears the sound of a file.", "Give sentio.analyze the file's path.")
        return FrameTrack(self, start_s)

    @torch.inference_mode()
    def answer(self, times_s: Sequence[float], faces: Sequence[Vector | None]) -> Arrays:
        """(T, n) for each output for a window of T frames, of which some may have no face; NaN where nothing is known.

        A window that has fewer frames than the run's is filled up with frames without a face.
        """
        T, dim = self.length, self.method.encoder.info.dim
        step_s = np.median(np.diff(times_s)) if len(times_s) > 1 else 1 / FRAME_RATE
        rest = step_s * np.arange(1, T - len(times_s) + 1)
        time_s = np.concatenate([times_s, times_s[-1] + rest])
        valid = np.array([face is not None for face in faces] + [False] * len(rest))
        features = np.zeros((T, dim), np.float32)
        features[valid] = [face for face in faces if face is not None]
        item = {
            "face_feature": features, "face_valid": valid, "time_s": time_s.astype(np.float32), "source": np.array(0)
        }  # fmt: skip
        if self.encoder is not None:
            hop_s = self.encoder.info.hop_s or self.data.sound_steps.hop_s
            values, there, at_s = self.sound.before(time_s[-1], self.data.sound_s, hop_s)
            item |= {"audio_feature": values, "audio_valid": there, "audio_time_s": at_s.astype(np.float32)}
        output = self.method(collate([item]).to(self.method.device))
        return {name: value[0, : len(times_s)] for name, value in probabilities(output).items()}


@dataclass
class _Frame:
    """A frame that further windows may show, and the sum of its answers."""

    time_s: float
    face: Vector | None
    total: Arrays = field(default_factory=dict)
    answers: int = 0

    def add(self, values: Arrays) -> None:
        """One more answer, but none that is not known."""
        if not any(np.isnan(value).any() for value in values.values()):
            self.total = {name: self.total.get(name, 0) + value for name, value in values.items()}
            self.answers += 1

    def moment(self) -> Moment:
        """Their mean."""
        known = self.answers or self.face is not None
        mean = {name: value / np.float32(self.answers) for name, value in self.total.items()}
        return Moment(self.time_s, mean if known else None)


class FrameTrack:
    """One person's frames, decided when all windows that show them were read: those of an evaluation.

    Windows begin with the first face, follow each other by a hop, and the last one ends with the last frame; where they
    overlap the answer is their mean.
    """

    def __init__(self, model: RunModel, start_s: float) -> None:
        self.seen_s = start_s
        self._model = model
        self._frames: deque[_Frame] = deque()  # from the newest window's first on
        self._wanted = model.length  # frames that fill the next window
        self._decided: deque[Moment] = deque()  # those that wait for the face to come back

    def push(self, time_s: float, features: Vector | None, voice: Vector | None = None) -> list[Moment]:
        """Take the next frame; gives those that are decided by now. The voice is in the sound that is heard."""
        self._frames.append(_Frame(time_s, features))
        if features is not None:
            self.seen_s = time_s
        if len(self._frames) == self._wanted:
            self._settle(self._wanted - self._model.length)
            self._read()
            self._wanted = self._model.length + self._model.hop
        return self._bridged()

    def flush(self) -> list[Moment]:
        """The frames held back; behind the last face nothing is said."""
        if len(self._frames) != self._model.length:
            self._read()
        self._settle(len(self._frames))
        rest = [Moment(moment.time_s, None) for moment in self._decided if moment.time_s > self.seen_s]
        return self._bridged() + rest

    def _read(self) -> None:
        """Show the window of the newest frames."""
        window = list(self._frames)[-self._model.length :]
        found = self._model.answer([frame.time_s for frame in window], [frame.face for frame in window])
        for row, frame in enumerate(window):
            frame.add({name: value[row] for name, value in found.items()})

    def _settle(self, count: int) -> None:
        self._decided += [self._frames.popleft().moment() for _ in range(count)]

    def _bridged(self) -> list[Moment]:
        moments = []
        while self._decided and self._decided[0].time_s <= self.seen_s:
            moments.append(self._decided.popleft())
        return moments
