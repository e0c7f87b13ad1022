"""Files made to do harm, given to the command line as a user would: a sentence for each, and nothing else happens."""

import json
import os
import pickle
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from media import steady, tone, write_media

LIMIT_S = 120
NO_SOCKETS = """
import socket

def refuse(*_, **__):
    raise RuntimeError("a socket was asked for")

socket.socket.__init__ = socket.create_connection = refuse
"""
SIBLING = "sibling.mp4"


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


NOISE = np.random.default_rng(0).bytes(50_000)
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=x
c=IN IP4 0.0.0.0
t=0 0
m=video 5004 RTP/AVP 96
a=rtpmap:96 H264/90000
"""
MANIFEST = f"""<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" profiles="urn:mpeg:dash:profile:isoff-main:2011"
 mediaPresentationDuration="PT4S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">
<BaseURL>{SIBLING}</BaseURL></Representation></AdaptationSet></Period></MPD>
"""
UNKNOWN = "is not a video, sound or image file of a known format, or its beginning is damaged."
CUT = "is cut off or damaged: the index of this MP4 or MOV file, which tells where its pictures are, cannot be read."
SHORT = "is too short for a score: there is one after every 0.25 s of sound."
BIG = "over 134 megapixels."
MEDIA: dict[str, tuple[bytes | str, str]] = {
    "sdp.mp4": (SDP, UNKNOWN),
    "concat.mp4": (f"ffconcat version 1.0\nfile {SIBLING}\n", UNKNOWN),
    "hls.mp4": (f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{SIBLING}\n#EXT-X-ENDLIST\n", UNKNOWN),
    "hls-address.mp4": ("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n", UNKNOWN),
    "dash.mp4": (MANIFEST, UNKNOWN),
    "rtsp.mp4": ("rtsp://127.0.0.1:8554/live\n", UNKNOWN),
    "rtsptext.mp4": ("[Reference]\nRef1=http://127.0.0.1:9/a\nRTSPtextrtsp://127.0.0.1:9/a\n", UNKNOWN),
    "list.m3u": (f"#EXTM3U\n{SIBLING}\n", UNKNOWN),
    "words.srt": ("1\n00:00:01,000 --> 00:00:02,000\nhi\n\n", UNKNOWN),
    "drawing.svg": (f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{SIBLING}"/></svg>', UNKNOWN),
    "deep.json": (DEEP, UNKNOWN),
    "noise.mp4": (NOISE, UNKNOWN),
    "noise.png": (NOISE, UNKNOWN),
    "empty.mp4": (b"", re.escape("is empty (0 bytes).")),
    "bomb.png": (png(50_000, 50_000), BIG),
    "huge.png": (png(2**31 - 1, 2**31 - 1), BIG),
}

PCD = (
    "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH {0}\nHEIGHT 1\nPOINTS {0}\nDATA {1}\n1 2 3\n"
)
PLY = (
    "ply\nformat ascii 1.0\nelement vertex {0}\n"
    + "".join(f"property float {axis}\n" for axis in "xyz")
    + "end_header\n0 0 0\n"
)
CLOUDS: dict[str, tuple[bytes | str, str]] = {
    "many.ply": (PLY.format(10**12), "cut short: 1,000,000,000,000 vertices announced, 1 present."),
    "more.ply": (PLY.format(10**30).replace("ascii", "binary_little_endian"), "cut short"),
    "many.pcd": (PCD.format(10**12, "ascii"), "cut short: 1,000,000,000,000 points announced, 1 present."),
    "more.pcd": (PCD.format(10**30, "binary"), "cut short"),
    "noise.stl": (NOISE, "The file is no STL or cut short"),
    "noise.bin": (NOISE[:16_001], "do not look like coordinates"),
    "noise.npy": (NOISE, "This is no numpy array"),
    "noise.npz": (NOISE, "This is no complete npz archive"),
    "noise.las": (NOISE, "This is no complete LAS header"),
    "noise.xyz": (NOISE, "This is not a text file"),
    "pickle.npy": (pickle.dumps(np.zeros((5, 3))), "This is no numpy array"),
    "deep.csv": (DEEP, "."),
}


def write(folder: Path, files: dict[str, tuple[bytes | str, str]]) -> Path:
    folder.mkdir()
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


class Watched:
    """Runs ``sentio`` without sockets in a network of its own, and reads from strace what it opened."""

    def __init__(self, folder: Path) -> None:
        self.log, self.site = folder / "calls", folder / "site"
        self.site.mkdir()
        (self.site / "sitecustomize.py").write_text(NO_SOCKETS)
        alone = ["unshare", "-rn"]
        can = shutil.which("unshare") and subprocess.run([*alone, "true"], capture_output=True).returncode == 0
        self.before = alone if can else []
        if shutil.which("strace"):
            self.before += ["strace", "-f", "-qq", "-o", str(self.log), "-e", "trace=socket,connect,bind,openat"]

    def command(self, *arguments: object) -> tuple[list[str], dict[str, str]]:
        environment = dict(os.environ)
        places = [str(self.site), *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(places)
        return [*self.before, sys.executable, "-m", "sentio", *map(str, arguments)], environment

    def run(self, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        command, environment = self.command(*arguments)
        done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S)
        assert "Traceback" not in done.stdout + done.stderr
        assert "a socket was asked for" not in done.stdout + done.stderr
        if self.log.exists():
            calls = self.log.read_text(errors="replace")
            assert not re.search(r"\b(socket|connect|bind)\(", calls)
            assert SIBLING not in calls
        return done


@pytest.fixture
def watched(tmp_path) -> Watched:
    return Watched(tmp_path)


def test_sockets_are_forbidden(watched, tmp_path):
    command, environment = watched.command()
    probe = [*command[: command.index("-m")], "-c", "import socket; socket.socket()"]
    assert "a socket was asked for" in subprocess.run(probe, env=environment, capture_output=True, text=True).stderr


@pytest.mark.slow
def test_analyze_says_a_sentence_for_each_and_goes_on(watched, tmp_path):
    folder = write(tmp_path / "in", MEDIA)
    whole = write_media(folder / SIBLING, times=steady(30)).read_bytes()
    (folder / "half.mp4").write_bytes(whole[: len(whole) // 2])
    write_media(folder / "short.wav", sound=np.zeros(100, np.float32), sound_codec="pcm_s16le")
    expected = {name: sentence for name, (_, sentence) in MEDIA.items()} | {"half.mp4": CUT, "short.wav": SHORT}
    out = tmp_path / "out"
    done = watched.run("analyze", *sorted(expected), "--out", out, "--json", cwd=folder)
    failed = {entry["file"]: entry["error"] for entry in json.loads(done.stdout)["failed"]}
    assert done.returncode == 1
    assert done.stderr == ""
    assert failed.keys() == expected.keys()
    for name, sentence in expected.items():
        assert re.search(sentence, failed[name]), failed[name]
    assert not [path for path in out.rglob("*") if path.is_file() and path.name != "failed.json"]


@pytest.mark.parametrize("name", CLOUDS)
@pytest.mark.slow
def test_upsample_says_a_sentence(watched, tmp_path, name):
    folder = write(tmp_path / "in", {name: CLOUDS[name]})
    done = watched.run("upsample", name, cwd=folder)
    assert done.returncode == 1
    assert re.search(CLOUDS[name][1], done.stdout)
    assert done.stdout.count("\n") <= 3 and done.stderr == ""  # what happened, what to do, and the count
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["analyze", SIBLING, "--model", "deep.json"], "The card deep.json is nested more than 64 levels deep."),
        (["analyze", SIBLING, "--model", "gone.json"], "Cannot read the card gone.json"),
        (["train", "deep.json", "--data", ".", "--out", "run"], "The recipe deep.json is nested more than 64"),
    ],
)
@pytest.mark.slow
def test_nested_and_missing_json(tmp_path, arguments, words):
    (tmp_path / "deep.json").write_bytes(DEEP)
    write_media(tmp_path / SIBLING, times=steady(3))
    command = [sys.executable, "-m", "sentio", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 1
    assert words in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_doctor_among_hostile_files(watched, tmp_path):
    folder = write(tmp_path / "in", MEDIA | CLOUDS)
    done = watched.run("doctor", "--json", cwd=folder)
    assert json.loads(done.stdout)["problems"] == []
    assert done.returncode == 0


STALLING = """
import sys, time
from pathlib import Path
from sentio import cli

whole = Path.open
left = list(range(1 + int(sys.argv.pop(1))))
class Stalling:
    def __init__(self, file):
        self.file = file
    def read(self, size=-1):
        left.pop()
        if left:
            return self.file.read(size)
        print("stalls", flush=True)
        time.sleep(600)
    def __getattr__(self, name):
        return getattr(self.file, name)

def opened(path, *arguments, **options):
    file = whole(path, *arguments, **options)
    return Stalling(file) if path.name == "clip.mp4" else file

Path.open = opened
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("reads", [0, 8])
def test_one_ctrl_c_ends_a_read_that_stalls(tmp_path, reads):
    """While the file is opened, and later."""
    write_media(tmp_path / "clip.mkv", times=steady(3), sound=tone(15), sound_codec="pcm_s16le")
    (tmp_path / "clip.mkv").rename(tmp_path / "clip.mp4")
    command = [sys.executable, "-c", STALLING, str(reads), "analyze", "clip.mp4", "--out", "out", "--quiet"]
    child = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None and child.stdout.readline() == "stalls\n"
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=20)
    finally:
        child.kill()
    assert child.returncode == 130
    assert "interrupted" in said and "Traceback" not in said
    assert not list((tmp_path / "out").rglob("*"))
