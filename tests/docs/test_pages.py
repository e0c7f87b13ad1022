"""The pages make a site without a warning, and their recipes, scripts, Python and tutorials are what there is.

That every command is understood is tested in tests/cli/test_parsing.py.
"""

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pages import ALL, ROOT, Block
from write_table import page as table_page

COMMANDS = [(block, words) for block in ALL if not block.is_python for words in block.commands()]
OURS = [(block, words[1:]) for block, words in COMMANDS if Path(words[0]).name == "sentio"]
SCRIPTS = [(block, words[1:]) for block, words in COMMANDS if Path(words[0]).name.startswith("python")]
PYTHON = [block for block in ALL if block.is_python]


def named(pairs):
    return [pytest.param(block, words, id=f"{block.name} {' '.join(words)}"[:90]) for block, words in pairs]


def test_there_are_commands_and_python_on_the_pages() -> None:
    """Else what follows would look at nothing."""
    assert len(OURS) > 100 and len(SCRIPTS) > 30 and len(PYTHON) > 10


@pytest.mark.parametrize(("block", "words"), named((b, w) for b, w in OURS if w[:1] == ["train"]))
def test_recipes_and_settings_are_there(block, words) -> None:
    pytest.importorskip("torch", reason="needs the train extra")
    from sentio.core import runs

    recipe = ROOT / words[1]
    if not words[1].startswith("recipes/"):
        pytest.skip("a recipe of the reader's own")
    changes = [words[k + 1] for k, word in enumerate(words) if word == "--set"]
    runs.read(recipe, changes)


@pytest.mark.parametrize(("block", "words"), named(SCRIPTS))
def test_scripts_are_there_and_know_their_flags(block, words) -> None:
    if words[0] == "-c":
        ast.parse(words[1])
        return
    if words[0] == "-m":
        module, flags = words[1], words[2:]
        if module in ("venv", "http.server"):
            return
        path = Path(importlib.util.find_spec(module).origin)
    else:
        path, flags = ROOT / words[0], words[1:]
    source = path.read_text(encoding="utf-8")
    for flag in (word.partition("=")[0] for word in flags if word.startswith("--")):
        assert re.search(rf'"{flag}"|{flag.removeprefix("--").replace("-", "_")}\b', source), f"{block.name}: {flag}"


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.name)
def test_python_imports_what_there_is(block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sentio"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{block.name}: {node.module} has no {alias.name}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sentio":
            assert hasattr(importlib.import_module("sentio"), node.attr), f"{block.name}: sentio.{node.attr}"


@pytest.mark.slow
@pytest.mark.parametrize("tutorial", ["first-video", "first-cloud", "first-training", "first-live"])
def test_tutorials_run(tutorial, tmp_path, monkeypatch) -> None:
    """Block by block in an empty folder, as their reader would; nothing is installed, and trainings are short."""
    pytest.importorskip("torch", reason="needs the train extra")
    page = ROOT / "docs/tutorials" / f"{tutorial}.md"
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    for block in (block for block in ALL if block.page == page and block.language in ("", "python")):
        if block.language == "python":
            exec(compile(block.text, block.name, "exec"), scope)
        elif block.text.startswith("sentio ") and "```" in page.read_text().splitlines()[block.line - 2]:
            _run(block, tmp_path)


def _run(block: Block, folder: Path) -> None:
    for words in block.commands():
        short = ["--set", "fit.steps=2"] if words[1] == "train" else []
        done = subprocess.run(
            [sys.executable, "-m", *words, *short], cwd=folder, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{block.name}: {' '.join(words)}\n{done.stderr}"


def test_the_page_of_the_table_is_that_of_the_schemas() -> None:
    """`python tools/write_table.py docs/table.md` writes it anew."""
    assert (ROOT / "docs/table.md").read_text(encoding="utf-8") == table_page()


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path) -> None:
    pytest.importorskip("mkdocs", reason="needs the docs extra")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False, env=environment)
    assert built.returncode == 0, built.stdout + built.stderr
    index = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert "An open toolkit" in index and "https://fonts" not in index
    assert "Read media files" in (tmp_path / "site/api.html").read_text(encoding="utf-8")
