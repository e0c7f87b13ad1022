"""docs/aff-wild2.md: its commands, in order and word for word, on a small drawn set."""

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("lightning", reason="needs the train extra")

from sentio import cli
from sentio.affect.synth.moving_picture import MovingPicture, generate

REPOSITORY = Path(__file__).resolve().parents[2]
SHORT = ["--set", "fit.epochs=1", "--set", "fit.batch_size=32", "--set", "fit.device=cpu"]


@pytest.mark.slow
def test_the_commands_of_the_page_work_in_their_order(tmp_path, monkeypatch, capsys):
    page = (REPOSITORY / "docs/aff-wild2.md").read_text()
    commands = [shlex.split(line)[1:] for line in re.findall(r"^    (sentio .*)$", page, re.MULTILINE)]
    assert {command[0] for command in commands} == {"data", "features", "train", "evaluate", "submission"}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(REPOSITORY / "recipes")
    generate(tmp_path / "AFFWILD2", MovingPicture(videos=4, seconds=3))
    Path("LIST").write_text("image_location\nvideo4/00001.jpg\nvideo4/00090.jpg\nvideo1/00040.jpg\n")
    Path("VIDEOS").write_text("video4\nvideo2_left\n")
    for command in commands:
        assert cli.main([*command, *(SHORT if command[0] == "train" else [])]) == 0, command
    assert [line.split(",")[0] for line in Path("abaw6/va.txt").read_text().splitlines()[1:]] == [
        "video4/00001.jpg",
        "video4/00090.jpg",
        "video1/00040.jpg",
    ]
    assert {path.name: len(path.read_text().splitlines()) for path in Path("abaw2").iterdir()} == {
        "video4.txt": 91,
        "video2_left.txt": 91,
    }
    out = capsys.readouterr().out
    assert out.count(": 0 errors, 0 warnings") == 2 and "p_va" in out
