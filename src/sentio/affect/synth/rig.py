"""A head that can be shaped and moved: vertices, faces, who it can be, what its muscles can do.

Every rig is brought to the same frame and the same controls, so that nothing after this module knows which it is.
Frame: centimetres (the eyes 6.3 apart), origin midway between the eyes, x to the viewer's right in a front view
(the person's left), y up, z towards the viewer.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentio.core.errors import InputError

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int32]

SKIN, EYE, TEETH, MOUTH, LASH, CLOTH, HAIR, FRAME = range(8)
"""What a triangle is made of; the number of its texture."""

EYE_DISTANCE = 6.3
POINTS = 68
"""Landmarks in the order of Multi-PIE: 0-16 jaw, 17-26 brows, 27-35 nose, 36-47 eyes, 48-67 mouth."""
SLANT = 0.75
"""Of the sinking of a lowered brow (AU4), the share that a brow raised in full at its inner end (AU1) takes back."""
UV_ANGLE = 1.92  # the texture reaches 110 degrees to either side of the nose
UV_BOTTOM, UV_TOP = -12.5, 9.5
UV_AXIS_Z = -8.0


@dataclass(frozen=True, eq=False)
class Rig:
    """A head.

    Attributes:
        name: "ict" or "mpfb".
        vertices: (V, 3) the head at rest.
        triangles: (F, 3) vertex numbers, counter-clockwise from outside.
        part: (F,) one of SKIN ... CLOTH.
        uv: (V, 2) in [0, 1], v up; the same place of every rig's face has the same uv, for eyes it is the direction
            from the middle of the eye.
        identity: (K, V, 3) shapes that make people differ.
        draw_identity: random numbers -> (K,) weights of a likely person.
        controls: names of the movements: "AU12_L", "blink_R", "AU26", ...; see assets/rigs.json.
        movements: (C, V, 3) displacement at weight 1.
        landmarks: (68,) vertex numbers, Multi-PIE order.
        eyes: vertex numbers of the left and of the right eyeball (the person's).
        atlas: (V, 2) places in the rig's own skin pictures, v up, where it has any.
    """

    name: str
    vertices: Floats
    triangles: Ints
    part: NDArray[np.uint8]
    uv: Floats
    identity: Floats
    draw_identity: Callable[[np.random.Generator], Floats]
    controls: tuple[str, ...]
    movements: Floats
    landmarks: Ints
    eyes: tuple[Ints, Ints]
    atlas: Floats | None = None

    def shape(self, weights: Floats) -> Floats:
        """(K,) identity weights -> (V, 3) a person's head at rest, the origin again midway between the eyes."""
        flat = self.identity.reshape(len(self.identity), -1)
        head = self.vertices + np.asarray(weights @ flat, np.float32).reshape(-1, 3)
        middle = np.mean([head[eye].mean(0) for eye in self.eyes], axis=0)
        return np.asarray(head - middle, np.float32)

    def pose(self, head: Floats, weights: Mapping[str, float], gaze: tuple[float, float] = (0.0, 0.0)) -> Floats:
        """A head at rest with its muscles moved.

        Args:
            head: (V, 3) as :meth:`shape` gives it.
            weights: by control, 0 at rest, 1 a strong movement; "AU12" stands for both sides.
            gaze: radians to the person's left and up.

        Returns:
            (V, 3).

        Raises:
            InputError: an unknown control.
        """
        posed = head.copy()
        for name, weight in weights.items():
            for index in self.indices(name):
                if weight:
                    posed += np.float32(weight) * self.movements[index]
        for side in "LR":  # a brow that rises at its inner end does not sink there when it is drawn in: it slants
            lifted = min(max(_weight(weights, "AU1", side), 0.0), 1.0)
            drawn = max(_weight(weights, "AU4", side), 0.0)
            posed[:, 1] -= np.float32(SLANT * lifted * drawn) * self.movements[self.indices(f"AU4_{side}")[0], :, 1]
        turn = _rotation(*gaze)
        for eye in self.eyes:
            centre = head[eye].mean(0)
            posed[eye] = (head[eye] - centre) @ turn.T + centre
        return posed

    def indices(self, name: str) -> list[int]:
        """Numbers of a control, of both its sides if ``name`` says none.

        Raises:
            InputError: an unknown control.
        """
        names = [n for n in (name, f"{name}_L", f"{name}_R") if n in self.controls]
        if not names:
            raise InputError(f"The rig {self.name} has no control {name!r}.", f"It has: {', '.join(self.controls)}.")
        return [self.controls.index(n) for n in names]


def _weight(weights: Mapping[str, float], name: str, side: str) -> float:
    return weights.get(name, 0.0) + weights.get(f"{name}_{side}", 0.0)


def table(rig: str) -> dict[str, dict[str, dict[str, float]]]:
    """How a rig's own shapes make the common controls: {"sided": ..., "whole": ...}, from assets/rigs.json."""
    return _assets()[rig]  # type: ignore[no-any-return]


def template() -> Floats:
    """(68, 2) where the landmarks lie in uv, on every rig."""
    return np.array(_assets()["template"], np.float32)


@cache
def _assets() -> dict[str, Any]:
    text = (resources.files("sentio") / "assets" / "rigs.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def combine(
    sides: dict[str, dict[str, dict[str, float]]], shape: Callable[[str], Floats], x: Floats
) -> tuple[tuple[str, ...], Floats]:
    """Names and displacements of the common controls.

    Args:
        sides: see :func:`table`. In a sided entry {S}, {s}, {side} become L, l, left and R, r, right; a shape
            without any of these is cut in two down the middle of the face.
        shape: a rig's own shape by name, (V, 3).
        x: (V,) of the head at rest.
    """
    left = np.clip(x / 1.6 + 0.5, 0, 1)[:, None]
    zero = np.zeros((len(x), 3), np.float32)
    names: list[str] = []
    movements: list[Floats] = []
    for control, mix in sides["sided"].items():
        for words, mask in (
            ({"S": "L", "s": "l", "side": "left"}, left),
            ({"S": "R", "s": "r", "side": "right"}, 1 - left),
        ):
            parts = [w * shape(n.format(**words)) * (1.0 if "{" in n else mask) for n, w in mix.items()]
            names.append(f"{control}_{words['S']}")
            movements.append(np.asarray(sum(parts, zero), np.float32))
    for control, mix in sides["whole"].items():
        names.append(control)
        movements.append(np.asarray(sum((w * shape(n) for n, w in mix.items()), zero), np.float32))
    return tuple(names), np.stack(movements)


def face_uv(vertices: Floats) -> Floats:
    """Cylindrical coordinates of skin, (V, 2), not clipped: angle round a vertical axis, and height."""
    angle = np.arctan2(vertices[:, 0], vertices[:, 2] - UV_AXIS_Z)
    height = (vertices[:, 1] - UV_BOTTOM) / (UV_TOP - UV_BOTTOM)
    return np.stack([0.5 + angle / (2 * UV_ANGLE), height], axis=1).astype(np.float32)


def eye_uv(vertices: Floats, centre: Floats) -> Floats:
    """Azimuthal equidistant coordinates of an eyeball: 0.5 0.5 is straight ahead, the rim 80 degrees from it."""
    ray = vertices - centre
    ray = ray / np.linalg.norm(ray, axis=1, keepdims=True)
    across = np.maximum(np.hypot(ray[:, 0], ray[:, 1]), 1e-6)
    radius = np.arctan2(across, ray[:, 2]) / (2 * np.radians(80))
    return np.asarray(np.clip(0.5 + ray[:, :2] / across[:, None] * radius[:, None], 0, 1), np.float32)


def triangulate(quads: Ints) -> tuple[Ints, Ints]:
    """(N, 4) polygons, -1 pads a triangle -> (F, 3) triangles and (F,) the polygon each is from."""
    real = np.flatnonzero(quads[:, 3] >= 0)
    triangles = np.concatenate([quads[:, :3], quads[real][:, [0, 2, 3]]])
    source = np.concatenate([np.arange(len(quads)), real])
    return triangles.astype(np.int32), source.astype(np.int32)


def _rotation(yaw: float, pitch: float) -> Floats:
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return np.asarray(about_y @ about_x.T, np.float32)
