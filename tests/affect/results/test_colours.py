"""Persons can be told apart by everybody, and on what they are drawn."""

from itertools import combinations

import cv2
import numpy as np
import pytest

from sentio.affect.results.canvas import rgb
from sentio.affect.results.colours import GROUND, PERSONS, of_person

SEEN = {
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "none for red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "none for green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "none for blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
"""Machado, Oliveira and Fernandes (2009), Table 1, severity 1: linear RGB to linear RGB."""


def lab(colours, matrix) -> np.ndarray:
    """CIELAB (N, 3) of colours as seen through a matrix."""
    stored = np.array([rgb(colour) for colour in colours]) / 255
    linear = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    seen = (linear @ np.transpose(matrix)).clip(0, 1)
    shown = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return cv2.cvtColor(shown[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]


@pytest.mark.parametrize("eyes", SEEN)
def test_any_two_persons_differ(eyes) -> None:
    seen = lab(PERSONS, SEEN[eyes])
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) >= 25


def test_they_are_bright_on_their_ground() -> None:
    assert (lab(PERSONS, SEEN["all cones"])[:, 0] - lab([GROUND], SEEN["all cones"])[0, 0] >= 40).all()


def test_colours_begin_anew_after_the_last() -> None:
    assert [of_person(number) for number in range(len(PERSONS) + 1)] == [*PERSONS, PERSONS[0]]
