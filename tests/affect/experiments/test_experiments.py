"""Every experiment in its smallest form, as the command runs it: quick, one seed, a set that the test draws."""

import json

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from sentio.affect.synth.moving_picture import MovingPicture, generate  # noqa: E402
from sentio.cli import main  # noqa: E402
from sentio.core import experiments  # noqa: E402

pytestmark = pytest.mark.slow


def run(name: str, folder, *arguments: str) -> dict:
    """The results of the command; a second run finds all cells done and says the same."""
    command = ["reproduce", name, "--out", str(folder), "--quick", "--seeds", "1", *arguments]
    assert main(command) == 0
    first = (folder / "table.md").read_text()
    cells = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    assert main(command) == 0
    assert cells == {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    assert (folder / "table.md").read_text() == first
    found = json.loads((folder / "results.json").read_text())
    assert set(found["cells"]) == set(experiments.find(name)().variants(True))
    return found


def test_capnet_on_drawn_pictures(tmp_path) -> None:
    found = run("capnet", tmp_path / "out", "--set", "videos=8", "--set", "seconds=4")
    for cell in (cell for cells in found["cells"].values() for cell in cells):
        assert -1 <= cell["p_va"] <= 1
        assert cell["p_va"] == pytest.approx((cell["ccc_valence"] + cell["ccc_arousal"]) / 2)


def test_capnet_on_given_videos(tmp_path) -> None:
    generate(tmp_path / "set", MovingPicture(videos=4, seconds=4))
    found = run("capnet", tmp_path / "out", "--data", str(tmp_path / "set"))
    assert found["data"] == "set"
    assert not (tmp_path / "set/features").exists()  # the data folder stays as it was
