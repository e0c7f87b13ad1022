"""sentio doctor: what can be acted on, the same every time."""

import json

import pytest

from sentio import cli
from sentio.cli import doctor
from sentio.core import weights


def report(capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str]:
    code = cli.main(["doctor", *flags])
    return code, capsys.readouterr().out


def test_nothing_is_broken_here_and_two_runs_are_alike(capsys) -> None:
    code, shown = report(capsys)
    assert code == 0 and shown.endswith("problems: none\n")
    assert report(capsys) == (0, shown)
    code, shown = report(capsys, "--json")
    found = json.loads(shown)
    assert code == 0 and found["problems"] == []
    assert found["decoders"]["h264"] and found["weights"]["pu-any"] == "ok"
    assert len(found["dependencies"]) == 8


def test_what_is_missing_has_a_command(monkeypatch, capsys) -> None:
    version = doctor.installed_version
    absent = ("plotly", "scipy")
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name in absent else version(name))
    monkeypatch.setattr(doctor, "DECODERS", ("h264", "no_such_decoder"))
    code, shown = report(capsys)
    assert code == 1 and shown == report(capsys)[1]
    assert 'without plotly; run: pip install ".[view]"' in shown
    problems = shown.partition("problems:\n")[2].splitlines()
    assert problems[:2] == ["  The package scipy is not installed.", "    Run: pip install scipy"]
    assert problems[2] == "  This build of PyAV cannot decode no_such_decoder." and "pip install" in problems[3]


def test_an_absent_extra_and_weights_not_fetched_are_no_fault(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setenv("SENTIO_CACHE", str(tmp_path))
    version = doctor.installed_version
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name == "torch" else version(name))
    code, shown = report(capsys)
    assert code == 0 and "not fetched; run: sentio models fetch yunet" in shown


def test_damaged_and_lost_weights_are_named(monkeypatch, capsys, tmp_path) -> None:
    for path in weights.EMBEDDED.iterdir():
        if not path.name.startswith("voice.safe"):
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "face.onnx").unlink()
    (tmp_path / "face.onnx").write_bytes(b"torn")
    monkeypatch.setattr(weights, "EMBEDDED", tmp_path)
    code, shown = report(capsys)
    problems = shown.partition("problems:\n")[2]
    assert code == 1 and "face.onnx is damaged" in problems and "'voice' are not on this machine" in problems
    assert problems.count("Install the package again.") == 2
