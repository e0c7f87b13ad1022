"""A person to be rendered: a head with its skin, eyes, teeth, hair, glasses, all drawn from one random generator."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sentio.affect.faces.alignment import SIZE, Matrix, to_crop
from sentio.affect.synth import accessories, hair, skin, wrinkles
from sentio.affect.synth.render import Camera, Mesh, Surface
from sentio.affect.synth.rig import CLOTH, FRAME, HAIR, Floats, Ints, Rig

SURFACES = [
    Surface(shine=0.07, gloss=14, wrap=0.16),  # skin
    Surface(shine=0.7, gloss=180, wrap=0.1),  # eye
    Surface(shine=0.25, gloss=50, wrap=0.3),  # teeth
    Surface(shine=0.12, gloss=30, wrap=0.2),  # mouth
    Surface(shine=0.0, wrap=0.5, open=True, casts=False),  # lashes
    Surface(shine=0.02, gloss=5, wrap=0.05),  # cloth
    Surface(shine=0.10, gloss=9, wrap=0.35, open=True),  # hair
    Surface(shine=0.5, gloss=60, wrap=0.0, open=True),  # glasses
]
# Mean and deviation of a resting face, by control. The brows of people lie lower than those of the rigs, their eyes are
# narrower, the corners of their mouths hang: a model that had not seen such faces at rest took them for angry or sad.
# Chosen so that what the model reads in rendered neutral faces is spread as in real ones; see docs/face.md.
_HABITS = {"AU1": (-0.16, 0.16), "AU2": (-0.18, 0.18), "AU4": (0.58, 0.36), "AU5": (0, 0.12), "AU6": (0.03, 0.1),
           "AU7": (0.4, 0.25), "AU9": (0.1, 0.12), "AU10": (0.1, 0.13), "AU12": (0, 0.1), "AU15": (0.13, 0.2),
           "AU17": (0.05, 0.14), "AU24": (0.12, 0.18), "AU25": (0.08, 0.14), "jaw_left": (0, 0.05)}  # fmt: skip
GLASSES, HATS, MICROPHONES = 0.35, 0.12, 0.06
"""Shares of people who wear them, or speak into one."""
_PIVOT = np.array([0.0, -5.0, -8.5], np.float32)
CORNERS = 0.03
"""How far outside the corners of a mouth detectors put them, in distances of the eyes. On renders YuNet puts
them higher, too (bench/render.py detectors), on photographs hardly, and these are what crops of renders resemble."""


@dataclass(frozen=True, eq=False)
class Person:
    """Everything that stays when the face moves.

    Attributes:
        head: (V, 3) at rest.
        textures: (8, S, S, 4), by part.
        worn: points, triangles, uv and layers of what is fixed to the skull: hair and glasses.
        rest: (len(WRINKLES),) lines at rest.
        habit: a small resting face of the person's own, weights by control.
        look: colours, age and gender.
        depth: of wrinkles.
    """

    rig: Rig
    head: Floats
    textures: NDArray[np.uint8]
    worn: tuple[Floats, Ints, Floats, NDArray[np.uint8]]
    rest: Floats
    habit: dict[str, float]
    look: skin.Look
    depth: float

    def mesh(self, weights: Mapping[str, float], gaze: tuple[float, float], turn: Floats) -> tuple[Mesh, Floats]:
        """The head with moved muscles, turned.

        Args:
            weights: by control.
            gaze: radians to the person's left and up, in the head.
            turn: (3, 3) rotation of the head.

        Returns:
            what to render, and (68, 3) landmarks in the same frame.
        """
        total = dict(self.habit)
        for name, weight in weights.items():
            total[name] = total.get(name, 0.0) + weight
        posed = self.rig.pose(self.head, _followed(total, gaze), gaze)
        points, triangles, uv, layer = self.worn
        vertices = (np.concatenate([posed, points]) - _PIVOT) @ turn.T + _PIVOT
        vertices = np.ascontiguousarray(vertices, np.float32)
        crease = wrinkles.creases(dict(weights), self.look.age, self.depth, self.rest)
        mesh = Mesh(
            vertices,
            np.concatenate([self.rig.triangles, triangles + np.int32(len(posed))]),
            np.concatenate([self.rig.uv, uv]),
            np.concatenate([self.rig.part, layer]),
            crease,
        )
        return mesh, vertices[self.rig.landmarks]


def draw(rig: Rig, rng: np.random.Generator, skins: Path | None = None) -> Person:
    """A person at random.

    Args:
        skins: an MPFB folder whose CC0 skins half of the people begin from; None paints all.
    """
    pictures = skin.photographed(skins) if skins else ()
    head = rig.shape(rig.draw_identity(rng))
    look = skin.draw(rng, len(pictures))
    return Person(
        rig=rig,
        head=head,
        textures=_textures(look, pictures, rng),
        worn=_worn(rig, head, look, rng),
        rest=rng.uniform(0.2, 1.9, len(wrinkles.WRINKLES)).astype(np.float32),
        habit=_habit(rng),
        look=look,
        depth=float(rng.uniform(0.6, 1.25)),
    )


def _habit(rng: np.random.Generator) -> dict[str, float]:
    """Nobody's face at rest is that of the rig; how a person is built is not labelled."""
    return {name: mean + sigma * float(np.clip(rng.normal(), -2, 2)) for name, (mean, sigma) in _HABITS.items()}


def _followed(weights: dict[str, float], gaze: tuple[float, float]) -> dict[str, float]:
    """Lids follow the eyes; a lid that is shut cannot be shut more by narrowing, nor a wide eye stay wide."""
    up = gaze[1] / 0.45
    weights["lid_up"], weights["lid_down"] = max(up, 0.0), max(-up, 0.0)
    for side in "LR":
        shut = min(weights.get(f"blink_{side}", 0.0) + weights.get("blink", 0.0), 1.0)
        for name in ("AU5", "AU6", "AU7", "lid_down", "lid_up"):
            value = weights.get(f"{name}_{side}", 0.0) + weights.get(name, 0.0)
            weights[f"{name}_{side}"] = value * (1 - (0.75 if name == "AU6" else 1.0) * shut)
    for name in ("AU5", "AU6", "AU7", "lid_down", "lid_up"):
        weights.pop(name, None)
    return weights


def _textures(look: skin.Look, pictures: tuple[Floats, ...], rng: np.random.Generator) -> NDArray[np.uint8]:
    cloth = tuple(rng.uniform(15, 220, 3) * rng.uniform(0.4, 1))
    metal = tuple(np.repeat(rng.choice([12.0, 30.0, 110.0]), 3) * [1, rng.uniform(0.6, 1), rng.uniform(0.4, 1)])
    white = rng.uniform(0.8, 1)
    return np.stack([
        skin.paint(look, pictures),
        skin.eye(rng, look.tone),
        skin.plain((226 * white, 218 * white, 198 * white * rng.uniform(0.9, 1)), rng),
        skin.plain((140, 62, 60), rng, 0.1),
        skin.lashes(rng),
        skin.plain(cloth, rng, 0.08),
        hair.texture(look.hair, rng),
        skin.plain(metal, rng),
    ])  # fmt: skip


def _worn(
    rig: Rig, head: Floats, look: skin.Look, rng: np.random.Generator
) -> tuple[Floats, Ints, Floats, NDArray[np.uint8]]:
    points, triangles, uv = hair.grow(rig, head, hair.draw(rng, look.male, look.age), look.hairline, rng)
    layer = np.full(len(triangles), HAIR, np.uint8)
    worn = []
    if rng.random() < GLASSES:
        worn.append((accessories.glasses(rig, head, rng, dark=bool(rng.random() < 0.04)), FRAME))
    if rng.random() < HATS:
        worn.append((accessories.hat(rig, head, rng), CLOTH))
    if rng.random() < MICROPHONES:
        worn.append((accessories.microphone(rig, head, rng), FRAME))
    for (more, faces), part in worn:
        triangles = np.concatenate([triangles, faces + np.int32(len(points))])
        points = np.concatenate([points, more])
        uv = np.concatenate([uv, np.full((len(more), 2), 0.5, np.float32)])
        layer = np.concatenate([layer, np.full(len(faces), part, np.uint8)])
    return points, triangles, uv, layer


def rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """(3, 3): ``yaw`` to the person's left, ``pitch`` down, ``roll`` to the person's right shoulder, radians."""
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (yaw, pitch, roll))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, np.float32)


def five(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """(68, 2) -> (5, 2) as detectors give them: eyes, tip of the nose, corners of the mouth, left first."""
    eyes = [landmarks[36:42].mean(0), landmarks[42:48].mean(0)]
    return np.stack([*eyes, landmarks[30], landmarks[48], landmarks[54]])


def aligned_camera(landmarks: Floats, distance: float, size: int = SIZE) -> Camera:
    """The camera that sees a head as an aligned crop of it would show it.

    Args:
        landmarks: (68, 3) in the camera's frame.
        distance: cm.
        size: pixels across the crop.
    """
    flat = five(Camera(distance, np.eye(2, 3)).flat(landmarks))
    return Camera(distance, crop_matrix(flat, size))


def crop_matrix(points: NDArray[np.float64], size: int = SIZE) -> Matrix:
    """(5, 2) true landmarks -> transform to the crop that a detector's landmarks would give."""
    return to_crop(as_detected(points), size)


def as_detected(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(5, 2) true landmarks -> where a detector would see them in a photograph."""
    seen = points.copy()
    seen[3:] += CORNERS * np.array([[-1], [1]]) * (points[1] - points[0])
    return seen
