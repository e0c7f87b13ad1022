"""The numbers by which a model over time is told of a voice."""

import numpy as np
import pytest

from sentio.affect.heard import ANSWERS, answers


def test_each_number_is_the_plain_formula():
    random = np.random.default_rng(0)
    expression = random.dirichlet(np.ones(8), 5)
    expression[2] = [1, 0, 0, 0, 0, 0, 0, 0]
    speech, affect = random.random(5), random.uniform(-1, 1, (5, 2))
    found = answers(speech, affect, expression)
    assert found.shape == (5, ANSWERS) and found.dtype == np.float32
    for row in range(5):
        plain = [np.log(max(p, 1e-4)) for p in expression[row]]
        plain += [*affect[row], np.log(speech[row] / (1 - speech[row]))]
        assert found[row] == pytest.approx(plain, abs=1e-5)


def test_certain_speech_and_certain_silence_are_finite():
    found = answers([0.0, 1.0], np.zeros((2, 2)), np.full((2, 8), 1 / 8))
    assert found[:, -1].tolist() == [-6.0, 6.0] and np.isfinite(found).all()
