"""Latency and memory of ``sentio live``, through its real socket.

    python bench/live.py [--minutes 0.5] [--detector yunet] [--model face]

A server of its own process gets what a page sends: JPEGs of 1280x720 at 30 a second with one face, each as soon as it
is due and the last one is answered, and the sound between them in messages of 64 ms; all models are at work. Latency is
the time from before a picture is sent to after its rows were read. Pictures that are due while one is on its way are
dropped, as the page does. Memory is the server's resident size, by quarter; ``--minutes 30`` is the soak. The bars: a
median of at most 40 ms, 95 % within 80 ms, and memory that does not grow.
"""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import psutil
from websockets.sync.client import ClientConnection, connect

from sentio.affect.analysis.sources import DEMO_CLIP
from sentio.affect.faces.detectors import NAMES
from sentio.affect.live.messages import picture_message, sound_message
from sentio.affect.media import SAMPLE_RATE, AudioBlock, open_media
from sentio.core.bench import report

RATE = 30
WARM_S = 5.0
SOUND = 1024
"""Samples of a message of sound."""
BARS_MS = {"median": 40, "p95": 80}


def pictures() -> list[bytes]:
    """The stretch of the demo clip with a face, there and back, enlarged to 720p."""
    with open_media(DEMO_CLIP) as media:
        frames = [cv2.resize(frame.image, (960, 720)) for frame in media if frame.index < 100]
    wide = [cv2.copyMakeBorder(frame, 0, 0, 160, 160, cv2.BORDER_REPLICATE)[..., ::-1] for frame in frames]
    encoded = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes() for frame in wide]
    return encoded + encoded[::-1]


@contextlib.contextmanager
def serving(detector: str, model: str) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a server, and its process."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "sentio", "live", "--no-open", "--port", "0", "--out", out]
        command += ["--detector", detector, "--model", model]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1], psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
            process.stdout.close()


class Page:
    """What a page does: one picture at a time, and sound."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.jpegs = pictures()
        with open_media(DEMO_CLIP) as media:
            self.sound = media.waveform()[0]
        self.heard = 0
        self.begun = time.perf_counter()

    def now(self) -> float:
        return time.perf_counter() - self.begun

    def speak(self) -> None:
        """Send the sound up to now."""
        while (self.heard + SOUND) / SAMPLE_RATE <= self.now():
            at = self.heard % (len(self.sound) - SOUND)
            self.socket.send(sound_message(AudioBlock(self.heard / SAMPLE_RATE, self.sound[at : at + SOUND])))
            self.heard += SOUND

    def show(self, number: int) -> tuple[float, float, int]:
        """Send a picture; gives its latency and the server's own work in milliseconds, and its faces."""
        jpeg, before = self.jpegs[number % len(self.jpegs)], time.perf_counter()
        self.socket.send(picture_message(before - self.begun, jpeg))
        while (answer := json.loads(self.socket.recv()))["type"] != "frame":
            pass
        faces = sum(row["person"] is not None for row in answer["rows"])
        return 1e3 * (time.perf_counter() - before), answer["work_ms"], faces


def run(page: Page, seconds: float, server: psutil.Process) -> dict[str, Any]:
    """Latencies and memory from `WARM_S` on."""
    shown: list[tuple[float, float, int]] = []
    sizes: list[float] = []
    tick = dropped = 0
    used = 0.0
    while (now := page.now()) < WARM_S + seconds:
        page.speak()
        due = int(now * RATE)
        if due <= tick:
            time.sleep(max(0.0, (tick + 1) / RATE - page.now()))
            continue
        measured = page.show(due)
        if now >= WARM_S:
            used = used or sum(server.cpu_times()[:2])
            dropped += due - tick - 1
            shown.append(measured)
            if len(shown) % RATE == 0:
                sizes.append(server.memory_info().rss / 2**20)
        tick = due
    latency, work, faces = np.array(shown).T
    quarters = [round(float(np.median(part)), 1) for part in np.array_split(sizes, 4)]
    return {
        "pictures": len(shown),
        "pictures_a_second": round(len(shown) / seconds, 2),
        "dropped": dropped,
        "share_with_face": round(float((faces > 0).mean()), 3),
        "latency_ms": _spread(latency),
        "bars_ms": BARS_MS,
        "work_ms": _spread(work),
        "cores_of_the_server": round((sum(server.cpu_times()[:2]) - used) / seconds, 2),
        "resident_mb_by_quarter": quarters,
        "growth_last_over_first_quarter": round(quarters[-1] / quarters[0] - 1, 4),
    }


def _spread(values: np.ndarray) -> dict[str, float]:
    median, p95 = np.percentile(values, [50, 95])
    return {"median": round(float(median), 2), "p95": round(float(p95), 2), "most": round(float(values.max()), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--detector", choices=["auto", *NAMES], default="auto")
    parser.add_argument("--model", default="auto")
    chosen = parser.parse_args()
    with serving(chosen.detector, chosen.model) as (url, server):
        base, token = url.split("/?")
        with connect(f"{base.replace('http', 'ws')}/session?{token}", origin=base, max_size=None) as socket:
            socket.recv()  # the greeting
            socket.send(json.dumps({"type": "open", "sound": True}))
            hello = json.loads(socket.recv())
            figures = run(Page(socket), 60 * chosen.minutes, server)
    load = [round(value, 1) for value in psutil.getloadavg()]
    settings = {"detector": chosen.detector, "model": hello["model"], "minutes": chosen.minutes}
    report("live, 720p30, one face", {**settings, "load_average": load, **figures})


if __name__ == "__main__":
    main()
