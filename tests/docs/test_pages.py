"""The pages make a site without a warning, and say of each block of code what it is.

That every command is understood is tested in tests/cli/test_parsing.py, that blocks run in tests/docs/test_blocks.py.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pages import ALL, ROOT
from sentio.affect.synth import acting
from sentio.core.config import from_dict
from write_table import page as table_page

KINDS = {"python", "shell", "json", "html", "text"}
PROGRAMS = (
    "sentio",
    "python",
    "python3",
    "pip",
    "pytest",
    "ruff",
    "mypy",
    "torchrun",
    "srun",
    "ray",
    "source",
    "cp",
    "apt-get",
)


def of_kind(kind: str):
    return pytest.mark.parametrize(
        "block", [block for block in ALL if block.kind == kind], ids=lambda block: block.name
    )


def test_every_block_is_of_a_kind_that_is_known() -> None:
    """A block without a language is Python, if it begins with an import, or commands; else this falls or they do."""
    assert {block.kind for block in ALL} == KINDS
    counts = {kind: sum(block.kind == kind for block in ALL) for kind in KINDS}
    assert counts["shell"] > 60 and counts["python"] > 15


@of_kind("shell")
def test_commands_are_of_programs_that_are_known(block) -> None:
    assert {Path(words[0]).name for words in block.commands()} <= set(PROGRAMS)


@of_kind("text")
def test_no_command_hides_in_what_is_not_run(block) -> None:
    assert not [line for line in block.text.splitlines() if line.split()[:1] in (["sentio"], ["python"], ["pip"])]


@of_kind("json")
def test_parts_of_recipes_and_tables_are_read(block, tmp_path) -> None:
    [(name, part)] = json.loads(f"{{{block.text}}}").items()
    if name == "data":
        pytest.importorskip("torch", reason="needs the train extra")
        from sentio.affect.training.published import DataConfig

        from_dict(DataConfig, part)
    else:
        (tmp_path / "expressions.json").write_text(json.dumps(acting.expressions() | {name: part}))
        acting.draw(name, np.random.default_rng(0), acting.expressions(tmp_path / "expressions.json"), 1.0)


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
