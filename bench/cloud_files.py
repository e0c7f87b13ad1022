"""Speed and memory of what surrounds the up-sampler, on one thread.

    python bench/cloud_files.py files [--points 1000000]     write and read every format, attributes included
    python bench/cloud_files.py surface                      closest points, even samples, metrics
    python bench/cloud_files.py pictures [--points 100000]   preview and interactive page

Times are processor time of this process, which other programs on the machine disturb less than wall time.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sentio.core.bench import peak_memory_mb, report
from sentio.points.io import FORMATS, Cloud, read_cloud, write_cloud
from sentio.points.metrics import compare, uniformity
from sentio.points.preview import draw_preview
from sentio.points.surface import Surface
from sentio.points.view import write_view


def spend(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return round(time.process_time() - start, 3), result


def make_cloud(count: int) -> Cloud:
    random = np.random.default_rng(0)
    points = random.random((count, 3)) * [100, 100, 5] + [412345.0, 5312345.0, 431.0]
    colour = random.integers(0, 256, (count, 3), dtype=np.uint8)
    return Cloud(points, {"colour": colour, "intensity": random.random(count).astype(np.float32)})


def bumpy_ball(rows: int = 50, columns: int = 50) -> Surface:
    """A closed surface of 5,000 triangles, the size of the field's test meshes."""
    u, v = np.meshgrid(np.linspace(0, np.pi, rows + 1), np.linspace(0, 2 * np.pi, columns + 1), indexing="ij")
    radius = 1 + 0.15 * np.sin(5 * u) * np.cos(4 * v)
    vertices = np.stack([radius * np.sin(u) * np.cos(v), radius * np.sin(u) * np.sin(v), radius * np.cos(u)], -1)
    corner = np.arange((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]))
    return Surface(vertices.reshape(-1, 3), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))


def files(count: int) -> dict[str, Any]:
    cloud, figures = make_cloud(count), {}
    bare = Cloud(cloud.points, {"intensity": cloud.attributes["intensity"]})
    with tempfile.TemporaryDirectory() as folder:
        for name in FORMATS:
            path = Path(folder) / f"cloud.{name}"
            subject = bare if name in ("kitti", "nuscenes") else cloud
            write, _ = spend(lambda subject=subject, path=path, name=name: write_cloud(subject, path, format=name))
            read, _ = spend(lambda path=path, name=name: read_cloud(path, format=name))
            size = round(path.stat().st_size / 2**20, 1)
            figures[name] = {"write_seconds": write, "read_seconds": read, "mib": size}
    return {"points": count, "formats": figures, "peak_memory_mb": round(peak_memory_mb())}


def surface() -> dict[str, Any]:
    mesh, figures = bumpy_ball(), {}
    for count in (2048, 8192, 32768):
        sampling, even = spend(lambda count=count: mesh.sample_evenly(count, seed=1).points)
        noisy = even + np.random.default_rng(0).normal(size=even.shape) * 0.005
        closest, _ = spend(lambda noisy=noisy: mesh.closest(noisy))
        comparing, _ = spend(lambda even=even, noisy=noisy: compare(noisy, even))
        disks, _ = spend(lambda noisy=noisy: uniformity(noisy, mesh))
        figures[count] = {"sample_evenly": sampling, "closest": closest, "compare": comparing, "uniformity": disks}
    return {"faces": len(mesh.faces), "seconds": figures, "peak_memory_mb": round(peak_memory_mb())}


def pictures(count: int) -> dict[str, Any]:
    mesh = bumpy_ball()
    before, after = (Cloud(mesh.sample(n, seed=1).points) for n in (count // 4, count))
    with tempfile.TemporaryDirectory() as folder:
        preview, _ = spend(lambda: draw_preview(before, after, Path(folder) / "a.png"))
        page, _ = spend(lambda: write_view(before, after, Path(folder) / "a.html"))
        size = round((Path(folder) / "a.html").stat().st_size / 2**20, 1)
    figures = {"preview_seconds": preview, "page_seconds": page, "page_mib": size}
    return {"points": count, **figures, "peak_memory_mb": round(peak_memory_mb())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["files", "surface", "pictures"])
    parser.add_argument("--points", type=int)
    parser.add_argument("--out", type=Path, help="JSON lines to append the report to")
    arguments = parser.parse_args()
    if arguments.what == "files":
        figures = files(arguments.points or 1_000_000)
    elif arguments.what == "surface":
        figures = surface()
    else:
        figures = pictures(arguments.points or 100_000)
    report(f"cloud_files {arguments.what}", figures, arguments.out)


if __name__ == "__main__":
    main()
