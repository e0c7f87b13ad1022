"""Caps and knitted hats: a dome over the skull, with a peak or without."""

import numpy as np

from sentio.affect.synth.rig import SKIN, Floats, Ints, Rig

_AROUND, _RINGS = 36, 9


def hat(rig: Rig, head: Floats, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Points (N, 3) and triangles (M, 3) of a hat on a head at rest, the origin between the eyes."""
    peaked = rng.random() < 0.6
    used = head[np.unique(rig.triangles[rig.part == SKIN])]
    upper = used[used[:, 1] > 3.5]
    edge = float(rng.uniform(2.6, 4.6))
    middle = np.array([0.0, edge, (upper[:, 2].max() + upper[:, 2].min()) / 2])
    radii = np.array([np.abs(upper[:, 0]).max(), upper[:, 1].max() - edge, np.ptp(upper[:, 2]) / 2])
    radii = radii * rng.uniform(1.06, 1.15) + [0.2, rng.uniform(0.3, 1.8), 0.2]
    points, triangles = _dome(middle, radii, tilt=float(rng.normal(0.12, 0.08)))
    if peaked:
        more, faces = _peak(middle, radii, rng)
        points, triangles = np.concatenate([points, more]), np.concatenate([triangles, faces + len(points)])
    return points.astype(np.float32), triangles.astype(np.int32)


def _dome(middle: Floats, radii: Floats, tilt: float) -> tuple[Floats, Ints]:
    """Half an ellipsoid, lower at the back by ``tilt``."""
    height = np.linspace(0, np.pi / 2, _RINGS)
    around = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    up, turn = np.meshgrid(height, around, indexing="ij")
    unit = np.stack([np.cos(up) * np.sin(turn), np.sin(up) ** 0.8, np.cos(up) * np.cos(turn)], -1)
    points = middle + unit.reshape(-1, 3) * radii
    points[:, 1] += tilt * (points[:, 2] - middle[2] - radii[2]) * (1 - unit.reshape(-1, 3)[:, 1])
    return points, _grid(_RINGS, _AROUND, closed=True)


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
