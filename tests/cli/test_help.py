"""The help pages are pinned: a change there is a change of the interface.

After a wanted change, renew them with ``RENEW_HELP=1 pytest tests/cli/test_help.py`` and read the difference.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sentio import cli

PAGES = Path(__file__).parent / "help"
NAMES = {page: page.replace(".", " ").split() for page in (verb for verbs in cli.VERBS.values() for verb in verbs)}
NAMES |= {"sentio": [], "data.check": ["data", "check"], "data.fetch": ["data", "fetch"]}
NAMES |= {"models.fetch": ["models", "fetch"], "submission.check": ["submission", "check"]}


def shown(names: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main([*names, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("page", NAMES)
def test_pages_are_pinned(page, capsys, monkeypatch) -> None:
    text, path = shown(NAMES[page], capsys, monkeypatch), PAGES / f"{page}.txt"
    if os.environ.get("RENEW_HELP"):
        path.write_text(text)
    assert text == path.read_text(), "see the top of this file"


def test_no_page_is_left_over() -> None:
    assert {path.stem for path in PAGES.glob("*.txt")} == set(NAMES)


@pytest.mark.parametrize("page", NAMES)
def test_pages_read_like_those_of_other_tools(page, capsys, monkeypatch) -> None:
    text = shown(NAMES[page], capsys, monkeypatch)
    assert text.startswith(" ".join(["Usage: sentio", *NAMES[page]]))
    assert not re.search(r"\b(Path|Literal|tuple|Optional|None|null|STR|INT|FLOAT)\b|type:|--\w+_", text)
    assert all(len(line) <= 80 for line in text.partition("Examples:")[0].splitlines())
    for flag in re.findall(r"^  (--[^\n]*(?:\n {20,}[^\n]*)*)", text, re.MULTILINE):
        assert len(re.sub(r"\(default.*", "", flag).split()) > 2, f"{flag} has a text"


def test_every_verb_has_one_line_in_its_group(capsys, monkeypatch) -> None:
    text = shown([], capsys, monkeypatch)
    for group, verbs in cli.VERBS.items():
        block = text.partition(f"{group}:\n")[2].partition("\n\n")[0].splitlines()
        assert [line.split()[0] for line in block if line[2] != " "] == list(verbs)


def test_a_page_needs_no_other_verb_and_no_network_library() -> None:
    code = (
        "import sys; from sentio.cli import main; main(['models', '--help'])\n"
        "print(sorted({'sentio.cli.doctor', 'sentio.cli.upsample', 'numpy', 'cv2', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_python_m_sentio_is_the_same(capsys, monkeypatch) -> None:
    env = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run([sys.executable, "-m", "sentio", "-h"], capture_output=True, text=True, check=True, env=env)
    assert done.stdout == shown([], capsys, monkeypatch)


def test_without_a_verb_the_help_is_shown_and_nothing_was_done(capsys, monkeypatch) -> None:
    text = shown([], capsys, monkeypatch)
    assert cli.main([]) == 2
    assert capsys.readouterr().out == text
