"""What people wear or hold before the face: glasses, a cap, a microphone."""

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


def cap(skull: tuple[Floats, Floats], rng: np.random.Generator) -> tuple[Floats, Ints]:
    """A cap that covers the hair above the forehead, most with a peak: points (N, 3), triangles (M, 3).

    Args:
        skull: its middle and radii, (3,) each.
    """
    middle, radii = skull
    around, rows = 28, 7
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    low = float(rng.uniform(0.05, 0.3))  # of the height of the skull, where the edge is
    height = np.sin(np.linspace(np.arcsin(low), np.pi / 2 - 0.02, rows))
    wide = np.sqrt(1 - height**2)
    shell = radii + rng.uniform(0.9, 1.5)
    dome = np.stack(
        [np.outer(wide, np.sin(angle)), np.repeat(height[:, None], around, 1), np.outer(wide, np.cos(angle))], 2
    )
    pieces = [(middle + dome.reshape(-1, 3) * shell, _sheet(rows, around, closed=True))]
    if rng.random() < 0.7:
        front = np.linspace(-1.1, 1.1, 13)
        edge = middle + np.stack([np.sin(front) * wide[0], np.full(13, low), np.cos(front) * wide[0]], 1) * shell
        reach = float(rng.uniform(4, 7)) * np.cos(front / 1.1 * np.pi / 2)[:, None]
        peak = edge + reach * np.array([0, rng.uniform(-0.45, 0.05), 1])
        pieces.append((np.concatenate([edge, peak]), _sheet(2, 13, closed=False)))
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
    return _join([(place + radius * ball.reshape(-1, 3), _sheet(8, 14, closed=True)), _tube(stick, 0.8, closed=False)])


def _sheet(rows: int, columns: int, *, closed: bool) -> Ints:
    """Triangles of a grid of points, row by row, seen from both sides; a closed one joins its last and first column."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    a, b = i * columns + j, i * columns + (j + 1) % columns
    c, d = a + columns, b + columns
    one = np.stack([a, b, c, b, d, c], -1).reshape(-1, 3)
    return np.concatenate([one, one[:, ::-1]]).astype(np.int32)


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
