"""Timing that can be compared later: stages, hardware, versions, in one JSON report."""

import json
import math
import os
import platform
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from sentio.core.runtime import usable_cores

PACKAGES = ("numpy", "scipy", "av", "opencv-python-headless", "onnxruntime", "pyarrow", "torch")


class StageTimer:
    """Adds up wall time and calls by stage; cheap enough to stay in the code that it times."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block as one call of stage ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start
            self.calls[name] += 1

    def summary(self) -> dict[str, dict[str, float]]:
        """Seconds, calls and milliseconds per call of every stage."""
        return {
            name: {
                "seconds": round(total, 4),
                "calls": self.calls[name],
                "ms_per_call": round(1e3 * total / self.calls[name], 4),
            }
            for name, total in self.seconds.items()
        }


def machine() -> dict[str, Any]:
    """Hardware, system, versions and commit: what a figure depends on."""
    return {
        "processor": _processor(),
        "usable_cores": usable_cores(),
        "omp_threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := installed_version(name))},
        "commit": _commit(),
    }


def installed_version(package: str) -> str | None:
    """Version of an installed distribution, None if it is not there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MiB; NaN on Windows, which does not tell."""
    try:
        import resource
    except ModuleNotFoundError:
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)


def report(name: str, figures: dict[str, Any], path: Path | None = None) -> dict[str, Any]:
    """Join figures with the machine's description; print them as JSON and append a line to ``path`` if given."""
    entry = {
        "bench": name,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "figures": figures,
    }
    print(json.dumps(entry, indent=2))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    return entry


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
