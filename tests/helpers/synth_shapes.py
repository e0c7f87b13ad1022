"""Small meshes with known pictures, and the rigs beside the checkout."""

import numpy as np

from sentio.affect.synth.render import Camera, Lights, Mesh, Surface

MATT = Surface(shine=0.0, wrap=0.0)


def ball(radius=5.0, steps=60, centre=(0, 0, 0), layer=0):
    """A sphere whose triangles are counter-clockwise from outside."""
    theta, phi = np.meshgrid(np.linspace(0.001, np.pi - 0.001, steps), np.linspace(0, 2 * np.pi, steps), indexing="ij")
    points = np.stack([np.sin(theta) * np.sin(phi), np.cos(theta), np.sin(theta) * np.cos(phi)], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(steps - 1), np.arange(steps - 1), indexing="ij")
    a, b, c, d = (x.ravel() for x in (i * steps + j, i * steps + j + 1, (i + 1) * steps + j, (i + 1) * steps + j + 1))
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)]).astype(np.int32)
    points = (points * radius + np.array(centre)).astype(np.float32)
    return points, faces, np.full(len(faces), layer, np.uint8)


def mesh(*pieces):
    """One mesh of (points, faces, layer) pieces; uv is 0.5 everywhere."""
    points, faces, layers, first = [], [], [], 0
    for p, f, kind in pieces:
        points.append(p)
        faces.append(f + first)
        layers.append(kind)
        first += len(p)
    points = np.concatenate(points)
    uv = np.full((len(points), 2), 0.5, np.float32)
    return Mesh(points, np.concatenate(faces).astype(np.int32), uv, np.concatenate(layers), np.ones((4, 4), np.float32))


def one_light(direction, ambient=0.0):
    directions = np.array([direction], np.float32)
    directions /= np.linalg.norm(directions)
    grey = np.full(3, ambient, np.float32)
    return Lights(directions, np.ones((1, 3), np.float32), grey, grey)


def white(layers=1, alpha=255):
    return np.concatenate([np.full((layers, 8, 8, 3), 255, np.uint8), np.full((layers, 8, 8, 1), alpha, np.uint8)], 3)


def camera(scale=8.0, middle=64.0, distance=1e5):
    return Camera(distance, np.array([[scale, 0, middle], [0, scale, middle]]))
