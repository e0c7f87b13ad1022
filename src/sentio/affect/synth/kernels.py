"""The loops over triangles and pixels, compiled by numba; render.py says what they are for."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# numba reads the types of arguments when it compiles; annotations here would be checked by nobody.

import numpy as np

from sentio.core.errors import require

njit = require("numba", "train").njit

_SRGB = ((np.arange(256) / 255) ** 2.2).astype(np.float32)


@njit(cache=True)
def vertex_normals(vertices, triangles):
    """(V, 3) unit normals, each the mean of its triangles' by their areas."""
    normals = np.zeros_like(vertices)
    for f in range(len(triangles)):
        i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ax, ay, az = (vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2])
        bx, by, bz = (vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2])
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for v in (i, j, k):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(len(normals)):
        length = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2) + 1e-12
        for axis in range(3):
            normals[v, axis] /= length
    return normals


@njit(cache=True)
def rasterize(points, triangles, uv, layer, textures, opened, height, width):
    """The nearest triangle at every pixel.

    Args:
        points: (V, 3) x and y in pixels, y down, and depth, larger is farther.
        triangles, uv, layer, textures: see Mesh and render.
        opened: (L,) textures whose triangles have two sides and holes.

    Returns:
        (height, width) triangle or -1; (height, width, 2) weights of its first two corners; (height, width) depth,
        infinite where nothing is.
    """
    hit = np.full((height, width), -1, np.int32)
    weights = np.zeros((height, width, 2), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    for f in range(len(triangles)):
        i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        x0, y0, x1, y1, x2, y2 = points[i, 0], points[i, 1], points[j, 0], points[j, 1], points[k, 0], points[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        two_sided = opened[layer[f]]
        if area == 0 or (area > 0 and not two_sided):  # y is down: outside is clockwise
            continue
        left, right = max(int(np.ceil(min(x0, x1, x2))), 0), min(int(np.floor(max(x0, x1, x2))), width - 1)
        top, bottom = max(int(np.ceil(min(y0, y1, y2))), 0), min(int(np.floor(max(y0, y1, y2))), height - 1)
        inverse = 1 / area
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                a = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) * inverse
                b = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) * inverse
                c = 1 - a - b
                if a < 0 or b < 0 or c < 0:
                    continue
                z = a * points[i, 2] + b * points[j, 2] + c * points[k, 2]
                if z >= depth[y, x]:
                    continue
                if two_sided:
                    u, v = _mix(uv, i, j, k, a, b, c)
                    if _texel(textures, layer[f], u, v, 3) < 128:
                        continue
                depth[y, x] = z
                hit[y, x] = f
                weights[y, x, 0] = a
                weights[y, x, 1] = b
    return hit, weights, depth


@njit(cache=True, inline="always")
def _mix(values, i, j, k, a, b, c):
    return (
        a * values[i, 0] + b * values[j, 0] + c * values[k, 0],
        a * values[i, 1] + b * values[j, 1] + c * values[k, 1],
    )


@njit(cache=True, inline="always")
def _texel(textures, layer, u, v, channel):
    size = textures.shape[1]
    x, y = int(u * size), int((1 - v) * size)
    return textures[layer, min(max(y, 0), size - 1), min(max(x, 0), size - 1), channel]


_ROUND = np.stack(
    [
        np.cos(np.arange(96) * 0.5236 + np.arange(96) // 12 * 0.13),
        np.sin(np.arange(96) * 0.5236 + np.arange(96) // 12 * 0.13),
    ],
    1,
).astype(np.float32)
"""Twelve directions, eight times, each time turned a little more."""


@njit(cache=True)
def openness(depth, scale):
    """(H, W) share of ambient light that reaches a pixel: twelve places round it, at three radii, ask what is before.

    Each is taken with the point opposite, so that a slope is not taken for a hollow.
    """
    height, width = depth.shape
    result = np.ones((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            z = depth[y, x]
            if z == np.inf:
                continue
            blocked = np.float32(0)
            turn = (x * 7 + y * 13) % 8 * 12
            for k in range(12):
                reach = (np.float32(0.35) + np.float32(0.75) * (k % 3)) * scale
                dx, dy = int(_ROUND[turn + k, 0] * reach), int(_ROUND[turn + k, 1] * reach)
                if min(x - abs(dx), y - abs(dy)) < 0 or x + abs(dx) >= width or y + abs(dy) >= height:
                    continue
                across = depth[y - dy, x - dx]
                if across == np.inf:
                    continue
                before = z - np.float32(0.5) * (depth[y + dy, x + dx] + across)
                if before > 0.02:
                    blocked += min(before * scale / reach, np.float32(1.2)) / (1 + np.float32(0.15) * before * before)
            result[y, x] = max(1 - np.float32(0.16) * blocked, np.float32(0.12))
    return result


@njit(cache=True)
def lit_share(depth, view, px, py, pz):
    """Share of the key light at a point: 4 places of the shadow image."""
    x = view[0, 0] * px + view[0, 1] * py + view[0, 2] * pz + view[0, 3]
    y = view[1, 0] * px + view[1, 1] * py + view[1, 2] * pz + view[1, 3]
    z = view[2, 0] * px + view[2, 1] * py + view[2, 2] * pz + view[2, 3]
    size = depth.shape[0]
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    if x0 < 0 or y0 < 0 or x0 + 1 >= size or y0 + 1 >= size:
        return np.float32(1)
    fx, fy = x - x0, y - y0
    lit = np.float32(0)
    for dy in range(2):
        for dx in range(2):
            share = (fx if dx else 1 - fx) * (fy if dy else 1 - fy)
            behind = (z - depth[y0 + dy, x0 + dx] - np.float32(0.35)) * np.float32(2.5)
            lit += share * (1 - min(max(behind, np.float32(0)), np.float32(1)))
    return lit


@njit(cache=True, fastmath=True)
def shade(hit, weights, vertices, triangles, normals, uv, layer, textures, opened, answer,
           directions, colours, ambient, ground, air_at, shadow, light_view, distance, crease):  # fmt: skip
    """(H, W, 3) linear light of every pixel that shows something."""
    height, width = hit.shape
    size, cells = textures.shape[1], crease.shape[0]
    image = np.zeros((height, width, 3), np.float32)
    light, glint = np.zeros(3, np.float32), np.zeros(3, np.float32)
    for y in range(height):
        for x in range(width):
            f = hit[y, x]
            if f < 0:
                continue
            i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            a, b = weights[y, x, 0], weights[y, x, 1]
            c = 1 - a - b
            nx = a * normals[i, 0] + b * normals[j, 0] + c * normals[k, 0]
            ny = a * normals[i, 1] + b * normals[j, 1] + c * normals[k, 1]
            nz = a * normals[i, 2] + b * normals[j, 2] + c * normals[k, 2]
            px = a * vertices[i, 0] + b * vertices[j, 0] + c * vertices[k, 0]
            py = a * vertices[i, 1] + b * vertices[j, 1] + c * vertices[k, 1]
            pz = a * vertices[i, 2] + b * vertices[j, 2] + c * vertices[k, 2]
            ex, ey, ez = -px, -py, distance - pz
            kind = layer[f]
            to_eye = 1 / np.sqrt(ex * ex + ey * ey + ez * ez)
            unit = 1 / np.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-9))
            if opened[kind] and nx * ex + ny * ey + nz * ez < 0:
                unit = -unit
            nx, ny, nz = nx * unit, ny * unit, nz * unit
            ex, ey, ez = ex * to_eye, ey * to_eye, ez * to_eye
            u = a * uv[i, 0] + b * uv[j, 0] + c * uv[k, 0]
            v = 1 - (a * uv[i, 1] + b * uv[j, 1] + c * uv[k, 1])
            shine, gloss, wrap = answer[kind, 0], answer[kind, 1], answer[kind, 2]
            lit = lit_share(shadow, light_view, px, py, pz)
            sky, air = np.float32(0.5) + np.float32(0.5) * ny, air_at[y, x]
            for channel in range(3):
                light[channel] = (ambient[channel] * sky + ground[channel] * (1 - sky)) * air
                glint[channel] = 0
            for m in range(len(directions)):
                dx, dy, dz = directions[m, 0], directions[m, 1], directions[m, 2]
                cosine = nx * dx + ny * dy + nz * dz
                strength = lit if m == 0 else np.float32(0.4) + np.float32(0.6) * air
                # red light reaches farther round an edge than blue, inside the skin
                light[0] += colours[m, 0] * strength * max((cosine + 2 * wrap) / (1 + 2 * wrap), np.float32(0))
                light[1] += colours[m, 1] * strength * max((cosine + wrap) / (1 + wrap), np.float32(0))
                light[2] += colours[m, 2] * strength * max((cosine + wrap) / (1 + wrap), np.float32(0))
                hx, hy, hz = dx + ex, dy + ey, dz + ez
                facing = (nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz + np.float32(1e-9))
                if cosine > 0 and facing > 0.5 and strength > 0:
                    power = shine * strength * facing**gloss
                    for channel in range(3):
                        glint[channel] += colours[m, channel] * power
            tx, ty = (
                min(max(u * size - np.float32(0.5), 0), size - 1.001),
                min(max(v * size - np.float32(0.5), 0), size - 1.001),
            )
            ix, iy = int(tx), int(ty)
            fx, fy = np.float32(tx - ix), np.float32(ty - iy)
            tone = np.float32(1)
            if kind == 0:
                tone = crease[min(max(int(v * cells), 0), cells - 1), min(max(int(u * cells), 0), cells - 1)]
            for channel in range(3):
                top = (1 - fx) * _SRGB[textures[kind, iy, ix, channel]] + fx * _SRGB[
                    textures[kind, iy, ix + 1, channel]
                ]
                low = (1 - fx) * _SRGB[textures[kind, iy + 1, ix, channel]] + fx * _SRGB[
                    textures[kind, iy + 1, ix + 1, channel]
                ]
                colour = ((1 - fy) * top + fy * low) * tone
                image[y, x, channel] = colour * light[channel] + glint[channel]
    return image
