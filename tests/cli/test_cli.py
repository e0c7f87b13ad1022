"""The command line as a user meets it: help, exit codes, messages, JSON."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sentio import cli
from sentio.affect.analysis.sources import DEMO_CLIP
from sentio.core import fetch


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "sentio", *arguments], capture_output=True, text=True, **options)


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
    options = ["--out", str(tmp_path), "--fps", "5", "--formats", "jsonl", "--no-report", "--json"]
    done = run("analyze", "--demo", *options, check=True)
    summary = json.loads(done.stdout)
    names = ["affect.jsonl", "affect.jsonl.header.json", "run.json"]
    assert sorted(path.name for path in (tmp_path / "demo.mp4.sentio").iterdir()) == names
    assert [entry["rows"] for entry in summary["done"]] == [50]
    rows = [json.loads(line) for line in (tmp_path / "demo.mp4.sentio/affect.jsonl").read_text().splitlines()]
    assert rows[0]["person"] == 0
    assert done.stderr == ""


@pytest.mark.slow
def test_names_that_look_like_flags_and_markup(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(DEMO_CLIP, tmp_path / "in/--a-b [red].mp4")
    options = ["--end", "0.1", "--out", str(tmp_path / "out")]
    run("analyze", *options, "--", "--a-b [red].mp4", cwd=tmp_path / "in", check=True)
    assert (tmp_path / "out/--a-b [red].mp4.sentio/affect.csv").is_file()


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


@pytest.mark.slow
def test_train_refuses_before_it_begins(tmp_path) -> None:
    done = run("train", str(tmp_path / "none.json"), "--data", str(tmp_path), "--out", str(tmp_path / "run"))
    assert done.returncode == 1 and "Cannot read the recipe" in done.stderr
    assert not (tmp_path / "run").exists()


def test_without_torch_the_verbs_of_training_say_what_to_install(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    folder = str(tmp_path)
    for verb in (
        ["train", "recipe.json", "--data", folder, "--out", folder],
        ["evaluate", folder, "--data", folder],
        ["features", folder, "--visual", "vit"],
    ):
        assert cli.main(verb) == 1
        assert 'pip install ".[train]"' in capsys.readouterr().err


def test_public_names() -> None:
    import sentio

    assert len(sentio.__all__) <= 12
    assert all(getattr(sentio, name) is not None for name in sentio.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = sentio.nothing
