"""Hair as ribbons that grow from the scalp: combed, pulled down by their weight, kept off the head and the face."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.synth import skin
from sentio.affect.synth.rig import SKIN, UV_BOTTOM, Floats, Ints, Rig

STEPS = 7


@dataclass(frozen=True)
class Style:
    """How hair is worn.

    Attributes:
        strands: ribbons; 0 for a shaven head.
        length: cm; ``spread`` is its relative deviation.
        comb: direction at the root: to the person's left, up, forward; sideways it is away from the parting.
        rise: how far it stands off the scalp at the root, 0 to 1.
        weight: how soon it falls, 0 to 1.
        curl: sideways deviation of each step.
        parting: cm left of the nose where ``comb`` turns over.
    """

    strands: int
    length: float
    comb: tuple[float, float, float]
    rise: float
    weight: float
    curl: float
    spread: float = 0.25
    parting: float = 0.0
    width: float = 0.75


def draw(rng: np.random.Generator, male: bool, age: float) -> Style:
    """A style at random: shaven, cropped, brushed up, swept, fringed, curly, shoulder long, tied back."""
    part = float(rng.normal(0, 2.5))
    styles = {
        "shaven": Style(0, 0, (0, 0, 0), 0, 0, 0),
        "cropped": Style(1100, 1.8, (0, 0.1, 0.5), 0.35, 0.15, 0.06, 0.3, part, 0.6),
        "brushed": Style(1000, 3.6, (0.3, 0.8, -0.6), 0.4, 0.2, 0.06, 0.3, part, 0.6),
        "swept": Style(900, 5.5, (1.0, 0.2, 0.1), 0.15, 0.5, 0.04, 0.25, float(rng.choice([-4, 4])), 0.7),
        "fringed": Style(1100, 6.0, (0.1, -0.2, 0.9), 0.1, 0.8, 0.04, 0.15, part, 0.75),
        "curly": Style(1300, 4.5, (0.4, 0.3, 0), 0.7, 0.1, 0.6, 0.4, part, 0.6),
        "long": Style(1000, 25.0, (1.0, 0.0, -0.35), 0.08, 1.1, 0.02, 0.15, part, 0.9),
        "wavy": Style(1050, 20.0, (1.0, 0.1, -0.3), 0.15, 0.9, 0.16, 0.2, part, 0.85),
        "tied": Style(900, 9.0, (0.1, 0.35, -1.0), 0.03, 0.1, 0.03, 0.2, part, 0.85),
    }
    shares = {
        True: (0.1 + 0.2 * age, 0.3, 0.15, 0.14, 0.08, 0.1, 0.04, 0.04, 0.05),
        False: (0.01, 0.05, 0.04, 0.1, 0.15, 0.13, 0.24, 0.18, 0.1),
    }[male]
    weights = np.array(shares) / sum(shares)
    return styles[str(rng.choice(list(styles), p=weights))]


def grow(
    rig: Rig, head: Floats, style: Style, hairline: float, rng: np.random.Generator
) -> tuple[Floats, Ints, Floats]:
    """Ribbons for a head at rest.

    Returns:
        (N, 3) points, (M, 3) triangles, (N, 2) uv in the picture of :func:`texture`.
    """
    if style.strands == 0:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros((0, 2), np.float32)
    roots, normals = _roots(rig, head, style.strands, hairline, rng)
    centre, radii = skull(rig, head)
    count = len(roots)
    step = style.length * np.clip(rng.normal(1, style.spread, count), 0.3, 1.7) / STEPS
    side = np.where(roots[:, 0] >= style.parting, 1.0, -1.0)
    comb = np.array(style.comb) * np.stack([side, np.ones(count), np.ones(count)], 1)
    comb -= (comb * normals).sum(1, keepdims=True) * normals
    low = np.clip((1.5 - roots[:, 1:2]) / 4, 0, 1)  # below the temples hair hangs, however it is combed above
    comb = comb * (1 - low) + np.array([0.0, -1.0, -0.3]) * low
    direction = _unit(comb + rng.normal(0, 0.1, (count, 3)) + normals * style.rise * (1.2 - 0.8 * low))
    points = [roots - 0.15 * normals]
    down = np.array([0.0, -1.0, 0.0])
    for k in range(STEPS):
        pull = style.weight * (0.4 + 0.25 * k)
        direction = _unit(direction + pull * down + rng.normal(0, style.curl, (count, 3)))
        points.append(
            _keep_off(points[-1] + direction * step[:, None], centre, radii, 0.15 + 0.5 * style.rise, hairline, style)
        )
    return _ribbons(np.stack(points, 1), centre, style.width * rng.uniform(0.6, 1.3, count), rng)


def _roots(rig: Rig, head: Floats, count: int, hairline: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Places on the scalp, evenly by area, and the normals there."""
    triangles = rig.triangles[rig.part == SKIN]
    uv = rig.uv[triangles].mean(1)
    x, y = (uv[:, 0] - 0.5) * skin.WIDTH, uv[:, 1] * skin.HEIGHT + UV_BOTTOM
    ears = (np.abs(x) > 9.2) & (np.abs(x) < 13.5) & (y < 1.5)
    triangles = triangles[(y > skin.hairline_at(x, hairline)) & ~ears & (head[triangles, 1].mean(1) > -9)]
    a, b, c = (head[triangles[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    area = np.linalg.norm(across, axis=1)
    chosen = rng.choice(len(triangles), count, p=area / area.sum())
    share = rng.dirichlet([1, 1, 1], count)[:, :, None]
    places = share[:, 0:1, 0] * a[chosen] + share[:, 1:2, 0] * b[chosen] + share[:, 2:3, 0] * c[chosen]
    return np.asarray(places, np.float32), np.asarray(across[chosen] / area[chosen, None], np.float32)


def skull(rig: Rig, head: Floats) -> tuple[Floats, Floats]:
    """Middle and radii of the skull as an ellipsoid, (3,) each."""
    used = head[np.unique(rig.triangles[rig.part == SKIN])]
    upper = used[used[:, 1] > 3.5]
    middle = np.array([0, 3.0, (upper[:, 2].max() + upper[:, 2].min()) / 2])
    radii = np.array([np.abs(upper[:, 0]).max(), upper[:, 1].max() - 3.0, np.ptp(upper[:, 2]) / 2])
    return middle, radii


def _keep_off(points: Floats, centre: Floats, radii: Floats, gap: float, hairline: float, style: Style) -> Floats:
    """Points pushed out of the skull, and long hair aside from the face."""
    offset = points - centre
    below = offset[:, 1] < 0
    shape = np.where(below[:, None], offset * [1, 0, 1], offset) / radii
    distance = np.linalg.norm(shape, axis=1, keepdims=True) + 1e-9
    least = 1 + gap / radii.mean()
    points = centre + np.where(below[:, None], offset * [0, 1, 0], 0) + shape * np.maximum(1, least / distance) * radii
    brow = (points[:, 2] > 0) & (np.abs(points[:, 0]) < 6)
    points[:, 1] = np.where(brow, np.maximum(points[:, 1], 2.4), points[:, 1])  # cut over the eyes
    if style.length > 9:
        facing = (points[:, 2] > -7) & (points[:, 1] < hairline - 1)
        aside = np.where(points[:, 0] >= 0, 1, -1) * np.maximum(np.abs(points[:, 0]), radii[0] * 0.98)
        points[:, 0] = np.where(facing, aside, points[:, 0])
        points[:, 2] = np.where(facing & (points[:, 1] < 3), np.minimum(points[:, 2], -5.5), points[:, 2])
    return np.asarray(points)


def _ribbons(paths: Floats, centre: Floats, width: Floats, rng: np.random.Generator) -> tuple[Floats, Ints, Floats]:
    """(N, STEPS + 1, 3) middle lines to flat strips that lie on the head."""
    count, length, _ = paths.shape
    along = np.gradient(paths, axis=1)
    across = _unit(np.cross(along, paths - centre)) * width[:, None, None] / 2
    edges = np.stack([paths - across, paths + across], axis=2)
    slot = rng.uniform(0, 0.85, (count,))
    u = slot[:, None, None] + np.array([0.0, 0.15])
    v = np.broadcast_to(1 - np.linspace(0, 1, length)[None, :, None], (count, length, 2))
    uv = np.stack([np.broadcast_to(u, v.shape), v], axis=3)
    first = (np.arange(count)[:, None] * length + np.arange(length - 1)) * 2
    a = first.reshape(-1)
    triangles = np.concatenate([np.stack([a, a + 1, a + 2], 1), np.stack([a + 1, a + 3, a + 2], 1)])
    return edges.reshape(-1, 3).astype(np.float32), triangles.astype(np.int32), uv.reshape(-1, 2).astype(np.float32)


def texture(colour: Floats, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(SIZE, SIZE, 4) single hairs running down, lighter and darker, fewer towards the tips."""
    size = skin.SIZE
    cells = rng.normal(1, 0.22, (4, size)).astype(np.float32)
    shade = np.asarray(cv2.resize(cells, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
    tip: Floats = (np.arange(size) / (size - 1))[:, None]
    kept = rng.random(size).astype(np.float32)[None] > np.clip(0.12 + 0.85 * tip**2.2, 0, 0.97)
    root = 0.72 + 0.4 * tip
    picture = np.zeros((size, size, 4), np.uint8)
    picture[..., :3] = np.clip(colour * (np.clip(shade, 0.4, 1.7) * root)[..., None], 0, 255)
    picture[..., 3] = np.where(kept, 255, 0)
    return picture


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9))
