import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from sentio.points import geometry


def textbook(points, count, start=0, existing=None):
    """Farthest point sampling as everybody writes it."""
    squared = np.full(len(points), np.inf)
    picks = []
    for pick in existing if existing is not None else ():
        squared = np.minimum(squared, ((points - pick) ** 2).sum(1))
    for i in range(count):
        picks.append(start if i == 0 and existing is None else int(squared.argmax()))
        squared = np.minimum(squared, ((points - points[picks[-1]]) ** 2).sum(1))
    return np.array(picks)


def clouds():
    random = np.random.default_rng(0)
    ball = random.normal(size=(3000, 3))
    grid = np.unique(random.integers(0, 12, (1500, 3)), axis=0).astype(float)
    clusters = random.normal(size=(900, 3)) * 0.01 + random.integers(0, 3, (900, 1)) * 10
    return {
        "ball": ball,
        "sphere": ball / np.linalg.norm(ball, axis=1, keepdims=True),
        "plane": ball * [1, 1, 0],
        "line": ball * [1, 0, 0],
        "grid full of ties": random.permutation(grid),
        "clusters": clusters,
    }


@pytest.mark.parametrize("name", clouds())
def test_farthest_points_are_those_of_the_textbook_loop(name):
    points = clouds()[name]
    count = len(points) // 3
    assert (geometry.farthest_points(points, count, start=5) == textbook(points, count, start=5)).all()


@pytest.mark.parametrize("name", clouds())
def test_farthest_points_from_existing_ones(name):
    points = clouds()[name]
    existing, rest = points[:200], points[200:]
    found = geometry.farthest_points(rest, 300, existing=existing)
    assert (found == textbook(rest, 300, existing=existing)).all()


def test_farthest_points_of_few_distinct_points():
    points = np.repeat(np.eye(3), 4, axis=0)
    assert sorted(geometry.farthest_points(points, 3)) == [0, 4, 8]
    assert sorted(geometry.farthest_points(points, 12)) == [0, 4, 8]
    assert len(geometry.farthest_points(points, 12, existing=np.eye(3)[:1])) == 2
    assert len(geometry.farthest_points(points, 12, existing=np.eye(3))) == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(70, 300), st.integers(1, 70))
def test_farthest_points_property(seed, n, count):
    points = np.random.default_rng(seed).integers(0, 9, (n, 3)) * [1.0, 0.5, 0.1]
    distinct = len(np.unique(points, axis=0))
    count = min(count, distinct)
    assert (geometry.farthest_points(points, count) == textbook(points, count)).all()


def test_nearest_repeats_the_last_where_points_are_few():
    points = np.array([[0.0, 0, 0], [1, 0, 0]])
    distance, index = geometry.nearest(points, points[:1], 4)
    assert index.tolist() == [[0, 1, 1, 1]]
    assert distance.tolist() == [[0, 1, 1, 1]]


def test_normalise_and_back():
    points = np.random.default_rng(1).normal(size=(50, 3)) * 7 + [5e5, 4e6, 100]
    unit = geometry.normalise(points)
    assert np.allclose(unit.points.mean(0), 0, atol=1e-9)
    assert np.linalg.norm(unit.points, axis=1).max() == pytest.approx(1)
    assert np.abs(unit.points * unit.radius + unit.centroid - points).max() < 1e-8


def test_frames_turn_with_the_cloud():
    random = np.random.default_rng(2)
    sphere = random.normal(size=(400, 3)) * [1, 0.8, 0.5]
    turn = Rotation.random(random_state=3).as_matrix()
    before, after = geometry.measure(sphere), geometry.measure(2 * sphere @ turn.T)
    assert np.allclose(after.frames, before.frames @ turn.T, atol=1e-6)
    assert np.allclose(after.spacing, 2 * before.spacing)
    assert np.allclose(before.frames @ before.frames.transpose(0, 2, 1), np.eye(3), atol=1e-9)
    assert np.allclose(np.linalg.det(before.frames), 1)


def test_normal_of_a_plane_and_inward_on_a_sphere():
    random = np.random.default_rng(4)
    plane = random.normal(size=(300, 3)) * [1, 1, 0]
    assert np.allclose(np.abs(geometry.measure(plane).frames[:, 2, 2]), 1)
    ball = random.normal(size=(2000, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    inward = -(geometry.measure(ball).frames[:, 2] * ball).sum(1)
    assert inward.min() > 0.9


def test_interpolation_is_exact_on_points_and_linear_between_two():
    source = np.array([[0.0, 0, 0], [1, 0, 0], [50, 0, 0]])
    target = np.array([[1.0, 0, 0], [0.25, 0, 0]])
    index, weights = geometry.interpolation(source, target, k=2)
    assert np.allclose(weights.sum(1), 1)
    assert index[0, 0] == 1 and weights[0].tolist() == [1, 0]
    values = geometry.interpolate(np.array([[0.0, 8], [4, 0], [9, 9]]), source, target, k=2)
    assert np.allclose(values, [[4, 0], [1, 6]])


def test_frames_made_in_pieces_are_those_of_one_piece(monkeypatch):
    points = np.random.default_rng(4).normal(size=(500, 3))
    neighbours = geometry.nearest(points, points, 24)[1]
    whole = geometry.local_frames(points, neighbours)
    monkeypatch.setattr(geometry, "_FRAMES_AT_ONCE", 77)
    assert np.array_equal(geometry.local_frames(points, neighbours), whole)
    assert geometry.local_frames(points, neighbours[:0]).shape == (0, 3, 3)


def test_repelled_points_are_those_of_a_loop(monkeypatch):
    monkeypatch.setattr(geometry, "_ROWS", 37)
    points = np.random.default_rng(5).random((100, 3)) * [1, 1, 0.05]
    found = geometry.repelled(points, 0.3)
    stayed = 0
    for i, point in enumerate(points):
        order = np.argsort(np.linalg.norm(points - point, axis=1))
        near, around = points[order[1:7]], points[order[:12]]
        normal = np.linalg.svd(around - around.mean(0))[2][2]
        spacing, way = np.linalg.norm(near - point, axis=1).mean(), np.zeros(3)
        for other in near:
            distance = np.linalg.norm(point - other)
            way += max(0, 1 - distance / (2 * spacing)) * (point - other) / distance
        one_sided = np.linalg.norm(near.mean(0) - point) >= 0.4 * spacing
        stayed += one_sided
        expected = point if one_sided else point + 0.3 * spacing * (way - way @ normal * normal)
        assert np.allclose(found[i], expected, atol=1e-9)
    assert 5 < stayed < 95


def test_repelled_points_of_a_plane_are_more_even_and_stay_in_it():
    points = np.random.default_rng(6).random((2000, 3)) * [1, 1, 0]
    found = geometry.repelled(points, 0.2)

    def gaps(cloud):
        return cKDTree(cloud).query(cloud, 2)[0][:, 1]

    assert np.abs(found[:, 2]).max() < 1e-12
    assert gaps(found).std() / gaps(found).mean() < gaps(points).std() / gaps(points).mean()
    assert np.array_equal(geometry.repelled(points[:5], 0.2), points[:5])
