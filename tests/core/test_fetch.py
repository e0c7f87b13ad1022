"""Fetching against a real server on the loopback: resume, refusal, broken connections."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sentio.core import fetch as fetching
from sentio.core.errors import WeightsError
from sentio.core.weights import WeightFile

CONTENT = bytes(range(256)) * 2000


class Server(ThreadingHTTPServer):
    """Serves CONTENT; ``cut_after`` breaks the connection, ``ranges`` says whether Range is understood."""

    cut_after: int | None = None
    ranges = True
    content = CONTENT
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.server.status == 0:
            self.wfile.write(b"this is no HTTP\r\n\r\n")
            return
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        start = int(wanted[6:-1]) if wanted and self.server.ranges else 0
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut_after])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("SENTIO_CACHE", str(tmp_path))
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def file_of(server: Server, content: bytes = CONTENT) -> WeightFile:
    url = f"http://127.0.0.1:{server.server_address[1]}/model.onnx"
    return WeightFile("model.onnx", hashlib.sha256(content).hexdigest(), len(content), url)


def test_fetch_reports_progress_and_keeps_the_file(server, tmp_path) -> None:
    seen: list[tuple[int, int]] = []
    path = fetching.fetch_file(file_of(server), lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "model.onnx"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_present_file_is_not_fetched_again(server) -> None:
    for _ in range(2):
        fetching.fetch_file(file_of(server), lambda done, total: None)
    assert len(server.asked) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_broken_connection_is_resumed(server, tmp_path, ranges) -> None:
    server.cut_after = 100_000
    with pytest.raises(WeightsError, match="broke off"):
        fetching.fetch_file(file_of(server), lambda done, total: None)
    assert not (tmp_path / "model.onnx").exists()
    server.cut_after, server.ranges = None, ranges
    assert fetching.fetch_file(file_of(server), lambda done, total: None).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_other_bytes_are_refused_and_not_kept(server, tmp_path) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(WeightsError, match="other bytes"):
        fetching.fetch_file(file_of(server), lambda done, total: None)
    assert list(tmp_path.iterdir()) == []


def test_a_longer_answer_is_cut_off(server) -> None:
    server.content = CONTENT + b"more"
    assert fetching.fetch_file(file_of(server), lambda done, total: None).read_bytes() == CONTENT


def test_server_errors_are_named(server) -> None:
    server.status = 404
    with pytest.raises(WeightsError, match="404"):
        fetching.fetch_file(file_of(server), lambda done, total: None)


def test_an_answer_that_is_no_http_is_named(server) -> None:
    server.status = 0
    with pytest.raises(WeightsError, match="broke off"):
        fetching.fetch_file(file_of(server), lambda done, total: None)


def test_no_server_at_all(server) -> None:
    file = file_of(server)
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsError, match="put the file at"):
        fetching.fetch_file(file, lambda done, total: None)


def test_damaged_cached_file_is_replaced(server, tmp_path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"damaged")
    assert fetching.fetch_file(file_of(server), lambda done, total: None).read_bytes() == CONTENT
