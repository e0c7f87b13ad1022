"""BYEL against plain supervision of the same face network, both learnt from renders alone, as a table.

python bench/byel.py RENDERS LONDON [--pictures 6000] [--pretraining 200] [--steps 300] [--seeds 3] [--folder DIR]

RENDERS is a folder that `sentio synth` filled; some of its pictures in LSD's layout are trained on, by all the same.
LONDON is the folder of photographs that `bench/real_faces.py london` takes. For every seed:

  byel, pre-training  the answers of BYEL's own emotion vectors after its first stage
  byel                both stages: pre-training, then supervision
  plain               the same network supervised from scratch, for as many steps as BYEL's second stage
  plain, same work    the same for as many multiplications as both stages of BYEL take (counted, augmentation left out)

The recipes are the repository's but for what `SETTINGS` says. Weights are chosen by macro-F1 on pictures of half of the
validation people; F1 is the official six-class macro-F1 on those of the other half, AUC is smile against neutral by
p(Happiness) on the photographs, with a 95 % interval over people. A run in --folder that was stopped is gone on with.
"""

import argparse
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from real_faces import KINDS, group_figures, macro_f1, open_system, read_people
from sentio.affect.batch import AffectBatch
from sentio.affect.data.images import read_image
from sentio.affect.faces.detectors import open_detector
from sentio.affect.labels import EXPRESSIONS, EXPRESSIONS_LSD
from sentio.core import bench, registry, runs

RECIPES = Path(__file__).parents[1] / "recipes"
BATCH = 64
ENCODER = "aligned"
SETTINGS = [
    f"model.encoder={ENCODER}",
    "model.smallest=0.8",
    "data.face_size=80",
    f"fit.batch_size={BATCH}",
    "fit.optimizer=adamw",
    "fit.lr=0.002",
    "fit.weight_decay=0.01",
    "fit.schedule=cosine",
    "fit.warmup_steps=50",
    "fit.precision=bf16-mixed",
    "fit.validate_every=50",
]
"""For short runs on a CPU. LARS at the release's values is made for 100,000 steps; the small network, and views of as
little as 8 % of the picture, stay at chance for much longer than these runs.
"""
TRAINING, VALIDATION = "training_set_synthetic_images", "validation_set_synthetic_images"
HELD_OUT = 150
"""Pictures a class, of either half of the validation people."""


def lay_out(renders: Path, folder: Path, pictures: int) -> None:
    """LSD's layout of some of the renders, and ``scored``: pictures of people that nothing is chosen on."""
    for name in EXPRESSIONS_LSD:
        for split, part, count, keep in (
            (TRAINING, f"lsd/{TRAINING}", pictures // len(EXPRESSIONS_LSD), (0, 1)),
            (VALIDATION, f"lsd/{VALIDATION}", HELD_OUT, (0,)),
            (VALIDATION, "scored", HELD_OUT, (1,)),
        ):
            files = [path for path in sorted((renders / "lsd" / split / name.upper()).iterdir()) if half(path) in keep]
            chosen = np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)
            (folder / part / name.upper()).mkdir(parents=True, exist_ok=True)
            for index in chosen:
                shutil.copyfile(files[index], folder / part / name.upper() / files[index].name)


def half(path: Path) -> int:
    """Of the people: 0 or 1. The studio's rigs take turns, so that a person's number is halved first."""
    return int(re.findall(r"\d+", path.name)[0]) // 2 % 2


def scored_pictures(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Crops and ids of the eight classes."""
    paths = [path for name in EXPRESSIONS_LSD for path in sorted((folder / name.upper()).iterdir())]
    crops = [crop for path in paths if (crop := read_image(path, 112)) is not None]
    return np.stack(crops), np.array([EXPRESSIONS.index(path.parent.name.capitalize()) for path in paths])


def multiplications(system: str) -> int:
    """Of one step on a batch."""
    method = registry.build(system, {"encoder": ENCODER})
    there = torch.ones(BATCH, 1, dtype=torch.bool)
    batch = AffectBatch(
        face=torch.rand(BATCH, 1, 3, 112, 112),
        face_valid=there,
        time_s=torch.zeros(BATCH, 1),
        source=torch.zeros(BATCH, dtype=torch.int64),
        expression=torch.randint(1, 7, (BATCH, 1)),
        expression_valid=there,
    )
    with FlopCounterMode(display=False) as counter:
        sum(method.loss(batch, 0.0).values()).backward()
    return counter.get_total_flops() // 2


@dataclass(frozen=True)
class Plan:
    """What all runs share: the pictures, and the folder for the runs."""

    data: Path
    work: Path

    def train(self, recipe: str, name: str, steps: int, seed: int, start: Path | None = None) -> Path:
        """A run of a recipe, or the rest of it; the best weights."""
        begin = f'start={{"encoder": "{start}"}}' if start else "start={}"
        plan = runs.read(RECIPES / recipe, [*SETTINGS, begin, f"fit.steps={steps}", f"fit.seed={seed}"])
        run = self.work / f"{name}-{seed}"
        return runs.train(plan, self.data, run, resume=run.exists())

    def rows(self, pretraining: int, steps: int, same: int, seed: int) -> Iterator[tuple[str, int, Path]]:
        """Name, steps and best weights of every row of the table."""
        first = self.train("byel.json", "byel", pretraining, seed)
        yield "byel, pre-training", pretraining, first
        yield "byel", steps, self.train("byel_transfer.json", "transfer", steps, seed, first)
        yield "plain", steps, self.train("byel_transfer.json", "plain", steps, seed)
        yield "plain, same work", same, self.train("byel_transfer.json", "same", same, seed)


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| | seed | steps | macro-F1, renders | AUC, photographs |", "|---|---|---|---|---|"]
    for row in rows:
        area, low, high = row["auc"]
        steps, f1 = row["steps"], row["f1"]
        lines.append(f"| {row['row']} | {row['seed']} | {steps} | {f1:.3f} | {area:.3f} [{low:.3f}, {high:.3f}] |")
    for name in dict.fromkeys(row["row"] for row in rows):
        f1, area = np.array([(row["f1"], row["auc"][0]) for row in rows if row["row"] == name]).T
        spread = f"{f1.mean():.3f} ± {f1.std():.3f} | {area.mean():.3f} ± {area.std():.3f} |"
        lines.append(f"| **{name}** | mean ± deviation | | {spread}")
    return "\n".join(lines)


def compare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    if not (folder / "scored").exists():
        lay_out(options.renders, folder, options.pictures)
    crops, labels = scored_pictures(folder / "scored")
    people, _ = read_people(options.london, open_detector("yunet"))
    neutral, smiling = (np.stack([getattr(person, kind) for person in people]) for kind in KINDS)
    ratio = multiplications("byel") / multiplications("byel-transfer")
    same = options.steps + round(ratio * options.pretraining)
    plan, rows = Plan(folder / "lsd", folder), []
    for seed in range(options.seeds):
        for name, steps, best in plan.rows(options.pretraining, options.steps, same, seed):
            system = open_system(str(best))
            f1, _ = macro_f1(system(crops)["expression"], labels, "lsd")
            auc = group_figures(system(neutral), system(smiling))["auc"]["p(Happiness)"]
            rows.append({"row": name, "seed": seed, "steps": steps, "f1": f1, "auc": auc})
            print(rows[-1], flush=True)
    print(table(rows))
    return {
        "trained_on": len(list((folder / "lsd" / TRAINING).rglob("*.jpg"))),
        "scored_on": len(labels),
        "people_photographed": len(neutral),
        "settings": SETTINGS,
        "work_of_a_byel_step": round(ratio, 3),
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("renders", type=Path)
    parser.add_argument("london", type=Path)
    parser.add_argument("--pictures", type=int, default=6000)
    parser.add_argument("--pretraining", type=int, default=200, help="steps of BYEL's first stage")
    parser.add_argument("--steps", type=int, default=300, help="steps of supervision")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the pictures and the runs here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        bench.report("byel", compare(options, options.folder or Path(temporary)))


if __name__ == "__main__":
    main()
