"""The page of `sentio live` where the browser itself gives no camera."""

from pathlib import Path

import pytest

from browser import open_browser, until
from live_client import serving
from live_page import live_page

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("flags", "title"),
    [
        (("--use-fake-device-for-media-stream", "--deny-permission-prompts"), "The camera was refused"),
        (("--use-fake-ui-for-media-stream",), "There is no camera"),
    ],
)
def test_what_to_do_is_told(tmp_path: Path, flags: tuple[str, ...], title: str) -> None:
    with (
        open_browser(*flags) as browser,
        serving(tmp_path) as server,
        live_page(browser, server.url, start=False) as (page, wire),
    ):
        page.click("#card-action")
        until(page, "document.body.dataset.state === 'problem'")
        assert page.inner_text("#card-title") == title
        assert not wire.sent("open")
