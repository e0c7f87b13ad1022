"""Training steps per second of CAPNet and FER-Tuned, and pictures per second of the face networks, as JSON.

python bench/train.py [--threads 1] [--steps 20] [--out results.jsonl]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from sentio.affect.backbones.resnext import ResNeXt34
from sentio.affect.backbones.small import SmallResNet
from sentio.affect.batch import AffectBatch
from sentio.core import bench, registry
from sentio.core.training import FitConfig, fit

CASES: dict[str, tuple[str, dict[str, Any], int, int]] = {
    "fer-tuned small, faces 112": ("fer-tuned", {"encoder": "small"}, 0, 32),
    "capnet small, stored features": ("capnet", {"encoder": "small"}, 192, 128),
    "capnet resnext34, stored features": ("capnet", {"encoder": "resnext34"}, 512, 128),
}
"""System, config, length of stored features (0: faces), batch size."""


class Noise(Dataset[int]):
    """Windows of ten entries of nothing, made in the collation so that loading costs nothing."""

    monitor, higher_is_better = "none", True

    def __init__(self, batch: AffectBatch, steps: int) -> None:
        self.batch, self.items = batch, steps * len(batch)

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, index: int) -> int:
        return index

    def train_dataset(self) -> Dataset[int]:
        return self

    def collate(self, _: list[int]) -> AffectBatch:
        return self.batch

    def validate(self, _: Any) -> dict[str, float]:
        return {"none": 0.0}


def make_batch(size: int, length: int) -> AffectBatch:
    windows = 10 if length else 1
    faces = {"face_feature": torch.randn(size, 10, length)} if length else {"face": torch.rand(size, 1, 3, 112, 112)}
    return AffectBatch(
        face_valid=torch.ones(size, windows, dtype=torch.bool),
        time_s=torch.zeros(size, windows),
        source=torch.zeros(size, dtype=torch.int64),
        valence_arousal=torch.rand(size, 1, 2) * 2 - 1,
        valence_arousal_valid=torch.ones(size, 1, dtype=torch.bool),
        **faces,
    )


def steps_per_second(name: str, config: dict[str, Any], length: int, size: int, precision: str, steps: int) -> float:
    """Of whole steps; a run of n is taken from one of 3n, so that start, validation and checkpoint fall out."""
    batch = make_batch(size, length)

    def seconds(count: int) -> float:
        settings = FitConfig(steps=count, batch_size=size, optimizer="adam", ema_decay=0.999, precision=precision)
        with tempfile.TemporaryDirectory() as out:
            start = time.perf_counter()
            fit(registry.build(name, config), Noise(batch, count), settings, Path(out))
            return time.perf_counter() - start

    seconds(1)
    return 2 * steps / (seconds(3 * steps) - seconds(steps))


def pictures_per_second(make: Callable[[], torch.nn.Module], dtype: torch.dtype, steps: int) -> float:
    encoder, faces = make().eval(), torch.rand(1, 32, 3, 112, 112)
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        encoder(faces)
        start = time.perf_counter()
        for _ in range(steps):
            encoder(faces)
    return steps * faces.shape[1] / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20, help="timed for each figure")
    parser.add_argument("--out", type=Path, help="JSON lines to append the report to")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures: dict[str, Any] = {"threads": options.threads, "steps_per_second": {}, "pictures_per_second": {}}
    for precision in ("32-true", "bf16-mixed"):
        for label, case in CASES.items():
            rate = steps_per_second(*case, precision, options.steps)
            figures["steps_per_second"][f"{label}, batch {case[3]}, {precision}"] = round(rate, 2)
        for make in (SmallResNet, ResNeXt34):
            dtype = torch.float32 if precision == "32-true" else torch.bfloat16
            rate = pictures_per_second(make, dtype, options.steps)
            figures["pictures_per_second"][f"{make.info.name}, {precision}"] = round(rate, 1)
    bench.report("train", figures, options.out)


if __name__ == "__main__":
    main()
