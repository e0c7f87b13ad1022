"""Folders of recordings; what is in them test_session tells."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sentio.affect.analysis.options import Options
from sentio.affect.live import record
from sentio.affect.live.record import Recording, new_folder
from sentio.affect.media import Info
from sentio.affect.results.summary import Summary
from sentio.core.errors import InputError
from sentio.core.results import Table
from sessions import scored


@pytest.mark.parametrize(
    ("label", "end"),
    [("", ""), ("Anna", "_Anna"), ("../../etc", "_etc"), ("a b/c:d\0", "_a_b_c_d"), ("Zoë 東", "_Zoë_東"), ("...", "")],
)
def test_a_folder_has_the_time_and_a_harmless_label(label, end, tmp_path) -> None:
    folder = new_folder(tmp_path, label)
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d_\d\d-\d\d-\d\d{end}\.sentio", folder.name)
    assert folder.parent == tmp_path and not list(folder.iterdir())


def test_folders_of_one_second_differ(tmp_path, monkeypatch) -> None:
    with ThreadPoolExecutor(8) as sessions:
        folders = list(sessions.map(lambda _: new_folder(tmp_path / "new", "x" * 300), range(200)))
    assert len(set(folders)) == 200 and max(len(folder.name) for folder in folders) < 100


def test_a_label_of_long_letters_fits_a_name_of_the_disk(tmp_path) -> None:
    folder = new_folder(tmp_path, "\U00020000" * 100)
    assert folder.is_dir() and folder.name.count("\U00020000") == 50


def recording(out: Path, outputs: tuple[str, ...] = ("csv", "parquet")) -> Recording:
    info = Info("live", True, False, start_s=2.0, size=(64, 48), variable_rate=True)
    return Recording(
        out, "test", outputs, Options(model="none"), lambda: {"sentio": "test"}, info, zero_s=98.0, names={1: "b"}
    )


def test_times_count_from_the_first_picture_of_the_session(tmp_path) -> None:
    made = recording(tmp_path)
    for number in range(5):
        made.push(100.0 + number, [{"frame": number, "time_s": 100.0 + number, "person": p} for p in range(number)])
    assert (made.seconds, made.rows) == (4.0, 10)
    assert not any(path.suffix for path in made.folder.iterdir()), "nothing is to be seen before it is whole"
    assert {"affect.csv", "affect.parquet", "events.csv", "run.json"} <= set(made.finish())
    table = Table.read(made.folder / "affect.parquet")
    assert table["time_s"].tolist() == [3, 4, 4, 5, 5, 5, 6, 6, 6, 6]
    assert (table.header["media"]["duration_s"], table.header["media"]["rate"]) == (4.0, 1.0)
    assert table.header["names"] == {"1": "b"}


def test_a_pause_is_nobodys_time(tmp_path) -> None:
    """A minute without pictures is no minute of the last face, neither in the means nor in the captions."""
    made = recording(tmp_path, ("parquet", "vtt", "report"))
    for frame in range(100):
        time_s = 100.0 + frame / 25 + 60 * (frame >= 50)
        row = scored(time_s, expression="Happiness" if frame < 50 else "Sadness")
        made.push(time_s, [row | {"frame": frame}])
    made.finish()
    table = Table.read(made.folder / "affect.parquet")
    (pause,) = [row for row in table.arrow.to_pylist() if row["person"] is None]
    assert (pause["time_s"], pause["frame"], pause["reason"]) == (pytest.approx(4.0), None, "no picture")
    assert len(table) == made.rows == 101 and table.header["media"]["rate"] == 25.0
    summary = Summary({})
    for row in table.arrow.to_pylist():
        summary.push(row)
    summary.flush()
    assert summary.persons[0].labels == pytest.approx({"Happiness": 2.0, "Sadness": 2.0})
    assert summary.nobody == pytest.approx({"no picture": 60.0}) and summary.seconds == pytest.approx(64.0)
    captions = (made.folder / "affect.vtt").read_text().splitlines()
    assert [line for line in captions if "-->" in line] == [
        "00:00:02.000 --> 00:00:04.000",
        "00:01:04.000 --> 00:01:06.000",
    ]


def test_events_are_not_without_end(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(record, "MAX_EVENTS", 3)
    made = recording(tmp_path)
    for number in range(3):
        made.mark(100.0 + number, "here")
    with pytest.raises(InputError, match="at most 3 events"):
        made.mark(104.0, "here")
    made.push(100.0, [{"frame": 0, "time_s": 100.0}])
    made.finish()
    assert (made.folder / "events.csv").read_text() == "time_s,label\n2.0,here\n3.0,here\n4.0,here\n"
