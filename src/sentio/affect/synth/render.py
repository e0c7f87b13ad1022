"""A small renderer in numba: triangles to pixels, with shadows and occlusion; no window, no driver, always the same.

Three passes over triangles share one rasteriser: what a pixel shows, what the key light sees, and (for skins) where
a texel lies. Shading is per pixel: three lights of which the first throws a shadow, wrapped a little as skin does,
a highlight, and ambient light held back where the depth image is hollow.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sentio.affect.synth.kernels import openness, rasterize, shade, vertex_normals
from sentio.affect.synth.rig import Floats, Ints

Bytes = NDArray[np.uint8]

SHADOW_SIZE = 160


@dataclass(frozen=True)
class Surface:
    """How a texture answers light: ``shine`` the strength and ``gloss`` the exponent of its highlight, ``wrap`` how far
    light reaches round into the shade, ``open`` whether it is seen from both sides and has holes (alpha below half),
    ``casts`` whether it throws a shadow."""

    shine: float = 0.1
    gloss: float = 20.0
    wrap: float = 0.1
    open: bool = False
    casts: bool = True


@dataclass(frozen=True)
class Lights:
    """Light of a scene: colours are linear RGB, directions point from the face to the light, the first is shadowed."""

    directions: Floats
    colours: Floats
    ambient: Floats
    ground: Floats = field(default_factory=lambda: np.full(3, 0.1, np.float32))


@dataclass(frozen=True)
class Mesh:
    """Triangles to draw.

    Attributes:
        vertices: (V, 3) centimetres in the camera's frame: x right, y up, z towards the camera.
        triangles: (F, 3).
        uv: (V, 2).
        layer: (F,) texture numbers.
        crease: (C, C) brightness of texture 0, 1 where it is smooth, in the same coordinates.
    """

    vertices: Floats
    triangles: Ints
    uv: Floats
    layer: NDArray[np.uint8]
    crease: Floats


@dataclass(frozen=True)
class Camera:
    """Pinhole on the z axis: ``distance`` centimetres from the origin, then ``matrix`` to pixels.

    A point (x, y, z) is seen at ``matrix @ (x, -y, 1) * distance / (distance - z)`` (the last only on x, y), so
    that ``matrix`` (2, 3), a similarity, holds zoom, crop and alignment at once.
    """

    distance: float
    matrix: NDArray[np.float64]

    def flat(self, points: Floats) -> NDArray[np.float64]:
        """(N, 3) -> (N, 2) on the plane of the origin, centimetres, y down."""
        scale = self.distance / (self.distance - points[:, 2].astype(np.float64))
        return np.stack([points[:, 0] * scale, -points[:, 1] * scale], axis=1)

    def project(self, points: Floats) -> NDArray[np.float64]:
        """(N, 3) -> (N, 2) pixels; whole numbers are the middles of pixels."""
        return np.asarray(self.flat(points) @ self.matrix[:, :2].T + self.matrix[:, 2])


def render(
    mesh: Mesh, textures: Bytes, surfaces: list[Surface], lights: Lights, camera: Camera, size: tuple[int, int]
) -> tuple[Floats, Floats]:
    """Draw.

    Args:
        textures: (L, S, S, 4) sRGB and alpha, row 0 at the top (v = 1).
        surfaces: one for each texture.
        size: height, width.

    Returns:
        (height, width, 3) linear light from 0 up, black where nothing is; (height, width) 1 where something is.
    """
    scale = float(np.sqrt(abs(np.linalg.det(camera.matrix[:, :2]))))  # pixels a centimetre
    seen = np.empty((len(mesh.vertices), 3), np.float32)
    seen[:, :2] = camera.project(mesh.vertices)
    seen[:, 2] = -mesh.vertices[:, 2]
    opened = np.array([s.open for s in surfaces], np.bool_)
    texture = (mesh.uv, mesh.layer, textures, opened)
    hit, weights, depth = rasterize(seen, mesh.triangles, *texture, *size)
    normals = vertex_normals(mesh.vertices, mesh.triangles)
    air = openness(depth, np.float32(scale))
    casting = np.array([s.casts for s in surfaces], np.bool_)[mesh.layer]
    shadow, light_view = _shadow(mesh, casting, textures, opened, lights.directions[0])
    answer = np.array([(s.shine, s.gloss, s.wrap) for s in surfaces], np.float32)
    light = (lights.directions, lights.colours, lights.ambient, lights.ground)
    image = shade(hit, weights, mesh.vertices, mesh.triangles, normals, mesh.uv, mesh.layer, textures, opened, answer,
                   *light, air, shadow, light_view, np.float32(camera.distance), mesh.crease)  # fmt: skip
    return image, (hit >= 0).astype(np.float32)


def _shadow(
    mesh: Mesh, casting: NDArray[np.bool_], textures: Bytes, opened: NDArray[np.bool_], direction: Floats
) -> tuple[Floats, Floats]:
    """Depth image from the light, and the (3, 4) transform from the camera's frame to it."""
    across = np.cross(np.array([0, 1, 0], np.float32), direction)
    across /= np.linalg.norm(across) + 1e-6
    up = np.cross(direction, across)
    turn = np.stack([across, -up, -direction])
    low, high = np.array([-13, -13], np.float32), np.array([13, 13], np.float32)
    scale = (SHADOW_SIZE - 1) / (high - low)
    view = np.zeros((3, 4), np.float32)
    view[:2, :3] = turn[:2] * scale[:, None]
    view[:2, 3] = -low * scale
    view[2, :3] = turn[2]
    points = mesh.vertices @ view[:, :3].T + view[:, 3]
    _, _, depth = rasterize(
        points.astype(np.float32),
        mesh.triangles[casting],
        mesh.uv,
        mesh.layer[casting],
        textures,
        opened,
        SHADOW_SIZE,
        SHADOW_SIZE,
    )
    return depth, view
