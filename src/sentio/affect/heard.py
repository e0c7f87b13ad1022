"""What a model over time is told of a voice: the answers of the voice model as eleven numbers, in use and in training.

Answers and not inner features: they mean the same in every voice model, so that a model over time can learn from voice
models that never heard the speakers, and be used with the one that comes with the package.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentio.affect.labels import EXPRESSIONS

ANSWERS = len(EXPRESSIONS) + 3
"""V: 8 logarithms of the classes' probabilities, valence, arousal, logit of speech."""
STALE_S = 0.5
"""A score this old is no longer what somebody hears: two steps of the voice model."""
LEAST = 1e-4
"""Smallest probability of a class that is told."""
LARGEST = 6.0
"""Largest logit of speech that is told."""


def answers(speech: ArrayLike, valence_arousal: ArrayLike, expression: ArrayLike) -> NDArray[np.float32]:
    """(N,) probabilities of speech, (N, 2), (N, 8) probabilities of classes -> (N, 11)."""
    probability = np.asarray(speech, np.float64)
    with np.errstate(divide="ignore"):
        logit = np.clip(np.log(probability) - np.log1p(-probability), -LARGEST, LARGEST)
    classes = np.log(np.maximum(np.asarray(expression, np.float64), LEAST))
    return np.concatenate([classes, np.asarray(valence_arousal), logit[:, None]], 1).astype(np.float32)
