"""The README's first training on a small drawn set: the same commands, as a user gives them."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("lightning", reason="needs the train extra")

from sentio import cli
from sentio.affect.protocol.readback import validate
from sentio.affect.synth.moving_picture import MovingPicture, generate

RECIPE = Path(__file__).resolve().parents[2] / "recipes/first.json"


@pytest.mark.slow
def test_check_train_evaluate_submit(tmp_path, capsys) -> None:
    faces, run, out = (str(tmp_path / name) for name in ("faces", "run", "out"))
    generate(Path(faces), MovingPicture(videos=4, seconds=2))
    assert cli.main(["data", "check", faces]) == 0
    steps = ["--set", "fit.steps=3", "--set", "fit.batch_size=16", "--set", "fit.device=cpu"]
    assert cli.main(["train", str(RECIPE), "--data", faces, "--out", run, *steps]) == 0
    assert cli.main(["evaluate", run, "--data", faces, "--json"]) == 0
    assert np.isfinite(json.loads((tmp_path / "run/evaluation.json").read_text())["scores"]["p_va"])

    form = ["--submit", out, "--track", "va", "--edition", "6"]
    capsys.readouterr()
    assert cli.main(["evaluate", run, "--data", faces, *form]) == 1
    said = capsys.readouterr().err
    assert "no test clip" in said and "--images LIST" in said and "--split validation" in said
    assert not Path(out).exists()

    assert cli.main(["evaluate", run, "--data", faces, "--split", "validation", *form]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "out/va.txt")]
    labels = Path(faces, "VA_Estimation_Challenge/Validation_Set/video4.txt").read_text().splitlines()
    expected = {"video4": np.arange(1, len(labels))}
    assert not list(validate(tmp_path / "out/va.txt", "va", 6, expected))
