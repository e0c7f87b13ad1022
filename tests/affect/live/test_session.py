"""A session through a real server: its rows are those of a stream, and what is recorded is a whole result."""

import csv
import json
import math
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from live_client import Client, assert_same, jpeg_of, pixels_of, serving
from media import steady, write_media
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.pipeline import analyze
from sentio.affect.analysis.stream import Stream
from sentio.affect.live import record
from sentio.affect.live.source import File
from sentio.affect.media import SAMPLE_RATE, AudioBlock, open_media
from sentio.affect.results import plot
from sentio.core.results import Table

pytestmark = pytest.mark.usefixtures("tiny_models")
OPTIONS = Options(detector="builtin", model="face", causal=True)


def jpegs(path: Path, end: float | None = None) -> list[tuple[float, bytes]]:
    with open_media(path, end=end) as media:
        return [(frame.time_s, jpeg_of(frame.image)) for frame in media]


def sound_of(path: Path) -> tuple[np.ndarray, float]:
    """As int16 holds it, for so it travels."""
    with open_media(path) as media:
        samples, begin_s = media.waveform()
    return (np.round(samples * 32768) / 32768).astype(np.float32), begin_s


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def server(out, tiny_models):
    with serving(out, outputs=("parquet", "csv", "vtt", "eaf", "textgrid", "plot", "report")) as running:
        yield running


@pytest.mark.parametrize(("model", "offset_s"), [("face", 0.0), ("causal-av", 5000.125)])
def test_rows_are_those_of_a_stream(server, clips, model, offset_s) -> None:
    path = clips / "talking.mp4"
    (samples, begin_s), pictures = sound_of(path), jpegs(path)
    stream, scores = Stream(replace(OPTIONS, model=model), sound=True, live=True), []
    sent, rows, given = [], [], 0
    with Client(server.url) as page:
        page.open(sound=True, model=model)
        for time_s, jpeg in pictures:
            upto = round((time_s - begin_s) * SAMPLE_RATE)
            if upto > given:
                block = AudioBlock(offset_s + begin_s + given / SAMPLE_RATE, samples[given:upto])
                page.play(block)
                stream.push(block)
                given = upto
            answer = page.show(offset_s + time_s, jpeg)
            assert answer["time_s"] == offset_s + time_s and answer["size"] == [320, 240] and answer["work_ms"] > 0
            sent += answer["rows"]
            rows += stream.push(pixels_of(jpeg), offset_s + time_s)
        scores = [message for message in page.seen if message["type"] == "voice"]
    assert_same(sent, rows)
    assert sum(row["person"] is not None for row in sent) > 60
    assert {"both", "face"} <= {row["modality"] for row in sent}
    first, end = math.floor(4 * offset_s) + 1, math.floor(4 * (offset_s + begin_s + given / SAMPLE_RATE)) + 1
    assert [score["time_s"] for score in scores] == [k / 4 for k in range(first, end)] and len(scores) >= 11
    last = rows[-1]
    assert scores[-1]["speech"] == pytest.approx(last["speech"], abs=1e-4)
    assert scores[-1]["expression"] == last.get("voice_expression")


@pytest.mark.parametrize("model", ["face", "causal", "capnet", "none"])
def test_rows_are_those_of_analyze(server, clips, model) -> None:
    pictures = jpegs(clips / "pair.mp4")
    with Client(server.url) as page:
        page.open(model=model)
        sent = [row for time_s, jpeg in pictures for row in page.show(time_s, jpeg)["rows"]]
    array = np.stack([pixels_of(jpeg) for _, jpeg in pictures])
    options = replace(OPTIONS, model=model)
    table = analyze(array, times=[time_s for time_s, _ in pictures], options=options).arrow.to_pylist()
    assert {row["person"] for row in sent[-20:]} == {0, 1}
    assert_same(sent, table)


def test_a_recording_is_a_whole_result_with_events_and_names(server, out, clips) -> None:
    pictures = jpegs(clips / "talking.mp4")
    with Client(server.url) as page:
        page.open(sound=True)
        for time_s, jpeg in pictures[:10]:
            page.show(100 + time_s, jpeg)
        page.send("record", on=True, name="Anna/../b")
        assert page.until("recording") == {"type": "recording", "on": True, "seconds": 0, "rows": 0}
        sent = [row for time_s, jpeg in pictures[10:40] for row in page.show(100 + time_s, jpeg)["rows"]]
        page.send("event", time_s=100.5, label='=a,"b"\n')
        page.send("name", person=0, name="Änne")
        page.send("name", person=1, name="nobody")
        page.send("name", person=1, name="")
        sent += [row for time_s, jpeg in pictures[40:50] for row in page.show(100 + time_s, jpeg)["rows"]]
        page.send("record", on=False)
        over, done = page.until("recording"), page.until("recorded")
    folder = Path(done["folder"])
    assert folder.parent == out and folder.name.endswith("_Anna_b.sentio")
    assert done["files"] == sorted(path.name for path in folder.iterdir())
    for name in ("affect.parquet", "affect.csv", "affect.vtt", "affect.svg", "report.html", "events.csv", "run.json"):
        assert name in done["files"]
    assert (over["on"], over["rows"], over["seconds"]) == (
        False,
        len(sent),
        pytest.approx(pictures[49][0] - pictures[10][0]),
    )
    told = [message for message in page.seen if message["type"] == "recording"]
    assert [message["on"] for message in told] == [True, True, False] and 1 <= told[1]["seconds"] < 1.1
    table = Table.read(folder / "affect.parquet")
    kept = [row | {"time_s": row["time_s"] + 100 + pictures[0][0]} for row in table.arrow.to_pylist()]
    assert_same(sent, [{n: v if n != "time_s" else pytest.approx(v) for n, v in row.items()} for row in kept])
    assert set(table["file"]) == {folder.stem}
    assert table.header["events"] == [{"time_s": pytest.approx(0.5 - pictures[0][0]), "label": '=a,"b"\n'}]
    assert table.header["names"] == {"0": "Änne"} and table.header["live"] == {"source": None, "dropped": 0}
    assert table.header["media"]["format"] == "live" and table.header["media"]["size"] == [320, 240]
    with (folder / "events.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == [{"time_s": str(0.5 - pictures[0][0]), "label": '=a,"b"\n'}]
    assert "expression" in (folder / "affect.csv").read_text().splitlines()[0]
    assert json.loads((folder / "run.json").read_text())["rows"] == len(sent)


@pytest.mark.parametrize(("clip", "count"), [("talking.mp4", 1), ("empty.mp4", 3)])
def test_the_smallest_recordings_are_whole_as_well(server, clips, clip, count) -> None:
    with Client(server.url) as page:
        page.open()
        page.send("record", on=True)
        for time_s, jpeg in jpegs(clips / clip)[:count]:
            page.show(time_s, jpeg)
        page.send("record", on=False)
        folder = Path(page.until("recorded")["folder"])
    table = Table.read(folder / "affect.parquet")
    assert len(table) == count and set(table["reason"]) == {"no face"}


def test_a_page_that_vanishes_loses_nothing(server, out, clips) -> None:
    before = set(out.iterdir())
    with Client(server.url) as page:
        page.open()
        page.send("record", on=True, name="gone")
        for time_s, jpeg in jpegs(clips / "talking.mp4")[:12]:
            page.show(time_s, jpeg)
        page.socket.socket.shutdown(2)  # no word of goodbye
    with Client(server.url) as next_page:
        next_page.until("hello")
        (folder,) = wait_for(lambda: {path for path in out.iterdir() if (path / "run.json").exists()} - before)
    assert len(Table.read(folder / "affect.parquet")) == 12


def wait_for(condition):
    import time

    for _ in range(600):
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("it never came")


def test_a_disk_that_fills_ends_the_recording_in_time(server, clips, monkeypatch) -> None:
    with Client(server.url) as page, monkeypatch.context() as patch:
        page.open()
        patch.setattr(record, "LEAST_FREE", 1 << 60)
        page.send("record", on=True)
        (time_s, jpeg), second = jpegs(clips / "talking.mp4")[:2]
        page.show(time_s, jpeg)
        folder = Path(page.until("recorded")["folder"])
        assert "almost full" in page.until("refused")["error"]
        page.show(*second)  # the session goes on
    assert len(Table.read(folder / "affect.parquet")) == 1


def test_an_output_that_fails_does_not_cost_the_table(server, clips, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no ink")

    pictures = jpegs(clips / "talking.mp4")[:6]
    with Client(server.url) as page, monkeypatch.context() as patch:
        patch.setattr(plot, "draw", fail)
        page.open()
        page.send("record", on=True)
        for picture in pictures[:5]:
            page.show(*picture)
        page.send("event", time_s=0.0, label="here")
        page.send("record", on=False)
        error = page.until("refused")
        page.show(*pictures[5])  # the session goes on
    assert (
        "no ink" in error["error"] and "affect.csv, affect.csv.header.json, affect.parquet, events.csv" in error["fix"]
    )
    folder = Path(error["fix"].split(" in ")[-1].rstrip("."))
    assert len(Table.read(folder / "affect.parquet")) == 5 and not (folder / "run.json").exists()


def test_a_folder_that_cannot_be_written_costs_the_recording_alone(clips, tmp_path) -> None:
    out = tmp_path / "live"
    with serving(out) as server, Client(server.url) as page:
        page.open()
        out.write_text("in the way")
        page.send("record", on=True)
        first, second = jpegs(clips / "talking.mp4")[:2]
        page.show(*first)
        assert page.until("recording")["on"] is False
        assert str(out) in page.until("refused")["error"]
        page.show(*second)


@pytest.mark.parametrize(
    ("wishes", "what"),
    [
        ([{"kind": "open", "model": "nothing"}], "no model 'nothing'"),
        ([{"kind": "open", "model": "/etc/card.json"}], "no model '/etc/card.json'"),
        ([{"kind": "record", "on": False}], "No recording is running"),
        ([{"kind": "record", "on": True}, {"kind": "record", "on": True}], "running already"),
        ([{"kind": "record", "on": True}, {"kind": "record", "on": False}], "Nothing was recorded"),
        ([{"kind": "event", "time_s": 1.0, "label": "x"}], "the event is not kept"),
        ([{"kind": "name", "person": k, "name": "x"} for k in range(257)], "256 persons"),
    ],
)
def test_a_wish_that_cannot_be_met_is_told_and_the_session_goes_on(server, clips, wishes, what) -> None:
    with Client(server.url) as page:
        page.open()
        for wish in wishes:
            page.send(**wish)
        assert what in page.until("refused")["error"]
        page.open()
        page.show(*jpegs(clips / "empty.mp4", end=0.1)[0])


@pytest.mark.parametrize("kind", ["picture", "sound"])
def test_time_that_runs_backwards_is_refused(server, clips, kind) -> None:
    _, jpeg = jpegs(clips / "empty.mp4", end=0.1)[0]
    with Client(server.url) as page:
        page.open(sound=True)
        for time_s in (1.0, 1.0):
            if kind == "sound":
                page.play(AudioBlock(time_s, np.zeros(100, np.float32)))
            else:
                page.send_picture(time_s, jpeg)
        assert page.closed() == (1008, "Time runs backwards: 1.0 s came after 1.0 s.")
    assert page.seen[-1]["type"] == "refused"


def test_a_new_stream_may_begin_at_an_earlier_time(server, clips) -> None:
    _, jpeg = jpegs(clips / "empty.mp4", end=0.1)[0]
    with Client(server.url) as page:
        for time_s in (9.0, 3.0):
            page.open()
            assert page.show(time_s, jpeg)["rows"][0]["time_s"] == time_s


@pytest.mark.parametrize(
    ("message", "code"), [(b"rubbish", 1007), ("{}", 1007), (bytes(3_000_000), 1007), ("x" * 5000, 1009)]
)
def test_what_is_no_message_ends_the_session_in_words(server, message, code) -> None:
    with Client(server.url) as page:
        page.open()
        page.socket.send(message)
        found, reason = page.closed()
    assert found == code and page.seen[-1]["type"] == "refused" and page.seen[-1]["error"].startswith(reason[:100])


def test_a_message_beyond_all_measure_is_not_read(server) -> None:
    with Client(server.url) as page:
        page.open()
        with pytest.raises(ConnectionClosed) as caught:
            page.socket.send(bytes(9_000_000))
            while True:
                page.read()
    closed = caught.value.rcvd  # the word is lost where the rest of the message was still on its way
    assert closed is None or closed.code == 1009
    assert page.seen[-1]["type"] == "hello", "nothing was answered"
    with Client(server.url) as next_page:
        next_page.open()


def test_a_session_begins_with_open(server, clips) -> None:
    with Client(server.url) as page:
        page.send("record", on=True)
        code, reason = page.closed()
    assert code == 1008 and "type open" in reason


def test_two_pages_do_not_disturb_each_other(server, clips) -> None:
    first, second = jpegs(clips / "talking.mp4")[:30], jpegs(clips / "pair.mp4")[:30]
    with Client(server.url) as one:
        one.open()
        with Client(server.url) as two:
            two.open()
            sent = [(one.show(*a)["rows"], two.show(*b)["rows"]) for a, b in zip(first[:20], second, strict=False)]
            two.socket.send(b"rubbish")
            assert two.closed()[0] == 1007
        alone = [one.show(*a)["rows"] for a in first[20:]]
    for pictures, rows in ((first, [a for a, _ in sent] + alone), (second[:20], [b for _, b in sent])):
        stream = Stream(OPTIONS, live=True)
        expected = [row for time_s, jpeg in pictures for row in stream.push(pixels_of(jpeg), time_s)]
        assert_same(list(chain.from_iterable(rows)), expected)


def test_a_new_model_begins_anew_and_ends_the_recording(server, clips) -> None:
    pictures = jpegs(clips / "talking.mp4")[:24]
    with Client(server.url) as page:
        assert page.open()["model"] == "face"
        page.send("record", on=True)
        first = [page.show(*picture)["rows"] for picture in pictures[:12]]
        page.send("open", model="none")
        folder = Path(page.until("recorded")["folder"])
        assert page.until("hello")["model"] == "none"
        second = [page.show(*picture)["rows"] for picture in pictures[12:]]
    assert len(Table.read(folder / "affect.parquet")) == sum(map(len, first))
    assert first[-1][0]["valence"] is not None and first[-1][0]["person"] == 0
    assert second[-1][0]["valence"] is None and second[-1][0]["person"] == 0 and second[-1][0]["frame"] == 11


def test_behind_a_pause_the_voice_begins_anew(server) -> None:
    """An hour of silence would else be scored before the next picture."""
    noise = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE).astype(np.float32)
    with Client(server.url) as page:
        page.open(sound=True)
        for time_s in (0.0, 3600.0, 1e8):
            page.play(AudioBlock(time_s, noise))
        page.send("open")
        page.until("hello")
    times = [message["time_s"] for message in page.seen if message["type"] == "voice"]
    assert times == [start + k / 4 for start in (0.0, 3600.0, 1e8) for k in range(1, 5)]


@pytest.mark.parametrize("model", ["face", "causal-av"])
def test_a_file_plays_with_its_sound_to_its_end(clips, tmp_path, model) -> None:
    path, options = clips / "talking.mp4", replace(OPTIONS, model=model)
    with serving(tmp_path, source=File(path), model=model) as server, Client(server.url) as page:
        hello = page.open()
        assert hello["source"] == {"name": "talking.mp4", "sound": True}
        page.send("record", on=True)
        page.until("ended")
    answers = [message for message in page.seen if message["type"] == "frame"]
    shown = [time_s for time_s, _ in page.pictures]  # some are left out while this page reads too slowly
    assert shown and shown == [answer["time_s"] for answer in answers if answer["time_s"] in shown]
    assert pixels_of(page.pictures[0][1]).shape == (240, 320, 3)
    seen = {answer["time_s"] for answer in answers}
    with open_media(path) as media:
        frames, (samples, begin_s) = list(media), media.waveform()
    if len(seen) == len(frames):
        rows = analyze(path, options=options).arrow.to_pylist()
    else:  # this machine was too slow to read them all
        stream = Stream(options, sound=True, live=True)
        stream.push(samples, begin_s)
        rows = [row for frame in frames if frame.time_s in seen for row in stream.push(frame)]
    assert_same([row for answer in answers for row in answer["rows"]], rows)
    (folder,) = tmp_path.iterdir()
    kept = Table.read(folder / "affect.parquet").arrow.to_pylist()
    by_frame = {row["frame"]: row for row in rows}
    assert kept and all(row["time_s"] == pytest.approx(by_frame[row["frame"]]["time_s"] - min(seen)) for row in kept)
    for name in ("speech", "voice_valence"):
        expected = [by_frame[row["frame"]].get(name) for row in kept]
        assert [row[name] for row in kept] == [value if value is None else pytest.approx(value) for value in expected]
    assert kept[-1]["speech"] is not None
    assert [message["type"] for message in page.seen][-2:] == ["recorded", "ended"]


def test_a_file_is_held_and_goes_on_and_begins_again(clips, tmp_path) -> None:
    with serving(tmp_path, source=File(clips / "talking.mp4"), model="none") as server, Client(server.url) as page:
        page.open()
        page.until("frame")
        page.send("pause", on=True)
        page.until_quiet()
        before = [message["time_s"] for message in page.seen if message["type"] == "frame"][-1]
        page.send("pause", on=False)
        after = page.until("frame")["time_s"]
        assert 0 < after - before < 0.5
        page.open()
        assert page.until("frame")["time_s"] < before
        page.until("ended")
    assert [message["time_s"] for message in page.seen if message["type"] == "frame"][-1] > 2.5, "to its own end"


def test_a_file_that_breaks_is_told(clips, tmp_path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes((clips / "talking.mp4").read_bytes())
    source = File(path)
    path.write_bytes(b"no longer a film")
    with serving(tmp_path / "out", source=source) as server, Client(server.url) as page:
        page.open()
        assert str(path) in page.until("refused")["error"]
        page.until("ended")
        path.write_bytes((clips / "talking.mp4").read_bytes())
        page.open()
        page.until("frame")


def test_a_page_sends_no_pictures_where_the_server_has_its_own(clips, tmp_path) -> None:
    with serving(tmp_path, source=File(clips / "empty.mp4")) as server, Client(server.url) as page:
        page.open()
        page.send_picture(0.0, jpegs(clips / "empty.mp4", end=0.1)[0][1])
        code, reason = page.closed()
    assert code == 1008 and "empty.mp4" in reason


def test_all_rows_reach_the_lab_streaming_layer(clips, tmp_path) -> None:
    pylsl = pytest.importorskip("pylsl", reason="needs the extra lsl", exc_type=(ImportError, RuntimeError))
    pylsl.set_config_content("[multicast]\nResolveScope = machine\n[log]\nlevel = -2\n")
    pictures = jpegs(clips / "talking.mp4")
    with serving(tmp_path, lsl="sentio live test") as server, Client(server.url) as page:
        page.open()
        page.show(*pictures[0])  # with it the outlet opens
        (found,) = pylsl.resolve_byprop("name", "sentio live test", timeout=30)
        inlet = pylsl.StreamInlet(found, recover=False)
        inlet.open_stream(timeout=30)
        sent = [row for picture in pictures[1:20] for row in page.show(*picture)["rows"]]
        samples = [inlet.pull_sample(timeout=30) for _ in sent]
        names = inlet.info(timeout=30).get_channel_labels()
    valence = [values[names.index("valence")] for values, _ in samples]
    expected = [np.nan if row["valence"] is None else row["valence"] for row in sent]
    assert valence == pytest.approx(expected, abs=1e-4, nan_ok=True)
    assert np.diff([time_s for _, time_s in samples]) == pytest.approx(
        np.diff([row["time_s"] for row in sent]), abs=1e-6
    )


@pytest.mark.parametrize("break_off", ["pause", "open"])
def test_a_file_that_is_held_or_begins_again_has_an_outlet_with_a_new_clock(break_off, tmp_path) -> None:
    """Else its rows would be sent with times that lie in the past by as long as it was held, or was played."""
    pylsl = pytest.importorskip("pylsl", reason="needs the extra lsl", exc_type=(ImportError, RuntimeError))
    pylsl.set_config_content("[multicast]\nResolveScope = machine\n[log]\nlevel = -2\n")

    def outlet() -> Any:
        (found,) = pylsl.resolve_byprop("name", name, timeout=30)
        return found

    name = f"sentio {break_off} test"
    source = File(write_media(tmp_path / "long.mp4", times=steady(500)))
    with serving(tmp_path, lsl=name, source=source, model="none") as server, Client(server.url) as page:
        page.open()
        page.until("frame")
        first = outlet()
        if break_off == "pause":
            page.send("pause", on=True)
            page.until_quiet()
            page.send("pause", on=False)
        else:
            page.open()
        page.until("frame")
        second = outlet()
    assert first.created_at() < second.created_at() and first.uid() != second.uid()


def test_names_are_of_the_persons_of_one_stream(server, clips) -> None:
    pictures = jpegs(clips / "talking.mp4")[:10]
    with Client(server.url) as page:
        page.open()
        page.send("name", person=0, name="Ann")
        page.open()
        page.send("record", on=True)
        for picture in pictures:
            page.show(*picture)
        page.send("record", on=False)
        folder = Path(page.until("recorded")["folder"])
    assert Table.read(folder / "affect.parquet").header["names"] == {}
