"""report.html in a real browser: the video and its timeline move together, and nothing in a name can do harm."""

import base64
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from browser import open_browser, open_page, until
from media import number_in, steady, tone, write_media
from sentio.affect.analysis.options import Options
from sentio.affect.media import Info
from sentio.affect.results import report
from sentio.affect.results.folder import Analysis
from sentio.affect.results.report import write_report
from sentio.core.errors import InputError, RecipeError
from sentio.core.jobs import Job
from sessions import Session, nobody, random_rows, scored

HAAR = Options(detector="haar")
HARM = "document.title='harmed'"
HOSTILE = f'</script><script>{HARM}</script><img src=x onerror="{HARM}"> --> &lt; $data é\u2028'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as opened:
        yield opened


def write(folder: Path, rows, **session: Any) -> Path:
    """The report of rows of nobody's face."""
    path = folder / "report.html"
    with write_report(path, Session(folder, **session)) as push:
        for row in rows:
            push(row)
    return path


def analyzed(source: Path, out: Path, options: Options = HAAR) -> Path:
    Analysis(out, options, ("report",)).write(out / f"{source.name}.sentio", source)
    return out / f"{source.name}.sentio" / "report.html"


def held(path: Path) -> dict[str, Any]:
    """The data in a page."""
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', path.read_text(), re.S)[1])


def lanes(page) -> dict[str, float]:
    """Where time runs in the timeline, in pixels of the page: its left and right end, and a height within it."""
    box = page.locator("#tracks").bounding_box()
    left = 66 if box["width"] < 560 else 82
    return {"left": box["x"] + left, "width": box["width"] - left, "y": box["y"] + 12}


def click_at(page, share: float) -> None:
    """Click on the timeline, at a share of what it shows."""
    page.locator("#axis").evaluate("axis => axis.scrollIntoView({block: 'center'})")
    place = lanes(page)
    page.mouse.click(place["left"] + share * place["width"], place["y"])


def cursor_share(page) -> float:
    place, box = lanes(page), page.locator("#cursor").bounding_box()
    return (box["x"] + box["width"] / 2 - place["left"]) / place["width"]


def shown(page) -> int:
    """The number in the picture that the video shows."""
    until(page, "!document.querySelector('video').seeking && document.querySelector('video').readyState >= 2")
    page.wait_for_timeout(100)
    page.evaluate("""() => { const video = document.querySelector('video'); video.controls = false;
        video.style.cssText = 'width: 192px; height: 128px; flex: none'; }""")
    png = page.locator("video").screenshot()
    return number_in(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR))


def ready(page) -> None:
    until(page, "document.querySelector('video')?.readyState >= 2")


@pytest.fixture(scope="module")
def numbered(tmp_path_factory, tiny_models) -> Path:
    """The report of a video whose pictures carry their numbers, and whose name is no address."""
    folder = tmp_path_factory.mktemp("numbered")
    name = "50 % #1?é&'.mp4"
    return analyzed(write_media(folder / name, times=steady(50), sound=tone(2.0)), folder / "out")


def test_a_click_seeks_and_the_video_shows_that_frame(browser, numbered) -> None:
    with open_page(browser, numbered.as_uri()) as page:
        ready(page)
        assert page.evaluate("document.querySelector('video').duration") == pytest.approx(2, abs=0.1)
        for share, frame in ((0.41, 20), (0.91, 45), (0.05, 2)):
            click_at(page, share)
            assert shown(page) == frame
            assert cursor_share(page) == pytest.approx(share, abs=0.01)


def test_the_cursor_follows_the_video(browser, numbered) -> None:
    with open_page(browser, numbered.as_uri()) as page:
        ready(page)
        for time_s in (1.5, 0.25):
            page.evaluate(f"document.querySelector('video').currentTime = {time_s}")
            until(page, f"Math.abs(document.getElementById('tracks').ariaValueNow - {time_s}) < .02")
            assert cursor_share(page) == pytest.approx(time_s / 2, abs=0.02)
            assert page.locator("#clock").inner_text() == f"0:0{time_s:.2f}"
        page.locator("#play").click()
        until(page, "document.getElementById('tracks').ariaValueNow >= 1.2")
        assert page.locator("#play").inner_text() == "Pause"
        page.keyboard.press("Escape")
        page.locator("#play").click()
        until(page, "document.querySelector('video').paused")


def test_keys_step_frame_by_frame(browser, numbered) -> None:
    with open_page(browser, numbered.as_uri()) as page:
        ready(page)
        click_at(page, 0.41)
        frame = 20
        for key, step in (("ArrowRight", 1), ("ArrowRight", 1), ("ArrowLeft", -1), ("Shift+ArrowLeft", -20)):
            page.keyboard.press(key)
            page.wait_for_timeout(50)
            frame = max(0, frame + step) if abs(step) == 1 else 0
            assert shown(page) == frame, key
        page.keyboard.press("End")
        assert shown(page) == 49
        page.keyboard.press("Home")
        assert shown(page) == 0
        page.keyboard.press("Space")
        until(page, "document.querySelector('video').currentTime > .3")
        page.keyboard.press("Space")
        until(page, "document.querySelector('video').paused")


def test_a_clock_that_begins_elsewhere(browser, tmp_path, tiny_models) -> None:
    """Players count from the beginning of the container, the table has its stamps."""
    source = write_media(tmp_path / "late.mp4", times=steady(50, start=3.0))
    with open_page(browser, analyzed(source, tmp_path / "out").as_uri()) as page:
        ready(page)
        for share, frame in ((0.41, 20), (0.81, 40)):
            click_at(page, share)
            assert shown(page) == frame


def test_where_the_player_has_no_picture_the_cursor_stands_at_the_edge(browser, tmp_path, tiny_models) -> None:
    """Matroska keeps that the first picture comes late, and players show the time before it, too."""
    source = write_media(tmp_path / "late.mkv", times=steady(50, start=0.04), sound=tone(2.6))
    with open_page(browser, analyzed(source, tmp_path / "out").as_uri()) as page:
        ready(page)
        within = {"#cursor": lanes(page), "#overview > i": page.locator("#overview").bounding_box()}
        for time_s, share in ((0.0, 0.0), (2.3, 1.0)):
            page.evaluate(f"document.querySelector('video').currentTime = {time_s}")
            for cursor, of in within.items():
                edge = of.get("left", of.get("x")) + share * of["width"]
                until(page, f"Math.abs(document.querySelector('{cursor}').getBoundingClientRect().x - {edge}) < 3")
                assert page.locator(cursor).is_visible()


def test_a_stretch_of_a_file_begins_where_it_is_read(browser, tmp_path, tiny_models) -> None:
    source = write_media(tmp_path / "a.mp4", times=steady(50))
    with open_page(browser, analyzed(source, tmp_path / "out", replace(HAAR, start=1.0, end=1.6)).as_uri()) as page:
        ready(page)
        until(page, "Math.abs(document.querySelector('video').currentTime - 1) < .01")
        assert page.locator("#clock").inner_text() == "0:01.00"
        click_at(page, 0.5)
        assert shown(page) == 32
        page.evaluate("document.querySelector('video').currentTime = .2")
        until(page, "document.getElementById('reading').textContent.startsWith('Not read')")
        assert page.locator("#cursor").is_hidden() and page.locator("#overview > i").is_hidden()


def test_an_embedded_video_moves_with_the_page(browser, tmp_path, tiny_models) -> None:
    source = write_media(tmp_path / "a.mp4", times=steady(50))
    page = analyzed(source, tmp_path / "out", replace(HAAR, embed_video=True))
    (tmp_path / "elsewhere").mkdir()
    alone = shutil.move(page, tmp_path / "elsewhere/mailed.html")
    source.unlink()
    with open_page(browser, Path(alone).as_uri()) as page:
        ready(page)
        click_at(page, 0.61)
        assert shown(page) == 30
        assert page.evaluate("document.getElementById('embedded').textContent") == "", "it is held once"


def test_a_video_too_large_to_embed_is_refused_before_work(tmp_path, monkeypatch, tiny_models) -> None:
    source = write_media(tmp_path / "a.mp4", times=steady(5))
    before = analyzed(source, tmp_path / "out").read_bytes()
    monkeypatch.setattr(report, "EMBEDDED", 100)
    monkeypatch.setattr("sentio.affect.analysis.pipeline.Reading.read", lambda self: pytest.fail("no work"))
    with pytest.raises(InputError, match="holds a video of 0 MB at most") as error:
        analyzed(source, tmp_path / "out", replace(HAAR, embed_video=True))
    assert "--embed-video" in error.value.fix
    assert (tmp_path / "out/a.mp4.sentio/report.html").read_bytes() == before
    with pytest.raises(RecipeError, match="report"):
        Analysis(tmp_path, replace(HAAR, embed_video=True), ("csv",))


def test_resume_makes_a_report_anew_that_would_be_another(tmp_path, tiny_models) -> None:
    source, job = write_media(tmp_path / "a.mp4", times=steady(5)), Job(tmp_path / "a.mp4", Path("a.sentio"))

    def state(options: Options, *names: str) -> str:
        return Analysis(tmp_path, options, names, resume=True)(job).state

    embedding = replace(HAAR, embed_video=True)
    assert source.exists() and state(HAAR, "csv") == "done"
    assert [state(HAAR, "csv", "report"), state(HAAR, "csv", "report")] == ["done", "skipped"]
    assert [state(embedding, "csv", "report"), state(embedding, "report")] == ["done", "skipped"]
    assert state(HAAR, "csv") == "skipped", "the table does not depend on it"
    assert [state(HAAR, "csv", "report"), state(HAAR, "report")] == ["done", "skipped"]


def test_names_can_do_no_harm(browser, tmp_path) -> None:
    rows = [scored(k / 25, reason=HOSTILE if k % 2 else None) for k in range(50)] + [nobody(2.0, HOSTILE)]
    told = {"names": {"0": HOSTILE}, "events": [{"time_s": 1.0, "label": HOSTILE}], "sentio": HOSTILE}
    path = write(tmp_path, rows, name=HOSTILE, told=told)
    with open_page(browser, path.as_uri()) as page:
        until(page, "document.getElementById('tracks').ariaValueText")
        assert page.locator("h1").inner_text() == HOSTILE
        assert page.title().replace("\u2028", " ") == f"{HOSTILE} - sentio".replace("\u2028", " ")
        assert page.locator("script").count() == 3 and page.locator("img").count() == 0
        assert HOSTILE in page.locator("#lanes").inner_text() and HOSTILE in page.locator("table").first.inner_text()
        assert page.evaluate("document.title") != "harmed"
    harm = "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.harmed = 1'}))"
    with pytest.raises(AssertionError, match="Content Security Policy"), open_page(browser, path.as_uri()) as page:
        page.evaluate(harm)
        assert page.evaluate("window.harmed") is None, "scripts are allowed by their hash alone"
    with pytest.raises(AssertionError, match="Content Security Policy"), open_page(browser, path.as_uri()) as page:
        assert page.evaluate("fetch('data:,x').then(() => 'told', () => 'kept')") == "kept", "it connects to nothing"


@pytest.mark.parametrize("rows", [[], [nobody(0.0)], [scored(0.0)]], ids=["none", "nobody", "one"])
def test_hardly_any_rows(browser, tmp_path, rows) -> None:
    with open_page(browser, write(tmp_path, rows).as_uri()) as page:
        until(page, "document.getElementById('tracks').ariaValueText")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("+")
        assert "no video" in page.locator("#player").inner_text()
        assert page.locator("#play").is_disabled()
        nobody_there = not rows or "person" not in rows[0]
        assert ("No face was found." in page.locator("main").inner_text()) == nobody_there


def pixels(page, block: int) -> np.ndarray:
    """What is drawn in a block of the timeline, RGBA: (H, W, 4)."""
    url = page.evaluate("block => document.querySelectorAll('#lanes canvas')[block].toDataURL()", block)
    png = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    return cv2.cvtColor(cv2.imdecode(png, cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)


def colour(page, name: str) -> list[int]:
    text = page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}')").strip("# ")
    text = "".join(2 * digit for digit in text) if len(text) == 3 else text
    return [int(text[k : k + 2], 16) for k in (0, 2, 4)]


def near(image: np.ndarray, rgb: list[int], slack: int = 12) -> np.ndarray:
    return (np.abs(image[..., :3].astype(int) - rgb).max(axis=-1) < slack) & (image[..., 3] > 200)


def test_lanes_show_what_was_read(browser, tmp_path) -> None:
    """Two persons, of whom one leaves; stretches of two expressions; a face that is not fit, and one bridged."""
    rows = []
    for k in range(100):
        label = "Happiness" if k < 50 else "Anger"
        rows.append(scored(k / 25, 0, expression=label, valence=0.5, arousal=-0.5, au_12=0.9 if k < 50 else 0.1))
        if k < 25:
            rows.append(scored(k / 25, 1, expression="Fear", reason="small"))
        elif k < 50:
            rows.append(scored(k / 25, 1, expression="Fear", reason="no face, bridged", quality=None))
    with open_page(browser, write(tmp_path, rows).as_uri()) as page:
        until(page, "document.querySelectorAll('#lanes canvas').length === 2")
        seen = page.locator(".who span").all_inner_texts()
        assert seen == ["in 100 of 100 frames", "in 25 of 100 frames"], "a bridged face was not there"
        first, second, left = pixels(page, 0), pixels(page, 1), 82
        width = first.shape[1] - left
        at = lambda share: left + round(share * width)  # noqa: E731
        assert near(first[88 + 4 + 3, at(0.01) : at(0.49)], colour(page, "Happiness")).all()
        assert near(first[88 + 4 + 3, at(0.51) : at(0.99)], colour(page, "Anger")).all()
        for name, y in (("valence", 22), ("arousal", 66)):  # 0.5 and -0.5 of -1 to 1
            line = near(first[y - 1 : y + 2, at(0.1) : at(0.9)], colour(page, name), slack=50)
            assert line.any(axis=0).all(), name
        assert near(second[2, at(0.51) :], colour(page, "nobody")).all(), "gone"
        face = 88 + 4 + 18 + 4 + 11
        assert near(second[face, at(0.02) : at(0.24)], colour(page, "unfit")).all()
        assert near(second[face, at(0.26) : at(0.49)], colour(page, "bridged")).any()
        names = page.locator("#units .bar > span:first-child").all_inner_texts()
        assert names[:9] == ["AU1", "AU2", "AU4", "AU5", "AU6", "AU7", "AU9", "AU10", "AU12"], "as on the live page"
        unit = 88 + 4 + 18 + 4 + 12 + 4 + 8 * 12 + 10
        seen = near(first[unit, :], colour(page, "ink"))
        assert seen[at(0.02) : at(0.49)].all() and not seen[at(0.51) :].any(), "an episode of AU12"
        page.get_by_role("button", name="person 1").click()
        click_at(page, 0.3)
        assert re.match("Fear.*bridged", page.locator("#reading").inner_text(), re.S)
        click_at(page, 0.9)
        assert "not in sight" in page.locator("#reading").inner_text()


def test_who_speaks_is_a_lane_of_its_own(browser, tmp_path) -> None:
    """Full where somebody is the one who speaks, low where it is less likely, and told in words."""
    voice = {"speech": 0.9, "voice_expression": "Fear", "voice_valence": -0.5, "voice_arousal": 0.25}
    rows = [
        scored(k / 25, person, speaking=0.8 if person == k // 50 else 0.25 if k < 25 else None, **voice)
        for k in range(100)
        for person in (0, 1)
    ]
    with open_page(browser, write(tmp_path, rows, told={"names": {"1": "Ada"}}).as_uri()) as page:
        until(page, "document.getElementById('tracks').ariaValueText")
        seen = page.locator(".who span").all_inner_texts()
        assert seen[:2] == ["in 100 of 100 frames, speaks for 2.0 s"] * 2
        first, second, left, top = pixels(page, 0), pixels(page, 1), 82, 88 + 4 + 18 + 4 + 12 + 4
        at = lambda share: left + round(share * (first.shape[1] - left))  # noqa: E731
        full = near(first[top : top + 12], colour(page, "speaks"))
        assert full[:, at(0.01) : at(0.49)].all() and not full[:, at(0.51) :].any()
        lane = second[top : top + 12, at(0.01) : at(0.24)]
        assert (lane[:8] == lane[0, 0]).all() and (lane[10, :, :3] != lane[0, 0, :3]).any(-1).all(), "a quarter high"
        click_at(page, 0.25)
        assert page.locator("#heard").inner_text() == "person 0 speaks: Fear, valence −0.50, arousal +0.25"
        assert "person 0 speaks: Fear" in page.locator("#tracks").get_attribute("aria-valuetext")
        click_at(page, 0.75)
        assert page.locator("#heard").inner_text().startswith("Ada speaks: Fear")
        assert "speaks" in page.locator("#legend").inner_text()


def test_without_sound_there_is_no_lane_of_who_speaks(browser, tmp_path) -> None:
    with open_page(browser, write(tmp_path, [scored(k / 25) for k in range(50)]).as_uri()) as page:
        until(page, "document.getElementById('tracks').ariaValueText")
        assert "speak" not in page.locator("main").inner_text()


def test_light_and_dark_wide_and_narrow(browser, tmp_path) -> None:
    path = write(tmp_path, [row | {"time_s": row["time_s"] - 3} for row in random_rows(200)])
    grounds = {}
    for dark in (False, True):
        for size in ((1280, 900), (360, 740)):
            with open_page(browser, path.as_uri(), size=size, dark=dark) as page:
                until(page, "document.getElementById('tracks').ariaValueText")
                assert page.evaluate("document.documentElement.scrollWidth") <= size[0], "no scrolling sideways"
                grounds[dark] = page.evaluate("getComputedStyle(document.body).backgroundColor")
                assert near(pixels(page, 0), colour(page, "valence")).any()
                click_at(page, 0.5)
                assert cursor_share(page) == pytest.approx(0.5, abs=0.02)
    assert grounds[False] != grounds[True]


COVERED = """() => {
  const cursor = document.getElementById('cursor'), x = cursor.getBoundingClientRect().x + 1;
  cursor.style.pointerEvents = 'auto';
  return ['#axis', '.who', '#lanes canvas'].map(name => {
    const box = document.querySelector(name).getBoundingClientRect();
    return document.elementFromPoint(x, box.y + box.height / 2) === cursor;
  });
}"""


@pytest.mark.parametrize("size", [(1280, 900), (360, 1800)])
def test_the_cursor_crosses_lanes_and_no_text(browser, tmp_path, size) -> None:
    path = write(tmp_path, [scored(k / 25) for k in range(50)])
    with open_page(browser, path.as_uri(), size=size) as page:
        until(page, "document.getElementById('tracks').ariaValueText")
        assert page.evaluate(COVERED) == [False, False, True]


def test_what_is_drawn_can_be_heard_and_reached_by_keys(browser, tmp_path) -> None:
    rows = [scored(k / 25, expression="Sadness", valence=-0.5, arousal=0.25) for k in range(50)]
    with open_page(browser, write(tmp_path, rows).as_uri()) as page:
        slider = page.get_by_role("slider", name="Time in the file")
        for _ in range(20):
            page.keyboard.press("Tab")
            if slider.evaluate("slider => slider === document.activeElement"):
                break
        page.keyboard.press("Shift+ArrowRight")
        assert slider.get_attribute("aria-valuetext") == "0:01.0, person 0: Sadness valence −0.50, arousal +0.25"
        cells = page.get_by_role("table").first.get_by_role("cell").all_inner_texts()
        assert cells[:5] == ["2.0 s", "100 %", cells[2], "-0.50", "+0.25"] and "100 %" in cells[5:]
        assert page.get_by_role("button", name="Zoom in").count() == 1


def test_formats_that_browsers_do_not_play_have_a_timeline_all_the_same(browser, tmp_path, tiny_models) -> None:
    source = write_media(tmp_path / "old.avi", times=steady(20), codec="mpeg4", time_base=Fraction(1, 25))
    with open_page(browser, analyzed(source, tmp_path / "out").as_uri()) as page:
        until(page, "document.querySelector('#player .message')")
        message = page.locator("#player").inner_text()
        assert "cannot play old.avi (avi, mpeg4)" in message and page.locator("#play").is_disabled()
        click_at(page, 0.5)
        assert page.locator("#clock").inner_text() == "0:00.40"


def test_of_a_film_that_can_only_be_heard_the_page_says_so(browser, tmp_path, clips, tiny_models) -> None:
    """MPEG-4 with AAC; two persons, of whom each has a lane."""
    path = analyzed(clips / "pair.mp4", tmp_path)
    with open_page(browser, path.as_uri()) as page:
        until(page, "document.querySelector('#player .message')")
        assert "plays the sound of this file only (mov, mpeg4, aac)" in page.locator("#player").inner_text()
        assert [lane.split("\n")[0] for lane in page.locator(".who").all_inner_texts()][:2] == ["person 0", "person 1"]
        page.evaluate("document.querySelector('video').currentTime = 1")
        until(page, "Math.abs(document.getElementById('tracks').ariaValueNow - 1) < .05")


def test_sound_alone_and_a_folder_of_pictures(browser, tmp_path, tiny_models) -> None:
    sound = write_media(tmp_path / "a.wav", sound=tone(3.0, 16_000), sound_rate=16_000, sound_codec="pcm_s16le")
    with open_page(browser, analyzed(sound, tmp_path / "out").as_uri()) as page:
        until(page, "document.querySelector('audio')?.readyState >= 1")
        click_at(page, 0.5)
        until(page, "Math.abs(document.querySelector('audio').currentTime - 1.75) < .01")  # the first row is at 0.25 s
        assert page.locator(".who").all_inner_texts()[0].startswith("voice")
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"pictures/{number}.png"), np.full((40, 40, 3), 90, np.uint8))
    with open_page(browser, analyzed(tmp_path / "pictures", tmp_path / "out").as_uri()) as page:
        assert "no video" in page.locator("#player").inner_text()
    one = Analysis(tmp_path / "out", HAAR).write(tmp_path / "out/one", tmp_path / "pictures/0.png")
    assert one["left_out"] == ["report"] and not (tmp_path / "out/one/report.html").exists()


def test_persons_beyond_those_that_are_drawn_stand_in_the_table(tmp_path) -> None:
    rows = [scored(k / 25, person) for k in range(20) for person in range(15) if person < 14 or k < 2]
    path = write(tmp_path, rows)
    assert [person["number"] for person in held(path)["persons"]] == list(range(report.PERSONS))
    assert all(f"person {number}<" in path.read_text() for number in range(15))


@pytest.mark.slow
def test_an_hour_stays_usable(browser, tmp_path) -> None:
    """108,000 frames of a person: few bytes a row, and a single frame is seen however far out."""
    kinds = [scored(0.0, seed=k, valence=0.0, expression="Neutral", au_12=0.1) for k in range(7)]
    peak = 70_000

    def rows() -> Iterator[dict[str, Any]]:
        for k in range(108_000):
            changes = {"valence": 1.0, "au_12": 0.95} if k == peak else {}
            yield kinds[k % 7] | {"time_s": k / 30} | changes

    path = write(tmp_path, rows(), info=Info("camera", True, False, rate=30.0, size=(320, 240)))
    assert path.stat().st_size < 60 * 108_000
    with open_page(browser, path.as_uri()) as page:
        until(page, "document.getElementById('tracks').ariaValueText", within=60)
        image, left = pixels(page, 0), 82
        place = left + peak / 108_000 * (image.shape[1] - left)
        high = np.flatnonzero(near(image[3:8, left:], colour(page, "valence")).any(axis=0)) + left
        assert high.size and np.abs(high - place).max() < 3
        unit = image[88 + 4 + 18 + 4 + 12 + 4 + 8 * 12 + 5, left:, :3].astype(int).sum(axis=-1)
        assert abs(int(unit.argmin()) + left - place) < 3, "the darkest of AU12"
        click_at(page, peak / 108_000)
        for _ in range(15):
            page.keyboard.press("+")
        until(page, "document.getElementById('window').getBoundingClientRect().width < 8")
        assert near(pixels(page, 0)[88 + 4 + 3, left:], colour(page, "Neutral")).all()
        click_at(page, 0.5)
        middle = float(page.locator("#tracks").get_attribute("aria-valuenow"))
        assert abs(middle - peak / 30) < 30, "zoomed in around the cursor"
        page.keyboard.press("0")
        click_at(page, 0.5)
        assert abs(float(page.locator("#tracks").get_attribute("aria-valuenow")) - 1800) < 5
