"""The command line as a user meets it: help, exit codes, messages, JSON."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sentio import cli
from sentio.affect.analysis import jobs
from sentio.cli import doctor
from sentio.core import fetch

PINNED = {
    "analyze": "out formats detector search_interval fps start end model plot shard demo json quiet resume",
    "upsample": "keep_input no_keep_input ratio points out model format preview view attention json",
    "train": "data out settings resume",
    "evaluate": "data split fallback out submit track edition images json",
    "evaluate-points": "models clouds ratio input_points noise seed out json",
    "data": "out all_images json",
    "features": "encoder out fetch",
    "synth": "rigs videos images voices table seconds seed workers",
    "models": "json",
    "doctor": "json",
}
"""Flags of every verb: a change here is a change of the interface."""


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "sentio", *arguments], capture_output=True, text=True, **options)


def test_help_lists_every_verb(capsys) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert set(cli.VERBS) == set(PINNED)
    assert all(f"    {verb} " in shown for verb in PINNED)


@pytest.mark.parametrize("verb", PINNED)
def test_flags_are_pinned_and_explained(verb, capsys) -> None:
    with pytest.raises(SystemExit):
        cli.main([*verb.split(), "--help"])
    shown = capsys.readouterr().out
    flags = set(re.findall(r"--(\w+)", shown)) - {"help"}
    assert {flag for flag in flags if f"  --{flag}" in shown or f", --{flag}" in shown} == set(PINNED[verb].split())
    texts = re.findall(r"^  (--\w+[^\n]*(?:\n   [^\n]*)*)", shown, re.MULTILINE)
    assert all(len(re.sub(r"\(type:.*", "", text, flags=re.DOTALL).split()) > 2 for text in texts), "each has a text"


@pytest.mark.slow
def test_both_spellings_of_a_flag(tmp_path) -> None:
    np.savetxt(tmp_path / "flat.xyz", np.random.default_rng(0).random((300, 3)) * [1, 1, 0])
    for spelling in ("--keep-input", "--keep_input"):
        done = run("upsample", str(tmp_path / "flat.xyz"), spelling, "--points", "500", "--json", check=True)
        assert json.loads(done.stdout)["input_kept"]


def test_wrong_usage_is_code_2_and_errors_are_code_1(tmp_path) -> None:
    assert run("analyze", "--fps", "fast").returncode == 2
    assert run("no-such-verb").returncode == 2
    nothing = run("analyze")
    assert (nothing.returncode, nothing.stderr.count("\n")) == (1, 2)
    assert "sentio: Nothing to read." in nothing.stderr and "--demo" in nothing.stderr
    (tmp_path / "empty.mp4").touch()
    failed = run("analyze", str(tmp_path / "empty.mp4"), "--out", str(tmp_path / "out"))
    assert failed.returncode == 1 and "is empty" in failed.stdout
    assert json.loads((tmp_path / "out/failed.json").read_text())[0]["fix"]
    assert "Traceback" not in failed.stderr + nothing.stderr


def test_analyze_the_demo_as_json(tmp_path) -> None:
    done = run("analyze", "--demo", "--out", str(tmp_path), "--fps", "5", "--formats", "[jsonl]", "--json", check=True)
    summary = json.loads(done.stdout)
    assert [entry["rows"] for entry in summary["done"]] == [40]
    rows = [json.loads(line) for line in (tmp_path / "demo.sentio/affect.jsonl").read_text().splitlines()]
    assert rows[0]["person"] == 0
    assert done.stderr == ""


@pytest.mark.slow
def test_names_that_look_like_flags_and_markup(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(jobs.DEMO_CLIP, tmp_path / "in/--a-b [red].mp4")
    options = ["--end", "0.1", "--out", str(tmp_path / "out")]
    run("analyze", *options, "--", "--a-b [red].mp4", cwd=tmp_path / "in", check=True)
    assert (tmp_path / "out/--a-b [red].sentio/affect.csv").is_file()


def test_models_lists_what_there_is(capsys) -> None:
    assert cli.main(["models", "--json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert listed["yunet"]["licence"] == "Apache-2.0"
    assert listed["pu-any"]["state"] == "embedded"
    assert {"capnet", "fer-tuned", "pu-mfa"} <= set(listed)
    assert cli.main(["models"]) == 0
    assert "yunet" in capsys.readouterr().out


def test_models_fetch_passes_names_on(monkeypatch, capsys) -> None:
    monkeypatch.setattr(fetch, "fetch", lambda name, progress: [Path(f"{name}.onnx")])
    assert cli.main(["models", "fetch", "yunet"]) == 0
    assert capsys.readouterr().out == "yunet.onnx\n"
    assert cli.main(["models", "fetch"]) == 1


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_error() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "sentio", "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    child.stdout.close()
    assert child.stderr.read() == ""
    assert child.wait() == 141


def test_doctor_finds_no_problem_here(capsys) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == []
    assert 1 <= report["quickest_threads"] <= report["machine"]["usable_cores"]
    assert report["decoders"]["h264"] and report["weights"]["pu-any"] == "ok"
    assert set(report["dependencies"]) == {
        "numpy",
        "scipy",
        "av",
        "opencv-python-headless",
        "onnxruntime",
        "pyarrow",
        "rich",
        "jsonargparse",
    }


def test_doctor_says_how_to_get_what_is_missing(monkeypatch, capsys) -> None:
    version = doctor.installed_version
    absent = ("plotly", "scipy")
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name in absent else version(name))
    assert cli.main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert 'view: without plotly; run: pip install ".[view]"' in shown
    assert "problems: The package scipy is not installed." in shown


@pytest.mark.slow
def test_upsample_a_file_with_its_attributes(tmp_path) -> None:
    from sentio.points.io import read_cloud

    random = np.random.default_rng(1)
    flat = np.c_[random.random((400, 2)), np.zeros(400)]
    rows = np.c_[flat, flat[:, 0]]
    np.savetxt(tmp_path / "flat.csv", rows, delimiter=",", header="x,y,z,height", comments="")
    done = run(
        "upsample", str(tmp_path / "flat.csv"), "--ratio", "2.5", "--preview", str(tmp_path / "p.png"), check=True
    )
    assert "points_after: 1000" in done.stdout
    dense = read_cloud(tmp_path / "flat.dense.csv")
    assert len(dense.points) == 1000
    assert np.abs(dense.attributes["height"] - dense.points[:, 0]).max() < 0.05
    assert (tmp_path / "p.png").stat().st_size > 1000
    refused = run("upsample", str(tmp_path / "flat.csv"), "--out", str(tmp_path / "flat.csv"))
    assert refused.returncode == 1 and "is the source itself" in refused.stderr


@pytest.mark.slow
def test_train_refuses_before_it_begins(tmp_path) -> None:
    done = run("train", str(tmp_path / "none.json"), "--data", str(tmp_path), "--out", str(tmp_path / "run"))
    assert done.returncode == 1 and "Cannot read the recipe" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", [["evaluate", "--points"], ["evaluate-points"]])
def test_evaluate_points_reads_its_arguments(verb, tmp_path, monkeypatch) -> None:
    asked = {}
    monkeypatch.setitem(cli.VERBS, "evaluate-points", (_asked(asked), cli.VERBS["evaluate-points"][1]))
    assert cli.main([*verb, str(tmp_path), "--ratio", "2.5"]) == 0
    assert asked == {"data": tmp_path, "ratio": 2.5}


def _asked(kept: dict):
    def evaluate(data: Path, *, ratio: float = 4.0) -> int:
        """Evaluate.

        Args:
            ratio: points out for each point in.
        """
        kept.update(data=data, ratio=ratio)
        return 0

    return evaluate


def test_without_torch_the_verbs_of_training_say_what_to_install(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    folder = str(tmp_path)
    for verb in (
        ["train", "recipe.json", "--data", folder, "--out", folder],
        ["evaluate", folder, "--data", folder],
        ["features", folder, "--encoder", "vit"],
    ):
        assert cli.main(verb) == 1
        assert 'pip install ".[train]"' in capsys.readouterr().err


def test_public_names() -> None:
    import sentio

    assert len(sentio.__all__) <= 12
    assert all(getattr(sentio, name) is not None for name in sentio.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = sentio.nothing
