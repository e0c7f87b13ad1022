"""How a command line is read, and what is said of a wrong one."""

import inspect
import re
import shlex
from pathlib import Path

import pytest

from sentio import cli

ROOT = Path(__file__).parents[2]
PLACES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "src").rglob("*.py"))]
COMMAND = re.compile(r"^ *(?:\.venv/bin/)?sentio [a-z].*|`(sentio [a-z][^`]* [^`]*)`|`(sentio (?:doctor|models))`")


def read(*words: str) -> dict:
    """The arguments that the verb's function would get."""
    function, bound, _ = cli.build().parse_args(words, print_error=False, exit_on_error=False)
    named = inspect.signature(function).bind(*bound.args, **bound.kwargs)
    return named.arguments


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(list(words)) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("sentio: ") and told.err.count("\n") == 1
    return told.err


def test_lists_are_commas_and_repeated_flags() -> None:
    expected = ("csv", "jsonl", "parquet")
    assert read("analyze", "a.mp4", "--formats", "csv,jsonl", "--formats=parquet")["formats"] == expected
    assert read("synth", "out", "--rigs", "a,b", "--rigs", "c d")["rigs"] == (Path("a"), Path("b"), Path("c d"))


def test_settings_of_a_recipe_are_repeated_flags_and_keep_their_commas() -> None:
    given = ["train", "r.json", "--data", "d", "--out", "o", "--set", "fit.lr=0.001", "--set", "model.sizes=[1,2]"]
    assert tuple(read(*given)["settings"]) == ("fit.lr=0.001", "model.sizes=[1,2]")


def test_names_that_look_like_flags_and_odd_ones() -> None:
    names = ["--points", "-x", "a b [red].ply", "@list", "über.ply", "x=1", "caf\udce9.ply", "[1]", "a,b.ply"]
    assert read("upsample", "--json", "--", *names)["paths"] == tuple(map(Path, names))


def test_a_switch_of_three_states() -> None:
    assert "keep_input" not in read("upsample", "a")
    assert read("upsample", "a", "--keep-input")["keep_input"] is True
    assert read("upsample", "a", "--no-keep-input")["keep_input"] is False


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["upsample", "a", "--ratoi", "2"], "--ratoi. Did you mean --ratio?"),
        (["upsample", "a", "--zzz"], "--zzz. sentio upsample --help lists"),
        (["upsample", "a", "--ratio", "fast"], "--ratio needs a number, not 'fast'."),
        (["upsample", "a", "--points", "2.5"], "--points needs a whole number, not '2.5'."),
        (["upsample", "a", "--ratio", "0.5"], '"0.5" for --ratio. Must be >= 1.'),
        (["upsample", "a", "--ratio", "nan"], "--ratio"),
        (["upsample", "a", "--points", "0"], '"0" for --points. Must be >= 1.'),
        (["upsample", "a", "--ratio", "2", "--points", "9"], "--ratio and --points exclude each other."),
        (["upsample", "a", "--ratio"], "--ratio needs a value: points out"),
        (["analyze", "a", "--formats", ","], "--formats needs a value: what to write"),
        (["upsample", "a", "--ratio", "2", "--ratio", "3"], "--ratio"),
        (["upsample", "a", "--model", "pu-man"], '"pu-any", "pu-mfa". Did you mean'),
        (["analyze", "a", "--formats", "csv,exl"], '"jsonl", "vtt", "eaf", "textgrid"'),
        (["analyze", "a", "--formats", "[csv]"], '"parquet", "csv", "jsonl"'),
        (["evaluate", "r", "--out", "o"], "--data is missing: the data"),
        (["synth", "--rigs", "r"], "OUT is missing: folder to fill."),
        (["train", "r", "s", "--data", "d", "--out", "o"], "'s' is one argument too many; sentio train --help"),
        (["synt"], "Did you mean synth? There are: analyze, live, convert, upsample"),
        (["data", "chekc", "x"], "Did you mean check? There are: check, fetch."),
        (["models", "fecth", "yunet"], "Did you mean fetch?"),
        (["data", "fetch", "mpfd"], '"mpfb", "ict-facekit"'),
    ],
)
def test_what_is_wrong_is_said_in_a_line(words, told, capsys) -> None:
    assert told in refused(capsys, *words)


def commands() -> list[str]:
    """What people are told to type: in the pages, and in the messages and examples of the code."""
    found = []
    for path in PLACES:
        for line in re.sub(r"\\\n +", "", path.read_text(encoding="utf-8")).splitlines():
            for match in COMMAND.finditer(line):
                text = (match[1] or match[2] or match[0]).strip()
                found.append(f"{path.relative_to(ROOT)}: {text}")
    return found


@pytest.mark.parametrize("command", commands())
def test_commands_in_the_pages_are_right(command) -> None:
    words = shlex.split(command.partition(": ")[2], comments=True)[1:]
    chain, _, rest = cli.build().parse_commands(words)
    assert chain
    if rest:
        read(*words)  # otherwise no more than the verb is mentioned


def test_the_pages_show_commands() -> None:
    assert len(commands()) > 40
