import itertools

import numpy as np
from scipy.spatial import cKDTree

from sentio.points import candidates, geometry


def naive(source):
    """Midpoints and centroids, set by set."""
    points, sets = source.points, set()
    for near in source.neighbours[:, : candidates.NEIGHBOURS + 1]:
        for size in (1, 2):
            sets |= {tuple(sorted((near[0], *others))) for others in itertools.combinations(near[1:], size)}
    kept = []
    for corners in sets:
        sides = [np.linalg.norm(points[a] - points[b]) for a, b in itertools.combinations(corners, 2)]
        compact = max(sides) <= candidates.STRETCH * min(sides)
        if compact and max(sides) <= candidates.REACH * source.spacing[list(corners)].min():
            kept.append(points[list(corners)].mean(0))
    return np.array(kept)


def test_candidates_are_those_of_a_plain_loop():
    source = geometry.measure(np.random.default_rng(0).normal(size=(120, 3)))
    found, spacing = candidates.generate(source, np.arange(120))
    assert np.array_equal(spacing[:120], source.spacing) and len(spacing) == len(found)
    assert (found[:120] == source.points).all()
    expected = naive(source)
    assert np.allclose(np.unique(found[120:].round(9), axis=0), np.unique(expected.round(9), axis=0))
    assert len(found) - 120 == len(expected)


def test_candidates_of_parts_are_those_of_the_whole():
    source = geometry.measure(np.random.default_rng(1).normal(size=(300, 3)))
    whole, _ = candidates.generate(source, np.arange(300))
    parts = np.concatenate([candidates.generate(source, np.arange(start, start + 100))[0] for start in (0, 100, 200)])
    assert np.array_equal(np.unique(whole, axis=0), np.unique(parts, axis=0))


def test_no_candidate_bridges_the_gap_between_two_rings():
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    rings = np.concatenate([ring, ring + [0, 0, 0.25]])  # a spacing of 0.03 along the rings
    found, _ = candidates.generate(geometry.measure(rings), np.arange(400))
    assert len(found) > 700
    assert np.minimum(np.abs(found[:, 2]), np.abs(found[:, 2] - 0.25)).max() < 1e-9


def test_two_points_have_one_midpoint():
    points = np.array([[0.0, 0, 0], [1, 0, 0]])
    assert candidates.generate(geometry.measure(points), np.arange(2))[0].tolist() == [
        [0, 0, 0],
        [1, 0, 0],
        [0.5, 0, 0],
    ]


def test_thinning_keeps_the_first_of_each_cell_and_leaves_no_hole():
    random = np.random.default_rng(2)
    points = random.random((3000, 3)) * [1, 1, 0.01]
    spacing = np.where(points[:, 0] < 0.5, 0.1, 0.4)  # a dense half, and one four times as coarse
    thinned = candidates.thin(points, spacing)
    usual = np.median(spacing)
    first = {}
    for point, unit in zip(points, spacing, strict=True):
        cell = candidates.CELL * usual * 2.0 ** np.round(np.log2(unit / usual))
        first.setdefault((cell, *np.floor(point / cell)), point)
    assert np.array_equal(np.unique(thinned, axis=0), np.unique(list(first.values()), axis=0))
    gap, _ = cKDTree(thinned).query(points)
    assert (gap <= np.sqrt(3) * candidates.CELL * spacing * np.sqrt(2)).all()
    assert len(thinned) < 0.2 * len(points)


def test_neighbours_follow_one_another_after_thinning():
    points = np.random.default_rng(3).random((5000, 3))
    thinned = candidates.thin(points, np.full(5000, 0.05))
    step = np.linalg.norm(np.diff(thinned, axis=0), axis=1)
    assert np.median(step) < 0.5 * np.median(np.linalg.norm(np.diff(points, axis=0), axis=1))
