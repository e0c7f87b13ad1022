"""The table on meshes made here: its reference rows, its repeatability, what it refuses, and real shapes."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.spatial import cKDTree

from sentio.core.errors import InputError
from sentio.points import evaluate, metrics
from sentio.points.evaluate import EvaluationConfig, evaluate_shapes, midpoints
from sentio.points.io import read_mesh
from sentio.points.io.arrays import read_arrays
from sentio.points.metrics import METRICS, compare, point_to_face


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "DISK_SEEDS", 60)  # uniformity has tests of its own
    monkeypatch.setattr(evaluate, "COVERAGE_SAMPLES", 2000)


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trimesh = pytest.importorskip("trimesh")
    folder = tmp_path_factory.mktemp("meshes")
    trimesh.creation.icosphere(subdivisions=3, radius=7).apply_translation([5, 5, 5]).export(folder / "ball.off")
    trimesh.creation.box().export(folder / "box.ply")
    (folder / "notes.txt").write_text("no mesh")
    return folder


def repeat(points: np.ndarray, ratio: float, start: int) -> np.ndarray:
    return np.resize(points, (round(ratio * len(points)), 3))


@pytest.mark.slow
def test_reference_rows_frame_the_methods(meshes: Path) -> None:
    result = evaluate_shapes(meshes, {"repeat": repeat}, EvaluationConfig(input_points=300, ratio=4, starts=1))
    assert [(row.shape, row.method) for row in result.rows] == [
        (shape, method) for shape in ("ball", "box") for method in ("floor", "midpoint", "repeat")
    ]
    floor, midpoint, repeated = (row.scores for row in result.means())
    assert floor["p2f_mean"] == pytest.approx(0, abs=1e-12) and repeated["p2f_mean"] == pytest.approx(0, abs=1e-12)
    assert 0 < floor["cd_sum"] < midpoint["cd_sum"] < repeated["cd_sum"]
    assert floor["hd_sq_sum"] < midpoint["hd_sq_sum"] < repeated["hd_sq_sum"]
    assert floor["coverage_max"] < repeated["coverage_max"]
    first, second = (row.scores["cd_sum"] for row in result.rows if row.method == "floor")
    assert floor["cd_sum"] == pytest.approx((first + second) / 2)


@pytest.mark.slow
def test_a_shape_scores_the_same_whatever_else_is_in_the_folder(meshes: Path, tmp_path: Path) -> None:
    (tmp_path / "ball.off").write_bytes((meshes / "ball.off").read_bytes())
    alone, together = (
        evaluate_shapes(folder, {}, EvaluationConfig(input_points=200, noise=0.01, starts=1)).rows[:2]
        for folder in (tmp_path, meshes)
    )
    assert [row.scores for row in alone] == [row.scores for row in together]
    other = evaluate_shapes(tmp_path, {}, EvaluationConfig(input_points=200, noise=0.01, seed=1, starts=1)).rows
    assert other[0].scores["cd_sum"] != alone[0].scores["cd_sum"]


@pytest.mark.slow
def test_scores_are_means_over_starts_that_the_method_is_told(meshes: Path) -> None:
    seen = []

    def look(points: np.ndarray, ratio: float, start: int) -> np.ndarray:
        seen.append(start)
        return midpoints(points, ratio, start)

    config = EvaluationConfig(input_points=150, starts=3)
    result = evaluate_shapes(meshes, {"look": look}, config)
    assert len(set(seen)) == 6 and [row.start for row in result.rows] == 6 * [0, 1, 2]
    values = np.array([row.scores["cd_sum"] for row in result.rows if row.method == "look"]).reshape(2, 3)
    assert values.std(1).min() > 0
    assert result.means()[2].scores["cd_sum"] == pytest.approx(values.mean())
    assert result.ranges()[2].scores["cd_sum"] == pytest.approx(np.ptp(values.mean(0)))
    assert [row.scores["cd_sum"] for row in result.shapes() if row.method == "look"] == pytest.approx(values.mean(1))
    again = evaluate_shapes(meshes, {}, EvaluationConfig(input_points=150, starts=1))
    assert again.rows[1].scores == result.rows[3].scores, "more starts do not change the first ones"


def test_random_inputs_are_clumpier_than_even_ones_and_the_truth_is_the_same(meshes: Path) -> None:
    seen = []

    def look(points: np.ndarray, ratio: float, start: int) -> np.ndarray:
        seen.append(points)
        return repeat(points, ratio, start)

    even, random = (
        evaluate_shapes(meshes, {"look": look}, EvaluationConfig(input_points=400, starts=1, sampler=name))
        for name in ("even", "random")
    )
    gaps = [cKDTree(points).query(points, 2)[0][:, 1].min() for points in seen]
    assert gaps[0] > 5 * gaps[2] and gaps[1] > 5 * gaps[3]
    assert even.rows[0].scores == random.rows[0].scores
    assert random.protocol["clouds"].startswith("random") and even.protocol["clouds"].startswith("even")
    with pytest.raises(ValueError, match="give one of them"):
        EvaluationConfig(clouds="clouds.npz", sampler="even")


@pytest.mark.slow
def test_noise_is_in_units_of_the_radius_and_reaches_the_method(meshes: Path) -> None:
    seen = []

    def look(points: np.ndarray, ratio: float, start: int) -> np.ndarray:
        seen.append(points)
        return repeat(points, ratio, start)

    clean = evaluate_shapes(meshes, {"look": look}, EvaluationConfig(input_points=1000, ratio=1, starts=1))
    noisy = evaluate_shapes(meshes, {"look": look}, EvaluationConfig(input_points=1000, ratio=1, noise=0.05, starts=1))
    assert (seen[2] - seen[0]).std() == pytest.approx(0.05, rel=0.05)
    assert noisy.means()[2].scores["p2f_mean"] > 0.02 > clean.means()[2].scores["p2f_mean"]
    assert noisy.means()[0].scores["p2f_mean"] == pytest.approx(0, abs=1e-12)


def test_given_clouds_are_used_as_they_are(meshes: Path, tmp_path: Path) -> None:
    arrays = {}
    for path in (meshes / "ball.off", meshes / "box.ply"):
        samples = read_mesh(path).sample(900, seed=1).points.astype(np.float32)
        arrays |= {f"{path.stem}|in100": samples[:100], f"{path.stem}|gt800": samples[100:]}
    np.savez(tmp_path / "clouds.npz", **arrays)
    result = evaluate_shapes(
        meshes,
        {"repeat": repeat},
        EvaluationConfig(input_points=100, ratio=8, clouds=str(tmp_path / "clouds.npz"), starts=1),
    )
    expected = compare(repeat(arrays["box|in100"].astype(float), 8, 0), arrays["box|gt800"].astype(float))
    assert {name: result.rows[-1].scores[name] for name in expected} == pytest.approx(expected)
    with pytest.raises(InputError, match=r"ball\|gt400"):
        evaluate_shapes(meshes, {}, EvaluationConfig(input_points=100, ratio=4, clouds=str(tmp_path / "clouds.npz")))


def test_the_result_is_written_whole_and_printed(meshes: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    result = evaluate_shapes(
        meshes, {}, EvaluationConfig(input_points=100, ratio=2.5, starts=1), tell=lambda *step: steps.append(step[:2])
    )
    assert steps == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    written = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert written["protocol"]["seed"] == 0 and written["protocol"]["ratio"] == 2.5
    assert written["protocol"]["meshes"] == ["ball", "box"]
    assert set(written["rows"][0]["scores"]) == set(written["columns"]) == set(METRICS)
    assert written["means"][1]["method"] == "midpoint"
    console = Console(width=200, record=True, quiet=False, file=(tmp_path / "out.txt").open("w"))
    console.print(result.table())
    text = console.export_text()
    assert "x2.5 from 100 points" in text and text.count("midpoint") == 3
    assert f"{1000 * result.rows[0].scores['cd_sum']:.3f}" in text


def test_what_cannot_be_evaluated_is_refused(meshes: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no meshes"):
        evaluate_shapes(tmp_path, {})
    with pytest.raises(InputError, match="lazy gave 50 points for ball, 200"):
        evaluate_shapes(meshes, {"lazy": lambda points, ratio, start: points}, EvaluationConfig(input_points=50))
    with pytest.raises(InputError, match="No such file"):
        evaluate_shapes(meshes, {}, EvaluationConfig(clouds=str(tmp_path / "none.npz")))


@pytest.mark.parametrize("ratio", [1.5, 4.0, 16.0])
def test_midpoints_are_exact_in_number_and_lie_halfway(ratio: float) -> None:
    points = np.random.default_rng(0).normal(size=(40, 3))
    dense = midpoints(points, ratio)
    assert len(np.unique(dense, axis=0)) == len(dense) == round(40 * ratio)
    if ratio <= 4:
        allowed = np.array([*points, *((a + b) / 2 for a, b in combinations(points, 2))])
        assert np.abs(dense[:, None] - allowed).max(axis=2).min(axis=1).max() < 1e-12


@pytest.mark.slow
def test_real_shapes_are_sampled_as_evenly_as_by_another_program(shared: Path) -> None:
    """The given truth was made by another implementation of sample elimination."""
    surface = read_mesh(shared / "data/cloud/eval-meshes/horse.off")
    arrays = read_arrays(shared / "data/cloud/eval_poisson.npz")
    sparse, truth = (arrays[f"horse|{key}"].astype(float) for key in ("in2048", "gt8192"))
    first, second = (surface.sample_evenly(8192, seed=seed).points for seed in (1, 2))
    floor = compare(first, truth)["cd_sum"]
    assert floor == pytest.approx(compare(first, second)["cd_sum"], rel=0.05)
    dense = midpoints(sparse, 4)
    assert 1.2 < compare(dense, truth)["cd_sum"] / floor < 1.8
    assert 1000 * point_to_face(dense, surface)["p2f_mean"] == pytest.approx(2.0, abs=0.7)
