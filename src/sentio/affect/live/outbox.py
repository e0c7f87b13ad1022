"""What waits to be sent to a page."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from fastapi import WebSocket

MAX_WAITING = 256
"""Messages that may wait for a page: eight seconds of them."""
PICTURES_WAITING = 4
"""With so many, a picture of the source is left out."""
BUSY = 1013
"""Code with which a page is told to come back later (RFC 6455's registry)."""
CLOSE_S = 2.0
"""Seconds that a page has to take the last words."""


class Outbox:
    """What waits to be sent to a page; a page that does not read is given up, and stalls nobody.

    Args:
        websocket: accepted.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._close: tuple[int, str] | None = None
        self.ended = asyncio.Event()

    def post(self, message: str | bytes) -> None:
        """Send a message; from any thread."""
        self._call(self._put, message)

    def end(self, code: int, reason: str) -> None:
        """Close the connection behind what was posted; from any thread."""
        self._call(self._put_close, code, reason)

    async def send(self) -> None:
        """Send what is posted, until the end."""
        while (message := await self._waiting.get()) is not None:
            if isinstance(message, str):
                await self._websocket.send_text(message)
            else:
                await self._websocket.send_bytes(message)

    async def close(self) -> None:
        """Say why the connection is closed, if this side closes it and the page still listens."""
        if self._close is not None:
            code, reason = self._close
            cut = reason.encode()[:120].decode(errors="ignore")  # a close frame has room for 123 bytes
            with contextlib.suppress(OSError, RuntimeError, TimeoutError):
                await asyncio.wait_for(self._websocket.close(code, cut), CLOSE_S)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(function, *arguments)

    def _put(self, message: str | bytes) -> None:
        waiting = self._waiting.qsize()
        if self._close is not None or (isinstance(message, bytes) and waiting >= PICTURES_WAITING):
            return
        if waiting >= MAX_WAITING:
            self._close = BUSY, "The page reads too slowly."
            self.ended.set()
        else:
            self._waiting.put_nowait(message)

    def _put_close(self, code: int, reason: str) -> None:
        if self._close is None:
            self._close = code, reason
            self._waiting.put_nowait(None)
