"""The page of `sentio live` in a real browser, whose camera and microphone play a clip."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import sentio
from browser import open_browser, open_page, until
from live_client import serving
from live_page import PICTURE, SOUND, Wire, live_page, state, wait_for_face
from sentio.affect.analysis.options import Options
from sentio.affect.live.messages import decode
from sentio.affect.live.source import open_source
from shoot_live import fake_devices

NO_CAMERA = """navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("no", "%s"); };"""
SOCKETS = """
window.sockets = [];
const Own = WebSocket;
window.WebSocket = class extends Own { constructor(address) { super(address); sockets.push(this); } };"""
WRONG_TOKEN = """
const Own = WebSocket;
window.WebSocket = class extends Own {
  constructor(address) { super(address.replace(/token=.*/, "token=wrong")); }
};"""
WRITTEN = """const write = CanvasRenderingContext2D.prototype.fillText; window.written = new Set();
CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
    window.written.add(text); return write.call(this, text, ...place); };"""
NO_MICROPHONE = """
const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wish) => {
  if (wish.audio) throw new DOMException("no", "NotAllowedError");
  return own(wish);
};"""


@pytest.fixture(scope="module")
def browser(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose camera and microphone play somebody who talks."""
    with open_browser(*fake_devices(clips / "talking.mp4", tmp_path_factory.mktemp("devices"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the recordings."""
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def server(out: Path) -> Iterator[Any]:
    """A server for the pages' own cameras."""
    with serving(out) as running:
        yield running


@pytest.fixture
def url(server: Any) -> str:
    """Of the server's page."""
    return str(server.url)


pytestmark = pytest.mark.slow


def record(page: Any, wire: Wire, *, seconds: float = 1.0) -> Path:
    """Record for a while; gives the folder."""
    begin_recording(page, wire)
    page.wait_for_timeout(1000 * seconds)
    return end_recording(page, wire)


def begin_recording(page: Any, wire: Wire) -> None:
    before = len(wire.sent(PICTURE))
    page.keyboard.press("r")
    until(page, "document.querySelector('#record').ariaPressed === 'true'")
    while len(wire.sent(PICTURE)) < before + 3:
        page.wait_for_timeout(20)


def end_recording(page: Any, wire: Wire) -> Path:
    page.keyboard.press("r")
    until(page, "document.querySelector('#notice').textContent.includes('Recorded')")
    return Path(wire.received("recorded")[-1]["folder"])


def text(page: Any, selector: str) -> str:
    return str(page.evaluate("(selector) => document.querySelector(selector).textContent", selector)).strip()


def last_row(page: Any, wire: Wire) -> tuple[dict[str, Any], dict[str, Any]]:
    """The last answer about the person who is shown, and its row."""
    person = int(page.input_value("#persons input:checked"))
    frames = [(frame, row) for frame in wire.received("frame") for row in frame["rows"] if row["person"] == person]
    return frames[-1]


def number(page: Any, selector: str) -> float:
    return float(text(page, selector).replace("−", "-"))


def test_recorded_table_is_that_of_analyze(browser: Any, url: str, out: Path) -> None:
    with live_page(browser, url) as (page, wire):
        folder = record(page, wire, seconds=3)
        times, jpegs = zip(*wire.sent(PICTURE), strict=True)
    assert folder.parent == out
    live = pq.read_table(folder / "affect.parquet")
    options = Options(model="face", detector="builtin", causal=True)
    file = sentio.analyze(np.stack([decode(jpeg) for jpeg in jpegs]), times=list(times), options=options)
    known = {(round(row["time_s"] - times[0], 4), row["person"]): row for row in file.arrow.to_pylist()}
    rows = [row for row in live.to_pylist() if row["person"] is not None]
    pairs = [(row, known[round(row["time_s"], 4), row["person"]]) for row in rows]
    assert len(pairs) > 20
    for column in ("face_x", "face_w", "quality", "valence", "arousal", "p_happiness", "au_12", "au_45", "pose_yaw"):
        assert max(abs(one[column] - other[column]) for one, other in pairs) < 1e-3, column
    assert live["speech"].drop_null().to_numpy().max() > 0.5


def test_shows_the_numbers_of_the_last_answer(browser: Any, url: str) -> None:
    with live_page(browser, url) as (page, wire):
        until(page, "/\\d/.test(document.querySelector('#voice-bars .value').textContent)")
        page.keyboard.press("Space")
        page.wait_for_timeout(600)
        row = last_row(page, wire)[1]
        voice = wire.received("voice")[-1]
        assert state(page) == "paused"
        assert number(page, "#valence") == pytest.approx(row["valence"], abs=0.0051)
        assert number(page, "#arousal") == pytest.approx(row["arousal"], abs=0.0051)
        assert number(page, "#voice-bars .value") == pytest.approx(voice["speech"], abs=0.0051)
        for column in [name for name in row if name.startswith(("p_", "au_")) and "intensity" not in name]:
            assert number(page, f"[data-column={column}] .value") == pytest.approx(row[column], abs=0.0051)
            width = page.evaluate(f"getComputedStyle(document.querySelector('[data-column={column}] b')).transform")
            assert float(width.removeprefix("matrix(").split(",")[0]) == pytest.approx(row[column], abs=1e-3)
        thresholds = wire.received("hello")[-1]["thresholds"]
        above = {f"au_{name[2:]}" for name, threshold in thresholds.items() if row[f"au_{name[2:]}"] >= threshold}
        assert thresholds
        assert (
            set(page.evaluate("[...document.querySelectorAll('#units .on')].map((line) => line.dataset.column)"))
            == above
        )
        assert number(page, "#latency-median") <= number(page, "#latency-p95")


def test_one_picture_is_on_its_way_at_a_time(browser: Any, url: str) -> None:
    with live_page(browser, url) as (page, wire):
        page.wait_for_timeout(1000)
    waiting = 0
    for is_own, message in wire.said:
        if is_own and isinstance(message, bytes) and message[0] == PICTURE:
            waiting += 1
        elif not is_own and isinstance(message, dict) and message["type"] == "frame":
            waiting -= 1
        assert waiting in (0, 1)
    times = [time_s for time_s, _ in wire.sent(PICTURE)]
    assert len(times) > 5
    assert times == sorted(set(times))
    sound = wire.sent(SOUND)
    assert {len(samples) for _, samples in sound} == {2048}
    steps = np.diff([time_s for time_s, _ in sound])
    assert np.median(steps) == pytest.approx(1024 / 16_000, abs=1e-6)


def test_pictures_that_come_too_quickly_are_dropped_and_counted(browser: Any, url: str) -> None:
    slow = """
Object.defineProperty(WebSocket.prototype, "onmessage", { set(take) {
  this.addEventListener("message", (event) => setTimeout(() => take(event), 300));
} });"""
    with live_page(browser, url, script=slow) as (page, wire):
        until(page, "Number(document.querySelector('#dropped').textContent) > 5")
        assert not wire.received("dropped")


def test_pause_sends_nothing(browser: Any, url: str) -> None:
    with live_page(browser, url) as (page, wire):
        page.click("#pause")
        page.wait_for_timeout(400)
        before = len(wire.said)
        page.wait_for_timeout(600)
        assert len(wire.said) == before
        assert wire.sent("pause") == [{"type": "pause", "on": True}]
        assert page.is_visible("#paused")
        page.click("#pause")
        page.wait_for_timeout(600)
        assert state(page) == "live"
        assert len(wire.said) > before + 4


def test_markers_and_names_are_in_the_recording(browser: Any, url: str) -> None:
    with live_page(browser, url) as (page, wire):
        page.keyboard.press("m")
        assert "begin one first" in text(page, "#notice")
        page.keyboard.press("n")
        page.keyboard.type("Ada")
        page.keyboard.press("Enter")
        page.fill("#recording-name", "first try")
        page.click("#record")
        page.wait_for_timeout(800)
        page.fill("#mark-label", "question")
        page.click("#mark")
        page.click("h1")
        page.keyboard.press("m")
        until(page, "document.querySelector('#marks').textContent === '2'")
        page.wait_for_timeout(500)
        assert text(page, "#who") == "Ada"
        folder = end_recording(page, wire)
    assert "first" in folder.name
    with (folder / "events.csv").open(newline="") as file:
        events = list(csv.DictReader(file))
    header = sentio.Table.read(folder / "affect.parquet").header
    first_s = wire.sent(PICTURE)[0][0]
    assert [event["label"] for event in events] == ["question", "question"]
    told = [message["time_s"] - first_s for message in wire.sent("event")]
    assert [float(event["time_s"]) for event in events] == pytest.approx(told, abs=1e-3)
    assert header["names"] == {"0": "Ada"}
    assert [event["label"] for event in header["events"]] == ["question", "question"]


def test_a_mark_that_is_refused_is_not_counted(browser: Any, url: str) -> None:
    """A recording begins with a picture; while it is paused there is none."""
    with live_page(browser, url) as (page, wire):
        page.keyboard.press("Space")
        page.wait_for_timeout(300)
        page.keyboard.press("r")
        until(page, "document.querySelector('#record').ariaPressed === 'true'")
        page.keyboard.press("m")
        until(page, "document.querySelector('#notice').textContent.includes('event is not kept')")
        page.keyboard.press("Space")
        wait_for_face(page)
        while not any(told["rows"] for told in wire.received("recording")):
            page.wait_for_timeout(50)
        assert text(page, "#marks") == "0"
        page.keyboard.press("m")
        until(page, "document.querySelector('#marks').textContent === '1'")
        folder = end_recording(page, wire)
    assert len((folder / "events.csv").read_text().splitlines()) == 2


def test_who_speaks_is_marked(browser: Any, url: str) -> None:
    """In words, in the list and at the box, from 0.5 on; `s` says it."""
    with live_page(browser, url, script=WRITTEN) as (page, wire):
        page.fill("#persons input[type=text]", "Ada")
        page.click("h1")
        until(page, "document.querySelector('#persons .speaks').textContent === 'speaks'")
        page.keyboard.press("Space")
        page.wait_for_timeout(600)
        said = {True: 0, False: 0}
        for message in wire.received("frame"):
            for row in message["rows"]:
                said[(row["speaking"] or 0) >= 0.5] += 1
        assert said[True] and said[False]
        assert any(re.match(r"\w.* · speaks · \w+", written) for written in page.evaluate("[...window.written]"))
        row = last_row(page, wire)[1]
        is_speaker, voice = (row["speaking"] or 0) >= 0.5, wire.received("voice")[-1]
        assert text(page, "#persons .speaks") == ("speaks" if is_speaker else "")
        who = f"{'Ada' if is_speaker else 'somebody'} speaks" if voice["expression"] else "nobody speaks"
        assert text(page, "#voice-state") == who


def test_keyboard_alone(browser: Any, url: str) -> None:
    with live_page(browser, url, start=False) as (page, wire):
        until(page, "document.activeElement.id === 'card-action'")
        page.keyboard.press("Enter")
        wait_for_face(page)
        page.keyboard.press("?")
        assert page.is_visible("#help")
        page.keyboard.press("Space")  # presses the dialog's button, and does not pause
        assert not page.is_visible("#help")
        assert state(page) == "live"
        page.keyboard.press("t")
        assert text(page, "#theme") == "Theme: light"
        page.keyboard.press("1")
        assert page.is_checked("#persons input[type=radio]")
        page.keyboard.press("s")
        assert text(page, "#summary").startswith("person 0: ")
        page.focus("#mark-label")
        page.keyboard.type("r m")  # is written, and neither records nor marks
        assert "r m" in page.input_value("#mark-label")
        assert not wire.sent("record")


def test_what_can_be_used_has_a_name(browser: Any, url: str) -> None:
    with live_page(browser, url) as (page, _):
        page.wait_for_timeout(300)
        tree = page.locator("body").aria_snapshot()
    lines = [line.strip().removeprefix("- ") for line in tree.splitlines()]
    kinds = ("button", "textbox", "combobox", "radio", "checkbox", "img")
    used = [line for line in lines if line.split(" ")[0].rstrip(":") in kinds]
    assert len(used) >= 12
    assert all('"' in line for line in used), used


def test_without_a_microphone(browser: Any, url: str) -> None:
    with live_page(browser, url, start=False) as (page, wire):
        page.uncheck("#with-sound")
        page.click("#card-action")
        wait_for_face(page)
        assert wire.sent("open")[-1]["sound"] is False
        assert not wire.sent(SOUND)
        assert text(page, "#voice-state") == "no microphone: who speaks is unknown"
        page.select_option("#microphone", index=1)
        until(page, "/body speaks|person/.test(document.querySelector('#voice-state').textContent)")
        assert wire.sent("open")[-1]["sound"] is True


def test_a_refused_microphone_does_not_stop_it(browser: Any, url: str) -> None:
    with live_page(browser, url, script=NO_MICROPHONE) as (page, wire):
        assert "The microphone was refused" in text(page, "#notice")
        assert wire.sent("open")[-1]["sound"] is False
        assert state(page) == "live"


@pytest.mark.parametrize(
    ("error", "title"),
    [
        ("NotAllowedError", "The camera was refused"),
        ("NotFoundError", "There is no camera"),
        ("NotReadableError", "The camera is busy"),
    ],
)
def test_a_camera_that_cannot_be_had(browser: Any, url: str, error: str, title: str) -> None:
    with live_page(browser, url, script=NO_CAMERA % error, start=False) as (page, wire):
        page.click("#card-action")
        until(page, "document.body.dataset.state === 'problem'")
        assert text(page, "#card-title") == title
        assert text(page, "#card-action") == "Try again"
        assert page.is_disabled("#record")
        assert not wire.sent("open")


def test_a_camera_that_is_unplugged(browser: Any, url: str) -> None:
    with live_page(browser, url) as (page, _):
        page.evaluate("document.querySelector('video').srcObject.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
        assert text(page, "#card-title") == "The camera is gone"
        page.click("#card-action")
        until(page, "document.body.dataset.state === 'live'")
        wait_for_face(page)


def test_a_lost_connection_can_be_had_again(browser: Any, url: str, out: Path) -> None:
    before = set(out.glob("*.sentio/affect.parquet"))
    with live_page(browser, url, script=SOCKETS) as (page, wire):
        begin_recording(page, wire)
        page.wait_for_timeout(1500)
        page.evaluate("sockets[0].close(4000, 'gone')")
        until(page, "document.body.dataset.state === 'lost'")
        assert text(page, "#card-title") == "The connection was lost"
        assert page.is_disabled("#record")
        assert not page.is_visible("#recording")
        page.click("#card-action")
        until(page, "document.body.dataset.state === 'live'")
        wait_for_face(page)
        for _ in range(100):
            if written := set(out.glob("*.sentio/affect.parquet")) - before:
                break
            page.wait_for_timeout(100)
        assert pq.read_table(written.pop()).num_rows >= 3


def test_a_wrong_token_is_told(browser: Any, url: str) -> None:
    with open_page(browser, "about:blank") as page:
        page.add_init_script(WRONG_TOKEN)
        page.goto(url)
        until(page, "document.body.dataset.state === 'lost'")
        assert "token is wrong" in text(page, "#card-text")


def test_another_model_begins_anew(browser: Any, url: str) -> None:
    with live_page(browser, url) as (page, wire):
        page.select_option("#model", "none")
        until(page, "document.querySelector('#valence').textContent === '–'")
        assert wire.sent("open")[-1]["model"] == "none"
        until(page, "document.querySelectorAll('#persons li').length > 0")
        assert last_row(page, wire)[1]["valence"] is None
        page.select_option("#model", "face")
        wait_for_face(page)


def test_two_pages_do_not_know_each_other(browser: Any, url: str) -> None:
    with live_page(browser, url) as (one, _), live_page(browser, url) as (other, wire):
        one.keyboard.press("Space")
        before = len(wire.received("frame"))
        other.wait_for_timeout(600)
        assert state(one) == "paused"
        assert state(other) == "live"
        assert len(wire.received("frame")) > before


@pytest.mark.parametrize(
    ("size", "dark"), [((1440, 900), False), ((900, 1100), True), ((390, 844), True), ((320, 700), False)]
)
def test_fits_the_window(browser: Any, url: str, size: tuple[int, int], dark: bool) -> None:
    with live_page(browser, url, size=size, dark=dark) as (page, _):
        wide = "document.documentElement.scrollWidth <= innerWidth"
        assert page.evaluate(wide)
        page.keyboard.press("r")
        until(page, "document.querySelector('#record').ariaPressed === 'true'")
        assert page.evaluate(wide)
        light = sum(
            map(int, page.evaluate("getComputedStyle(document.body).backgroundColor").strip("rgb()").split(","))
        )
        assert (light < 200) is dark


@pytest.mark.parametrize("width", [320, 700, 1100, 1400])
def test_the_course_has_whole_seconds_below(browser: Any, url: str, width: int) -> None:
    with live_page(browser, url, script=WRITTEN, size=(width, 800)) as (page, _):
        written = page.evaluate("[...window.written]")
    seconds = sorted(int(text[2:]) for text in written if re.fullmatch(r"0:\d\d", text))
    assert len(seconds) > 2 and len(set(np.diff(seconds))) == 1, "ticks that are evenly spaced say so"


def test_boxes_lie_where_the_face_is(browser: Any, url: str) -> None:
    with live_page(browser, url) as (page, wire):
        page.keyboard.press("Space")
        page.wait_for_timeout(500)
        frame, row = last_row(page, wire)
        drawn = page.evaluate("""() => {
  const canvas = document.querySelector("#boxes");
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const columns = new Set();
  for (let at = 3; at < data.length; at += 4) if (data[at]) columns.add(((at - 3) / 4) % width);
  return { left: Math.min(...columns), right: Math.max(...columns), width, height };
}""")
        scale = min(drawn["width"] / frame["size"][0], drawn["height"] / frame["size"][1])
        left = (drawn["width"] - frame["size"][0] * scale) / 2 + row["face_x"] * scale
        assert drawn["left"] == pytest.approx(left, abs=6)
        assert drawn["right"] >= left + row["face_w"] * scale - 6


def test_scores_that_wait_for_a_resting_face_say_so_beside_them(browser: Any, clips: Path, tmp_path: Path) -> None:
    source = open_source(str(clips / "talking.mp4"))
    with (
        serving(tmp_path, source=source, baseline="2") as server,
        live_page(browser, server.url, start=False) as (page, _),
    ):
        until(page, "!document.querySelector('#baseline').hidden")
        assert text(page, "#baseline").startswith("The first 2 s of each person are taken as rest")
        note, empty = page.locator("#baseline").bounding_box(), page.locator("#valence").bounding_box()
        assert 0 <= note["y"] - empty["y"] - empty["height"] < 30, "right below, not at the foot of the page"


def test_a_source_of_the_server_needs_no_camera(browser: Any, clips: Path, tmp_path: Path) -> None:
    source, script = open_source(str(clips / "talking.mp4")), NO_CAMERA % "NotAllowedError"
    with (
        serving(tmp_path, source=source) as server,
        live_page(browser, server.url, script=script, start=False) as (page, wire),
    ):
        wait_for_face(page)
        assert state(page) == "live"
        assert text(page, "#camera") == "talking.mp4"
        assert page.is_disabled("#camera")
        shown = "(() => { const c = document.querySelector('#source'); return [c.width, c.height]; })()"
        assert page.evaluate(shown) == wire.received("frame")[-1]["size"]
        page.keyboard.press("Space")
        assert state(page) == "paused"
        page.keyboard.press("Space")
        page.evaluate("for (const _ of [1, 2]) document.querySelector('#record').click()")
        until(page, "document.querySelector('#notice').textContent.includes('running already')")
        until(page, "document.body.dataset.state === 'ended'")
        assert not wire.sent(PICTURE)
        assert "read to its end. To record it" in text(page, "#card-text"), "not what was refused long before"
        assert page.is_disabled("#record") and "play it again" in page.get_attribute("#record", "title")
        page.keyboard.press("r")
        assert "The source is over" in text(page, "#notice"), "a key says why nothing happens"
        page.click("#card-action")
        until(page, "document.body.dataset.state === 'live'")
        assert page.is_enabled("#record") and not page.get_attribute("#record", "title")
        wait_for_face(page)
