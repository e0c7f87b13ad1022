"""Points that up-sampling puts where nothing is: between near and far things, and among the leaves of trees.

    python bench/sweeps.py                      a street whose surfaces are known, seen by sensors of 64 and of 32 rings
    python bench/sweeps.py SWEEP.bin ...        files of KITTI or nuScenes, with the sensor at the origin

Of the street, a new point is astray if the nearest surface is farther than 0.1 m. Of a file nobody knows: there a new
point is between depths if the inputs nearest to it in direction lie before and behind it, more than 0.3 m from it and
more than 1 m from each other. Surfaces seen at a grazing angle are among those, so only differences count.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sentio.core.bench import report
from sentio.points.io import read_cloud
from sentio.points.upsample import upsample

Floats = NDArray[np.float64]

HEIGHT = 1.73  # of the sensor above the road, in metres
ASTRAY, BESIDE, APART = 0.1, 0.3, 1.0  # metres
NEAR = 8  # inputs nearest in direction
LEAF = 0.06  # radius of a leaf
SENSORS = {64: (-24.8, 2.0, 450), 32: (-30.0, 10.0, 280)}  # rings: lowest and highest elevation, columns in 92 degrees


class Street:
    """Houses and cars as boxes, poles and trunks as cylinders, leaves as balls, above a plane."""

    def __init__(self, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.boxes, self.poles, self.crowns = list[Floats](), list[tuple[float, ...]](), list[tuple[Floats, float]]()
        for side in (-1, 1):
            for x in np.arange(-60, 60, 13):
                self.boxes.append(_box(x, side * random.uniform(8, 11), -HEIGHT, random.uniform(6, 13), side * 10, 9))
                self.boxes.append(_box(x, side * random.uniform(4, 5), -HEIGHT + 0.2, 4.2, side * 1.8, 1.3))
                self.poles.append((x + 6, side * 6.4, random.uniform(0.06, 0.2), random.uniform(1, 5)))
            for x in np.arange(-40, 40, 11):
                centre, radius = np.array([x, side * 7.0, random.uniform(-0.3, 0.8)]), random.uniform(1.2, 2.2)
                ways = random.normal(size=(1500, 3))
                ways *= (radius * random.random(1500) ** (1 / 3) / np.linalg.norm(ways, axis=1))[:, None]
                self.crowns.append((centre + ways, radius))
                self.poles.append((x, side * 7.0, 0.15, centre[2] - radius / 2))

    def scan(self, rings: int, low: float, high: float, columns: int) -> Floats:
        """What a sensor at the origin sees to the front, with 1 cm of noise along its rays."""
        elevation, azimuth = np.meshgrid(np.radians(np.linspace(low, high, rings)), np.linspace(-0.8, 0.8, columns))
        rays = [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
        ways = np.stack(rays, -1).reshape(-1, 3)  # (rays, 3)
        with np.errstate(divide="ignore", invalid="ignore"):
            seen = [np.where(ways[:, 2] < 0, -HEIGHT / ways[:, 2], np.inf)]
            seen += [_to_box(ways, *box) for box in self.boxes]
            seen += [_to_pole(ways, *pole) for pole in self.poles]
            seen += [_to_balls(ways, leaves) for leaves, _ in self.crowns]
        distance = np.min(seen, axis=0)
        distance += np.random.default_rng(0).normal(size=len(distance)) * 0.01
        return ways[distance < 80] * distance[distance < 80, None]

    def distance(self, points: Floats) -> Floats:
        """From each point (N, 3) to the nearest surface."""
        found = [abs(points[:, 2] + HEIGHT)]
        for low, high in self.boxes:
            beyond = abs(points - (low + high) / 2) - (high - low) / 2
            outside = np.linalg.norm(np.maximum(beyond, 0), axis=1)
            found.append(abs(outside + np.minimum(beyond.max(axis=1), 0)))
        for x, y, radius, top in self.poles:
            found.append(
                np.hypot(np.hypot(points[:, 0] - x, points[:, 1] - y) - radius, np.maximum(points[:, 2] - top, 0))
            )
        found += [abs(cKDTree(leaves).query(points)[0] - LEAF) for leaves, _ in self.crowns]
        return np.asarray(np.min(found, axis=0))

    def in_trees(self, points: Floats) -> NDArray[np.bool_]:
        """Whether each point (N, 3) lies in or at the crown of a tree."""
        crowns = [np.linalg.norm(points - leaves.mean(axis=0), axis=1) < radius + 0.3 for leaves, radius in self.crowns]
        return np.asarray(np.any(crowns, axis=0))


def _box(x: float, y: float, z: float, *size: float) -> Floats:
    corners = np.array([[x, y, z], [x + size[0], y + size[1], z + size[2]]])
    return np.sort(corners, axis=0)


def _to_box(ways: Floats, low: Floats, high: Floats) -> Floats:
    enter, leave = np.minimum(low / ways, high / ways).max(1), np.maximum(low / ways, high / ways).min(1)
    return np.where((enter <= leave) & (enter > 0), enter, np.inf)


def _to_pole(ways: Floats, x: float, y: float, radius: float, top: float) -> Floats:
    flat, along = ways[:, 0] ** 2 + ways[:, 1] ** 2, ways[:, 0] * x + ways[:, 1] * y
    distance = (along - np.sqrt(along**2 - flat * (x * x + y * y - radius**2))) / flat
    return np.where((distance > 0) & (distance * ways[:, 2] < top), distance, np.inf)


def _to_balls(ways: Floats, centres: Floats) -> Floats:
    distance = np.full(len(ways), np.inf)
    middle, reach = centres.mean(axis=0), np.ptp(centres, axis=0).max()
    close = np.flatnonzero((ways @ middle > 0) & (np.linalg.norm(np.cross(ways, middle), axis=1) < reach))
    for part in np.array_split(close, len(close) // 500 + 1):
        along = ways[part] @ centres.T  # (rays, balls)
        depth = along - np.sqrt(along**2 - (centres**2).sum(axis=1) + LEAF**2)
        distance[part] = np.where(np.isnan(depth), np.inf, depth).min(axis=1, initial=np.inf)
    return distance


def between_depths(points: Floats, new: Floats) -> float:
    """The share of ``new`` points (M, 3) that hang between depths, as the head of this file has it."""
    depth, new_depth = np.linalg.norm(points, axis=1), np.linalg.norm(new, axis=1)[:, None]
    seen = depth > 0
    index = cKDTree(points[seen] / depth[seen, None]).query(new / new_depth, NEAR)[1]  # (M, NEAR)
    depths = depth[seen][index]
    before = np.where(depths <= new_depth, depths, -np.inf).max(axis=1)
    behind = np.where(depths > new_depth, depths, np.inf).min(axis=1)
    beside = np.minimum(new_depth[:, 0] - before, behind - new_depth[:, 0])
    bridged = np.isfinite(before) & np.isfinite(behind) & (behind - before > APART) & (beside > BESIDE)
    return float(bridged.mean())


def street() -> dict[str, Any]:
    town, figures = Street(), {}
    for rings, view in SENSORS.items():
        points = town.scan(rings, *view)
        new = upsample(points, 4, keep_input=True)[len(points) :]
        astray, trees = town.distance(new) > ASTRAY, town.in_trees(new)
        shares = {"astray": astray[~trees].mean(), "astray_in_trees": astray[trees].mean()}
        shares["between_depths"] = between_depths(points, new)
        figures[f"{rings} rings"] = {"points": len(points)} | {name: round(100 * x, 3) for name, x in shares.items()}
    return {"percent": figures}


def files(paths: Sequence[Path]) -> dict[str, Any]:
    figures = {}
    for path in paths:
        points = read_cloud(path).points
        new = upsample(points, 4, keep_input=True)[len(points) :]
        share = round(100 * between_depths(points, new), 3)
        figures[path.name] = {"points": len(points), "between_depths": share}
    return {"percent": figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, help="JSON lines to append the report to")
    given = parser.parse_args()
    report("sweeps", files(given.sweeps) if given.sweeps else street(), given.out)


if __name__ == "__main__":
    main()
