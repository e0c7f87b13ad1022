"""Every experiment in its smallest form, as the command runs it: quick, one seed, a set that the test draws."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from sentio.affect.experiments.multitask import missing  # noqa: E402
from sentio.affect.synth.moving_picture import MovingPicture, generate  # noqa: E402
from sentio.affect.training.published import AffectData, DataConfig  # noqa: E402
from sentio.cli import main  # noqa: E402
from sentio.core import experiments, weights  # noqa: E402

CLIPS = Path(__file__).resolve().parents[2] / "clips"

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


def test_multitask_on_drawn_pictures(tmp_path) -> None:
    found = run("multitask", tmp_path / "out", "--set", "videos=24", "--set", "seconds=4")
    for cell in (cell for cells in found["cells"].values() for cell in cells):
        assert cell["p_mtl"] == pytest.approx(cell["p_va"] + cell["p_expr"] + cell["p_au"])
        assert 0 <= cell["probe"] <= 1
    work = tmp_path / "out/work"
    config = DataConfig(sets=("mtl", "va", "expr", "au"))
    assert 0.6 < missing(AffectData(work / "partial", config)) < 0.7
    assert {task: is_grey(work / "partial", task) for task in ("VA", "EXPR", "AU")} == {
        "VA": {False},
        "EXPR": {True},
        "AU": {False},
    }
    student = weights.load(work / "student-0/best.safetensors").teacher.state_dict()
    teacher = weights.load(work / "teacher-0/best.safetensors").state_dict()
    assert all(torch.equal(student[name], value) for name, value in teacher.items())


def is_grey(root: Path, task: str) -> set[bool]:
    """Whether crops of the training videos of a task are grey."""
    found = set()
    for annotation in root.glob(f"{task}_*/Train_Set/*.txt"):
        crop = cv2.imread(str(min((root / "cropped_aligned" / annotation.stem).iterdir())))
        found.add(bool(np.ptp(crop.astype(int), axis=2).max() <= 2))
    return found


def test_byel_on_drawn_pictures_judged_by_real_ones(tmp_path) -> None:
    """The real ones are a portrait of the tests, with landmarks that put it in the middle of its crop."""
    (tmp_path / "real/pictures").mkdir(parents=True)
    points = ["right_eye", "left_eye", "nose", "right_mouth", "left_mouth"]
    lines = [",".join(["picture", "label", *(f"{point}_{axis}" for point in points for axis in "xy")])]
    for name in ("anger", "sadness", "neutral"):
        shutil.copyfile(CLIPS / "portrait0.jpg", tmp_path / f"real/pictures/{name}.jpg")
        lines.append(f"{name}.jpg,{name},40,50,70,50,55,65,42,80,68,80")
    lines.append("anger.jpg,anger" + "," * 10)  # no face was found
    (tmp_path / "real/labels.csv").write_text("\n".join(lines) + "\n")
    found = run("byel", tmp_path / "out", "--set", f"judge={tmp_path / 'real'}")
    assert all(0 <= cell["real"] <= 1 for cells in found["cells"].values() for cell in cells)
    steps = {name: cells[0]["steps"] for name, cells in found["cells"].items()}
    assert steps["BYEL"] == steps["supervised"] < steps["supervised, equal work"]

    work = tmp_path / "out/work"
    crops = sorted(path.relative_to(work / "real") for path in work.glob("real/*/*/*.jpg"))
    assert [crop.parent.name for crop in crops] == ["ANGER", "SADNESS"]
    assert cv2.imread(str(work / "real" / crops[0])).shape == (112, 112, 3)
    choosing, judging = (
        {path.name.split("_")[0] for path in (work / "lsd" / part).rglob("validation*/*/*.jpg")}
        for part in ("train", "judge")
    )
    assert choosing and judging and not choosing & judging
