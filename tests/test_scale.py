"""bench/scale.py on a small folder: what it builds is what the rest of the house reads."""

import argparse
import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("torch")
PATH = Path(__file__).parents[1] / "bench/scale.py"


@pytest.fixture(scope="module")
def scale():
    spec = importlib.util.spec_from_file_location("scale", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_stage_runs_on_the_folder_that_the_first_one_builds(scale, tmp_path):
    options = argparse.Namespace(
        root=tmp_path / "set", clips=5, frames=300, sets=("va", "au"), videos=True, encoder="small", encoded=1,
        steps=1, workers=0,
    )  # fmt: skip
    found = {name: scale.measure(name, options) for name in scale.STAGES}
    crops = sorted((options.root / "cropped_aligned").rglob("*.jpg"))
    assert len(crops) == found["build"]["crops"] == found["check"]["images"] > 5 * 250
    assert len({path.stat().st_ino for path in crops}) == 1
    assert found["check"]["problems"] == 0 and found["features_again"]["problems"] == 0
    assert found["features"]["crops"] == len(list((options.root / "cropped_aligned/clip000").iterdir()))
    assert 2 * 5 * 200 < found["index"]["windows"] <= 2 * 5 * 210
    assert found["epoch"]["steps"] == 1 and all(stage["cpu_s"] >= 0 for stage in found.values())
