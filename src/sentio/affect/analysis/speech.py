"""Whether somebody speaks, by Silero VAD in the place of the voice model's own answer: its published file, by path.

It takes 512 samples at a time, with the 64 before them and a state that goes from one step to the next, and gives the
probability of speech. The file is not part of this package (MIT; https://github.com/snakers4/silero-vad).
"""

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentio.affect.media import SAMPLE_RATE
from sentio.core.errors import RecipeError, WeightsError
from sentio.core.runtime import onnx_session
from sentio.core.weights import refuse_pickle, sha256

BUILTIN, SILERO = "builtin", "silero:"
KNOWN = {"1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3": "6.2"}
"""Published versions by the SHA-256 of their ``silero_vad.onnx``."""
PLACE = "https://github.com/snakers4/silero-vad/raw/v6.2/src/silero_vad/data/silero_vad.onnx"
STEP, CONTEXT = 512, 64
RECENT = SAMPLE_RATE // 2
"""Samples of which the highest probability counts, as for the voice model."""
THRESHOLD = 0.5
"""Silero's own."""

Floats = NDArray[np.float32]


def check(choice: str) -> None:
    """See that a choice is one.

    Raises:
        RecipeError: it is neither ``builtin`` nor ``silero:PATH``.
    """
    if choice != BUILTIN and not (choice.startswith(SILERO) and choice != SILERO):
        raise RecipeError(f"There is no detector of speech {choice!r}.", "Choose builtin or silero:PATH.")


class Silero:
    """The published model.

    Args:
        path: its ONNX file.

    Raises:
        WeightsError: the file is missing, or none of those that are known.
    """

    def __init__(self, path: Path) -> None:
        fix = f"Known is version {', '.join(KNOWN.values())}: download {PLACE} and give its path."
        try:
            refuse_pickle(path)
        except WeightsError as error:
            raise WeightsError(error.what, fix) from error
        self.sha256 = sha256(path)
        if self.sha256 not in KNOWN:
            raise WeightsError(f"{path} is no known file of Silero VAD: its SHA-256 is {self.sha256}.", fix)
        self._session = onnx_session(path.read_bytes())

    def describe(self) -> dict[str, Any]:
        """Provenance for the header of a table."""
        return {
            "name": "silero-vad",
            "version": KNOWN[self.sha256],
            "sha256": self.sha256,
            "licence": "MIT",
            "threshold": THRESHOLD,
        }

    def step(self, sound: Floats, state: Floats) -> tuple[float, Floats]:
        """(576,) samples and (2, 1, 128) state -> probability of speech in the last 512, next state."""
        feed = {"input": sound[None], "state": state, "sr": np.array(SAMPLE_RATE, np.int64)}
        chance, state = self._session.run(None, feed)
        return float(chance.item()), state


class SpeechTrack:
    """A stream of sound without gaps; what is said of a moment rests on what was before, however it is cut."""

    def __init__(self, detector: Silero) -> None:
        self._detector = detector
        self._state = np.zeros((2, 1, 128), np.float32)
        self._held = np.zeros(CONTEXT, np.float32)  # the context, and what does not fill a step yet
        self._end = 0
        self._recent: deque[tuple[int, float]] = deque()  # ends of steps, probabilities

    def push(self, samples: Floats) -> float:
        """Take in any number of samples; the highest probability of the steps that ended in the last half second."""
        self._held = np.concatenate([self._held, samples])
        done = self._end - (self._end % STEP)
        self._end += len(samples)
        while len(self._held) >= CONTEXT + STEP:
            chance, self._state = self._detector.step(self._held[: CONTEXT + STEP], self._state)
            self._held, done = self._held[STEP:], done + STEP
            self._recent.append((done, chance))
        while self._recent and self._recent[0][0] <= self._end - RECENT:
            self._recent.popleft()
        return max((chance for _, chance in self._recent), default=0.0)
