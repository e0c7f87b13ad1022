"""Experiments: intervals against scipy's own tests, cells done once, refusals, verdicts, files."""

import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

torch = pytest.importorskip("torch", reason="needs the train extra")

from sentio.core import experiments  # noqa: E402
from sentio.core.errors import InputError, RecipeError  # noqa: E402
from sentio.core.experiment_plot import draw  # noqa: E402
from sentio.core.experiments import Claim, Experiment, fingerprint, interval, make, reproduce  # noqa: E402

BASE = {"weak": 0.0, "strong": 1.0}


@dataclass(frozen=True)
class Draws(Experiment):
    """A cell is a random number; every second score of it is an error, where less is better."""

    name: ClassVar[str] = "draws"
    claim: ClassVar[str] = "Strong is better than <weak>"
    published: ClassVar[str] = "none"
    baseline: ClassVar[str] = "weak"
    scores: ClassVar[tuple[str, ...]] = ("score", "error")
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim("Strong scores more", "strong", "weak", "score"),
        Claim("Strong errs less", "strong", "weak", "error", higher=False),
        Claim("Weak scores more", "weak", "strong", "score"),
        Claim("Never tried", "strong", "missing", "score"),
    )
    paper: ClassVar[dict[str, str]] = {"score": "0.9"}
    ran: ClassVar[list[tuple[str, int]]] = []
    spread: float = 0.1
    fails_at: int = -1
    judge: str | None = None

    def variants(self, quick: bool) -> tuple[str, ...]:
        return tuple(BASE)

    def seeds(self, quick: bool) -> int:
        return 3 if quick else 4

    def further_data(self) -> tuple[Path, ...]:
        return (Path(self.judge),) if self.judge else ()

    def prepare(self, data: Path | None, work: Path, quick: bool) -> Path:
        return data or make(work / "drawn", lambda folder: folder.mkdir())

    def run(self, variant: str, seed: int, data: Path, work: Path, quick: bool) -> dict[str, float]:
        self.ran.append((variant, seed))
        if seed == self.fails_at:
            raise KeyboardInterrupt
        value = BASE[variant] + self.spread * np.random.default_rng((seed, len(variant))).standard_normal()
        return {"score": value, "error": math.nan if self.spread < 0 else -value}


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    Draws.ran.clear()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_interval_is_students(count) -> None:
    values = np.random.default_rng(count).standard_normal(count).tolist()
    found = interval(values)
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert found.mean == pytest.approx(np.mean(values))


def test_a_difference_is_paired_by_seed(tmp_path) -> None:
    result = reproduce(Draws(), None, tmp_path)
    strong, weak = result.values("strong", "score"), result.values("weak", "score")
    wanted = stats.ttest_rel(strong, weak).confidence_interval(0.95)
    more, less, reverse, _ = Draws.claims
    found = result.difference(more)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert result.difference(less) == found  # the error is the score's negative
    assert result.difference(reverse).mean == pytest.approx(-found.mean)


@pytest.mark.parametrize(
    ("spread", "seeds", "verdicts"),
    [
        (0.1, 4, ["shown", "shown", "not shown"]),
        (9.0, 4, ["not shown", "not shown", "not shown"]),
        (0.1, 2, ["too few seeds to say"] * 3),
    ],
)
def test_the_interval_decides_what_is_shown(spread, seeds, verdicts, tmp_path) -> None:
    result = reproduce(Draws(spread=spread), None, tmp_path, seeds=seeds)
    assert [claim["verdict"] for claim in result.to_dict()["claims"]] == verdicts
    assert [line.split("**")[1] for line in result.to_text().splitlines() if "**" in line] == verdicts


def test_what_is_done_is_not_done_again(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        reproduce(Draws(fails_at=1), None, tmp_path / "stopped")
    assert Draws.ran == [("weak", 0), ("strong", 0), ("weak", 1)]
    assert not (tmp_path / "stopped/results.json").exists()

    first = reproduce(Draws(), None, tmp_path / "out", seeds=2)
    Draws.ran.clear()
    whole = reproduce(Draws(), None, tmp_path / "out")
    assert Draws.ran == [(name, seed) for seed in (2, 3) for name in BASE]
    assert {name: cells[:2] for name, cells in whole.cells.items()} == first.cells
    assert whole.cells == reproduce(Draws(), None, tmp_path / "at once").cells


def test_cells_of_other_settings_or_data_are_refused(tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/labels.txt").write_text("1")
    reproduce(Draws(), tmp_path / "data", tmp_path / "out", seeds=1)
    Draws.ran.clear()
    with pytest.raises(InputError, match="of other settings: .*'spread': 0.1.*0.2"):
        reproduce(Draws(spread=0.2), tmp_path / "data", tmp_path / "out")
    with pytest.raises(InputError, match="of the other form"):
        reproduce(Draws(), tmp_path / "data", tmp_path / "out", quick=True)
    (tmp_path / "data/labels.txt").write_text("2")
    with pytest.raises(InputError, match="of other data"):
        reproduce(Draws(), tmp_path / "data", tmp_path / "out")
    assert not Draws.ran


def test_cells_of_other_further_data_are_refused(tmp_path) -> None:
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge/labels.csv").write_text("1")
    judged = Draws(judge=str(tmp_path / "judge"))
    with_judge = reproduce(judged, None, tmp_path / "out", seeds=1).header["data_hash"]
    without = reproduce(Draws(), None, tmp_path / "alone", seeds=1).header["data_hash"]
    assert without == fingerprint(tmp_path / "alone/work/drawn") != with_judge
    (tmp_path / "judge/labels.csv").write_text("2")
    with pytest.raises(InputError, match="of other data"):
        reproduce(judged, None, tmp_path / "out", seeds=1)
    with pytest.raises(InputError, match="absent is no folder"):
        reproduce(Draws(judge=str(tmp_path / "absent")), None, tmp_path / "new", seeds=1)
    assert not (tmp_path / "new").exists()


def test_what_was_drawn_for_other_settings_is_refused_without_a_cell_too(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        reproduce(Draws(fails_at=0), None, tmp_path)
    assert not list((tmp_path / "cells").glob("*"))
    with pytest.raises(InputError, match="of other settings"):
        reproduce(Draws(), None, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        reproduce(Draws(fails_at=0), None, tmp_path)


def test_what_cannot_be_done_is_refused_before_it_begins(tmp_path) -> None:
    with pytest.raises(InputError, match="no .*absent"):
        reproduce(Draws(), tmp_path / "absent", tmp_path / "out")
    with pytest.raises(InputError, match="--seeds 1 or more"):
        reproduce(Draws(), None, tmp_path / "out", seeds=0)
    with pytest.raises(RecipeError, match="no experiment named 'nothing'.*\n.*capnet"):
        experiments.find("nothing")
    assert not (tmp_path / "out").exists()


def test_the_files_of_a_result(tmp_path) -> None:
    result = reproduce(Draws(), None, tmp_path, quick=True)
    kept = json.loads((tmp_path / "results.json").read_text())
    assert kept == json.loads(json.dumps(result.to_dict()))
    assert [kept[name] for name in ("quick", "seeds", "data")] == [True, 3, "drawn by the experiment"]
    assert kept["table"]["strong"]["score"]["mean"] == pytest.approx(np.mean(result.values("strong", "score")))

    table = (tmp_path / "table.md").read_text()
    assert table == result.to_text()
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[1:]] == ["| weak (baseline)", "| strong", "| *paper*"]
    assert all(word in table for word in ("quick form", f"hash {kept['data_hash']}", "Machine", "0.9"))

    picture = ElementTree.parse(tmp_path / "plot.svg").getroot()
    assert len(picture.findall("{*}circle")) == 2 * 2 * 3  # scores, variants, seeds
    assert "<weak>" in "".join(picture.itertext())


def test_an_undefined_score_is_no_number_in_any_file(tmp_path) -> None:
    result = reproduce(Draws(spread=-0.1), None, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())["table"]["weak"]["error"]["mean"] is None
    assert re.search(r"weak \(baseline\) \| [^|]*\d \|  \|\n", result.to_text())
    assert result.verdict(Draws.claims[1]) == "not measured"
    assert "Strong errs less" not in result.to_text()
    assert "nan" not in (tmp_path / "plot.svg").read_text()
    words = [text.text for text in ElementTree.parse(tmp_path / "plot.svg").getroot().findall("{*}text")]
    assert words.count("weak") == 1  # in the panel of the score, and not in that of the error


def test_a_long_title_of_a_plot_takes_two_lines() -> None:
    first, second = (text.text for text in ElementTree.fromstring(draw("long " * 30, {})).findall("{*}text"))
    assert f"{first} {second}" == ("long " * 30).strip()


def test_a_folder_is_made_whole_or_not_at_all(tmp_path) -> None:
    def breaks(folder: Path) -> None:
        folder.mkdir()
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "set", breaks)
    assert not (tmp_path / "set").exists()
    made = make(tmp_path / "set", lambda folder: folder.mkdir())
    assert list(made.iterdir()) == []
    assert make(made, breaks) == made


def test_a_fingerprint_knows_texts_by_content_and_the_rest_by_size(tmp_path) -> None:
    def changed(name: str, text: str) -> bool:
        before = fingerprint(tmp_path)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return fingerprint(tmp_path) != before

    assert changed("labels.txt", "0.1")
    assert changed("labels.txt", "0.2")
    assert changed("pictures/1.jpg", "abc")
    assert changed("pictures/1.jpg", "abcd")
    assert not changed("features/1.safetensors", "abc")


def test_every_file_holds_the_experiment_of_its_name() -> None:
    for name in experiments.names():
        kind = experiments.find(name)
        found = kind()
        names = set(found.variants(True)) | set(found.variants(False))
        assert kind.baseline in names
        assert {row for claim in kind.claims for row in (claim.better, claim.worse)} <= names
        assert {claim.score for claim in kind.claims} | set(kind.paper) <= set(kind.scores)
        assert found.seeds(False) >= experiments.FEWEST


def test_a_fingerprint_passes_over_what_is_no_file(tmp_path) -> None:
    (tmp_path / "a.txt").symlink_to(tmp_path / "gone.txt")
    os.mkfifo(tmp_path / "b.txt")
    assert len(fingerprint(tmp_path)) == 12
