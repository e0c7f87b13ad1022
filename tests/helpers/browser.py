"""A real browser: Chromium without a window, driven by Playwright. Without either the test is skipped, and says so."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""It runs in containers, too, and talks to nobody."""
LOCAL = ("", "127.0.0.1", "localhost")
"""Hosts that a page may ask for something: none, and this machine."""


@contextmanager
def open_browser(*flags: str) -> Iterator[Browser]:
    """A browser, with flags of its own behind those that it always has."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the dev extra")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("needs a browser: install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS, *flags])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(
    browser: Browser, url: str, *, size: tuple[int, int] = (1280, 900), dark: bool = False, **options: Any
) -> Iterator[Page]:
    """A page of this size; in the end it must have raised no error, and asked no other machine for anything.

    Args:
        browser: see `open_browser`.
        url: what to open.
        size: width and height in pixels.
        dark: the system prefers dark pages.
        options: of Playwright's ``new_context``.
    """
    errors: list[str] = []
    scheme = "dark" if dark else "light"
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, **options)
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: errors.append(request.url) if _is_foreign(request.url) else None)
    try:
        page.goto(url)
        yield page
    finally:
        context.close()
    assert not errors, errors


def until(page: Page, expression: str, *, within: float = 30.0) -> Any:
    """Wait until an expression is true in the page, for so many seconds at most; gives its value."""
    end = time.monotonic() + within
    while not (value := page.evaluate(expression)):
        assert time.monotonic() < end, f"not within {within:g} s: {expression}"
        page.wait_for_timeout(20)
    return value


def _is_foreign(url: str) -> bool:
    return (urlsplit(url).hostname or "") not in LOCAL
