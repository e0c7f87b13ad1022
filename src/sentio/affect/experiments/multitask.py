"""The multi-task system's claims: a student is better than its teacher, and the discriminator helps both.

Every training clip keeps the labels of one task only; a quarter of the videos keep their multi-task rows too, and so do
those that choose the weights. Each task's videos are as if filmed by a camera of its own, so that the label sets differ
in more than their labels, as Aff-Wild2's do, which were collected apart. Faces alone are used, no sound.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from sentio.affect.data.clips import valid
from sentio.affect.data.images import read_image
from sentio.affect.data.items import collate
from sentio.affect.data.tree import Tree, scan, video_of
from sentio.affect.experiments import _data as sets
from sentio.affect.labels import SOURCES
from sentio.affect.synth import layout
from sentio.affect.synth.moving_picture import MovingPicture
from sentio.affect.synth.scene import compress
from sentio.affect.training.published import AffectData, DataConfig
from sentio.core import runs
from sentio.core.config import from_dict
from sentio.core.experiments import Claim, Experiment, evaluate, make, train
from sentio.core.runs import Recipe

TEACHER, BLIND = "teacher", "teacher, no discriminator"
LONGER, STUDENT, EVEN = "teacher, as long as both", "student", "student, even weights"
SINGLE = SOURCES[:3]
"""The label sets of one task."""
NETWORK = {"inputs": "image", "lstm": 128, "shared": [256, 128], "heads": [64], "discriminator": [64, 32]}
"""A quarter of the published widths, for a set a hundredth of the published one's size."""
MISSING = 0.5
"""Share of labels above which data count as incomplete."""
RIDGE = 1e-3
"""Weight of the squares in the probe's loss."""
Picture = NDArray[np.uint8]


def _dark_and_grey(picture: Picture) -> Picture:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
    return np.repeat((255 * (grey / 255.0) ** 1.8).astype(np.uint8), 3, axis=2)


def _coarse(picture: Picture) -> Picture:
    """A face of 32 pixels, scaled up."""
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


CAMERAS: tuple[Callable[[Picture], Picture] | None, ...] = (None, _dark_and_grey, _coarse)
"""Of the videos of each task in `SINGLE`; None leaves them as they are."""


@dataclass(frozen=True)
class MultiTaskDistillation(Experiment):
    """Teacher, two students of it, a teacher that is trained as long as both, one without the discriminator.

    The second student lacks the paper's weights of tasks, which grow with every validation that brings a task nothing
    new.

    Args:
        videos, seconds: of the drawn set.
        optimizer, lr, epochs: of all networks; the published ones but for the rate: at 1e-4 all of them still learn
            when 20 epochs of so small a set are over.
        hop: frames between training windows.
        cameras: False has all label sets filmed by the same camera.
    """

    name: ClassVar[str] = "multitask"
    claim: ClassVar[str] = "Where labels are missing, a student learns more than its teacher, and a discriminator helps"
    published: ClassVar[str] = (
        "P_MTL 2.40 on the validation set of ABAW3. It cannot be compared: it is the mean of scores of mini-batches, "
        "in which an action unit that is absent counts as 1; the paper's ablations were not found"
    )
    baseline: ClassVar[str] = TEACHER
    scores: ClassVar[tuple[str, ...]] = ("p_mtl", "p_va", "p_expr", "p_au", "probe")
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim("The student is better than its teacher", STUDENT, TEACHER, "p_mtl"),
        Claim("The student is better than a teacher trained as long as both", STUDENT, LONGER, "p_mtl"),
        Claim("A student whose tasks keep their weights is better than its teacher", EVEN, TEACHER, "p_mtl"),
        Claim("The same student is better than a teacher trained as long as both", EVEN, LONGER, "p_mtl"),
        Claim("The discriminator helps", TEACHER, BLIND, "p_mtl"),
        Claim("The discriminator hides the label set", TEACHER, BLIND, "probe", higher=False),
    )
    protocol: ClassVar[dict[str, str]] = {
        "Metric": "the official scores of ABAW3, pooled; `probe`: share of training windows whose label set a new "
        "linear layer tells from the shared features, chance 0.333",
        "Labels": "each training clip has those of one task, a quarter of the videos multi-task rows too: two thirds "
        "are missing; crops of the videos of valence-arousal are as rendered, those of expression dark and grey, those "
        "of action units 32 pixels wide, in the validation split by turns",
        "Split": sets.SPLIT,
        "Smoothing": "none; a frame without an answer takes the nearest",
        "Causal": "yes",
    }
    paper: ClassVar[dict[str, str]] = {"p_mtl": "2.40 (by mini-batches)"}

    videos: int = 24
    seconds: float = 10.0
    optimizer: str = "adam"
    lr: float = 3e-4
    epochs: int = 20
    hop: int = 4
    cameras: bool = True

    def variants(self, quick: bool) -> tuple[str, ...]:
        return (BLIND, TEACHER, LONGER, STUDENT, EVEN)

    def seeds(self, quick: bool) -> int:
        return 3 if quick else 8

    def prepare(self, data: Path | None, work: Path, quick: bool) -> Path:
        size = MovingPicture(self.videos // 2 if quick else self.videos, self.seconds, seed=1)
        root = data or sets.drawn(work, size)
        make(work / "partial", lambda folder: lay_out_partial(root, folder, cameras=self.cameras))
        return root

    def run(self, variant: str, seed: int, data: Path, work: Path, quick: bool) -> dict[str, float]:
        run = self._train(variant, seed, data, work, quick)
        found = evaluate(run, work / "partial").to_dict()["scores"]
        return {**found, "probe": probe(run, work / "partial")}

    def _train(self, variant: str, seed: int, data: Path, work: Path, quick: bool) -> Path:
        """The run of a variant; a student's teacher is trained before it."""
        face = sets.FACE
        if sets.is_drawn(data, work):
            face = str(sets.fer_tuned(work / "partial", work / "fer-tuned", data, work, 0))
        epochs = 2 if quick else self.epochs
        network = NETWORK | {"encoder": sets.encoder(data, work), "adversary": variant != BLIND}
        plan: dict[str, Any] = {
            "system": "multitask",
            "start": {"encoder": face},
            "model": network,
            "data": {
                "sets": ["mtl", *SINGLE],
                "validation_sets": ["mtl"],
                "stream_batch": 128,
                "windows": {"length": 6, "step": sets.third_of_a_second(data), "hop": self.hop},
                "face_encoder": face,
                "features": sets.store_features(work / "partial", work, face),
                "choose_on": sets.CHOOSE_ON,
            },
            "fit": {"batch_size": 1, "optimizer": self.optimizer, "lr": self.lr, "seed": seed, "epochs": epochs},
            "evaluation": {"resamples": 0},
        }
        if variant == LONGER:
            plan["fit"]["epochs"] *= 2
        if variant in (STUDENT, EVEN):
            teacher = self._train(TEACHER, seed, data, work, quick)
            plan["system"] = "multitask-student"
            plan["model"] = {"network": network} | ({"patience": 0.0} if variant == EVEN else {})
            plan["start"] = {"teacher": str(teacher / runs.BEST)}
        run = work / f"{variant.replace(', ', '-').replace(' ', '-')}-{seed}"
        train(from_dict(Recipe, plan), work / "partial", run)
        return run


def lay_out_partial(root: Path, folder: Path, *, cameras: bool) -> None:
    """The same data with links for videos, a third of the labels of the training split, crops by `CAMERAS`.

    Data that lack most of the labels by themselves stay as they are.
    """
    if missing(AffectData(root, DataConfig(sets=SOURCES[:4]))) > MISSING:
        folder.symlink_to(root.resolve())
        return
    tree = scan(root)
    turn = _turns(tree)
    for path in tree.media.values():
        _link(path, folder / "videos")
    for name, path in tree.crops.items():
        camera = CAMERAS[turn[video_of(name)] % len(SINGLE)] if cameras and video_of(name) in turn else None
        _film(path, folder / "cropped_aligned" / path.name, camera)
    for task, split, path in tree.annotations:
        if split != "train" or SINGLE[turn[video_of(path.stem)] % len(SINGLE)] == task:
            _link(path, folder / layout.FOLDERS[task] / path.parent.name)
    for split, path in tree.mtl:
        if split == "train":
            rows = path.read_text(encoding="utf-8").splitlines()[1:]
            layout.write_mtl(folder, "training", [row for row in rows if _has_all(turn[video_of(row.split("/")[0])])])
        else:
            _link(path, folder / "MTL_Challenge")


def _turns(tree: Tree) -> dict[str, int]:
    """The number of each video among those of its split (of the last, where tasks put it into several)."""
    names: dict[str, set[str]] = {}
    for _, split, path in tree.annotations:
        names.setdefault(split, set()).add(video_of(path.stem))
    return {video: number for videos in names.values() for number, video in enumerate(sorted(videos))}


def _film(crops: Path, folder: Path, camera: Callable[[Picture], Picture] | None) -> None:
    """Crops as ``camera`` would have taken them; links where it is None."""
    if camera is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(crops.resolve())
        return
    folder.mkdir(parents=True)
    for path in sorted(crops.iterdir()):
        picture = read_image(path)
        if picture is None:
            shutil.copyfile(path, folder / path.name)
        else:
            (folder / path.name).write_bytes(compress(camera(picture), sets.QUALITY))


def _has_all(turn: int) -> bool:
    """Whether a training video keeps its multi-task rows: those that choose the weights, and a quarter of the rest."""
    return turn % sets.CHOOSE_ON == 0 or turn % 4 == 1


def _link(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / path.name).symlink_to(path.resolve())


def missing(data: AffectData) -> float:
    """The share of labels that the training frames lack, a frame being in one set or several."""
    clips = data.split("train")
    known = {
        (clip.name, kind, frame)
        for clip in clips
        for kind, values in clip.labels().items()
        for frame in np.flatnonzero(valid(kind, values)).tolist()
    }
    frames = {clip.name: clip.frames for clip in clips}
    return 1 - len(known) / (3 * sum(frames.values()))


def probe(run: Path, root: Path) -> float:
    """Share of training windows whose label set a new linear layer tells: fitted on even ones, asked on odd ones."""
    plan, method = runs.read_run(run)
    data = AffectData(root, from_dict(DataConfig, plan.data))
    windows = data.windows([clip for clip in data.split("train") if clip.source in SINGLE], data.config.windows)
    batch = collate([windows[index] for index in range(0, len(windows), 3)])
    with torch.no_grad():
        shared = method(batch).features[:, 0]  # (N, D)
    shared = (shared - shared.mean(0)) / (shared.std(0) + 1e-6)
    even, odd = slice(0, None, 2), slice(1, None, 2)
    layer = nn.Linear(shared.shape[1], len(SINGLE))
    nn.init.zeros_(layer.weight)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=200)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(layer(shared[even]), batch.source[even])
        loss = loss + RIDGE * layer.weight.square().sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return float((layer(shared[odd]).argmax(1) == batch.source[odd]).float().mean())
