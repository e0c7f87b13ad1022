"""A server of ``sentio live`` in a thread, and a client that speaks to it as the page does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from sentio.affect.analysis.options import Options
from sentio.affect.live.choice import choose
from sentio.affect.live.messages import HEADER, SENT, picture_message, sound_message
from sentio.affect.live.server import Server
from sentio.affect.live.session import Settings
from sentio.affect.media import AudioBlock

WAIT_S = 60
"""So long for an answer, on a machine that is busy; usually there is one at once."""


@contextmanager
def serving(
    out: Path, *, detector: str = "builtin", model: str = "face", baseline: str | None = None, **settings: Any
) -> Iterator[Server]:
    name, titles = choose(model)
    options = Options(detector=detector, model=name, causal=True, baseline=baseline)
    given = {"outputs": ("parquet", "csv"), **settings}
    server = Server(Settings(options, titles, out, **given), port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


class Client:
    """One page.

    Attributes:
        seen: all messages that came, without the pictures.
        pictures: the pictures that came, with their times.
    """

    def __init__(self, url: str, *, origin: str | None = "own", token: str | None = None, **options: Any) -> None:
        base, own_token = url.split("/?token=")
        address = f"{base.replace('http', 'ws')}/session?token={own_token if token is None else token}"
        self._connecting = connect(address, origin=base if origin == "own" else origin, max_size=None, **options)
        self.seen: list[dict[str, Any]] = []
        self.pictures: list[tuple[float, bytes]] = []

    def __enter__(self) -> Client:
        self.socket = self._connecting.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._connecting.__exit__(*error)

    def send(self, kind: str, **values: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **values}))

    def read(self, timeout: float = WAIT_S) -> dict[str, Any]:
        """The next message; of pictures a note is made."""
        while isinstance(message := self.socket.recv(timeout), bytes):
            self.pictures.append((HEADER.unpack_from(message)[2], message[HEADER.size :]))
        self.seen.append(json.loads(message))
        return self.seen[-1]

    def until(self, kind: str) -> dict[str, Any]:
        """The next message of a type; the others before it are in `seen`."""
        while (message := self.read())["type"] != kind:
            pass
        return message

    def until_quiet(self) -> None:
        """Read until nothing has come for a second."""
        with pytest.raises(TimeoutError):
            while True:
                self.read(timeout=1.0)

    def open(self, **values: Any) -> dict[str, Any]:
        """Begin; gives the greeting that comes back."""
        if not self.seen:
            self.until("hello")
        self.send("open", **values)
        return self.until("hello")

    def send_picture(self, time_s: float, jpeg: bytes) -> None:
        self.socket.send(picture_message(time_s, jpeg))

    def show(self, time_s: float, jpeg: bytes) -> dict[str, Any]:
        """Send a picture and wait for its answer."""
        self.send_picture(time_s, jpeg)
        return self.until("frame")

    def play(self, block: AudioBlock) -> None:
        self.socket.send(sound_message(block))

    def closed(self) -> tuple[int, str]:
        """Code and reason with which the server ends the session; what came before is in `seen`."""
        try:
            while True:
                self.read()
        except ConnectionClosed as error:
            assert error.rcvd is not None, "the connection broke off"
            return error.rcvd.code, error.rcvd.reason


def jpeg_of(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()


def pixels_of(jpeg: bytes) -> np.ndarray:
    return np.ascontiguousarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])


def assert_same(sent: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """Rows as a page got them, and as a stream or table gives them."""
    assert len(sent) == len(rows) > 0
    for found, row in zip(sent, rows, strict=True):
        assert set(found) == set(SENT)
        for name in SENT:
            expected = row.get(name)
            if isinstance(expected, float):
                assert abs(found[name] - expected) <= 1e-4, (name, found, row)
            else:
                assert found[name] == expected, (name, found, row)
