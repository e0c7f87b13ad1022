"""The words of a report: the tables that stand below its drawings, read as a page's reader reads them."""

import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sentio.affect.analysis.options import Options
from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS
from sentio.affect.media import Info
from sentio.affect.results.report_tables import clock, command, facts, percent, tables
from sentio.affect.results.summary import Summary
from sentio.affect.table import AFFECT
from sentio.cli import build
from sessions import Session, nobody, scored

FOUR = dict.fromkeys(ACTION_UNITS, 0.5)


class Reader(HTMLParser):
    """Headings, the cells of each table by its heading, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[str] = []
        self.text, self._place, self._heading = "", "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.tags.append(tag)
        self._place = tag
        if tag == "h2":
            self._heading = ""
        elif tag == "tr":
            self.tables.setdefault(self._heading, []).append([])
        elif tag in ("td", "th"):
            self.tables[self._heading][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._place = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._place == "h2":
            self._heading += data
        elif self._place in ("td", "th"):
            self.tables[self._heading][-1][-1] += data


def read(rows, session: Session | None = None) -> Reader:
    summary = Summary(FOUR)
    for row in rows:
        summary.push(row)
    summary.flush()
    session = session or Session(Path())
    return Reader(tables(summary, session, session.header(AFFECT)))


def test_persons_action_units_gaps_and_voice() -> None:
    happy = {"expression": "Happiness", "valence": 0.5, "arousal": -0.004, "quality": 0.75, **dict.fromkeys(
        (f"au_{unit[2:]}" for unit in ACTION_UNITS), 0.1)}  # fmt: skip
    voice = {"speech": 0.8, "voice_expression": "Fear", "voice_valence": -0.25, "voice_arousal": 0.5}
    rows = [scored(k / 4, 0, **happy | {"au_12": 0.9 if k < 4 else 0.1}, **voice) for k in range(8)]
    rows += [scored(2.0 + k / 4, 0, **happy | {"expression": "Anger"}, reason="small", **voice) for k in range(4)]
    rows += [nobody(3.0 + k / 4) for k in range(4)]
    found = read(rows).tables
    [head, person] = found["Persons"]
    told = dict(zip(head, person, strict=True))
    assert told["person"] == "person 0" and told["in sight"] == "3.0 s" and told["face fit"] == "67 %"
    assert (told["quality"], told["valence"], told["arousal"]) == ("0.75", "+0.50", "+0.00")
    assert {label: told[label] for label in EXPRESSIONS if told[label]} == {"Happiness": "67 %", "Anger": "33 %"}
    units = dict(zip(*found["Action units"], strict=True))
    assert units["AU12"] == "1x, 1.0 s" and units["AU4"] == ""
    assert found["Gaps and losses"][1:] == [
        ["nobody", "no face", "1.0 s", "25 %"],
        ["person 0", "small", "1.0 s", "25 %"],
    ]
    told = dict(zip(*found["Voice"], strict=True))
    assert (told["sound"], told["speech"], told["valence"], told["Fear"]) == ("3.0 s", "0.80", "-0.25", "100 %")


def test_who_speaks_and_what_the_rows_rest_on() -> None:
    voice = {"speech": 0.9, "voice_expression": "Fear", "voice_valence": 0.0, "voice_arousal": 0.0, "modality": "both"}
    rows = [scored(k / 4, 0, speaking=0.5 if k < 3 else 0.49, **voice) for k in range(8)]
    rows += [scored(2 + k / 4, 1, modality="face") for k in range(4)]
    rows += [nobody(3 + k / 4, **voice | {"modality": "voice"}) for k in range(4)]
    reader = read(rows)
    head, *persons = reader.tables["Persons"]
    assert [person[head.index("speaks")] for person in persons] == ["0.8 s", ""]
    told = "What the rows rest on: the face alone in 25 %, face and voice in 50 %, the voice alone in 25 %."
    assert told in reader.text and "Speaks: the time" in reader.text
    silent = read([scored(0.0, modality="face")])
    assert "speaks" not in silent.tables["Persons"][0] and "What the rows" not in silent.text


def test_names_events_and_losses_are_text() -> None:
    hostile = "<b>&amp;\"'</td></table>"
    told = {"names": {"0": hostile}, "media": {"damage": hostile, "size": [3, 4]}, "voice": {"name": hostile}}
    reader = read([scored(0.0, reason=hostile)], Session(Path(), name=hostile, told=told))
    assert "b" not in reader.tags and reader.tables["Persons"][1][0] == hostile
    assert reader.tables["Gaps and losses"][1][:2] == [hostile, hostile]
    assert f"Pictures lost or repaired: {hostile}." in reader.text and "size: [3, 4]" in reader.text


def test_what_there_is_not_has_no_table() -> None:
    reader = read([nobody(0.0)])
    assert "No face was found." in reader.text
    assert set(reader.tables) == {"Gaps and losses"}
    assert "Every face is fit." in read([scored(0.0)]).text and "viewer would perceive" in reader.text


def test_bridged_rows_are_explained_and_are_no_time_in_sight() -> None:
    rows = [scored(k / 4, reason="no face, bridged" if 4 <= k < 6 else "small" if k < 2 else None) for k in range(8)]
    reader = read(rows)
    assert "Bridged" in reader.text
    assert reader.tables["Persons"][1][:3] == ["person 0", "1.5 s", "67 %"]
    assert "Bridged" not in read([scored(0.0, reason="small")]).text


def test_the_command_reads_the_file_in_the_same_way() -> None:
    options = Options("haar", fps=12.5, start=1.0, model="none", landmarks=True, embed_video=True)
    session = Session(Path(), name="it's 1.mp4", path=Path("it's 1.mp4"), options=options)
    function, bound, _ = build().parse_args(shlex.split(command(session))[1:], print_error=False, exit_on_error=False)
    assert function.__name__ == "analyze" and bound.args == (Path("it's 1.mp4"),)
    named = {name: bound.kwargs[name] for name in ("detector", "fps", "start", "model", "landmarks", "embed_video")}
    assert named == {name: getattr(options, name) for name in named}
    assert command(Session(Path())) == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (12.34, "12.3 s"), (245, "4:05"), (3723, "1:02:03"), (7199.7, "2:00:00")]
)
def test_lengths_of_time(seconds, text) -> None:
    assert clock(seconds) == text


def test_shares() -> None:
    assert [percent(0, 4), percent(0.01, 4), percent(1, 4), percent(4, 4), percent(0, 0)] == [
        "0 %", "< 1 %", "25 %", "100 %", "0 %",
    ]  # fmt: skip


def test_one_line_about_the_file() -> None:
    summary = Summary({})
    for row in (scored(0.0, 0), scored(0.0, 1), scored(1.0, 0)):
        summary.push(row)
    summary.flush()
    info = Info("mov", True, True, size=(640, 360), rate=29.97)
    assert facts(summary, info) == "2.0 s, 640 x 360, 29.97 frames a second, 2 persons, with sound"
    assert "64 x 48, 1000 frames a second" in facts(summary, Info("mov", True, False, size=(64, 48), rate=1000.0))
    unseen = facts(Summary({}), Info("OpenFace", True, False, rate=30.0))
    assert unseen == "0.0 s, 30 frames a second, 0 persons, no sound", "a converted file, whose pictures nobody saw"
    assert facts(Summary({}), Info("wav", False, True)) == "0.0 s, no pictures, with sound"
