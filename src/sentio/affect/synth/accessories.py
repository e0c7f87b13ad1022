"""What people wear or hold before the face: glasses, a hat, a microphone."""

import numpy as np

from sentio.affect.synth import hair
from sentio.affect.synth.rig import EYE_DISTANCE, Floats, Ints, Rig

_AROUND, _SIDES = 26, 5
_HAT_AROUND, _HAT_RINGS = 36, 9


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


def hat(rig: Rig, head: Floats, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Points (N, 3) and triangles (M, 3) of a cap with a peak, or a knitted hat without, on a head at rest."""
    peaked = rng.random() < 0.6
    middle, radii = hair.skull(rig, head)
    edge = float(rng.uniform(2.6, 4.6))
    radii = radii - [0, edge - middle[1], 0]  # from the edge up
    middle = np.array([middle[0], edge, middle[2]])
    radii = radii * rng.uniform(1.06, 1.15) + [0.2, rng.uniform(0.3, 1.8), 0.2]
    pieces = [_dome(middle, radii, tilt=float(rng.normal(0.12, 0.08)))]
    if peaked:
        pieces.append(_peak(middle, radii, rng))
    return _join(pieces)


def microphone(rig: Rig, head: Floats, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """A ball on a stick below and before the mouth: points (N, 3), triangles (M, 3)."""
    chin = head[rig.landmarks[8]]
    radius = float(rng.uniform(1.2, 2.3))
    place = chin + np.array([rng.normal(0, 2.5), rng.uniform(-1.5, 2.5), radius + rng.uniform(2, 5)])
    angle = np.linspace(0.05, np.pi - 0.05, 8)
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    ball = np.stack([np.outer(np.sin(angle), np.cos(turn)), np.repeat(np.cos(angle)[:, None], 14, 1),
                     np.outer(np.sin(angle), np.sin(turn))], 2)  # fmt: skip
    stick = np.linspace(place, place + np.array([rng.normal(0, 3), -14.0, 3.0]), 4)
    return _join([(place + radius * ball.reshape(-1, 3), _grid(8, 14, closed=True)), _tube(stick, 0.8, closed=False)])


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


def _dome(middle: Floats, radii: Floats, tilt: float) -> tuple[Floats, Ints]:
    """Half an ellipsoid, lower at the back by ``tilt``."""
    height = np.linspace(0, np.pi / 2, _HAT_RINGS)
    around = np.linspace(0, 2 * np.pi, _HAT_AROUND, endpoint=False)
    up, turn = np.meshgrid(height, around, indexing="ij")
    unit = np.stack([np.cos(up) * np.sin(turn), np.sin(up) ** 0.8, np.cos(up) * np.cos(turn)], -1)
    points = middle + unit.reshape(-1, 3) * radii
    points[:, 1] += tilt * (points[:, 2] - middle[2] - radii[2]) * (1 - unit.reshape(-1, 3)[:, 1])
    return points, _grid(_HAT_RINGS, _HAT_AROUND, closed=True)


def _peak(middle: Floats, radii: Floats, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """A sheet that stands out over the brows, of some thickness."""
    turn = np.linspace(-1.0, 1.0, 15)
    out = np.linspace(0, 1, 5)
    length, fall = rng.uniform(4, 7.5), rng.uniform(0.05, 0.45)
    far, angle = np.meshgrid(out, turn, indexing="ij")
    beyond = far * length * np.cos(angle * 1.3)
    sheet = np.stack(
        [
            np.sin(angle) * radii[0] * 0.98,
            middle[1] - fall * beyond - 0.25 * far * angle**2,
            middle[2] + np.cos(angle) * radii[2] * 0.98 + beyond,
        ],
        -1,
    ).reshape(-1, 3)
    faces = _grid(5, 15, closed=False)
    return np.concatenate([sheet, sheet - [0, 0.25, 0]]), np.concatenate([faces, faces[:, ::-1] + len(sheet)])


def _grid(rows: int, columns: int, *, closed: bool) -> Ints:
    """Triangles of a sheet of points, row by row; ``closed`` joins the last column to the first."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    a, b = i * columns + j, i * columns + (j + 1) % columns
    return np.stack([a, b, a + columns, b, b + columns, a + columns], -1).reshape(-1, 3)
