"""Glasses: rims, bridge and temples as thin tubes, and dark lenses when they are for the sun."""

import numpy as np

from sentio.affect.synth.rig import EYE_DISTANCE, Floats, Ints, Rig

_AROUND, _SIDES = 26, 5


def glasses(rig: Rig, head: Floats, rng: np.random.Generator, dark: bool) -> tuple[Floats, Ints]:
    """Points (N, 3) and triangles (M, 3) of a pair that sits on this nose."""
    bridge = head[rig.landmarks[27]]
    front = float(max(bridge[2] + 0.1, head[rig.landmarks[36:48], 2].max() + 1.1))
    wide, high = rng.uniform(2.2, 2.75), rng.uniform(1.6, 2.3)
    power = rng.choice([2.0, 3.0, 4.5])
    thick = float(rng.choice([0.07, 0.12, 0.2]))
    ear = np.abs(head[rig.landmarks[[0, 16]], 0]).max()
    pieces = []
    for side in (-1, 1):
        middle = np.array([side * EYE_DISTANCE / 2 * 1.03, -0.25, front])
        rim = _rim(middle, wide, high, power)
        pieces.append(_tube(rim, thick, closed=True))
        hinge = middle + [side * wide, 0.6, -0.1]
        temple = np.linspace(hinge, [side * (ear + 0.25), 0.5, head[rig.landmarks[0], 2] - 1.5], 6)
        pieces.append(_tube(temple, thick, closed=False))
        if dark:
            pieces.append(_lens(rim, middle))
    inner = EYE_DISTANCE / 2 * 1.03 - wide
    arch = np.array(
        [[x, 0.1 + 0.25 * np.cos(x / max(inner, 0.2) * 1.5), front + 0.1] for x in np.linspace(-inner, inner, 6)]
    )
    pieces.append(_tube(arch, thick, closed=False))
    return _join(pieces)


def _rim(middle: Floats, wide: float, high: float, power: float) -> Floats:
    """A superellipse that bends back a little at the outer side."""
    angle = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    x = np.sign(c) * np.abs(c) ** (2 / power) * wide
    y = np.sign(s) * np.abs(s) ** (2 / power) * high
    back = -0.05 * (middle[0] + x) ** 2 / 4
    return np.asarray(middle + np.stack([x, y, back], 1))


def _tube(path: Floats, radius: float, *, closed: bool) -> tuple[Floats, Ints]:
    count = len(path)
    along = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    along = along / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    helper = np.where(np.abs(along[:, 2:]) < 0.8, [[0.0, 0, 1]], [[0.0, 1, 0]])
    one = np.cross(along, helper)
    one /= np.linalg.norm(one, axis=1, keepdims=True) + 1e-9
    two = np.cross(along, one)
    angle = np.linspace(0, 2 * np.pi, _SIDES, endpoint=False)
    ring = one[:, None] * np.cos(angle)[:, None] + two[:, None] * np.sin(angle)[:, None]
    points = (path[:, None] + radius * ring).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(count if closed else count - 1), np.arange(_SIDES), indexing="ij")
    a, b = i * _SIDES + j, i * _SIDES + (j + 1) % _SIDES
    following = (i + 1) % count * _SIDES
    c, d = following + j, following + (j + 1) % _SIDES
    quads = np.stack([a, b, c, b, d, c], -1).reshape(-1, 3)
    return points, quads.astype(np.int32)


def _lens(rim: Floats, middle: Floats) -> tuple[Floats, Ints]:
    count = len(rim)
    k = np.arange(count)
    return np.concatenate([rim, middle[None]]), np.stack([k, (k + 1) % count, np.full(count, count)], 1).astype(
        np.int32
    )


def _join(pieces: list[tuple[Floats, Ints]]) -> tuple[Floats, Ints]:
    points, triangles, first = [], [], 0
    for piece, faces in pieces:
        points.append(piece)
        triangles.append(faces + first)
        first += len(piece)
    return np.concatenate(points).astype(np.float32), np.concatenate(triangles).astype(np.int32)
