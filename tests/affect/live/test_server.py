"""Who is let in and what is served: real servers on loopback, real requests."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import sentio
from live_client import Client, jpeg_of, serving
from sentio import cli
from sentio.affect.live import server as servers
from sentio.affect.live.outbox import MAX_WAITING
from sentio.affect.live.record import Recording
from sentio.affect.live.session import DEFECT
from sentio.affect.media import open_media
from sentio.core.results import Table

pytestmark = pytest.mark.usefixtures("tiny_models")


@pytest.fixture(scope="module")
def server(tmp_path_factory, tiny_models):
    with serving(tmp_path_factory.mktemp("live")) as running:
        yield running


def fetch(server, path: str, *, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request(method, path, headers={name.title(): value for name, value in headers.items()})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def token(server) -> str:
    return server.url.split("=")[1]


def test_the_page_needs_the_token_and_may_load_nothing_from_elsewhere(server) -> None:
    status, headers, body = fetch(server, f"/?token={token(server)}")
    assert status == 200 and headers["content-type"].startswith("text/html") and b"<html" in body.lower()
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "style-src 'self';" in policy
    assert policy.endswith("frame-ancestors 'none'"), "no other page can show it in a frame"
    places = set(re.findall(r"[\w]+://[^\s;]+", policy))
    assert places == {f"ws://127.0.0.1:{server.port}", f"ws://localhost:{server.port}"}
    assert not re.search("unsafe|\\*", policy)
    assert headers["referrer-policy"] == "no-referrer" and headers["cache-control"] == "no-store"
    for path in ("/", "/?token=", f"/?token={token(server)}x", "/?token=%00", "/?token=%ff"):
        status, headers, body = fetch(server, path)
        assert status == 403 and b"address that sentio live has printed" in body and token(server).encode() not in body
        assert "content-security-policy" in headers


def test_assets_are_those_of_the_page_alone(server) -> None:
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    files = [path for path in servers.ASSETS.rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        status, headers, body = fetch(server, f"/assets/{path.relative_to(servers.ASSETS).as_posix()}")
        assert (status, body) == (200, path.read_bytes())
        assert headers["content-type"].startswith(types.get(path.suffix, "text/"))
    for name in ("../README.md", "..%2fREADME.md", "%2e%2e/README.md", "/etc/passwd", "", "uplot", "nothing.js"):
        assert fetch(server, f"/assets/{name}")[0] == 404


def test_nothing_else_is_served(server) -> None:
    for path in ("/docs", "/openapi.json", "/redoc", "/session", "/health"):
        assert fetch(server, path)[0] == 404
    assert fetch(server, f"/?token={token(server)}", method="POST")[0] == 405


@pytest.mark.parametrize(
    "host", ["example.org", "example.org:{port}", "127.0.0.1", "localhost:1", "127.0.0.1.example:{port}"]
)
def test_another_name_of_this_machine_is_refused(server, host) -> None:
    name = host.format(port=server.port)
    for path in (f"/?token={token(server)}", "/assets/index.html"):
        assert fetch(server, path, host=name)[0] == 403
    way = socket.create_connection(("127.0.0.1", server.port))
    address = f"ws://{name}/session?token={token(server)}"
    with way, pytest.raises(InvalidStatus) as caught, connect(address, sock=way, origin=f"http://{name}"):
        pass
    assert caught.value.response.status_code == 403


def test_localhost_is_this_machine_too(server) -> None:
    assert fetch(server, f"/?token={token(server)}", host=f"localhost:{server.port}")[0] == 200


@pytest.mark.parametrize(
    "origin", [None, "null", "http://example.org", "http://127.0.0.1:1", "https://127.0.0.1:{port}"]
)
def test_a_session_is_opened_by_the_own_page_alone(server, origin) -> None:
    other = origin and origin.format(port=server.port)
    with pytest.raises(InvalidStatus) as caught, Client(server.url, origin=other):
        pass
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize("wrong", ["", "x", "%00", "%C3%BC"])
def test_a_session_needs_the_token_and_says_so(server, wrong) -> None:
    with Client(server.url, token=wrong) as page:
        code, reason = page.closed()
    assert code == 1008 and "token is wrong" in reason and page.seen == []


def test_tokens_differ(tmp_path) -> None:
    with serving(tmp_path) as one, serving(tmp_path) as other:
        assert len(token(one)) >= 32 and token(one) != token(other) and one.port != other.port


def test_it_listens_on_this_machine_alone(tmp_path) -> None:
    psutil = pytest.importorskip("psutil", reason="needs the dev extra")

    def listening() -> set[tuple[str, int]]:
        found = psutil.Process().net_connections("inet")
        return {tuple(one.laddr) for one in found if one.status == psutil.CONN_LISTEN}

    before = listening()
    with serving(tmp_path) as server, Client(server.url) as page:
        page.open()
        assert listening() - before == {("127.0.0.1", server.port)}


def test_a_port_that_is_taken_is_refused_in_words(server, capsys, tmp_path) -> None:
    assert cli.main(["live", "--no-open", "--port", str(server.port), "--out", str(tmp_path)]) == 1
    assert f"Port {server.port} of this machine cannot be used" in capsys.readouterr().err
    assert cli.main(["live", "--no-open", "--port", "70000", "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "--port" in error and ".." not in error


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        (["--source", "missing.mp4"], "missing.mp4"),
        (["--model", "nothing"], "nothing"),
        (["--out", __file__], Path(__file__).name),
    ],
)
def test_what_cannot_be_had_is_refused_before_it_begins(flags, what, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["live", "--no-open", "--port", "0", *flags]) == 1
    assert what in capsys.readouterr().err


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "websockets"])
def test_without_the_extra_it_says_what_to_install(package, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert cli.main(["live", "--no-open", "--port", "0", "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert package in error and 'pip install ".[live]"' in error and not (tmp_path / "out").exists()


def test_one_page_too_many_is_told_so(server) -> None:
    with ExitStack() as stack:
        for _ in range(servers.MAX_SESSIONS):
            stack.enter_context(Client(server.url)).until("hello")
        with Client(server.url) as late:
            assert late.closed() == (1013, "There are 8 pages open; close one first.")


def test_a_page_that_is_loaded_anew_has_its_number_again(tmp_path, monkeypatch) -> None:
    numbers = []

    class Noted(servers.Session):
        def __init__(self, settings, page, number) -> None:
            numbers.append(number)
            super().__init__(settings, page, number)

    monkeypatch.setattr(servers, "Session", Noted)
    with serving(tmp_path, model="none") as server:
        with Client(server.url) as first:
            first.open()
            with Client(server.url) as second:
                second.open()
        deadline = time.monotonic() + 60
        while server._sessions._open and time.monotonic() < deadline:
            time.sleep(0.01)
        with Client(server.url) as again:
            again.open()
    assert numbers == [1, 2, 1]


def test_a_page_that_does_not_read_is_given_up_and_stalls_nobody(tmp_path, clips) -> None:
    with open_media(clips / "empty.mp4", end=0.1) as media:
        jpeg = jpeg_of(next(iter(media)).image)
    with serving(tmp_path, model="none") as server:
        server._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that little fills the way to a page
        way = socket.create_connection(("127.0.0.1", server.port))
        way.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with Client(server.url) as good, Client(server.url, sock=way, max_queue=1) as bad:
            good.open()
            for number in range(2000):
                bad.send("open", model="x" * 190)  # is answered with 300 bytes
                if number % 50 == 0:
                    good.show(float(number), jpeg)
            with pytest.raises(ConnectionClosed):
                for _ in range(2000):
                    bad.read()
            assert MAX_WAITING <= len(bad.seen) < 1500
            good.show(2000.0, jpeg)


def test_a_defect_is_told_and_costs_the_others_nothing(server, monkeypatch, capfd) -> None:
    from sentio.affect.live.session import Session

    with Client(server.url) as other:
        other.open()
        with monkeypatch.context() as patch, Client(server.url) as page:
            patch.setattr(Session, "_open", lambda self, wish: 1 / 0)
            page.send("open")
            code, reason = page.closed()
        assert code == DEFECT and "defect" in reason
        assert "ZeroDivisionError" in capfd.readouterr().err
        assert other.open()["type"] == "hello"


def test_a_recording_that_takes_long_to_finish_is_waited_for(tmp_path, clips, monkeypatch) -> None:
    def finish(self) -> list[str]:
        time.sleep(2)
        return finish_at_once(self)

    finish_at_once = Recording.finish
    monkeypatch.setattr(Recording, "finish", finish)
    monkeypatch.setattr(servers, "GRACE_S", 0)
    with open_media(clips / "talking.mp4", end=0.1) as media:
        pictures = [(frame.time_s, jpeg_of(frame.image)) for frame in media]
    with serving(tmp_path) as server, Client(server.url) as page:
        page.open()
        page.send("record", on=True)
        for picture in pictures:
            page.show(*picture)
        server.stop()
        page.closed()
    (folder,) = tmp_path.iterdir()
    assert len(Table.read(folder / "affect.parquet")) == len(pictures)


def command(out: Path, *flags: str, **variables: str) -> subprocess.Popen[str]:
    """``sentio live`` as a process of its own, and of this source."""
    arguments = [sys.executable, "-m", "sentio", "live", "--port", "0", "--out", str(out), *flags]
    environment = os.environ | {"PYTHONPATH": str(Path(sentio.__file__).parents[1])} | variables
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().split()[-1]


@pytest.mark.skipif(os.name != "posix", reason="the browser here is a shell script")
@pytest.mark.slow
def test_the_page_is_opened_in_the_browser(tmp_path) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.new && mv {opened}.new {opened} && sleep 5\n')
    browser.chmod(0o755)
    process = command(tmp_path / "out", BROWSER=f"{browser} %s")
    url = url_of(process)
    with Client(url) as page:
        page.open()  # although the browser has not returned
    for _ in range(600):
        if opened.exists():
            break
        time.sleep(0.1)
    assert opened.read_text().strip() == url
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)])
@pytest.mark.slow
def test_a_signal_ends_it_and_finishes_what_is_recorded(number, clips, tmp_path) -> None:
    process = command(tmp_path, "--no-open", "--source", str(clips / "talking.mp4"))
    url = url_of(process)
    with Client(url) as page:
        page.open()
        page.send("record", on=True, name="cut off")
        frames = [page.until("frame") for _ in range(10)]
        page.send("event", time_s=0.1, label="here")
        while page.read()["type"] != "frame":
            pass
        process.send_signal(number)
        assert process.wait(60) == 0
    process.stdout.close()
    (folder,) = tmp_path.iterdir()
    table = Table.read(folder / "affect.parquet")
    assert folder.name.endswith("_cut_off.sentio") and len(table) >= len(frames)
    assert (folder / "events.csv").read_text() == "time_s,label\n0.1,here\n"
