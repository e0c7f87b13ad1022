"""Hands, feet, arms, legs and torsos of the MPFB body: they have the colour of skin, and are no faces."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sentio.affect.synth import rig_mpfb, scene, skin
from sentio.affect.synth.appearance import Person, rotation
from sentio.affect.synth.render import Camera, Mesh
from sentio.affect.synth.rig import SKIN, Floats, Ints, triangulate
from sentio.affect.synth.wrinkles import CELLS


@dataclass(frozen=True)
class Part:
    """What is cut from the body.

    Attributes:
        inside: (V, 3) decimetres, y up, the eyes at 7.3 -> (V,) whether a vertex belongs to it.
        reach: cm from its middle to its farthest point in the picture.
        upright: whether it is shown as people stand; else turned any way.
    """

    inside: Callable[[Floats], NDArray[np.bool_]]
    reach: float
    upright: bool


PARTS = {
    "hand": Part(lambda v: v[:, 0] > 4.0, 16.0, False),
    "arm": Part(lambda v: (v[:, 0] > 2.2) & (v[:, 1] < 5.0) & (v[:, 1] > 0), 18.0, False),
    "foot": Part(lambda v: (v[:, 0] > 0) & (v[:, 1] < -7.0), 16.0, False),
    "leg": Part(lambda v: (v[:, 0] > 0) & (v[:, 1] < -0.5), 20.0, True),
    "torso": Part(lambda v: (v[:, 1] > -0.5) & (v[:, 1] < 5.9) & (np.abs(v[:, 0]) < 2.6), 16.5, True),
}
"""By name; boundaries read off the mesh [CHOSEN]."""


@lru_cache(maxsize=1)
def _body(folder: Path) -> tuple[Floats, Ints]:
    points, _, polygons, _, part = rig_mpfb.read_mesh(folder / "base.obj")
    return points, triangulate(polygons[part == SKIN])[0]


def draw(
    folder: Path, name: str, person: Person, rng: np.random.Generator, size: int, scale: float
) -> NDArray[np.uint8]:
    """A cut-out, RGB and alpha (size, size, 4).

    Args:
        folder: of the MPFB rig.
        name: one of `PARTS`.
        person: whose skin, or cloth, it has.
        scale: pixels of a centimetre.
    """
    points, triangles = _body(folder)
    part = PARTS[name]
    kept = triangles[part.inside(points)[triangles].all(1)]
    used, numbers = np.unique(kept, return_inverse=True)
    shape = points[used] - (points[used].max(0) + points[used].min(0)) / 2
    shape *= part.reach * rng.uniform(0.7, 1.1) / np.linalg.norm(shape, axis=1).max()
    if rng.random() < 0.5:
        shape[:, 0] *= -1
    turn = rotation(*(rng.uniform(-np.pi, np.pi, 3) * ([1, 0.1, 0.1] if part.upright else [1, 1, 1])))
    uv = shape[:, :2] / (2 * part.reach) + 0.5
    mesh = Mesh(
        np.ascontiguousarray(shape @ turn.T, np.float32),
        numbers.reshape(-1, 3).astype(np.int32),
        np.ascontiguousarray(uv, np.float32),
        np.zeros(len(kept), np.uint8),
        np.ones((CELLS, CELLS), np.float32),
    )
    camera = Camera(float(rng.uniform(60, 150)), np.array([[scale, 0, size / 2], [0, scale, size / 2]]))
    colour, cover = scene.cut_out(_bare(person, rng), mesh, scene.draw(rng), camera, (size, size))
    picture = np.concatenate([np.clip(colour, 0, 255), 255 * cover[..., None]], axis=2)
    return picture.round().astype(np.uint8)


def _bare(person: Person, rng: np.random.Generator) -> Person:
    """The person with an even skin of the colour of the cheeks."""
    size = person.textures.shape[1]
    cheeks = person.textures[SKIN, size // 3 : size // 2, size // 3 : 2 * size // 3, :3]
    red, green, blue = np.median(cheeks.reshape(-1, 3), axis=0).tolist()
    textures = person.textures.copy()
    textures[SKIN] = skin.plain((red, green, blue), rng, 0.06)
    return replace(person, textures=textures)
