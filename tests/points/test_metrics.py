"""Each convention against a loop written from its definition, closed forms, CGAL's distances and another library."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentio.core.errors import InputError
from sentio.points.io import read_mesh
from sentio.points.metrics import METRICS, compare, coverage, point_to_face, uniformity
from sentio.points.surface import Surface


def directed(a: np.ndarray, b: np.ndarray) -> list[float]:
    return [min(sum((p - q) ** 2 for p, q in zip(x, y, strict=True)) for y in b) for x in a]


def unit(points: np.ndarray) -> np.ndarray:
    centred = points - sum(points) / len(points)
    return centred / max(np.sqrt(sum(p**2)) for p in centred)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 12), m=st.integers(2, 12), seed=st.integers(0, 2**31))
def test_every_convention_follows_its_definition(n: int, m: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(n, 3)) * 3 + 5, random.normal(size=(m, 3))
    forward, backward = directed(unit(a), unit(b)), directed(unit(b), unit(a))
    plain_forward, plain_backward = directed(a, b), directed(b, a)
    expected = {
        "cd_sum": sum(forward) / n + sum(backward) / m,
        "hd_sq_sum": max(forward) + max(backward),
        "hd_sq_max": max(forward + backward),
        "hausdorff": max(forward + backward) ** 0.5,
        "cd_half": (sum(plain_forward) / n + sum(plain_backward) / m) / 2,
        "hd_sq_half": (max(plain_forward) + max(plain_backward)) / 2,
        "cd_root": (sum(d**0.5 for d in forward) / n + sum(d**0.5 for d in backward) / m) / 2,
    }
    assert compare(a, b) == pytest.approx(expected)


def test_conventions_agree_with_another_library() -> None:
    pcu = pytest.importorskip("point_cloud_utils")
    random = np.random.default_rng(3)
    a, b = unit(random.normal(size=(300, 3))), unit(random.normal(size=(200, 3)))
    scores = compare(a, b)
    assert scores["hausdorff"] == pytest.approx(pcu.hausdorff_distance(a, b))
    assert scores["cd_root"] * 2 == pytest.approx(pcu.chamfer_distance(a, b))


def test_moving_scaling_or_shuffling_a_cloud_changes_only_what_is_not_normalised() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(80, 3)), random.normal(size=(80, 3))
    before, after = compare(a, b), compare(random.permutation(a) * 7 + 100, b)
    for name in ("cd_sum", "hd_sq_sum", "hd_sq_max", "hausdorff", "cd_root"):
        assert after[name] == pytest.approx(before[name])
    assert after["cd_half"] > 100 * before["cd_half"]
    assert set(compare(a, a).values()) == {0.0}


def test_metrics_are_all_described() -> None:
    plane = Surface(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]))
    points = plane.sample_evenly(1000, seed=0).points
    named = {**compare(points, points), **point_to_face(points, plane), **coverage(points, points), "uniformity": 0}
    assert set(named) == set(METRICS)


def test_distance_to_faces_in_closed_form() -> None:
    square = Surface(np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), np.array([[0, 1, 2], [0, 2, 3]]))
    heights = np.linspace(0, 1, 101)
    points = np.column_stack([np.full(101, 0.3), np.full(101, 0.6), heights])
    assert point_to_face(points, square) == pytest.approx({"p2f_mean": 0.5, "p2f_std": heights.std(), "p2f_95": 0.95})
    corner = point_to_face(np.array([[2.0, 2.0, 1.0]]), square)
    assert corner["p2f_mean"] == pytest.approx(3**0.5)


@pytest.mark.parametrize("name", ["chair", "fandisk", "horse"])
@pytest.mark.slow
def test_distance_to_faces_is_that_of_cgal(name: str, shared: Path) -> None:
    pytest.importorskip("trimesh")
    table = np.loadtxt(shared / f"data/cloud/p2f-fixtures/{name}.xyz")
    surface = read_mesh(shared / f"data/cloud/eval-meshes/{name}.off")
    np.testing.assert_allclose(surface.closest(table[:, :3]).distance, table[:, 3], rtol=0, atol=1e-6)
    scores = point_to_face(table[:, :3], surface)
    assert scores["p2f_mean"] == pytest.approx(table[:, 3].mean(), abs=1e-7)
    assert scores["p2f_95"] == pytest.approx(np.percentile(table[:, 3], 95), abs=1e-7)


def test_coverage_sees_the_hole_that_the_distance_to_faces_does_not() -> None:
    plane = Surface(np.array([[0.0, 0, 0], [2, 0, 0], [0, 2, 0]]), np.array([[0, 1, 2]]))
    points, dense = plane.sample_evenly(2000, seed=0).points, plane.sample(20000, seed=1).points
    holed = points[np.linalg.norm(points - [0.5, 0.5, 0], axis=1) > 0.3]
    assert point_to_face(holed, plane)["p2f_mean"] == pytest.approx(0, abs=1e-12)
    assert coverage(points, dense)["coverage_max"] < 0.1
    assert coverage(holed, dense)["coverage_max"] == pytest.approx(0.3, abs=0.03)


def cylinder(radius: float, height: float) -> Surface:
    """A closed band; its two rims are far from most disks."""
    angle = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    ring = np.column_stack([np.cos(angle), np.sin(angle)]) * radius
    vertices = np.concatenate([np.column_stack([ring, np.full(100, z)]) for z in (0, height)])
    a, b = np.arange(100), np.roll(np.arange(100), -1)
    return Surface(vertices, np.concatenate([np.column_stack([a, b, a + 100]), np.column_stack([b, b + 100, a + 100])]))


@pytest.mark.slow
def test_uniformity_ranks_even_random_and_clumped_points() -> None:
    tube = cylinder(1, 4)
    even, random = tube.sample_evenly(4000, seed=0).points, tube.sample(4000, seed=0).points
    clumped = np.concatenate([even[:2000], even[:2000] + 1e-4])
    scores = [uniformity(points, tube) for points in (even, random, clumped)]
    assert 3 * scores[0] < scores[1] < scores[2]


@pytest.mark.slow
def test_uniformity_does_not_count_the_other_side_of_a_sheet() -> None:
    outer, inner = cylinder(1, 4), cylinder(0.999, 4)
    points = np.concatenate([side.sample_evenly(4000, seed=i).points for i, side in enumerate((outer, inner))])
    inwards, outwards = inner.faces[:, ::-1] + len(outer.vertices), inner.faces + len(outer.vertices)
    vertices = np.concatenate([outer.vertices, inner.vertices])
    sheet, two_layers = (Surface(vertices, np.concatenate([outer.faces, other])) for other in (inwards, outwards))
    assert 10 * uniformity(points, sheet) < uniformity(points, two_layers)


@pytest.mark.parametrize("bad", [np.empty((0, 3)), np.zeros((4, 2)), np.full((4, 3), np.nan)])
def test_what_is_no_cloud_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="truth"):
        compare(np.eye(3), bad)
