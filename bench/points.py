"""Speed of up-sampling: small clouds warm, large ones with memory and time per point.

python bench/points.py [--large] [--out report.json]
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from sentio.core.bench import machine
from sentio.points import upsample

LARGE = (100_000, 1_000_000)


def torus(count: int, seed: int = 0) -> np.ndarray:
    """Random points on a wavy torus; about evenly spread."""
    random = np.random.default_rng(seed)
    u, v = random.random((2, count)) * 2 * np.pi
    tube = 0.4 + 0.05 * np.cos(7 * u) * np.cos(5 * v)
    return np.stack([(1 + tube * np.cos(v)) * np.cos(u), (1 + tube * np.cos(v)) * np.sin(u), tube * np.sin(v)], 1)


def warm(model: str, repeats: int = 5) -> dict[str, float]:
    cloud = torus(2048)
    upsample.upsample(cloud, model=model)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        upsample.upsample(cloud, model=model)
        seconds.append(time.perf_counter() - start)
    return {"median_s": statistics.median(seconds), "least_s": min(seconds)}


def one(count: int) -> dict[str, float]:
    """One large cloud, x4, in this process: its peak memory is the process's."""
    cloud = torus(count)
    cpu, start = time.process_time(), time.perf_counter()
    upsample.upsample(cloud)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"points": count, "seconds": seconds, "cpu_s": cpu, "us_per_point": 1e6 * seconds / count, "peak_mb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="also 100,000 and 1,000,000 points")
    parser.add_argument("--one", type=int, help="only this many points, and print the row")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one)))
        return
    report = {"machine": machine(), "2048_to_8192": {model: warm(model) for model in upsample.NETWORKS}}
    if given.large:
        command = [sys.executable, __file__, "--one"]
        runs = [subprocess.run([*command, str(count)], capture_output=True, check=True, text=True) for count in LARGE]
        report["x4"] = [json.loads(run.stdout) for run in runs]
    text = json.dumps(report, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
