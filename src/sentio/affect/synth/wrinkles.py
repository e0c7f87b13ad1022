"""Lines that muscles draw into skin: each a curve on the unrolled face that deepens with the movements named."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.synth import skin
from sentio.affect.synth.rig import Floats

CELLS = 256


@dataclass(frozen=True)
class Wrinkle:
    """Lines on both sides of the face.

    Attributes:
        controls: movements that deepen it, with their shares; they add up, but not beyond 1.
        curves: points (x, y) in centimetres on the person's left; the right is their mirror image.
        rest: depth in an old face at rest.
        width: cm.
    """

    controls: dict[str, float]
    curves: tuple[tuple[tuple[float, float], ...], ...]
    rest: float
    width: float = 0.22


WRINKLES = (
    Wrinkle({"AU1": 0.6, "AU2": 0.6}, tuple(((0, y), (2, y + 0.15), (4.5, y - 0.25)) for y in (3.8, 4.7, 5.6)), 0.5),
    Wrinkle({"AU1": 0.7}, (((0, 4.2), (1.6, 4.0)), ((0, 3.5), (1.2, 3.35))), 0.1),
    Wrinkle({"AU4": 1.0}, (((0.5, 0.9), (0.62, 1.8), (0.75, 2.7)),), 0.35, 0.25),
    Wrinkle({"AU4": 0.5, "AU9": 0.9}, (((0, 0.35), (0.9, 0.3)),), 0.2),
    Wrinkle({"AU9": 1.0, "AU10": 0.3}, (((0.5, -0.6), (1.1, -1.3)), ((0.6, -1.2), (1.15, -1.9))), 0.05, 0.2),
    Wrinkle(
        {"AU6": 0.9, "AU12": 0.3},
        (((4.8, -0.1), (6.2, 0.5)), ((4.9, -0.4), (6.4, -0.4)), ((4.8, -0.7), (6.1, -1.2))),
        0.4,
    ),
    Wrinkle({"AU6": 0.8, "AU7": 0.5}, (((1.9, -1.0), (3.0, -1.35), (4.3, -1.0)),), 0.4, 0.3),
    Wrinkle(
        {"AU12": 0.8, "AU10": 0.7, "AU9": 0.5, "AU6": 0.3},
        (((1.5, -4.0), (2.3, -5.0), (3.0, -6.2), (3.3, -7.2)),),
        0.5,
        0.35,
    ),
    Wrinkle({"AU12": 0.5, "AU14": 0.9, "AU20": 0.7}, (((3.0, -6.3), (3.35, -7.0), (3.2, -7.7)),), 0.1, 0.3),
    Wrinkle({"AU15": 1.0, "AU17": 0.2}, (((2.5, -7.2), (2.9, -8.1), (3.0, -8.9)),), 0.4, 0.3),
    Wrinkle({"AU17": 1.0, "AU15": 0.3, "AU24": 0.4}, (((0, -8.7), (1.1, -8.85)),), 0.15, 0.35),
    Wrinkle(
        {"AU17": 0.8}, (((0.3, -9.5), (0.5, -9.8)), ((0.8, -9.3), (1.0, -9.6)), ((0.1, -10.1), (0.35, -10.2))), 0.0
    ),
    Wrinkle(
        {"AU23": 0.9, "AU18": 0.8, "AU24": 0.3}, tuple(((x, -5.3), (x * 1.1, -5.9)) for x in (0.4, 0.9, 1.4)), 0.1, 0.15
    ),
)


def creases(weights: dict[str, float], age: float, depth: float, rest: Floats) -> Floats:
    """(CELLS, CELLS) brightness of skin for the moved face.

    Args:
        weights: by control, as for Rig.pose.
        age: 0 to 1.
        depth: how deep this person's lines are.
        rest: (len(WRINKLES),) share of ``age`` that each line at rest has in this person.
    """
    moved = [
        min(sum(share * _both(weights, control) for control, share in wrinkle.controls.items()), 1.0)
        for wrinkle in WRINKLES
    ]
    strength = depth * (np.array(moved) * (0.45 + 0.55 * age) + rest * age * [w.rest for w in WRINKLES])
    return np.asarray(np.clip(1 + np.tensordot(strength.astype(np.float32), _maps(), 1), 0.35, 1.3), np.float32)


def _both(weights: dict[str, float], control: str) -> float:
    sides = (weights.get(f"{control}_L", 0) + weights.get(f"{control}_R", 0)) / 2
    return float(np.clip(weights.get(control, 0) + sides, 0, 1))


@cache
def _maps() -> NDArray[np.float32]:
    """(len(WRINKLES), CELLS, CELLS): below 0 in a line, above 0 on the bulges beside it."""
    return np.stack([_map(wrinkle) for wrinkle in WRINKLES])


def _map(wrinkle: Wrinkle) -> Floats:
    drawn = np.zeros((skin.SIZE, skin.SIZE), np.float32)
    for curve in wrinkle.curves:
        for side in (1, -1):
            points = skin.texels(_fine(np.array(curve, np.float32)) * np.array([side, 1], np.float32))
            cv2.polylines(drawn, [np.round(points * 16).astype(np.int32)], False, 1.0, 2, cv2.LINE_AA, 4)
    sigma = wrinkle.width * skin.SIZE / skin.HEIGHT / 2.4
    line = cv2.GaussianBlur(drawn, (0, 0), sigma)
    wide = cv2.GaussianBlur(drawn, (0, 0), sigma * 2.8)
    shape = -0.6 * line / max(float(line.max()), 1e-6) + 0.22 * wide / max(float(wide.max()), 1e-6)
    return np.asarray(cv2.resize(shape, (CELLS, CELLS), interpolation=cv2.INTER_AREA), np.float32)


def _fine(points: Floats) -> Floats:
    """A curve through the points in small steps."""
    place = np.linspace(0, len(points) - 1, 24)
    return np.stack([np.interp(place, np.arange(len(points)), column) for column in points.T], 1).astype(np.float32)
