"""Up-sampling a cloud to any number of points, through ONNX Runtime; no torch.

A network proposes points near the surface; where they are more than are needed, farthest point sampling thins them to
the exact count; then they are spread evenly. The blocks in which points are chosen follow from the cloud alone, so that
the result is the same whatever memory or cores there are.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sentio.core.ahead import ahead
from sentio.core.counts import counted
from sentio.core.errors import InputError
from sentio.core.progress import Progress, silent
from sentio.points import geometry, patches
from sentio.points.networks import NETWORKS, Model, Network, PatchWise, embedded, patch_outputs

Floats = npt.NDArray[np.float64]

BLOCK = 8192
"""Most points in which new ones are chosen together: within a block they are spread evenly, between blocks in
proportion to the points that were there, so that dense regions stay denser."""
ROUND = 4.0
"""Largest ratio of one round; a larger one takes several, each from the points of the last."""


def upsample(
    points: npt.ArrayLike,
    ratio: float = 4.0,
    *,
    count: int | None = None,
    keep_input: bool = False,
    model: str = "pu-any",
    progress: Progress | None = None,
) -> npt.NDArray[np.float64]:
    """Up-sample a cloud.

    Args:
        points: (N, 3) coordinates in any unit; at least two different points.
        ratio: points out for each point in, any number above 0; rounded to a whole number of points.
        count: the number of points out; replaces ``ratio``.
        keep_input: the result begins with the input, bit for bit, and new points are added to it. Otherwise the input
            points are moved onto the surface and thinned with the others, which takes away noise.
        model: ``"pu-any"``, or ``"pu-mfa"`` for the paper's network.
        progress: called with the points done and the points in all.

    Returns:
        (M, 3) float64, M exactly as asked, no two new points alike. Carry attributes to them with
        ``sentio.points.geometry.interpolation(points, result)``.

    Raises:
        InputError: not (N, 3), not finite, fewer than two different points, no such model, or a count that cannot be
            met.
    """
    if model not in NETWORKS:
        raise InputError(f"There is no up-sampler named {model!r}.", f"Choose one of: {', '.join(NETWORKS)}.")
    return upsample_by(embedded(model), points, ratio, count=count, keep_input=keep_input, progress=progress)


def upsample_by(
    model: Model,
    points: npt.ArrayLike,
    ratio: float = 4.0,
    *,
    count: int | None = None,
    keep_input: bool = False,
    start: int = 0,
    progress: Progress | None = None,
) -> npt.NDArray[np.float64]:
    """Up-sample a cloud by any weights; see :func:`upsample`.

    Farthest point sampling, of candidates and of the middles of patches, begins with that of the index ``start`` (any
    number: it is taken modulo their count). No start is better than another; the spread over several says what
    differences mean.
    """
    cloud = _checked(points)
    wanted = _wanted(len(cloud), ratio, count, keep_input)
    unit = geometry.normalise(cloud)
    distinct = unit.points[np.sort(np.unique(unit.points, axis=0, return_index=True)[1])]
    kept = len(distinct) if keep_input else 0
    target = wanted - len(cloud) + kept if keep_input else wanted
    dense = _grow(distinct, target, kept, model, start, progress or silent)
    new = dense[kept:] * unit.radius + unit.centroid
    return np.concatenate([cloud, new]) if keep_input else new


def attention(points: npt.ArrayLike, near: int = 0) -> tuple[npt.NDArray[np.int64], Floats]:
    """What PU-MFA attends to in the patch around the point ``near``.

    Returns:
        The indices (N,) of the patch's points, ``near`` first, and the weights (scales, N, N) of the global context
        refiner, the mean of its heads, deepest scale first; rows are queries and add up to 1.

    Raises:
        InputError: as :func:`upsample`, or no such point.
    """
    cloud = _checked(points)
    if not 0 <= near < len(cloud):
        raise InputError(f"There is no point {near} in a cloud of {len(cloud)}.")
    unit = geometry.normalise(cloud).points
    index = geometry.nearest(unit, unit[near : near + 1], max(16, min(PatchWise.size, len(unit))))[1]
    return index[0], patch_outputs(embedded("pu-mfa"), unit, index, "attention")[0]


def _checked(points: npt.ArrayLike) -> Floats:
    cloud = np.asarray(points)
    if cloud.ndim != 2 or cloud.shape[1] != 3 or cloud.dtype.kind not in "fiu":
        raise InputError(f"Expected points of shape (N, 3), found {cloud.shape} of {cloud.dtype}.")
    cloud = cloud.astype(np.float64)
    if bad := int((~np.isfinite(cloud)).any(1).sum()):
        raise InputError(
            f"A coordinate is not finite in {bad} of {counted(len(cloud), 'point')}.", "Remove them first."
        )
    if len(cloud):
        geometry.check_range(cloud)
    if len(cloud) < 2 or (cloud == cloud[0]).all():
        raise InputError(f"A cloud of {counted(len(cloud), 'point')} without two different ones cannot be up-sampled.")
    return cloud


def _wanted(n: int, ratio: float, count: int | None, keep_input: bool) -> int:
    if count is None and not (np.isfinite(ratio) and ratio > 0):
        raise InputError(f"The ratio must be a number above 0, found {ratio}.")
    wanted = round(n * ratio) if count is None else count
    if wanted < 1:
        raise InputError(f"At least 1 point must be asked for, found {wanted}.")
    if keep_input and wanted < n:
        raise InputError(
            f"{counted(wanted, 'point')} cannot hold the {n} of the input.", "Ask for more, or do not keep the input."
        )
    return wanted


def _grow(points: Floats, target: int, kept: int, model: Model, start: int, progress: Progress) -> Floats:
    """Rounds of densification until there are ``target`` points; the first ``kept`` stay."""
    rounds = max(1, int(np.ceil(np.log(target / len(points)) / np.log(ROUND) - 1e-9)))
    step = (target / len(points)) ** (1 / rounds)
    source = geometry.measure(points)
    network = NETWORKS[model.system](source, model, start, kept > 0)
    while True:
        rounds -= 1
        goal = target if rounds <= 0 else round(len(source.points) * step)
        grown = _densify(source, network, goal, kept, start, lambda done: progress(done, target))
        if len(grown) == target:
            return grown
        if len(grown) <= len(source.points):
            raise InputError(f"There is no room for {counted(target, 'different point')}.", "Ask for fewer points.")
        source = geometry.measure(grown)
        network.follow(source)


def _densify(
    source: geometry.Sources, network: Network, goal: int, kept: int, start: int, progress: Callable[[int], None]
) -> Floats:
    """At most ``goal`` points, spread evenly over each block of the cloud, the first ``kept`` as they are."""
    points = source.points
    cores = patches.blocks(points, BLOCK)
    budgets = patches.shares([len(core) for core in cores], goal)
    chosen = [points[core[core < kept]] for core in cores]  # all kept points are there before the first is added
    done = 0
    proposed = ahead(map(network.propose, cores), depth=1)  # the network works while points are chosen
    for number, (core, budget, proposals) in enumerate(zip(cores, budgets, proposed, strict=True)):
        around = _around(proposals, chosen, 3 * float(source.spacing[core].mean()))
        new = _thinned(proposals, budget - len(chosen[number]), around, start)
        if len(new):
            chosen[number] = np.concatenate([chosen[number], network.spread(new, around, proposals)])
        done += budget
        progress(done)
    new_points = [part[int((core < kept).sum()) :] for core, part in zip(cores, chosen, strict=True)]
    return np.concatenate([points[:kept], *new_points])


def _thinned(points: Floats, count: int, existing: Floats, start: int) -> Floats:
    """``count`` of the points by farthest point sampling; all of them where there are just so many, no two alike."""
    if len(points) == count and len(np.unique(np.concatenate([points, existing]), axis=0)) == count + len(existing):
        return points
    return points[geometry.farthest_points(points, count, start=start % len(points), existing=existing)]


def _around(points: Floats, parts: list[Floats], margin: float) -> Floats:
    """Those points of ``parts`` that lie in the box around ``points``."""
    low, high = points.min(0) - margin, points.max(0) + margin
    inside = [part[((part > low) & (part < high)).all(1)] for part in parts if len(part)]
    return np.concatenate([np.empty((0, 3)), *inside])
