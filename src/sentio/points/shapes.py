"""Procedural training shapes, endless and free of licences: solids cut from boxes, superquadrics, knots, sheets, turned
and extruded profiles. They have what scans of statues lack: sharp creases, thin walls, gaps, open borders.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sentio.points.surface import Surface

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Random = np.random.Generator


def procedural(index: int, *, seed: int = 0) -> Surface:
    """Shape number ``index``, in the unit sphere; kinds take turns."""
    random = np.random.default_rng([seed, index])
    vertices, faces = KINDS[index % len(KINDS)](random)
    vertices = _bend(vertices, random) if random.random() < 0.5 else vertices
    vertices = vertices * random.uniform(0.6, 1.0, 3)
    vertices = vertices - vertices.mean(0)
    return Surface(vertices / np.linalg.norm(vertices, axis=1).max(), faces)


def _grid(rows: int, columns: int, *, wrap: tuple[bool, bool]) -> Ints:
    """Triangles (F, 3) between the vertices of a row-major grid, closed along the axes that ``wrap`` names."""
    row, column = np.meshgrid(np.arange(rows - (not wrap[0])), np.arange(columns - (not wrap[1])), indexing="ij")
    a, b = row.ravel(), column.ravel()
    below, right = (a + 1) % rows, (b + 1) % columns
    corner = np.stack([a * columns + b, below * columns + b, below * columns + right, a * columns + right], 1)
    return np.concatenate([corner[:, [0, 1, 2]], corner[:, [0, 2, 3]]])


def _bend(vertices: Floats, random: Random) -> Floats:
    """Twist about z and taper along it."""
    height = vertices[:, 2] / np.abs(vertices[:, 2]).max()
    angle, width = random.uniform(-1.2, 1.2) * height, 1 + random.uniform(-0.5, 0.5) * height
    x, y = vertices[:, 0] * width, vertices[:, 1] * width
    turned = [x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle), vertices[:, 2]]
    return np.stack(turned, 1)


def box_solid(random: Random) -> tuple[Floats, Ints]:
    """Union and difference of boxes: the surface of the filled cells of an uneven grid, its quads subdivided."""
    cells, splits = 7, 4
    filled = np.zeros((cells + 2,) * 3, bool)
    for step in range(random.integers(3, 9)):
        low = random.integers(1, cells, 3)
        high = low + random.integers(1, 5, 3)
        inside = tuple(slice(a, min(b, cells + 1)) for a, b in zip(low, high, strict=True))
        filled[inside] = step < 2 or random.random() < 0.6
    filled[4, 4, 3:6] = True
    lines = [np.cumsum(random.uniform(0.25, 1.0, cells + 3)) for _ in range(3)]
    share = np.linspace(0, 1, splits + 1)
    vertices, faces, used = [], [], 0
    for axis in range(3):
        for side in (0, 1):
            open_side = filled & ~np.roll(filled, 1 - 2 * side, axis)
            for cell in np.argwhere(open_side):
                spans = [line[c] + share * (line[c + 1] - line[c]) for line, c in zip(lines, cell, strict=True)]
                u, v = (spans[other] for other in range(3) if other != axis)
                grid = np.stack(np.meshgrid(u, v, indexing="ij"), -1).reshape(-1, 2)
                vertices.append(np.insert(grid, axis, lines[axis][cell[axis] + side], axis=1))
                faces.append(_grid(splits + 1, splits + 1, wrap=(False, False)) + used)
                used += len(grid)
    return np.concatenate(vertices), np.concatenate(faces)


def superquadric(random: Random) -> tuple[Floats, Ints]:
    """From boxes to balls to spindles."""
    first, second = random.choice([0.15, 0.4, 0.8, 1.0, 1.6, 2.4], 2)
    u, v = np.meshgrid(
        np.linspace(-np.pi / 2, np.pi / 2, 49), np.linspace(-np.pi, np.pi, 96, endpoint=False), indexing="ij"
    )

    def power(value: Floats, exponent: float) -> Floats:
        return np.sign(value) * np.abs(value) ** exponent

    ring = power(np.cos(u), first)
    shape = [ring * power(np.cos(v), second), ring * power(np.sin(v), second), power(np.sin(u), first)]
    return np.stack(shape, -1).reshape(-1, 3), _grid(49, 96, wrap=(False, True))


def knot(random: Random) -> tuple[Floats, Ints]:
    """A tube, round or polygonal, along a torus knot."""
    p, q = [(1, 0), (2, 3), (3, 2), (2, 5), (1, 3)][random.integers(5)]
    t = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    radius = 1 + 0.4 * np.cos(q * t)
    path = np.stack([radius * np.cos(p * t), radius * np.sin(p * t), 0.5 * np.sin(q * t)], 1)
    tangent = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    side = np.cross(tangent, path * [1, 1, 0])
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(tangent, side)
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    corners = int(random.choice([3, 4, 6, 24]))
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    sector = np.pi / corners
    flat = np.cos(sector) / np.cos((angle + sector) % (2 * sector) - sector) if corners < 24 else np.ones(24)
    width = random.uniform(0.08, 0.2) * (1 + 0.3 * random.random() * np.cos(random.integers(1, 5) * t))
    reach = flat * width[:, None]
    tube = side[:, None] * (reach * np.cos(angle))[..., None] + other[:, None] * (reach * np.sin(angle))[..., None]
    return (path[:, None] + tube).reshape(-1, 3), _grid(160, 24, wrap=(True, True))


def sheet(random: Random) -> tuple[Floats, Ints]:
    """A wavy sheet: open, or a thin closed plate."""
    n = 64
    x, y = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n), indexing="ij")
    height = np.zeros_like(x)
    for _ in range(3):
        direction = random.normal(size=2) * random.uniform(1, 5)
        height += random.normal() * 0.12 * np.sin(direction[0] * x + direction[1] * y + random.uniform(0, 6))
    if random.random() < 0.4:
        height = np.abs(height)  # a crease
    top = np.stack([x, y, height], -1).reshape(-1, 3)
    faces = _grid(n, n, wrap=(False, False))
    if random.random() < 0.4:
        return top, faces
    bottom = top - [0, 0, random.uniform(0.03, 0.15)]
    index = np.arange(n * n).reshape(n, n)
    rim = np.concatenate([index[0], index[1:, -1], index[-1, -2::-1], index[-2:0:-1, 0]])
    after = np.roll(rim, -1)
    wall = np.concatenate([np.stack([rim, after, after + n * n], 1), np.stack([rim, after + n * n, rim + n * n], 1)])
    return np.concatenate([top, bottom]), np.concatenate([faces, faces + n * n, wall])


def turned(random: Random) -> tuple[Floats, Ints]:
    """A profile of straight pieces turned about z, round or with flat sides."""
    knots = random.integers(4, 9)
    height = np.concatenate([[0], np.cumsum(random.uniform(0, 1, knots))])
    radius = random.uniform(0.25, 1.0, knots + 1)
    steps = np.linspace(0, knots, 8 * knots + 1)
    z = np.interp(steps, np.arange(knots + 1), height)
    r = np.interp(steps, np.arange(knots + 1), radius)
    z, r = np.concatenate([[z[0]], z, [z[-1]]]), np.concatenate([[0], r, [0]])
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    sides = int(random.choice([3, 4, 6, 72]))
    sector = np.pi / sides
    flat = np.cos(sector) / np.cos((angle + sector) % (2 * sector) - sector) if sides < 72 else np.ones(72)
    ring = r[:, None] * flat
    shape = np.stack([ring * np.cos(angle), ring * np.sin(angle), np.repeat(z[:, None], 72, 1) * 1.2 / z[-1]], -1)
    return shape.reshape(-1, 3), _grid(len(z), 72, wrap=(False, True))


def extruded(random: Random) -> tuple[Floats, Ints]:
    """A star or gear outline, extruded, possibly with a hole."""
    teeth, n = random.integers(3, 10), 120
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    wave = (angle * teeth / (2 * np.pi)) % 1
    tooth = np.abs(2 * wave - 1) if random.random() < 0.5 else np.clip(3 * np.abs(2 * wave - 1) - 1, 0, 1)
    outer = 1 - random.uniform(0.1, 0.5) * tooth
    inner = np.full(n, random.uniform(0.15, 0.4) if random.random() < 0.6 else 0.0)
    depth = random.uniform(0.1, 0.8)
    share = np.linspace(0, 1, 9)
    across = inner + share[:, None] * (outer - inner)
    radius = np.concatenate([across, np.repeat(outer[None], 9, 0), across[::-1], np.repeat(inner[None], 9, 0)])
    z = np.concatenate([np.zeros(9), share, np.ones(9), share[::-1]]) * depth
    shape = [radius * np.cos(angle), radius * np.sin(angle), np.repeat(z[:, None], n, 1)]
    return np.stack(shape, -1).reshape(-1, 3), _grid(36, n, wrap=(True, True))


KINDS: tuple[Callable[[Random], tuple[Floats, Ints]], ...] = (box_solid, superquadric, knot, sheet, turned, extruded)
