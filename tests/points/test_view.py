"""The interactive page: what is in it, and a real browser that opens it without a network."""

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from sentio.core.errors import MissingExtraError, OutputError
from sentio.points import view
from sentio.points.io import Cloud, Source
from sentio.points.view import write_view

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def sheet(count: int, seed: int = 0, **source: object) -> Cloud:
    random = np.random.default_rng(seed)
    points = np.column_stack([random.random((count, 2)), np.zeros(count)]) + [412345.678, 5312345.678, 431.2]
    red = np.column_stack([np.full(count, 255), np.arange(count) % 9, np.zeros(count)]).astype(np.uint8)
    attributes = {"colour": red, "ring": np.arange(count) % 5, "flag": np.zeros(count), "wide": np.ones((count, 9))}
    return Cloud(points, attributes, Source(**source))


def read_page(path: Path) -> tuple[str, dict]:
    page = path.read_text(encoding="utf-8")
    return page, json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)[1])


def decode(text: str, dtype: str = "<f4") -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=dtype)


def test_the_page_holds_the_points_and_what_can_be_shown(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    before, after = sheet(50), sheet(200, 1)
    write_view(before, after, tmp_path / "a.html", title="scan")
    page, data = read_page(tmp_path / "a.html")
    assert data["choices"] == ["colour", "ring", "height", "plain"]  # nothing constant, nothing of nine columns
    for cloud, packed in zip((before, after), data["clouds"], strict=True):
        assert packed["count"] == len(cloud.points)
        centre = (before.points.min(axis=0) + before.points.max(axis=0)) / 2
        for axis, column in zip("xyz", (cloud.points - centre).T, strict=True):
            np.testing.assert_allclose(decode(packed[axis]), column, atol=6e-4)
        rgb = decode(packed["colours"]["colour"]["rgb"], "u1").reshape(-1, 3)
        np.testing.assert_array_equal(rgb, cloud.attributes["colour"])
        np.testing.assert_array_equal(decode(packed["colours"]["ring"]["scalar"]), cloud.attributes["ring"])
    assert "Coordinates are relative to 412346.1" in page and "drawn at random" not in page


def test_the_page_needs_and_allows_no_network(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    write_view(sheet(9), sheet(9), tmp_path / "a.html")
    page, _ = read_page(tmp_path / "a.html")
    assert "default-src 'none'" in page and "connect-src" not in page
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)\s*=", page)


def test_large_clouds_are_thinned_and_the_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("plotly")
    monkeypatch.setattr(view, "MOST_POINTS", 100)
    write_view(sheet(50), sheet(1234), tmp_path / "a.html")
    page, data = read_page(tmp_path / "a.html")
    assert "Of after, 100 of 1,234 points are shown" in page and "Of before" not in page
    assert len(decode(data["clouds"][1]["x"])) == 100 and data["clouds"][1]["count"] == 1234


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    evil = "</script><script>alert(1)</script>"
    cloud = Cloud(np.eye(3), {evil: np.arange(3.0)})
    write_view(cloud, cloud, tmp_path / "a.html", title=evil + "$plotly")
    page, data = read_page(tmp_path / "a.html")
    assert "<script>alert" not in page
    assert evil in data["choices"]


@pytest.mark.parametrize("points", [np.zeros((1, 3)), np.ones((5, 3))])
def test_a_cloud_without_extent_has_a_page(points: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    write_view(Cloud(points), Cloud(points), tmp_path / "a.html")
    _, data = read_page(tmp_path / "a.html")
    assert all(low < high for low, high in data["box"])


def test_values_that_are_not_finite_are_left_to_the_browser(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    cloud = Cloud(np.eye(3), {"value": np.array([1.0, np.nan, 3.0])})
    write_view(cloud, cloud, tmp_path / "a.html")
    assert read_page(tmp_path / "a.html")[1]["ranges"]["value"] == pytest.approx([1.04, 2.96])


def test_failures_are_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("plotly")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_view(sheet(9), sheet(9), tmp_path / "file" / "a.html")
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(MissingExtraError, match=r"\.\[view\]"):
        write_view(sheet(9), sheet(9), tmp_path / "a.html")


def browse(page: str, profile: Path, *options: str) -> str:
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is installed")
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    drawing = ["--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    window = ["--window-size=900,700", "--virtual-time-budget=15000", f"--user-data-dir={profile}"]
    command = [program, "--headless", "--no-sandbox", *quiet, *drawing, *window, *options, page]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout


@pytest.mark.slow
def test_a_real_browser_draws_what_is_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    write_view(sheet(40, format="las"), sheet(3000, 1, format="las"), tmp_path / "a.html")
    address = (tmp_path / "a.html").as_uri()
    for name, count in (("before", 40), ("after", 3000)):
        page = browse(f"{address}#{name}", tmp_path / name, "--dump-dom")
        plot = re.search(r'<div id="plot"[^>]*>', page)[0]
        assert f'data-shown="{name}"' in plot and f'data-points="{count}"' in plot and 'data-colour="colour"' in plot
        assert f"{name} ({count:,} points)" in page
    clicks = """<script>addEventListener("load", () => {
        document.querySelector("input[value=before]").click();
        Object.assign(colour, {value: "ring"}).dispatchEvent(new Event("input"));
    });</script></body>"""
    (tmp_path / "b.html").write_text((tmp_path / "a.html").read_text().replace("</body>", clicks))
    page = browse((tmp_path / "b.html").as_uri(), tmp_path / "clicked", "--dump-dom")
    plot = re.search(r'<div id="plot"[^>]*>', page)[0]
    assert 'data-shown="before"' in plot and 'data-points="40"' in plot and 'data-colour="ring"' in plot
    browse(address, tmp_path / "picture", f"--screenshot={tmp_path / 'a.png'}")
    blue, green, red = np.moveaxis(cv2.imread(str(tmp_path / "a.png")).astype(int), 2, 0)
    assert ((red > 200) & (green < 80) & (blue < 80)).mean() > 0.02
