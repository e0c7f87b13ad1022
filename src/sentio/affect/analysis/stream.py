"""Pushed pictures and sound become rows of the table, the same as from a file, to the last bit.

A stream is a chain of objects of one shape: `push(item)` gives what is decided by now, `flush()` the rest, and what is
decided never changes. Nothing in it depends on when or in which portions things are pushed: faces are scored in batches
that the order of the frames fixes, each window of sound by itself, and picture and sound are joined by their times.
"""

import math
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentio import __version__
from sentio.affect.analysis.baseline import Rest, baseline
from sentio.affect.analysis.hearing import Hearing
from sentio.affect.analysis.models import BATCH_FACES, AffectModel, FaceScore, Models, ScoredFrame, open_models
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.persons import TemporalScorer
from sentio.affect.analysis.rows import Row, Rows
from sentio.affect.analysis.voice import VoiceTrack
from sentio.affect.faces.detectors import describe, open_detector
from sentio.affect.faces.tracking import FaceFrame, FaceTracker, TrackingConfig
from sentio.affect.media import AudioBlock, Frame
from sentio.core.config import to_dict
from sentio.core.errors import InputError

BATCH_FRAMES = 16
"""Frames after which faces are scored although they fill no batch, so that none waits for long."""
NO_CROP = np.zeros((0, 0, 3), np.uint8)

Found = tuple[int, bool, FaceFrame]
"""The number of a frame, whether its data was damaged, and its faces."""


class FaceFinder:
    """Frames become their faces: a `FaceTracker` that remembers the frames' own numbers."""

    def __init__(self, tracker: FaceTracker) -> None:
        self._tracker = tracker
        self._waiting: deque[tuple[int, bool]] = deque()

    def push(self, frame: Frame) -> list[Found]:
        """Take the next frame; gives those whose faces are decided by now."""
        decided = self._tracker.push(frame.image, frame.time_s)  # which may refuse the frame
        self._waiting.append((frame.index, frame.doubtful))
        return self._numbered(decided)

    def flush(self) -> list[Found]:
        """The frames that the tracker still holds back."""
        return self._numbered(self._tracker.flush())

    def _numbered(self, decided: list[FaceFrame]) -> list[Found]:
        return [(*self._waiting.popleft(), faces) for faces in decided]


class FaceScorer:
    """Faces become scores, in batches that the order of the frames fixes: networks round differently in each size.

    Args:
        model: what scores them; None leaves the scores empty.
        at_once: each frame is a batch of its own, so that none waits for others.
        crops: the faces keep their crops; else they are let go, for frames may wait for sound, or for a window.
    """

    def __init__(self, model: AffectModel | None, *, at_once: bool = False, crops: bool = True) -> None:
        self._model, self._crops = model, crops
        self._frames_most = 1 if at_once else BATCH_FRAMES
        self._waiting: deque[Found] = deque()
        self._faces = 0  # of the frames that wait
        self._scores: deque[FaceScore] = deque()  # of the first of these faces

    def push(self, found: Found) -> list[ScoredFrame]:
        """Take the next frame; gives those whose faces are all scored by now."""
        self._waiting.append(found)
        self._faces += len(found[2].faces)
        while self._faces - len(self._scores) >= BATCH_FACES:
            self._score(BATCH_FACES)
        if len(self._waiting) >= self._frames_most:
            return self.flush()
        return self._decided()

    def flush(self) -> list[ScoredFrame]:
        """The frames whose faces did not fill a batch."""
        self._score(self._faces - len(self._scores))
        return self._decided()

    def _score(self, count: int) -> None:
        """Score the next ``count`` of the faces that have no score."""
        faces = [(found.time_s, face) for _, _, found in self._waiting for face in found.faces]
        faces = faces[len(self._scores) : len(self._scores) + count]
        if self._model is None:
            self._scores += [FaceScore({})] * count
        elif faces:
            self._scores += self._model.score(faces)

    def _decided(self) -> list[ScoredFrame]:
        decided = []
        while self._waiting and len(self._waiting[0][2].faces) <= len(self._scores):
            number, doubtful, found = self._waiting.popleft()
            self._faces -= len(found.faces)
            scores = tuple(self._scores.popleft() for _ in found.faces)
            decided.append(ScoredFrame(number, doubtful, found if self._crops else _without_crops(found), scores))
        return decided


def _without_crops(found: FaceFrame) -> FaceFrame:
    return replace(found, faces=tuple(replace(face, crop=NO_CROP) for face in found.faces))


class Stream:
    """Rows of affect from pictures and sound that are pushed as they come, one object for each session or file.

    Its parts are `finder`, `scorer`, `hearing`, `temporal` and `rows`, through which frames go, and `voice`, whose
    scores `hearing` takes; a pipeline may run them in threads of their own.

    Args:
        options: see :class:`Options`; `fps`, `start` and `end` are for files.
        models: what fills the affect columns; those that the options name if not given.
        file: for the column of this name.
        pictures: whether frames will be pushed; without them there is a row for every score of the voice.
        sound: whether sound will be pushed: then the rows of a frame wait until the sound has reached its time.
        timed: whether the pictures follow each other in time, so that a model over time may read them.
        live: rows do not wait for the sound of their time, but have the newest score of the voice that there is.
        rest: what a file that ``options.baseline`` names says of the person at rest.

    Raises:
        InputError: such a file was not read.
        WeightsError: weights are missing or damaged.
    """

    def __init__(
        self,
        options: Options | None = None,
        models: Models | None = None,
        *,
        file: str = "stream",
        pictures: bool = True,
        sound: bool = False,
        timed: bool = True,
        live: bool = False,
        rest: Rest | None = None,
    ) -> None:
        self.options = options or Options()
        causal = self.options.causal
        self.models = models or open_models(
            self.options.model,
            landmarks=self.options.landmarks,
            causal=causal,
            timed=timed,
            sound=sound,
            speech=self.options.speech,
        )
        tracking = TrackingConfig(search_interval_s=self.options.search_interval, lookahead=not causal)
        self.pictures = pictures
        self.finder = FaceFinder(FaceTracker(open_detector(self.options.detector), tracking))
        self.scorer = FaceScorer(self.models.face, at_once=causal, crops=self.options.crops)
        self.temporal = TemporalScorer(self.models.temporal) if self.models.temporal else None
        self.voice = VoiceTrack(self.models.voice) if sound and self.models.voice else None
        self.hearing = Hearing(sound=self.voice is not None and not live)
        hears = self.models.temporal is not None and self.models.temporal.hears
        self.rows = Rows(
            file,
            hears=hears,
            half_widths=self.models.half_widths,
            landmarks=self.options.landmarks,
            crops=self.options.crops,
        )
        self.baseline = baseline(self.options.baseline, rest, causal=causal)
        self._sound = sound
        self._frames = 0

    def push(self, item: Frame | AudioBlock | NDArray[Any], time_s: float | None = None) -> list[Row]:
        """Take a picture or a stretch of sound.

        Args:
            item: a picture, uint8 (H, W, 3) RGB; or sound, mono (N,) at 16 kHz, within [-1, 1]; or a frame or block
                as `open_media` gives them, which have times of their own.
            time_s: of the picture, or of the first sample, in seconds on the clock that both share. Pictures come in
                order of time, and so does sound; which of the two comes first does not matter.

        Returns:
            The rows that are decided by now, as dictionaries by column, with the landmarks and the crop if the options
            ask for them; a column left out is null. A frame's rows are decided when its faces and its voice are: new
            faces take up to eight frames, `BATCH_FACES` faces are scored together, and a model over time that is not
            causal waits for a window of frames. With ``options.causal`` only the voice is waited for.

        Raises:
            InputError: neither picture nor sound, time that runs backwards or is missing, or sound that was not
                announced.
        """
        if not isinstance(item, Frame | AudioBlock):
            item = self._timed(item, time_s)
        if isinstance(item, Frame):
            found = self.finder.push(item)
            self._frames += 1
            return self._score(found)
        if not self._sound:
            raise InputError("This stream was opened without sound.", "Open it with sound=True.")
        scores = self.voice.push(item) if self.voice else []
        if not self.pictures:
            return [self.rows.of_score(score) for score in scores]
        return self._follow([frame for score in scores for frame in self.hearing.push_score(score)])

    def flush(self) -> list[Row]:
        """The rows still held back, when no more will be pushed."""
        rows = self._score(self.finder.flush())
        rows += self._hear(self.scorer.flush())
        rows += self._follow(self.hearing.end_sound())
        rows += self._write(self.temporal.flush() if self.temporal else [])
        return rows + (self.baseline.flush() if self.baseline else [])

    def describe(self) -> dict[str, Any]:
        """What makes the rows, for the header of a table."""
        return {
            "sentio": __version__,
            "options": to_dict(self.options),
            "detector": describe(self.options.detector),
            **self.models.describe(),
            **({"baseline": self.baseline.describe()} if self.baseline else {}),
        }

    def frame_rows(self, frame: ScoredFrame) -> list[Row]:
        """The rows that are decided once this frame is."""
        rows = self.rows.of_frame(frame)
        return rows if self.baseline is None else [row for new in rows for row in self.baseline.push(new)]

    def _score(self, found: list[Found]) -> list[Row]:
        return self._hear([frame for faces in found for frame in self.scorer.push(faces)])

    def _hear(self, scored: list[ScoredFrame]) -> list[Row]:
        return self._follow([frame for found in scored for frame in self.hearing.push(found)])

    def _follow(self, heard: list[ScoredFrame]) -> list[Row]:
        if self.temporal is not None:
            heard = [frame for found in heard for frame in self.temporal.push(found)]
        return self._write(heard)

    def _write(self, frames: list[ScoredFrame]) -> list[Row]:
        return [row for frame in frames for row in self.frame_rows(frame)]

    def _timed(self, item: NDArray[Any], time_s: float | None) -> Frame | AudioBlock:
        if time_s is None or not math.isfinite(time_s):
            raise InputError(f"A picture or sound needs its time in seconds, not {time_s}.")
        if item.ndim == 1:
            return AudioBlock(time_s, np.asarray(item, np.float32))
        if item.ndim != 3 or item.shape[2] != 3 or item.dtype != np.uint8:
            raise InputError(
                f"Neither a picture nor sound: {item.dtype} {item.shape}.",
                "Push a picture as uint8 (height, width, 3), or mono sound at 16 kHz as (samples,).",
            )
        return Frame(self._frames, time_s, (item.shape[1], item.shape[0]), lambda _: item)


def stream(options: Options | None = None, models: Models | None = None, *, sound: bool = False) -> Stream:
    """Open a stream: ``push(picture, time_s)`` and ``flush()`` give the rows that ``analyze`` would write.

    Args:
        options: see :class:`Options`.
        models: what fills the affect columns; those that the options name if not given.
        sound: sound will be pushed, too; then the rows of a frame wait until the sound has reached its time.

    Raises:
        WeightsError: weights are missing or damaged.
    """
    return Stream(options, models, sound=sound)
