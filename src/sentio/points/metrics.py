"""How good a dense cloud is, in each convention that the field publishes.

Papers call different quantities CD and HD, so that their tables cannot be compared; here every quantity has a name of
its own. Values are in the unit of the coordinates (or its square); tables print them times 1000.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sentio.core.errors import InputError
from sentio.points.geometry import normalise
from sentio.points.surface import Surface

Floats = NDArray[np.float64]

METRICS = {
    "cd_sum": "Chamfer distance of PU-Net, PU-GAN, PU-GCN, Grad-PU: mean squared distance, both directions added; each "
    "cloud is first normalised by its own centroid and farthest point",
    "hd_sq_sum": "what the same papers print as HD: largest squared distance, both directions added",
    "hd_sq_max": "the larger of those two squared distances",
    "hausdorff": "Hausdorff distance proper: the larger directed distance, not squared, of the normalised clouds",
    "cd_half": "Chamfer distance of PUDM, PDANS, PUFM: mean of the two directions, clouds as they are",
    "hd_sq_half": "what those papers print as HD: mean of the two largest squared distances, clouds as they are",
    "cd_root": "Chamfer distance of RepKPU's script: distances not squared, mean of both directions, normalised clouds",
    "p2f_mean": "distance of a point to the nearest triangle, mean; coordinates as they are",
    "p2f_std": "standard deviation of the same",
    "p2f_95": "95th percentile of the same",
    "coverage_mean": "distance of a place on the mesh to the nearest point, mean",
    "coverage_max": "largest of the same: the radius of the largest hole",
    "uniformity": "PU-GAN's imbalance times clutter, mean over disks of 0.4 to 1.2 % of the area",
}

DISKS = (0.004, 0.006, 0.008, 0.010, 0.012)  # shares of the surface, PU-GAN, section 4.3
DISK_SEEDS = 1000
LEAST_IN_DISK = 5  # PU-GAN's tool leaves out disks with fewer points


def compare(prediction: Floats, truth: Floats) -> dict[str, float]:
    """Chamfer and Hausdorff distances of two clouds (N, 3) and (M, 3) in each convention of ``METRICS``.

    Raises:
        InputError: a cloud is empty, not (N, 3), or not finite.
    """
    for name, points in (("prediction", prediction), ("truth", truth)):
        if points.ndim != 2 or points.shape[1] != 3 or not len(points) or not np.isfinite(points).all():
            raise InputError(f"The {name} of shape {points.shape} is no finite cloud (N, 3).")
    forward, backward = _nearest(normalise(prediction).points, normalise(truth).points)
    plain_forward, plain_backward = _nearest(prediction, truth)
    return {
        "cd_sum": float((forward**2).mean() + (backward**2).mean()),
        "hd_sq_sum": float(forward.max() ** 2 + backward.max() ** 2),
        "hd_sq_max": float(max(forward.max(), backward.max()) ** 2),
        "hausdorff": float(max(forward.max(), backward.max())),
        "cd_half": float((plain_forward**2).mean() + (plain_backward**2).mean()) / 2,
        "hd_sq_half": float(plain_forward.max() ** 2 + plain_backward.max() ** 2) / 2,
        "cd_root": float(forward.mean() + backward.mean()) / 2,
    }


def point_to_face(prediction: Floats, surface: Surface) -> dict[str, float]:
    """Distances of the points (N, 3) to the mesh, exact; the field's P2F."""
    distance = surface.closest(prediction).distance
    return {
        "p2f_mean": float(distance.mean()),
        "p2f_std": float(distance.std()),
        "p2f_95": float(np.percentile(distance, 95)),
    }


def coverage(prediction: Floats, surface_points: Floats) -> dict[str, float]:
    """Distances of dense samples of the mesh (M, 3) to the nearest point: holes, which P2F cannot see."""
    distance = cKDTree(prediction).query(surface_points)[0]
    return {"coverage_mean": float(distance.mean()), "coverage_max": float(distance.max())}


def uniformity(prediction: Floats, surface: Surface, *, seed: int = 0) -> float:
    """PU-GAN's uniformity (Li et al. 2019, equations 4 to 6), averaged over its five disk sizes; 0 is perfect.

    For disks of p percent of the area around 1,000 seeds that are spread over the mesh, imbalance (n - pN)^2 / pN is
    multiplied by clutter, the mean of (d - e)^2 / e over the distance d of each point to its nearest one in the disk,
    with e the distance in a hexagonal grid.

    Approximated: the disks are cut by the straight instead of the geodesic distance, without the points whose
    face looks away from that of the seed (the other side of a thin sheet); the seeds are Poisson-disk samples.
    """
    closest = surface.closest(prediction)
    points, normals = closest.points, surface.normals[closest.face]
    seeds = surface.sample_evenly(DISK_SEEDS, seed=seed)
    tree, area = cKDTree(points), surface.area
    scores = []
    for share in DISKS:
        radius = float(np.sqrt(share * area / np.pi))
        disks = tree.query_ball_point(seeds.points, radius)
        for face, found in zip(seeds.face, disks, strict=True):
            disk = np.array(found, dtype=np.int64)
            disk = disk[normals[disk] @ surface.normals[face] > 0]
            if len(disk) >= LEAST_IN_DISK:
                scores.append(_imbalance(len(disk), share * len(points)) * _clutter(points[disk], radius))
    return float(np.mean(scores)) if scores else float("nan")


def _nearest(prediction: NDArray[np.floating], truth: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Distances of the prediction's points to the truth, and of the truth's to the prediction."""
    return cKDTree(truth).query(prediction)[0], cKDTree(prediction).query(truth)[0]


def _imbalance(count: int, expected: float) -> float:
    return (count - expected) ** 2 / expected


def _clutter(disk: Floats, radius: float) -> float:
    spacing = cKDTree(disk).query(disk, k=2)[0][:, 1]
    expected = np.sqrt(2 * np.pi * radius**2 / (len(disk) * np.sqrt(3)))
    return float(np.mean((spacing - expected) ** 2 / expected))
