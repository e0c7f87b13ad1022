"""Fetching a rig from a real server on the loopback."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sentio.affect.synth import fetch as fetching
from sentio.core.errors import InputError, WeightsError

CONTENT = {"3dobjs/base.obj": b"v 1 2 3\n", "targets/nose/nose-hump-incr.target.gz": bytes(range(99))}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def address(tmp_path, monkeypatch):
    """A repository with two files, and a manifest of it."""
    root = tmp_path / "repository"
    for path, content in CONTENT.items():
        (root / path).parent.mkdir(parents=True)
        (root / path).write_bytes(content)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=root)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        files = {
            path.replace("3dobjs/", ""): [hashlib.sha256(content).hexdigest(), len(content)]
            for path, content in CONTENT.items()
        }
        manifest = {"address": f"http://127.0.0.1:{server.server_port}/", "files": files}
        monkeypatch.setattr(fetching, "_manifest", lambda: manifest)
        yield root
        server.shutdown()


def test_files_go_where_the_reader_looks(address, tmp_path):
    told = []
    folder = fetching.fetch("mpfb", tmp_path / "rig", progress=lambda done, total: told.append((done, total)))
    assert (folder / "base.obj").read_bytes() == CONTENT["3dobjs/base.obj"]
    assert (folder / "targets/nose/nose-hump-incr.target.gz").read_bytes() == bytes(range(99))
    assert told == [(1, 2), (2, 2)]


def test_what_is_there_is_kept(address, tmp_path):
    fetching.fetch("mpfb", tmp_path / "rig")
    for path in CONTENT:
        (address / path).unlink()
    fetching.fetch("mpfb", tmp_path / "rig")


def test_other_bytes_are_refused(address, tmp_path):
    (address / "3dobjs/base.obj").write_bytes(b"v 9 9 9\n")
    with pytest.raises(WeightsError, match="other bytes"):
        fetching.fetch("mpfb", tmp_path / "rig")
    assert not (tmp_path / "rig/base.obj").exists()


def test_the_cache_is_the_usual_place(address, tmp_path, monkeypatch):
    monkeypatch.setenv("SENTIO_CACHE", str(tmp_path / "cache"))
    assert fetching.fetch("mpfb") == tmp_path / "cache/rigs/mpfb"


@pytest.mark.parametrize(("name", "message"), [("ict-facekit", fetching.ICT_COMMIT), ("smpl", "mpfb, ict-facekit")])
def test_what_cannot_be_fetched_says_what_to_do(name, message):
    with pytest.raises(InputError, match=message):
        fetching.fetch(name)


def test_the_manifest_is_of_the_files_that_the_reader_reads(shared):
    folder = shared / "data/affect/rig-mpfb"
    files = fetching._files(fetching._manifest(), folder)
    assert len(files) > 300 and len({file.path for file in files}) == len(files)
    for file in files:
        content = file.path.read_bytes()
        assert len(content) == file.bytes and hashlib.sha256(content).hexdigest() == file.sha256
    assert "80919fa4682335c41847f761a4d79dcad4124732" in files[0].url and files[0].url.endswith("/3dobjs/base.obj")
