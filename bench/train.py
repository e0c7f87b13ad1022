"""Training steps per second of systems, windows or pictures trained on per second; pictures per second of face networks
alone. As JSON.

python bench/train.py [--threads 1] [--steps 20] [--out results.jsonl]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from sentio.affect.backbones.resnext import ResNeXt34
from sentio.affect.backbones.small import SmallResNet
from sentio.affect.batch import AffectBatch
from sentio.affect.faces.alignment import SIZE
from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS
from sentio.affect.training.renders import MOVEMENTS, RenderBatch
from sentio.core import bench, registry
from sentio.core.training import FitConfig, fit

Batch = AffectBatch | RenderBatch


def windows(size: int, steps: int, **faces: Tensor) -> AffectBatch:
    return AffectBatch(
        face_valid=torch.ones(size, steps, dtype=torch.bool),
        time_s=torch.zeros(size, steps),
        source=torch.zeros(size, dtype=torch.int64),
        valence_arousal=torch.rand(size, 1, 2) * 2 - 1,
        valence_arousal_valid=torch.ones(size, 1, dtype=torch.bool),
        **faces,
    )


def faces(size: int) -> Batch:
    return windows(size, 1, face=torch.rand(size, 1, 3, SIZE, SIZE))


def small_features(size: int) -> Batch:
    return windows(size, 10, face_feature=torch.randn(size, 10, SmallResNet.info.dim))


def large_features(size: int) -> Batch:
    return windows(size, 10, face_feature=torch.randn(size, 10, ResNeXt34.info.dim))


def renders(size: int) -> Batch:
    labels = {
        "movements": torch.rand(size, len(MOVEMENTS)),
        "landmarks": torch.rand(size, 68, 2) * 2 - 1,
        "turn": torch.randn(size, 2),
        "valence_arousal": torch.rand(size, 2) * 2 - 1,
        "expression": torch.randint(len(EXPRESSIONS), (size,)),
        "action_units": torch.randint(2, (size, len(ACTION_UNITS))).float(),
    }
    return RenderBatch.of(torch.rand(size, 3, SIZE, SIZE), labels)


CASES: dict[str, tuple[str, dict[str, Any], Callable[[int], Batch], int]] = {
    "face, renders 112": ("face", {}, renders, 128),
    "fer-tuned small, faces 112": ("fer-tuned", {"encoder": "small"}, faces, 32),
    "capnet small, stored features": ("capnet", {"encoder": "small"}, small_features, 128),
    "capnet resnext34, stored features": ("capnet", {"encoder": "resnext34"}, large_features, 128),
}
"""System, config, what makes a batch, its size."""


class Noise(Dataset[int]):
    """The same batch of nothing again and again, so that loading costs nothing."""

    monitor, higher_is_better = "none", True

    def __init__(self, batch: Batch, items: int) -> None:
        self.batch, self.items = batch, items

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, index: int) -> int:
        return index

    def train_dataset(self) -> Dataset[int]:
        return self

    def collate(self, _: list[int]) -> Batch:
        return self.batch

    def validate(self, _: Any) -> dict[str, float]:
        return {"none": 0.0}


def steps_per_second(
    name: str, config: dict[str, Any], make: Callable[[int], Batch], size: int, precision: str, steps: int
) -> float:
    """Of whole steps; a run of n is taken from one of 3n, so that start, validation and checkpoint fall out."""
    batch = make(size)

    def seconds(count: int) -> float:
        settings = FitConfig(steps=count, batch_size=size, optimizer="adam", ema_decay=0.999, precision=precision)
        with tempfile.TemporaryDirectory() as out:
            start = time.perf_counter()
            fit(registry.build(name, config), Noise(batch, count * size), settings, Path(out))
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
    kinds = ("steps_per_second", "trained_on_per_second", "pictures_per_second")
    figures: dict[str, Any] = {"threads": options.threads} | {kind: {} for kind in kinds}
    for precision in ("32-true", "bf16-mixed"):
        for label, case in CASES.items():
            rate = steps_per_second(*case, precision, options.steps)
            figures["steps_per_second"][f"{label}, batch {case[3]}, {precision}"] = round(rate, 2)
            figures["trained_on_per_second"][f"{label}, {precision}"] = round(rate * case[3], 1)
        for make in (SmallResNet, ResNeXt34):
            dtype = torch.float32 if precision == "32-true" else torch.bfloat16
            rate = pictures_per_second(make, dtype, options.steps)
            figures["pictures_per_second"][f"{make.info.name}, {precision}"] = round(rate, 1)
    bench.report("train", figures, options.out)


if __name__ == "__main__":
    main()
