"""PU-MFA's experiment in its smallest form."""

import json
import math

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from sentio.cli import main  # noqa: E402
from sentio.points.evaluate import EvaluationConfig, evaluate_shapes  # noqa: E402
from sentio.points.experiments.pu_mfa import FLOOR, MIDPOINTS, PATCH_CD, PUBLISHED, SHIPPED  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("pu-mfa")
    small = ("shapes=1", "points=1024", "steps=20")
    command = ["reproduce", "pu-mfa", "--quick", "--seeds", "1", "--out", str(out)]
    assert main([*command, *(word for setting in small for word in ("--set", setting))]) == 0
    return out, json.loads((out / "results.json").read_text())["cells"]


def test_rows_without_a_network_and_with_the_shipped_one(found):
    """As they are measured without the experiment."""
    out, cells = found
    expected = evaluate_shapes(out / "work/meshes", {}, EvaluationConfig(input_points=256, starts=1))
    for row in expected.means():
        assert cells[row.method][0]["CD x4"] == pytest.approx(1000 * row.scores["cd_sum"])
    assert cells[FLOOR][0]["P2F x4"] < cells[SHIPPED][0]["P2F x4"]
    assert cells[MIDPOINTS][0]["CD x4 noise"] != cells[MIDPOINTS][0]["CD x4"]


def test_what_is_trained_is_scored_on_patches(found):
    _, cells = found
    for variant in (PUBLISHED, "no refiner"):
        assert math.isfinite(cells[variant][0][PATCH_CD]) and cells[variant][0]["CD x4"] is None
