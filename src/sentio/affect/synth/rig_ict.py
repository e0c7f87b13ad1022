"""ICT-FaceKit light (MIT): 26,719 vertices, 57 expression shapes, 100 principal components of identity."""

from functools import partial
from pathlib import Path

import numpy as np

from sentio.affect.synth import rig as rigs
from sentio.affect.synth.rig import CLOTH, EYE, LASH, MOUTH, SKIN, TEETH, Floats, Ints, Rig
from sentio.core.errors import InputError

# Polygon ranges, last one excluded, and landmarks: tables in the README of ICT-FaceKit.
_PARTS = (
    (0, 11144, SKIN),
    (11144, 13226, MOUTH),
    (13226, 14034, SKIN),
    (14034, 17006, MOUTH),
    (17006, 21496, TEETH),
    (21496, 24692, EYE),
    (25304, 26384, LASH),
)
_TEETH = slice(17039, 21451)
_EYES = (np.arange(21451, 23021, dtype=np.int32), np.arange(23021, 24591, dtype=np.int32))
# fmt: off
_LANDMARKS = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443,
    268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509,
    978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360,
    1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732,
    5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841,
    5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
)
# fmt: on
PACKED = "ict_facekit_light.npz"
_NECK = -15.5  # cm below the eyes: what is lower is dressed
_TEETH_BACK = 0.25  # cm: at rest the upper teeth lie so near the lip that they come through when it moves


def read(folder: Path) -> Rig:
    """Read the folder with ict_facekit_light.npz, or a checkout of the repository with FaceXModel/*.obj.

    Raises:
        InputError: a file is missing, damaged, or of another layout.
    """
    try:
        return _build(_packed(folder) if (folder / PACKED).is_file() else _published(folder / "FaceXModel"))
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(f"{folder} holds no readable ICT-FaceKit: {error}.", "Fetch it again.") from error


def _packed(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / PACKED, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _published(folder: Path) -> dict[str, np.ndarray]:
    """The same arrays from the OBJ files: a neutral head, and one head for each expression and component."""
    lines = (folder / "generic_neutral_mesh.obj").read_text(encoding="ascii").splitlines()
    polygons = [[int(c.split("/")[0]) - 1 for c in line.split()[1:]] for line in lines if line.startswith("f ")]
    neutral = _points(lines)
    paths = sorted(path for path in folder.glob("*.obj") if path.stem != "generic_neutral_mesh")
    moved = {path.stem: _points(path.read_text(encoding="ascii").splitlines()) - neutral for path in paths}
    components = [name for name in moved if name.startswith("identity")]
    expressions = [name for name in moved if name not in components]
    return {
        "neutral": neutral,
        "faces": np.array([corners + [-1] * (4 - len(corners)) for corners in polygons], np.int32),
        "expression_names": np.array(expressions),
        "expression_deltas": np.stack([moved[name] for name in expressions]),
        "identity_deltas": np.stack([moved[name] for name in components]),
    }


def _points(lines: list[str]) -> np.ndarray:
    return np.array([line.split()[1:4] for line in lines if line.startswith("v ")], np.float32)


def _build(arrays: dict[str, np.ndarray]) -> Rig:
    neutral = arrays["neutral"].astype(np.float32)
    landmarks = np.array(_LANDMARKS, np.int32)
    eyes = [neutral[eye].mean(0) for eye in _EYES]
    middle = (eyes[0] + eyes[1]) / 2
    vertices = (neutral - middle) * np.float32(rigs.EYE_DISTANCE / (eyes[0][0] - eyes[1][0]))
    vertices[_TEETH, 2] -= _TEETH_BACK
    triangles, part = _triangles(arrays["faces"].astype(np.int32), vertices)
    names = [str(name) for name in arrays["expression_names"]]
    deltas = arrays["expression_deltas"].astype(np.float32)
    controls, movements = rigs.combine(rigs.table("ict"), lambda name: deltas[names.index(name)], vertices[:, 0])
    return Rig(
        name="ict",
        vertices=vertices,
        triangles=triangles,
        part=part,
        uv=_uv(vertices),
        identity=arrays["identity_deltas"].astype(np.float32),
        draw_identity=partial(_draw, len(arrays["identity_deltas"])),
        controls=controls,
        movements=movements,
        landmarks=landmarks,
        eyes=_EYES,
    )


def _triangles(polygons: Ints, vertices: Floats) -> tuple[Ints, np.ndarray]:
    """Triangles and their parts, without the transparent films over the eyes."""
    part = np.full(len(polygons), 255, np.uint8)
    for first, last, kind in _PARTS:
        part[first:last] = kind
    triangles, source = rigs.triangulate(polygons)
    part = part[source]
    low = vertices[triangles, 1].max(1) < _NECK
    part[(part == SKIN) & low] = CLOTH
    lower_lashes = (part == LASH) & (vertices[triangles, 1].mean(1) < -0.1)
    kept = (part != 255) & ~lower_lashes
    return triangles[kept], part[kept]


def _uv(vertices: Floats) -> Floats:
    uv = rigs.face_uv(vertices)
    for eye in _EYES:
        uv[eye] = rigs.eye_uv(vertices[eye], vertices[eye].mean(0))
    return uv


def _draw(count: int, rng: np.random.Generator) -> Floats:
    """Principal components are standard normal; beyond two deviations faces fall apart."""
    return np.clip(rng.normal(0, 0.85, count), -2, 2).astype(np.float32)
