"""Pictures of clouds: before and after side by side, drawn without a display or a graphics card.

Points are splatted as small disks into a depth buffer at twice the size, lit by their normals, darkened behind depth
steps, and scaled down.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.core.counts import counted
from sentio.core.errors import OutputError
from sentio.core.writers import atomic_path
from sentio.points.geometry import local_frames, nearest
from sentio.points.io.cloud import Cloud

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""Suffixes of the pictures that can be written."""
PANEL = (960, 720)  # width and height of one picture
STRIP = 44  # height of the label above it
FINE = 2  # drawn this many times larger, then averaged: smooth edges
FIELD_OF_VIEW = 45.0  # degrees
FILL = 0.9  # share of the picture that the points take up
NORMAL_NEIGHBOURS = 12
SPACING_NEIGHBOUR = 4  # the distance to this one measures the local spacing
SPLAT = 0.7  # radius in units of that spacing: just closes a surface
SPLAT_PIXELS = (0.7, 8.0)  # least and largest radius
SCENE_PIXELS = (0.8, 2.0)  # the same in scenes, where most points have no surface around them
CLAY = (0.84, 0.62, 0.42)  # for clouds without colours; blue, green, red as everywhere here
DAY, NIGHT = (250, 250, 250), (34, 26, 22)  # behind objects, behind scenes
HAZE = 0.4  # share of the background in the farthest point of an object
SCENES = ("kitti", "nuscenes", "las")  # z points up and the sensor stands amid the points
Z_UP = (*SCENES, "pcd")  # as robots have it; meshes and other files have y up


@dataclass(frozen=True)
class Camera:
    """A pinhole: rows of ``axes`` (3, 3) look right, down and forward.

    ``focal`` is in units of the picture's height; ``centre`` is where, at depth 1, the middle of the picture lies.
    """

    position: Floats
    axes: Floats
    focal: float = 0.5 / float(np.tan(np.radians(FIELD_OF_VIEW / 2)))
    centre: tuple[float, float] = (0.0, 0.0)

    def project(self, points: Floats, size: tuple[int, int]) -> tuple[Floats, Floats]:
        """Pixels (N, 2) and depths (N,) of points (N, 3) in a picture of ``size`` (width, height)."""
        local = (points - self.position) @ self.axes.T
        depth = np.maximum(local[:, 2], 1e-9)
        pixels = (local[:, :2] / depth[:, None] - self.centre) * self.focal * size[1] + np.array(size) / 2
        return pixels, local[:, 2]

    def fit(self, points: Floats) -> "Camera":
        """The same viewpoint with the points filling the picture."""
        local = (points - self.position) @ self.axes.T
        local = local[local[:, 2] > 0]
        low, high = np.percentile(local[:, :2] / local[:, 2:], [0.2, 99.8], axis=0)
        extent = np.maximum(high - low, 1e-9)
        focal = FILL * min(PANEL[0] / PANEL[1] / extent[0], 1 / extent[1])
        return replace(self, focal=float(focal), centre=tuple((low + high) / 2))


def draw_preview(before: Cloud, after: Cloud, path: Path | str) -> None:
    """Draw two clouds side by side, from the same viewpoint and with splats of the same size.

    Colours are used where the cloud has them. Scans from a vehicle or aircraft are seen from above and behind and
    coloured by height, organised clouds from beside their sensor, all others as an object.

    The suffix tells the kind of picture: one of ``PICTURES``.

    Raises:
        OutputError: the picture cannot be written, or there is no such kind.
    """
    check_picture(path)
    camera = place_camera(before)
    panels = [draw_cloud(cloud, camera, like=after) for cloud in (before, after)]
    labels = [
        f"{name}: {counted(len(cloud.points), 'point')}" for name, cloud in (("before", before), ("after", after))
    ]
    write_picture(np.concatenate([_label(*pair) for pair in zip(panels, labels, strict=True)], axis=1), path)


def draw_attention(points: Floats, attention: Floats, folder: Path | str) -> list[Path]:
    """Draw a picture for each scale of PU-MFA's cross-attention: how much each point of a patch is looked at.

    On the left by all points (1 is the share of even attention), on the right by the point marked red, which lies
    farthest from the others.

    Args:
        points: (N, 3) of the patch.
        attention: (S, N, N) scales, deepest first, queries, keys; each row sums to 1.
        folder: where to; made if it is missing.

    Returns:
        The files ``attention_1.png`` (shallowest) to ``attention_S.png``, deepest first as in ``attention``.
    """
    cloud, paths = Cloud(points), []
    camera, marked = place_camera(cloud), int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmax())
    for scale, weights in zip(range(len(attention), 0, -1), attention, strict=True):
        panels = []
        for name, share in (("all points", weights.mean(axis=0)), ("the red point", weights[marked])):
            albedo = paint(share)
            if name == "the red point":
                albedo[marked] = (0, 0, 1)
            share = share * len(points)
            text = f"scale {scale}, seen by {name}: {share.min():.2f} to {share.max():.2f}"
            panels.append(_label(draw_cloud(cloud, camera, like=cloud, albedo=albedo), text))
        paths.append(Path(folder) / f"attention_{scale}.png")
        write_picture(np.concatenate(panels, axis=1), paths[-1])
    return paths


def check_picture(path: Path | str) -> None:
    """Refuse a picture of a kind that cannot be written.

    Raises:
        OutputError: its suffix is not one of ``PICTURES``.
    """
    if (suffix := Path(path).suffix).lower() not in PICTURES:
        kind = f"the format {suffix!r} is unknown" if suffix else "it has no suffix"
        raise OutputError(f"Cannot draw {path}: {kind}.", f"Use one of: {', '.join(PICTURES)}.")


def write_picture(image: Image, path: Path | str) -> None:
    """Write a picture (H, W, 3), blue first, whole or not at all, as its suffix says."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(cv2.imencode(Path(path).suffix.lower(), image)[1].tobytes())


def place_camera(cloud: Cloud) -> Camera:
    """A viewpoint that suits the kind of cloud."""
    if cloud.source.height > 1:
        return _from_sensor(cloud.points).fit(cloud.points)
    if is_scene(cloud):
        return _above_scene(cloud.points)
    return _around_object(cloud.points, up=2 if cloud.source.format in Z_UP else 1).fit(cloud.points)


def is_scene(cloud: Cloud) -> bool:
    """Whether the cloud shows the surroundings of a sensor: by its format, or wide, flat and around the origin."""
    low, high = cloud.points.min(axis=0), cloud.points.max(axis=0)
    width, depth, height = high - low
    flat = cloud.source.format in Z_UP and 3 * height < min(width, depth)
    return cloud.source.format in SCENES or bool(flat and (low < 0).all() and (high > 0).all())


def draw_cloud(cloud: Cloud, camera: Camera, *, like: Cloud, albedo: Floats | None = None) -> Image:
    """One picture (H, W, 3), blue first.

    Args:
        cloud: what to draw.
        camera: from where.
        like: cloud whose local spacing sets the size of the splats, and whose heights the range of the colours.
        albedo: (N, 3) colours in [0, 1], blue first, to be shown as they are instead of the cloud's own in the light.
    """
    size = (PANEL[0] * FINE, PANEL[1] * FINE)
    scene = is_scene(cloud)
    radius, bounds = SPLAT * _spacing(like.points, cloud.points), SCENE_PIXELS if scene else SPLAT_PIXELS
    index, depth = _splat(cloud.points, camera, radius, bounds, size)
    seen = index >= 0
    image = np.empty((size[1], size[0], 3), dtype=np.float32)
    image[:] = NIGHT if scene else DAY
    if seen.any():
        light = 1.0 if scene or albedo is not None else _shade(cloud, camera)[:, None]
        lit = np.clip((_albedo(cloud, like) if albedo is None else albedo) * light, 0, 1)
        colour = 255 * lit[index[seen]] * _darken(depth)[seen][:, None]
        haze = 0 if scene else HAZE * _share(depth[seen])[:, None]
        image[seen] = (1 - haze) * colour + haze * image[seen]
    return np.rint(cv2.resize(image, PANEL, interpolation=cv2.INTER_AREA)).astype(np.uint8)


def _label(panel: Image, text: str) -> Image:
    """The picture with a line of text above it and a thin frame."""
    strip = np.full((STRIP, panel.shape[1], 3), 255, dtype=np.uint8)
    cv2.putText(strip, text, (16, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.75, (50, 50, 50), 1, cv2.LINE_AA)
    image = np.concatenate([strip, panel])
    image[:, -1] = 200
    return image


def _splat(
    points: Floats, camera: Camera, radius: Floats, bounds: tuple[float, float], size: tuple[int, int]
) -> tuple[NDArray[np.int64], Floats]:
    """For each pixel (H, W) the index of the nearest point, -1 for none, and its depth, infinite for none."""
    pixels, depth = camera.project(points, size)
    least, largest = (FINE * bound for bound in bounds)
    spread = np.clip(radius * camera.focal * size[1] / np.maximum(depth, 1e-9), least, largest)
    inside = (depth > 0) & (abs(pixels - np.array(size) / 2) < np.array(size) / 2 + largest).all(axis=1)
    order = np.flatnonzero(inside)
    order = order[np.argsort(depth[order], kind="stable")]  # ranks by depth: the least rank in a pixel is the nearest
    ranks = np.full(size[0] * size[1], len(order), dtype=np.int64)
    column, row = np.rint(pixels[order]).astype(np.int64).T
    squared, reach = spread[order] ** 2, int(spread[order].max(initial=0))
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            x, y = column + dx, row + dy
            hit = (dx * dx + dy * dy <= squared) & (x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])
            np.minimum.at(ranks, y[hit] * size[0] + x[hit], np.flatnonzero(hit))
    index, depth = np.append(order, -1)[ranks], np.append(depth[order], np.inf)[ranks]
    return index.reshape(size[1], size[0]), depth.reshape(size[1], size[0])


def _spacing(points: Floats, places: Floats) -> Floats:
    """Distance from each place (M, 3) to about the fourth nearest of the points, at most four times the median."""
    distance = nearest(points, places, SPACING_NEIGHBOUR + 1)[0][:, -1]
    return np.minimum(distance, 4 * np.median(distance))


def _shade(cloud: Cloud, camera: Camera) -> Floats:
    """Light (N,) that each point sends back: a lamp over the left shoulder, and some from everywhere."""
    normals = cloud.attributes.get("normals")
    if normals is None:
        neighbours = nearest(cloud.points, cloud.points, NORMAL_NEIGHBOURS)[1]
        normals = local_frames(cloud.points, neighbours)[:, 2]
    local = np.asarray(normals, dtype=np.float64) @ camera.axes.T
    towards = (cloud.points - camera.position) @ camera.axes.T
    local *= -np.sign(np.einsum("nd,nd->n", local, towards))[:, None]
    lamp = np.array([-0.45, -0.6, -0.66])
    return np.asarray(0.42 + 0.68 * np.clip(local @ lamp, 0, 1))


def _darken(depth: Floats) -> Floats:
    """Eye-dome lighting: a factor (H, W) below 1 where neighbouring pixels are nearer (Boucheny 2009)."""
    distance = np.log(np.where(np.isfinite(depth), depth, 2 * depth[np.isfinite(depth)].max()))
    step = np.zeros_like(distance)
    for shift in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)):
        step += np.maximum(distance - np.roll(distance, np.multiply(shift, FINE), axis=(0, 1)), 0) / 8
    return np.asarray(np.exp(-30 * np.minimum(step, 0.035)))


def _albedo(cloud: Cloud, like: Cloud) -> Floats:
    """Colours (N, 3) in [0, 1]; heights are compared with those of ``like``."""
    colour = cloud.attributes.get("colour")
    if colour is not None:
        full = 1.0 if colour.dtype.kind == "f" else 255.0 if colour.max() <= 255 else 65535.0
        return np.asarray(np.clip(colour[:, 2::-1] / full, 0, 1))
    if is_scene(cloud):
        return paint(cloud.points[:, 2], like.points[:, 2], darkest=0.3)
    return np.broadcast_to(np.array(CLAY), cloud.points.shape)


def paint(values: Floats, reference: Floats | None = None, *, darkest: float = 0.0) -> Floats:
    """Colours (N, 3) in [0, 1] for values (N,): dark blue to yellow from the 2nd to the 98th percentile.

    The percentiles are those of ``reference``, or of the values themselves. ``darkest`` leaves out that share of the
    colours, for a dark background.
    """
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0] / 255
    return np.asarray(table[np.rint(255 * (darkest + (1 - darkest) * _share(values, reference))).astype(np.int64)])


def _share(values: Floats, reference: Floats | None = None) -> Floats:
    """Values mapped to [0, 1] from the 2nd to the 98th percentile of the reference, or their own."""
    low, high = np.percentile(values if reference is None else reference, [2, 98])
    return np.asarray(np.clip((values - low) / max(high - low, 1e-300), 0, 1))


def _look(position: Floats, target: Floats, up: Floats) -> Camera:
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    return Camera(position, np.stack([right, np.cross(forward, right), forward]))


def _around_object(points: Floats, up: int) -> Camera:
    """Three-quarter view, 20 degrees from above, turned so that the longer side of the object is seen."""
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    radius = float(np.linalg.norm(points - centre, axis=1).max()) or 1.0
    upwards, ground = np.eye(3)[up], np.delete(np.eye(3), up, axis=0)
    flat = (points - points.mean(axis=0)) @ ground.T
    _, axes = np.linalg.eigh(flat.T @ flat)
    short, long = axes.T @ ground
    short *= 1 if short @ np.array([0.3, -1, 1]) >= 0 else -1  # the front is usually there
    direction = np.cos(np.radians(35)) * short + np.sin(np.radians(35)) * long * (1 if long[0] >= 0 else -1)
    return _look(centre + 3 * radius * (direction + np.tan(np.radians(20)) * upwards), centre, upwards)


def _above_scene(points: Floats) -> Camera:
    """From behind and above, with x forward as vehicles have it."""
    ground = np.array([*np.median(points[:, :2], axis=0), np.percentile(points[:, 2], 10)])
    reach = float(np.quantile(np.linalg.norm(points[:, :2] - ground[:2], axis=1), 0.75)) or 1.0
    return _look(
        ground + reach * np.array([-1.5, -0.6, 1.0]), ground + reach * np.array([0.3, 0, 0]), np.array([0.0, 0, 1])
    )


def _from_sensor(points: Floats) -> Camera:
    """From a little beside the origin, where a depth camera has x right, y down and z forward."""
    target = np.median(points, axis=0)
    distance = float(np.linalg.norm(target)) or 1.0
    return _look(distance * np.array([0.15, -0.1, -0.1]), target, np.array([0.0, -1, 0]))
