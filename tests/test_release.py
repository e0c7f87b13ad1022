"""What is given away: wheel and source distribution, built as for a release and installed into an empty environment."""

import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import sentio

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 10_000_000
UNREACHABLE = ("No matching distribution found", "Failed to establish a new connection", "Could not find a version")


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert project["version"] == sentio.__version__
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE)[1] == sentio.__version__
    assert re.search(r"^## (\S+)", changes, re.MULTILINE)[1] == sentio.__version__


def test_notice_names_every_card() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    names = {
        path.stem.split("-start")[0].split("-scale")[0].split("-encoder")[0]
        for path in (ROOT / "src/sentio/weights").glob("*.json")
    }
    assert not [name for name in names if not re.search(rf"\b{name}\b", notice)]


def run(*command: str | Path, folder: Path) -> str:
    """What a command prints; skips where there is no registry."""
    plain = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=500, check=False, env=plain)
    said = done.stdout + done.stderr
    if done.returncode and any(words in said for words in UNREACHABLE):
        pytest.skip("no registry of packages can be reached")
    assert done.returncode == 0, said[-3000:]
    return said


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of both, built by the one from the other as `python -m build` does."""
    pytest.importorskip("build", reason="needs the dev extra")
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, ROOT, folder=out)
    return out


@pytest.mark.slow
def test_wheel_and_source_are_sound(built) -> None:
    wheel, source = next(built.glob("*.whl")), next(built.glob("*.tar.gz"))
    assert "PASSED" in run(sys.executable, "-m", "twine", "check", "--strict", wheel, source, folder=built)
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    assert not [name for name, size in sizes.items() if size > LARGEST]
    names = " ".join(sizes)
    for needed in ("LICENSE", "NOTICE", "uplot/LICENSE", "py.typed", "weights/face.onnx", "assets/live/main.js"):
        assert needed in names, needed
    assert not [name for name in sizes if name.startswith("tests") or name.endswith((".pyc", ".pkl", ".pt"))]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_it_works_in_an_empty_environment(built, tmp_path, kind) -> None:
    """Without torch, without the checkout: the version, the models, and the first half second of the clip."""
    home = tmp_path / "environment"
    venv.create(home, with_pip=True)
    run(home / "bin/pip", "install", "-q", next(built.glob(kind)), folder=tmp_path)
    program = home / "bin/sentio"
    assert run(program, "--version", folder=tmp_path).strip() == f"sentio {sentio.__version__}"
    run(program, "analyze", "--demo", "--end", "0.5", "--quiet", folder=tmp_path)
    assert (tmp_path / "demo.mp4.sentio/report.html").stat().st_size > 10_000
    assert "torch" not in run(home / "bin/pip", "list", folder=tmp_path)
