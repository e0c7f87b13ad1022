"""The base mesh of MakeHuman / MPFB (CC0): head and shoulders of it, expression units, and who a person can be."""

import gzip
from functools import partial
from pathlib import Path

import numpy as np
from scipy.interpolate import RBFInterpolator

from sentio.affect.synth import rig as rigs
from sentio.affect.synth.rig import CLOTH, EYE, LASH, MOUTH, SKIN, TEETH, Floats, Ints, Rig
from sentio.core.errors import InputError

_RACES, _GENDERS, _AGES = ("african", "asian", "caucasian"), ("female", "male"), ("young", "old")
_WEIGHTS = ("minweight", "averageweight", "maxweight")
_PLACES = ("cheek", "chin", "eyebrows", "eyes", "forehead", "head", "mouth", "nose")
_PAIRS = (("decr", "incr"), ("down", "up"), ("in", "out"), ("concave", "convex"), ("backward", "forward"),
          ("compress", "uncompress"))  # fmt: skip
_HELPERS = {"helper-l-eye": EYE, "helper-r-eye": EYE, "helper-upper-teeth": TEETH, "helper-lower-teeth": TEETH,
            "helper-tongue": MOUTH, "helper-l-eyelashes-2": LASH, "helper-r-eyelashes-2": LASH}  # fmt: skip
_CROOKED = ("head-trans", "mouth-trans-in", "mouth-trans-out", "nose-trans-in", "nose-trans-out", "septumangle")
_LOWEST, _WIDEST = 5.0, 2.3  # decimetres: what is kept of the body
_COLLAR = -17.0  # cm below the eyes: what is lower is dressed
_TEETH_MOVED = np.array([0, -0.4, 0.3], np.float32)  # cm: else a smile shows none of them
# Vertex numbers of base.obj, chosen by projecting the landmarks of ICT-FaceKit on this head and looking.
# fmt: off
_LANDMARKS = (
    870, 5235, 5246, 910, 5240, 5297, 5223, 5215, 5171, 11825, 11833, 11902, 11849, 7612, 11854, 11844, 7575,
    262, 232, 229, 223, 235, 7007, 6997, 7002, 7005, 7031, 132, 135, 164, 294, 354, 308, 343, 7072, 7115,
    1090, 6, 6763, 1103, 1097, 1093, 7795, 13359, 6790, 7782, 7785, 7789, 425, 447, 460, 466, 7219, 7207,
    7185, 7130, 11939, 492, 5335, 370, 443, 515, 474, 7262, 7204, 7262, 523, 515,
)
# fmt: on


def read(folder: Path) -> Rig:
    """Read the folder with base.obj and targets/.

    Raises:
        InputError: a file is missing or damaged.
    """
    try:
        return _build(folder)
    except (OSError, ValueError, IndexError, EOFError) as error:
        raise InputError(f"{folder} holds no readable MPFB rig: {error}.", "Fetch it again.") from error


def _build(folder: Path) -> Rig:
    points, atlas, polygons, corners, part = read_mesh(folder / "base.obj")
    kept, triangles, part, atlas = _cut(points, atlas, polygons, corners, part)
    count = len(points)
    names, identity, start = _identity(folder / "targets", count)
    rest = points + np.tensordot(start, identity, 1)
    eyes = [
        np.flatnonzero(_range(kept, first, last)).astype(np.int32) for first, last in ((14598, 14670), (14670, 14742))
    ]
    rest, identity = rest[kept], identity[:, kept]
    centres = [rest[eye].mean(0) for eye in eyes]
    scale = np.float32(rigs.EYE_DISTANCE / (centres[0][0] - centres[1][0]))
    vertices = (rest - np.mean(centres, axis=0)) * scale
    units = partial(_unit, folder / "targets", kept, count, scale)
    vertices[_upper_teeth(vertices, triangles, part)] += _TEETH_MOVED
    controls, movements = rigs.combine(rigs.table("mpfb"), units, vertices[:, 0])
    part[(part == SKIN) & (vertices[triangles, 1].max(1) < _COLLAR)] = CLOTH
    landmarks = np.searchsorted(kept, np.array(_LANDMARKS)).astype(np.int32)
    uv = _to_template(rigs.face_uv(vertices), landmarks)
    for eye in eyes:
        uv[eye] = rigs.eye_uv(vertices[eye], (vertices[eye].max(0) + vertices[eye].min(0)) / 2)
    return Rig("mpfb", vertices, triangles, part, uv, identity * scale, partial(_draw, names, start), controls,
               movements, landmarks, (eyes[0], eyes[1]), atlas)  # fmt: skip


def _upper_teeth(vertices: Floats, triangles: Ints, part: np.ndarray) -> Ints:
    """Numbers of the vertices of the upper row."""
    teeth = np.unique(triangles[part == TEETH])
    return np.asarray(teeth[vertices[teeth, 1] > vertices[teeth, 1].mean()], np.int32)


def _to_template(uv: Floats, landmarks: Ints) -> Floats:
    """Bend the coordinates of skin until the landmarks lie where those of ICT-FaceKit lie: a thin-plate spline."""
    edge = np.array([[x, y] for x in (0, 0.25, 0.5, 0.75, 1) for y in (-0.2, 1.2)] + [[0, 0.5], [1, 0.5]])
    outer = landmarks[:60]  # the inner lips lie too close together
    source = np.concatenate([uv[outer], edge])
    target = np.concatenate([rigs.template()[:60], edge])
    return np.asarray(RBFInterpolator(source, target, smoothing=1e-4)(uv), np.float32)


def _range(kept: Ints, first: int, last: int) -> np.ndarray:
    return (kept >= first) & (kept < last)


def read_mesh(path: Path) -> tuple[Floats, Floats, Ints, Ints, np.ndarray]:
    """Points, texture points, (N, 4) polygons in both, and what each is made of (255: nothing to be seen)."""
    points, atlas, polygons, corners, part = [], [], [], [], []
    kind = 255
    for line in path.read_text(encoding="ascii").splitlines():
        word, *rest = line.split() or [""]
        if word == "v":
            points.append([float(x) for x in rest])
        elif word == "vt":
            atlas.append([float(x) for x in rest[:2]])
        elif word == "g":
            kind = SKIN if rest[0] == "body" else _HELPERS.get(rest[0], 255)
        elif word == "f" and kind != 255:
            pairs = [corner.split("/") for corner in rest]
            polygons.append([int(pair[0]) - 1 for pair in pairs])
            corners.append([int(pair[1]) - 1 for pair in pairs])
            part.append(kind)
    return (np.array(points, np.float32), np.array(atlas, np.float32), np.array(polygons, np.int32),
            np.array(corners, np.int32), np.array(part, np.uint8))  # fmt: skip


def _cut(
    points: Floats, atlas: Floats, polygons: Ints, corners: Ints, part: np.ndarray
) -> tuple[Ints, Ints, np.ndarray, Floats]:
    """Numbers of the kept vertices; triangles in them, their parts, and the kept vertices' places in MPFB's skins."""
    high = (points[polygons, 1].min(1) > _LOWEST) & (np.abs(points[polygons, 0]).max(1) < _WIDEST)
    polygons, corners, part = polygons[high], corners[high], part[high]
    u, v = atlas[corners].mean(1).T
    part[(part == SKIN) & (((u < 0.2) & (v > 0.5) & (v < 0.66)) | ((u > 0.72) & (v < 0.15)))] = MOUTH
    triangles, source = rigs.triangulate(polygons)
    kept = np.unique(triangles)
    place = np.zeros((len(points), 2), np.float32)
    place[polygons] = atlas[corners]
    return kept.astype(np.int32), np.searchsorted(kept, triangles).astype(np.int32), part[source], place[kept]


def _target(path: Path, count: int) -> Floats:
    """(count, 3) displacements of a target: lines "vertex dx dy dz"; no line, no displacement."""
    moved = np.zeros((count, 3), np.float32)
    with gzip.open(path, "rt", encoding="ascii") as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
    if rows:
        table = np.array(rows, np.float64)
        moved[table[:, 0].astype(int)] = table[:, 1:4]
    return moved


def _unit(targets: Path, kept: Ints, count: int, scale: np.float32, name: str) -> Floats:
    """An expression unit, the mean over the three ethnic bases, or any other target by its bare name."""
    paths = sorted(targets.glob(f"expression/units/*/{name}.target.gz")) or sorted(targets.glob(f"*/{name}.target.gz"))
    if not paths:
        raise ValueError(f"no target {name}")
    return np.asarray(np.mean([_target(path, count) for path in paths], axis=0)[kept] * scale, np.float32)


def _identity(targets: Path, count: int) -> tuple[list[str], Floats, Floats]:
    """Names, displacements (K, count, 3), and the weights of the person whom the rig has at rest."""
    names = [f"macrodetails/{r}-{g}-{a}" for r in _RACES for g in _GENDERS for a in _AGES]
    names += [f"macrodetails/universal-{g}-{a}-averagemuscle-{w}" for g in _GENDERS for a in _AGES for w in _WEIGHTS]
    names += [f"{place}/{path.name.removesuffix('.target.gz')}" for place in _PLACES
              for path in sorted((targets / place).glob("*.target.gz"))]  # fmt: skip
    shapes = np.stack([_target(targets / f"{name}.target.gz", count) for name in names])
    return names, shapes, _macro(names, np.full(3, 1 / 3), 0.5, 0.15, 0.5)


def _macro(names: list[str], race: np.ndarray, male: float, old: float, heavy: float) -> Floats:
    """Weights of the large shapes: shares of races, gender, age, and weight from 0 (thin) over 0.5 to 1 (heavy)."""
    weights = np.zeros(len(names), np.float32)
    fat = (max(1 - 2 * heavy, 0), 1 - abs(2 * heavy - 1), max(2 * heavy - 1, 0))
    for g, gender_share in zip(_GENDERS, (1 - male, male), strict=True):
        for a, age_share in zip(_AGES, (1 - old, old), strict=True):
            for r, share in zip(_RACES, race, strict=True):
                weights[names.index(f"macrodetails/{r}-{g}-{a}")] = share * gender_share * age_share
            for w, share in zip(_WEIGHTS, fat, strict=True):
                weights[names.index(f"macrodetails/universal-{g}-{a}-averagemuscle-{w}")] = (
                    share * gender_share * age_share
                )
    return weights


def _draw(names: list[str], start: Floats, rng: np.random.Generator) -> Floats:
    """A mixture of races, any gender, age and weight, and small changes everywhere, alike on both sides."""
    race = rng.dirichlet([0.6, 0.6, 0.6])
    male = float(np.clip(rng.choice([0.08, 0.92]) + rng.normal(0, 0.08), 0, 1))
    weights = _macro(names, race, male, float(rng.beta(0.7, 1.3)), float(rng.beta(2.5, 2.5))) - start
    drawn: dict[str, float] = {}
    for index, name in enumerate(names):
        if name.startswith("macrodetails") or any(word in name for word in _CROOKED):
            continue
        key, sign = _axis(name.replace("/l-", "/").replace("/r-", "/"))
        value = drawn.setdefault(key, float(rng.normal(0, 0.1 if "mouth" in key else 0.18))) * sign
        weights[index] = float(np.clip(value, 0, 0.9))
    return weights


def _axis(name: str) -> tuple[str, float]:
    """What a target changes and in which sense: the two targets of a pair share one number."""
    for low, high in _PAIRS:
        for word, sign in ((low, -1.0), (high, 1.0)):
            if name.endswith(f"-{word}"):
                return name.removesuffix(word) + low, sign
    return name, 1.0
