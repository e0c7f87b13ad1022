"""What a voice sounds like, four times a second: the embedded voice model on a stream of sound, without torch."""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentio.affect.analysis.speech import BUILTIN, SILERO, THRESHOLD, Silero, SpeechTrack
from sentio.affect.heard import answers
from sentio.affect.media import SAMPLE_RATE, AudioBlock
from sentio.core import weights
from sentio.core.errors import InputError

RATE = SAMPLE_RATE
WINDOW_S = 3.0
"""Seconds of sound that a score is made from: those before its time, none after."""
HOP_S = 0.25
"""Seconds between two scores."""
TOLERANCE_S = 0.01
"""Blocks whose stamps differ from where the last one ended by no more than this follow it without a seam."""

CELLS = 10
CELL_S = HOP_S / CELLS
"""Each score knows how loud the sound was since the last one, in cells of so many seconds."""

_WINDOW, _HOP, _TOLERANCE = round(WINDOW_S * RATE), round(HOP_S * RATE), round(TOLERANCE_S * RATE)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class VoiceScores:
    """Scores of N windows.

    Attributes:
        speech: (N,) probability that somebody speaks in the last half second of the window.
        valence_arousal: (N, 2) in [-1, 1].
        expression: (N, 8) probabilities in the order of ``labels.EXPRESSIONS``.
    """

    speech: Floats
    valence_arousal: Floats
    expression: Floats


@dataclass(frozen=True)
class VoiceScore:
    """The score of one moment; without speech there is no affect.

    Attributes:
        time_s: seconds on the container's time line.
        speech: probability that somebody speaks.
        valence: in [-1, 1].
        arousal: in [-1, 1].
        expression: (8,) probabilities in the order of ``labels.EXPRESSIONS``.
        loudness: (C,) of the sound in the `CELLS` cells of `CELL_S` before its time, the square root of the root mean
            square: about as loud as it seems; empty if unknown.
        own_speech: the voice model's own ``speech``, where that is another detector's.
    """

    time_s: float
    speech: float
    valence: float | None
    arousal: float | None
    expression: Floats | None
    loudness: tuple[float, ...] = ()
    own_speech: float | None = None

    @property
    def answers(self) -> Floats | None:
        """(V,) what a model over time is told of it; None without speech. See :func:`sentio.affect.heard.answers`."""
        if self.expression is None or self.valence is None or self.arousal is None:
            return None
        speech = self.speech if self.own_speech is None else self.own_speech
        return answers([speech], [[self.valence, self.arousal]], self.expression[None]).ravel()


class VoiceModel:
    """The embedded voice model.

    Attributes:
        threshold: probability of speech below which there is none.
        detector: what tells speech in its place, if anything does.

    Raises:
        WeightsError: its weights are missing or damaged.
    """

    detector: Silero | None = None

    def __init__(self, *, threads: int = 1) -> None:
        self._session = weights.session("voice", threads=threads)
        self.card = weights.card("voice")
        self.name = self.card.name
        self.threshold = float(self.card.details["threshold"])

    def gated(self, speech: str) -> "VoiceModel":
        """The same with another detector of speech, ``builtin`` or ``silero:PATH``.

        Raises:
            WeightsError: its file is missing or not known.
        """
        if speech == BUILTIN:
            return self
        gated = copy(self)
        gated.detector, gated.threshold = Silero(Path(speech.removeprefix(SILERO))), THRESHOLD
        return gated

    def describe(self) -> dict[str, Any]:
        """Provenance for the header of a table."""
        speech = {"speech": self.detector.describe()} if self.detector else {}
        return speech | {
            "name": self.name,
            "sha256": self.card.files["onnx"].sha256,
            "causal": True,
            "window_s": WINDOW_S,
            "hop_s": HOP_S,
            "threshold": self.threshold,
        }

    def score(self, windows: Floats) -> VoiceScores:
        """Score windows of any length.

        Args:
            windows: (N, S) mono float32 at 16 kHz, nominally within [-1, 1]; silence is put before windows shorter
                than `WINDOW_S`.

        Raises:
            InputError: not (N, S), or values that are not finite.
        """
        windows = np.asarray(windows, np.float32)
        if windows.ndim != 2 or not np.isfinite(windows).all():
            raise InputError(f"Windows of sound are finite (N, S) arrays; found {windows.shape} or other values.")
        short = max(0, _WINDOW - windows.shape[1])
        padded = np.pad(windows, ((0, 0), (short, 0)))
        return VoiceScores(*self._session.run(["speech", "valence_arousal", "expression"], {"sound": padded}))


class VoiceTrack:
    """Scores of a stream at every multiple of `HOP_S` on its clock, in constant memory.

    The score at t rests on the sound in [t - `WINDOW_S`, t), so it can be given at t and never changes. Where stamps
    leave a gap there is silence; where blocks overlap the earlier one counts. Each window is scored alone, so that a
    score does not depend on how the sound was cut into blocks, down to the last bit.
    """

    def __init__(self, model: VoiceModel) -> None:
        self.model = model
        self._held = np.zeros(_WINDOW, np.float32)  # the sound before ...
        self._end: int | None = None  # ... this sample of the clock
        self._speech = SpeechTrack(model.detector) if model.detector else None

    def push(self, block: AudioBlock) -> list[VoiceScore]:
        """Take in a block of any length, and give the scores of the times that it reaches."""
        return list(self._take(block))

    def flush(self) -> list[VoiceScore]:
        """Nothing: every score is given as soon as its time is reached."""
        return []

    def _take(self, block: AudioBlock) -> Iterator[VoiceScore]:
        begin = round(block.time_s * RATE)
        if self._end is None:
            self._end = begin
        gap = begin - self._end
        gap = 0 if abs(gap) <= _TOLERANCE else gap
        for start in range(0, gap, RATE):
            yield from self._extend(np.zeros(min(RATE, gap - start), np.float32))
        samples = block.samples[max(0, -gap) :]
        for start in range(0, len(samples), RATE):
            yield from self._extend(samples[start : start + RATE])

    def _extend(self, samples: Floats) -> Iterator[VoiceScore]:
        """Add at most a second of sound."""
        assert self._end is not None
        sound = np.concatenate([self._held, samples])
        ahead = range(_HOP - self._end % _HOP, len(samples) + 1, _HOP)  # samples from the old end to each time
        times = [(self._end + step) / RATE for step in ahead]
        self._held, self._end = sound[-_WINDOW:], self._end + len(samples)
        done = 0
        for step, time_s in zip(ahead, times, strict=True):
            told, done = self._tell(samples[done:step]), step
            yield self._score(time_s, sound[step : step + _WINDOW], told)
        self._tell(samples[done:])

    def _tell(self, samples: Floats) -> float | None:
        """Probability of speech by another detector than the voice model, if there is one."""
        return self._speech.push(samples) if self._speech else None

    def _score(self, time_s: float, window: Floats, told: float | None) -> VoiceScore:
        found = self.model.score(window[None])  # (1, S)
        own = float(found.speech[0])
        speech = own if told is None else told
        loudness = loudness_of(window[-_HOP:])
        if speech < self.model.threshold:
            return VoiceScore(time_s, speech, None, None, None, loudness)
        valence, arousal = found.valence_arousal[0].tolist()
        other = None if told is None else own
        return VoiceScore(time_s, speech, valence, arousal, found.expression[0], loudness, other)


def loudness_of(sound: Floats) -> tuple[float, ...]:
    """That of each of `CELLS` equal parts of (S,) sound; see `VoiceScore`."""
    squares = np.square(sound.astype(np.float64).reshape(CELLS, -1))  # (C, S / C)
    return tuple((squares.mean(1) ** 0.25).tolist())
