"""Closest points against a second library and a dense search; even samples against their definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from sentio.core.errors import InputError
from sentio.points import surface as module
from sentio.points.shapes import procedural
from sentio.points.surface import Surface, closest_on_triangles, eliminate

TETRAHEDRON = Surface(
    np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]), np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
)


def random_surface(faces: int, seed: int, *, degenerate: bool = False) -> Surface:
    random = np.random.default_rng(seed)
    vertices = random.normal(size=(3 * faces, 3)) * random.uniform(0.01, 2, (3 * faces, 1))
    corners = np.arange(3 * faces).reshape(faces, 3)
    if degenerate:
        corners[::3, 2] = corners[::3, 1]
        corners[1::7, 1:] = corners[1::7, :1]
    return Surface(vertices, corners)


@settings(max_examples=30, deadline=None)
@given(faces=st.integers(1, 60), seed=st.integers(0, 2**31), degenerate=st.booleans())
@pytest.mark.slow
def test_no_place_on_any_triangle_is_closer(faces: int, seed: int, degenerate: bool) -> None:
    surface = random_surface(faces, seed, degenerate=degenerate and faces > 3)
    queries = np.random.default_rng(seed + 1).normal(size=(20, 3)) * 2
    found = surface.closest(queries)
    every = np.array([[closest_on_triangles(q[None], t[None])[0] for t in surface.corners] for q in queries])
    np.testing.assert_allclose(found.distance, np.linalg.norm(every - queries[:, None], axis=2).min(axis=1), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(found.points - queries, axis=1), found.distance, atol=1e-12)
    np.testing.assert_allclose(closest_on_triangles(found.points, surface.corners[found.face]), found.points, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_closest_on_a_triangle_beats_a_dense_grid_of_its_points(seed: int) -> None:
    random = np.random.default_rng(seed)
    triangle, query = random.normal(size=(3, 3)), random.normal(size=3) * 2
    closest = closest_on_triangles(query[None], triangle[None])[0]
    u, v = np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 60))
    keep = u + v <= 1
    weights = np.stack([1 - u - v, u, v], axis=-1)[keep]
    grid = np.linalg.norm(weights @ triangle - query, axis=1).min()
    distance = np.linalg.norm(closest - query)
    step = np.ptp(triangle, axis=0).max() / 60
    assert grid - 2 * step <= distance <= grid + 1e-12


def test_closest_agrees_with_another_library() -> None:
    pcu = pytest.importorskip("point_cloud_utils")
    surface = random_surface(900, 5)
    for scale in (0.1, 3.0, 100.0):
        queries = np.random.default_rng(6).normal(size=(500, 3)) * scale
        theirs, *_ = pcu.closest_points_on_mesh(queries, surface.vertices, surface.faces)
        np.testing.assert_allclose(surface.closest(queries).distance, theirs, rtol=1e-12, atol=1e-12)


def test_limits_on_memory_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    surface = random_surface(200, 1)
    queries = np.random.default_rng(2).normal(size=(300, 3))
    whole = surface.closest(queries)
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", 64)
    monkeypatch.setattr(module, "QUERIES_AT_ONCE", 37)
    parts = surface.closest(queries)
    np.testing.assert_array_equal(whole.points, parts.points)
    np.testing.assert_array_equal(whole.distance, parts.distance)


def test_vertices_lie_on_the_surface_where_rounding_puts_their_triangles_beside_them() -> None:
    surface = procedural(1)
    vertices = surface.vertices[np.unique(surface.faces)]
    for points in (vertices, np.nextafter(vertices, np.inf), np.nextafter(vertices, -np.inf)):
        assert surface.closest(points).distance.max() < 1e-12


def test_no_queries_give_no_answers() -> None:
    assert TETRAHEDRON.closest(np.empty((0, 3))).points.shape == (0, 3)


@pytest.mark.parametrize("count", [1, 17, 500])
def test_even_samples_are_exact_in_number_and_lie_on_their_faces(count: int) -> None:
    samples = TETRAHEDRON.sample_evenly(count, seed=1)
    assert samples.points.shape == (count, 3)
    corners = TETRAHEDRON.corners[samples.face]
    np.testing.assert_allclose(np.einsum("nc,ncd->nd", samples.weights, corners), samples.points, atol=1e-15)
    assert (samples.weights >= 0).all()
    np.testing.assert_allclose(samples.weights.sum(axis=1), 1)
    assert TETRAHEDRON.closest(samples.points).distance.max() < 1e-15
    np.testing.assert_array_equal(TETRAHEDRON.sample_evenly(count, seed=1).points, samples.points)


def test_even_samples_keep_apart_and_leave_no_hole() -> None:
    count = 1000
    even = TETRAHEDRON.sample_evenly(count, seed=0).points
    largest = np.sqrt(TETRAHEDRON.area / (2 * np.sqrt(3) * count))  # disk radius of the densest packing
    apart = cKDTree(even).query(even, k=2)[0][:, 1]
    assert apart.min() > 0.6 * 2 * largest
    holes = cKDTree(even).query(TETRAHEDRON.sample(20000, seed=9).points)[0]
    assert holes.max() < 2 * 2 * largest
    random = TETRAHEDRON.sample(count, seed=0).points
    assert cKDTree(random).query(random, k=2)[0][:, 1].min() < 0.2 * apart.min()


def test_random_samples_follow_the_area() -> None:
    face = TETRAHEDRON.sample(60000, seed=4).face
    share = np.bincount(face, minlength=4) / 60000
    np.testing.assert_allclose(share, TETRAHEDRON.face_areas / TETRAHEDRON.area, atol=0.01)


def test_elimination_without_neighbours_still_hits_the_count() -> None:
    points = np.arange(30.0)[:, None] * [100, 0, 0]
    assert len(eliminate(points, 7, radius=1.0)) == 7


@pytest.mark.parametrize(
    ("vertices", "faces", "reason"),
    [
        (np.zeros((3, 3)), np.empty((0, 3), int), "no triangles"),
        (np.zeros((3, 3)), np.array([[0, 1, 2]]), "zero area"),
        (np.eye(3), np.array([[0, 1, 3]]), "outside"),
        (np.full((3, 3), np.nan), np.array([[0, 1, 2]]), "not finite"),
    ],
)
def test_what_is_no_surface_is_refused(vertices: np.ndarray, faces: np.ndarray, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Surface(vertices, faces)
