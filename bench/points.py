"""Speed of up-sampling: small clouds warm, large ones with memory and time per point; and learning curves.

python bench/points.py [--large] [--out report.json]
python bench/points.py --curve CHECKPOINT ... [--seen PATCHES] --data MESHES [--clouds CLOUDS] [--bar 0.2326]
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
from safetensors import safe_open

from sentio.core import registry
from sentio.core.bench import machine
from sentio.points import upsample
from sentio.points.evaluate import EvaluationConfig, Upsampler, evaluate_shapes

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


def curve(stages: list[tuple[int, list[Path]]], data: Path, clouds: str | None, bar: float | None) -> None:
    """x4 scores on meshes of PU-MFA's checkpoints, and the power law of the Chamfer distance above the floor."""
    found = [checkpoint(path, seen) for seen, files in stages for path in sorted(files)]
    methods = {f"{patches:,}": up for patches, up in found}
    report = evaluate_shapes(data, methods, EvaluationConfig(clouds=clouds, starts=1))
    print(f"{'patches':>12}     CD  HD max  P2F  (x 1000)")
    for row in (means := report.means()):
        cd, hd, p2f = (1000 * row.scores[key] for key in ("cd_sum", "hd_sq_max", "p2f_mean"))
        print(f"{row.method:>12}  {cd:.4f}  {hd:.3f}  {p2f:.3f}")
    floor, *above = (1000 * row.scores["cd_sum"] for row in means if row.method != "midpoint")
    patches = np.log([count for count, _ in found])
    slope, offset = np.polyfit(patches, np.log(np.array(above) - floor), 1)
    print(f"CD - {floor:.3f} = {np.exp(offset):.3g} * patches ** {slope:.3f}")
    if bar:
        print(f"CD {bar:g} at {np.exp((np.log(bar - floor) - offset) / slope):,.0f} patches")


def checkpoint(path: Path, seen: int) -> tuple[int, Upsampler]:
    """Patches seen, ``seen`` of them before the run, and the averaged weights of a checkpoint."""
    with safe_open(path, "pt") as file:
        info = json.loads(file.metadata()["info"])
        names = [name for name in file.keys() if name.startswith("average.")]  # noqa: SIM118 (no mapping)
        state = {name.removeprefix("average."): file.get_tensor(name) for name in names}
    model, fit = dict(info["identity"]["model"]), info["identity"]["fit"]
    method = registry.build(model.pop("system"), model)
    method.load_state_dict(state)
    return seen + info["step"] * fit["batch_size"] * fit["accumulate"], method.eval().upsampler()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="also 100,000 and 1,000,000 points")
    parser.add_argument("--one", type=int, help="only this many points, and print the row")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--curve", type=Path, nargs="+", action="append", help="checkpoints of a run of PU-MFA")
    parser.add_argument("--data", type=Path, help="folder of meshes for --curve")
    parser.add_argument("--clouds", help="npz of inputs and truths of these meshes")
    parser.add_argument("--seen", type=int, action="append", help="patches seen before that run began")
    parser.add_argument("--bar", type=float, help="the Chamfer distance (x 1000) whose patches are asked for")
    given = parser.parse_args()
    if given.curve:
        stages = list(zip(given.seen or [0] * len(given.curve), given.curve, strict=True))
        curve(stages, given.data, given.clouds, given.bar)
        return
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
