"""The page of `sentio live` in a real browser: a camera and a microphone that play a clip, and what it says."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from browser import open_page, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HEADER = struct.Struct("<B7xd")
PICTURE, SOUND = 1, 2


@dataclass
class Wire:
    """All that a page and its server have said, in order.

    Attributes:
        said: (whether the page said it, a JSON object or the bytes of a binary message).
    """

    said: list[tuple[bool, Any]] = field(default_factory=list)

    def listen(self, page: Page) -> None:
        """Write down what the sockets say that the page will open."""
        page.on("websocket", self._attach)

    def _attach(self, socket: Any) -> None:
        socket.on("framesent", lambda data: self.said.append((True, _plain(data))))
        socket.on("framereceived", lambda data: self.said.append((False, _plain(data))))

    def sent(self, kind: str | int) -> list[Any]:
        """The page's messages of a type, or (time, payload) of its binary ones of a kind."""
        own = [message for is_own, message in self.said if is_own]
        if isinstance(kind, str):
            return [message for message in own if isinstance(message, dict) and message["type"] == kind]
        parts = [(*HEADER.unpack_from(data), data[HEADER.size :]) for data in own if isinstance(data, bytes)]
        return [(time_s, payload) for number, time_s, payload in parts if number == kind]

    def received(self, kind: str) -> list[dict[str, Any]]:
        """The server's messages of a type."""
        return [said for is_own, said in self.said if not is_own and isinstance(said, dict) and said["type"] == kind]


@contextmanager
def live_page(
    browser: Browser, url: str, *, script: str = "", start: bool = True, **options: Any
) -> Iterator[tuple[Page, Wire]]:
    """The page, started as a user would, and what it says.

    Args:
        browser: see `browser.open_browser`.
        url: of the server, with its token.
        script: what is done before the page's own scripts.
        start: press the button that starts it, and wait for a face.
        options: see `browser.open_page`.
    """
    wire = Wire()
    with open_page(browser, "about:blank", **options) as page:
        wire.listen(page)
        if script:
            page.add_init_script(script)
        page.goto(url)
        if start:
            page.click("#card-action")
            wait_for_face(page)
        yield page, wire


def wait_for_face(page: Page) -> None:
    """Wait until scores of a face are shown."""
    until(page, "/\\d/.test(document.querySelector('#valence').textContent)")


def state(page: Page) -> str:
    """What the page is about."""
    return str(page.evaluate("document.body.dataset.state"))


def _plain(data: str | bytes) -> Any:
    return data if isinstance(data, bytes) else json.loads(data)
