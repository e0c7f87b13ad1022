"""BYEL's claim: a face network learns more from renders by BYOL with a classifier, and by taking the emotion out.

Each kind of pre-training is followed by the same supervision; beside them the same network without any, for as many
steps, and for as many multiplications. Without data, crops of the drawn set stand for renders.
"""

import csv
import re
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from sentio.affect.batch import AffectBatch
from sentio.affect.data.images import read_image
from sentio.affect.data.sets import read_sets
from sentio.affect.data.tree import scan
from sentio.affect.experiments import _data as sets
from sentio.affect.faces.alignment import align
from sentio.affect.labels import EXPRESSIONS, EXPRESSIONS_LSD
from sentio.affect.synth.moving_picture import MovingPicture
from sentio.affect.synth.scene import compress
from sentio.core import registry
from sentio.core.config import from_dict
from sentio.core.errors import InputError
from sentio.core.experiments import Claim, Experiment, evaluate, make, train
from sentio.core.runs import Recipe

SUPERVISED, SAME_WORK = "supervised", "supervised, equal work"
BYEL = "BYEL"
PARTS: dict[str, dict[str, bool]] = {
    "BYOL": {"classifier": False, "subtraction": False},
    "BYOL + classifier": {"subtraction": False},
    BYEL: {},
}
"""Config of each pre-training."""
REAL, RENDERS = "real", "renders"
ENCODER = "aligned"
FIT = {
    "optimizer": "adamw",
    "lr": 2e-3,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "precision": "bf16-mixed",
}
"""Of the supervision: the published Adam at 1e-4 is made for 100,000 steps."""
LARS: dict[str, Any] = {"optimizer": "lars", "weight_decay": 1.5e-6, "schedule": "constant", "warmup_steps": 0}
"""Of the pre-training, as published but for the rate."""
VIEW = 0.8
"""Share of a picture that every view keeps; with as little as the release's 0.08 short runs stay at chance, too."""
TRAINING, VALIDATION = "training_set_synthetic_images", "validation_set_synthetic_images"
POINTS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
CHOOSING, JUDGING = 60, 150
"""Pictures of each class of the half of the validation people that chooses, and of the one that judges."""


def _claims() -> tuple[Claim, ...]:
    pairs = (
        ("Pre-training by BYEL helps", BYEL, SUPERVISED),
        ("BYEL is worth its work", BYEL, SAME_WORK),
        ("The classifier helps BYOL", "BYOL + classifier", "BYOL"),
        ("The subtraction helps", BYEL, "BYOL + classifier"),
    )
    return tuple(
        Claim(f"{text}, on {score}", better, worse, score) for text, better, worse in pairs for score in (REAL, RENDERS)
    )


@dataclass(frozen=True)
class ByelComponents(Experiment):
    """BYOL, with the classifier, with the subtraction, each before supervision; supervision alone.

    Args:
        judge: folder of real faces that judge: pictures/ and labels.csv (picture, label, and five landmarks).
        pictures: trained on, of each of the six classes.
        pretraining, steps: optimizer steps of the two stages.
        batch: pictures in a step.
        optimizer, lr: of the pre-training. With LARS a weight moves by a thousandth of ``lr`` times its own length in a
            step; the published rate, 0.2, is for 108,000 steps. AdamW wants a rate of its own, 0.002 for instance.
    """

    name: ClassVar[str] = "byel"
    claim: ClassVar[str] = "From renders alone more is learnt by BYOL with the emotion classified and taken out"
    published: ClassVar[str] = (
        "macro-F1 0.3084 on the test set of ABAW4's LSD, the baseline 0.30. It cannot be compared: those renders and "
        "that test set are not here; a table by component was not found"
    )
    baseline: ClassVar[str] = SUPERVISED
    scores: ClassVar[tuple[str, ...]] = (REAL, RENDERS, "steps")
    claims: ClassVar[tuple[Claim, ...]] = _claims()
    protocol: ClassVar[dict[str, str]] = {
        "Metric": "macro-F1 of six expressions; `real`: faces of real pictures that only judge; `renders`: people that "
        "choose nothing; `steps`: of supervision, with pictures of the same number each",
        "Split": "trained on renders alone; half of the validation people choose the weights of the supervision, the "
        "other half judge; a pre-training ends with its last step",
        "Smoothing": "none, pictures",
        "Causal": "pictures",
    }
    paper: ClassVar[dict[str, str]] = {REAL: "0.308 (LSD test)"}

    judge: str | None = None
    pictures: int = 1000
    pretraining: int = 120
    steps: int = 200
    batch: int = 64
    optimizer: Literal["lars", "adamw"] = "lars"
    lr: float = 10.0

    def variants(self, quick: bool) -> tuple[str, ...]:
        return (SUPERVISED, SAME_WORK, *PARTS)

    def seeds(self, quick: bool) -> int:
        return 3

    def further_data(self) -> tuple[Path, ...]:
        return (Path(self.judge),) if self.judge else ()

    def prepare(self, data: Path | None, work: Path, quick: bool) -> Path:
        if self.judge:
            make(work / REAL, lambda folder: _lay_out_real(Path(str(self.judge)), folder))
        if data is None:
            root = sets.drawn(work, MovingPicture(8 if quick else 24, 5.0))
            data = make(work / "pictures", lambda folder: _lay_out_drawn(root, folder))
        source, shrink = data, 10 if quick else 1
        return make(work / "lsd", lambda folder: _lay_out(source, folder, self.pictures // shrink, shrink))

    def run(self, variant: str, seed: int, data: Path, work: Path, quick: bool) -> dict[str, float]:
        shrink = 10 if quick else 1
        pretraining, steps, start = self.pretraining // shrink, self.steps // shrink, {}
        name = variant.replace(" + ", "-").replace(", ", "-").replace(" ", "-")
        if variant in PARTS:
            first = self._plan("byel", PARTS[variant], pretraining, seed, quick)
            first["fit"]["validate_every"] = pretraining
            first["fit"] |= (LARS if self.optimizer == "lars" else {}) | {"lr": self.lr}
            start = {"encoder": str(train(from_dict(Recipe, first), data / "train", work / f"{name}-first-{seed}"))}
        if variant == SAME_WORK:
            steps += round(work_of_a_step() * pretraining)
        plan = self._plan("byel-transfer", {}, steps, seed, quick) | {"start": start}
        run = work / f"{name}-{seed}"
        train(from_dict(Recipe, plan), data / "train", run)
        found = {RENDERS: _f1(run, data / "judge"), REAL: float("nan"), "steps": float(steps)}
        return found | ({REAL: _f1(run, work / REAL)} if self.judge else {})

    def _plan(self, system: str, model: dict[str, Any], steps: int, seed: int, quick: bool) -> dict[str, Any]:
        batch = 16 if quick else self.batch
        return {
            "system": system,
            "model": {"encoder": ENCODER, "smallest": VIEW, **model},
            "data": {"sets": ["lsd"], "face_size": 80},
            "fit": FIT
            | {"batch_size": batch, "seed": seed, "steps": steps, "warmup_steps": steps // 5}
            | {"validate_every": steps if quick else steps // 4},
            "evaluation": {"resamples": 0},
        }


@cache
def work_of_a_step() -> float:
    """Multiplications of a step of BYEL's first stage as steps of its second; augmentation left out."""

    def multiplications(system: str) -> int:
        method = registry.build(system, {"encoder": ENCODER})
        there = torch.ones(4, 1, dtype=torch.bool)
        batch = AffectBatch(
            face=torch.rand(4, 1, 3, 80, 80),
            face_valid=there,
            time_s=torch.zeros(4, 1),
            source=torch.zeros(4, dtype=torch.int64),
            expression=torch.randint(1, 7, (4, 1)),
            expression_valid=there,
        )
        with FlopCounterMode(display=False) as counter:
            torch.autograd.backward(sum(method.loss(batch, 0.0).values()))
        return int(counter.get_total_flops())

    return multiplications("byel") / multiplications("byel-transfer")


def _f1(run: Path, data: Path) -> float:
    return float(evaluate(run, data).to_dict()["scores"]["p_lsd"])


def _lay_out(source: Path, folder: Path, training: int, shrink: int) -> None:
    """``train``: pictures of LSD's layout, half of its validation people for choice; ``judge``: the other half.

    Raises:
        InputError: ``source`` has none.
    """
    found = scan(source).lsd
    if {split for split, _, _ in found} < {"train", "validation"}:
        raise InputError(
            f"{source} has no {TRAINING} and {VALIDATION}.",
            "`sentio synth OUT --images 6000 --rigs RIG,RIG` makes them.",
        )
    for split, name, images in found:
        halves = [path for path in sorted(images.glob("*.jpg")) if split == "train" or not _half(path)]
        rest = [path for path in sorted(images.glob("*.jpg")) if split == "validation" and _half(path)]
        count = training if split == "train" else CHOOSING // shrink
        _copy(halves, folder / "train" / (TRAINING if split == "train" else VALIDATION) / name, count)
        _copy(rest, folder / "judge" / VALIDATION / name, JUDGING // shrink)


def _half(path: Path) -> int:
    """Of the people: 0 or 1. The rigs of `sentio synth` take turns, so that a person's number is halved first."""
    return int((re.findall(r"\d+", path.name) or [0])[0]) // 2 % 2


def _copy(paths: list[Path], folder: Path, count: int) -> None:
    """Some of the pictures, evenly chosen."""
    if paths:
        folder.mkdir(parents=True, exist_ok=True)
        for index in np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int):
            shutil.copyfile(paths[index], folder / paths[index].name)


def _lay_out_drawn(root: Path, folder: Path) -> None:
    """LSD's layout of crops whose class is one of the six."""
    for number, clip in enumerate(read_sets(scan(root), ("expr",))[0]):
        if clip.crops is None or clip.expression is None:
            continue
        split = TRAINING if clip.split == "train" else VALIDATION
        for frame in np.flatnonzero(clip.crops.present & (clip.expression >= 1) & (clip.expression <= 6))[::3]:
            place = folder / split / EXPRESSIONS[clip.expression[frame]].upper()
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(clip.crops.path(int(frame)), place / f"{2 * number}_{frame:05d}.jpg")


def _lay_out_real(source: Path, folder: Path) -> None:
    """LSD's layout of the aligned faces of real pictures whose class is one of the six.

    Raises:
        InputError: ``source`` has no labels.csv, or a picture cannot be read.
    """
    if not (source / "labels.csv").is_file():
        raise InputError(f"{source} has no labels.csv.", "Give judge=FOLDER with pictures/ and labels.csv.")
    with (source / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["nose_x"]]
    for number, row in enumerate(rows):
        if row["label"].capitalize() in EXPRESSIONS_LSD:
            image = read_image(source / "pictures" / row["picture"])
            if image is None:
                raise InputError(f"{source / 'pictures' / row['picture']} cannot be read.")
            points = np.array([[float(row[f"{point}_{axis}"]) for axis in "xy"] for point in POINTS])
            place = folder / "validation_set_real_images" / row["label"].upper()
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number:05d}.jpg").write_bytes(compress(align(image, points), sets.QUALITY))
