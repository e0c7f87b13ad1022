"""Two hundred short clips: two local runs that share them, against a Ray cluster of two nodes on this machine.

    python bench/many_machines.py [--clips 200] [--seconds 0.5]

The clips are pieces of the demo clip. Told are the seconds of both ways, from the command to its end; the milliseconds
that a job through Ray takes which does nothing; and whether all tables and reports are the same, byte for byte.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from sentio.affect.analysis.sources import DEMO_CLIP
from sentio.affect.media import SAMPLE_RATE, open_media
from sentio.core.bench import report
from sentio.core.cluster import workplace
from sentio.core.jobs import Job, Outcome, ShareDone

RATE = 30
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False, "node_ip_address": "127.0.0.1"}


def make_clips(folder: Path, count: int, seconds: float) -> None:
    """Pieces of the demo clip that begin at different frames."""
    length = round(seconds * RATE)
    with open_media(DEMO_CLIP) as media:
        frames, sound = [frame.image for frame in media], media.waveform()[0]
    for number in range(count):
        begin = number * 7 % (len(frames) - length)
        piece = sound[round(begin / RATE * SAMPLE_RATE) :][: round(seconds * SAMPLE_RATE)]
        with av.open(str(folder / f"{number:03}.mp4"), "w") as out:
            stream = out.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
            voice = out.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
            stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
            for place, image in enumerate(frames[begin : begin + length]):
                picture = av.VideoFrame.from_ndarray(image, format="rgb24")
                picture.pts, picture.time_base = place, Fraction(1, RATE)
                out.mux(stream.encode(picture))
            out.mux(stream.encode(None))
            heard = av.AudioFrame.from_ndarray(piece[None], "fltp", "mono")
            heard.sample_rate, heard.pts, heard.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
            out.mux(voice.encode(heard))
            out.mux(voice.encode(None))


@contextmanager
def two_nodes() -> Iterator[str]:
    """A cluster of two nodes with a CPU each; its address."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # on loopback
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    cluster.add_node(**NODE)
    yield cluster.address
    cluster.shutdown()


def analyze(clips: Path, out: Path, *ways: tuple[str, ...]) -> float:
    """Seconds of runs side by side."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "sentio", "analyze", str(clips), "--out", str(out), "--quiet"]
    for child in [subprocess.Popen([*command, *way]) for way in ways]:
        if child.wait():
            raise SystemExit("A run failed.")
    return time.perf_counter() - started


def contents(folder: Path) -> dict[str, str]:
    """Hashes of all files, but of the records, which tell the time that was taken."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "run.json")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Nothing:
    """Work that is none."""

    def made_with(self) -> None:
        """By nothing."""

    def __call__(self, job: Job, share_done: ShareDone) -> Outcome:
        return Outcome(str(job.source), "done")


def overhead(folder: Path, address: str, count: int) -> dict[str, float]:
    """Milliseconds of a job that does nothing, and seconds until the first is done; on the cluster."""
    jobs, ends = [Job(folder / str(number), Path(str(number))) for number in range(count)], []
    started = time.perf_counter()
    with workplace(address, show=False) as each:
        for _ in each(jobs, Nothing(), folder, lambda done, name: None):
            ends.append(time.perf_counter())
    return {"first_job_s": round(ends[0] - started, 2), "job_ms": round(1e3 * (ends[-1] - ends[0]) / (count - 1), 2)}


def compare(count: int, seconds: float) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "clips").mkdir()
        make_clips(folder / "clips", count, seconds)
        local = analyze(folder / "clips", folder / "local", ("--shard", "1/2"), ("--shard", "2/2"))
        with two_nodes() as address:
            ray = analyze(folder / "clips", folder / "ray", ("--ray", address))
            empty = overhead(folder / "ray", address, 1000)
        return {
            "clips": count,
            "seconds_each": seconds,
            "two_shards_s": round(local, 1),
            "ray_two_nodes_s": round(ray, 1),
            "difference_ms_a_file": round(1e3 * (ray - local) / count, 1),
            "through_ray": empty,
            "files_compared": len(contents(folder / "local")),
            "same": contents(folder / "local") == contents(folder / "ray"),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.5)
    given = parser.parse_args()
    report("many machines", compare(given.clips, given.seconds))


if __name__ == "__main__":
    main()
