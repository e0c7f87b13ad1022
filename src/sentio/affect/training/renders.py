"""Rendered faces with exact labels, as ``sentio synth`` writes them: held in memory, with every movement's strength."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sentio.affect.batch import AffectBatch
from sentio.affect.data.images import read_image
from sentio.affect.faces.alignment import SIZE
from sentio.affect.labels import ACTION_UNITS, ALL_UNITS, EXPRESSIONS, SOURCES
from sentio.affect.protocol import thresholds
from sentio.affect.protocol.scores import Tally, decide
from sentio.affect.synth.acting import VISIBLE
from sentio.affect.synth.layout import LISTING
from sentio.core import processes
from sentio.core.errors import InputError
from sentio.core.method import Method, TrainingData
from sentio.core.report import Figures

MOVEMENTS = (
    "AU1", "AU2", "AU4", "AU5", "AU6", "AU7", "AU9", "AU10", "AU12", "AU14", "AU15", "AU16", "AU17", "AU18", "AU20",
    "AU22", "AU23", "AU24", "AU25", "AU26", "blink", "puff",
)  # fmt: skip
"""What the studio's people move, in the order of the strengths."""
INTENSITIES = [MOVEMENTS.index(_name.replace("AU45", "blink")) for _name in ALL_UNITS]
"""Places of the action units among the movements, in the order of the table."""


@dataclass(frozen=True)
class RendersConfig:
    """The ``data`` section of a recipe.

    Attributes:
        rig: pictures of one rig only, ``ict`` or ``mpfb``; of both if empty.
        validation_rig: the same for validation.
    """

    rig: str = ""
    validation_rig: str = ""


@dataclass(frozen=True, kw_only=True)
class RenderBatch(AffectBatch):
    """Windows of one rendered face, with all labels and more.

    Attributes:
        movements: (B, len(MOVEMENTS)) float32, strengths from 0 to about 1; the stronger side counts.
        landmarks: (B, 68, 2) float32, x and y, -1 at the left and upper edges of the picture, 1 at the others.
        turn: (B, 2) float32, yaw to the person's left and pitch down of the head in radians.
    """

    movements: Tensor
    landmarks: Tensor
    turn: Tensor

    @property
    def further_units(self) -> Tensor:
        """(B, 6) float32 0 or 1, which of `FURTHER_UNITS` can be seen."""
        return (self.movements[:, INTENSITIES[len(ACTION_UNITS) :]] >= VISIBLE).float()

    @classmethod
    def of(cls, face: Tensor, labels: Mapping[str, Tensor]) -> Self:
        """The batch of (B, 3, 112, 112) pictures and what :attr:`Renders.labels` has of them."""
        B = len(face)
        here = torch.ones(B, 1, dtype=torch.bool)
        return cls(
            face=face[:, None],  # (B, 1, 3, 112, 112)
            face_valid=here,
            time_s=torch.zeros(B, 1),
            source=torch.full((B,), SOURCES.index("mtl")),
            valence_arousal=labels["valence_arousal"][:, None],
            valence_arousal_valid=here,
            expression=labels["expression"][:, None],
            expression_valid=here,
            action_units=labels["action_units"][:, None],
            action_units_valid=here[..., None].expand(B, 1, len(ACTION_UNITS)),
            movements=labels["movements"],
            landmarks=labels["landmarks"],
            turn=labels["turn"],
        )


@dataclass(frozen=True)
class Renders(Dataset[int]):
    """Pictures and labels of a split, in memory; an item is its number, and :meth:`batch` looks them up."""

    faces: NDArray[np.uint8]
    labels: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> int:
        return index

    def batch(self, items: Sequence[int]) -> RenderBatch:
        """The batch of these items."""
        face = torch.from_numpy(self.faces[items]).permute(0, 3, 1, 2).contiguous().float() / 255
        return RenderBatch.of(face, {name: torch.from_numpy(values[items]) for name, values in self.labels.items()})


class RenderedFaces(TrainingData):
    """Training and validation pictures of a folder that ``sentio synth`` filled.

    About 38 kB of memory a picture.

    Raises:
        InputError: there is no listing, it is damaged, or no picture is left of a split.
    """

    monitor = "p_mtl"
    higher_is_better = True

    def __init__(self, root: Path, config: RendersConfig) -> None:
        rows = read_listing(root)
        self.train = load(_chosen(rows, "training", config.rig))
        self.validation = load(_chosen(rows, "validation", config.validation_rig))

    def train_dataset(self) -> Renders:
        return self.train

    def collate(self, items: list[int]) -> RenderBatch:
        return self.train.batch(items)

    def validate(self, method: Any) -> dict[str, float]:
        """The official scores on the validation pictures, on which the method is also calibrated."""
        predictions = predict(method, self.validation)
        method.calibrate(predictions, self.validation.labels)
        return score(predictions, self.validation)


def read_listing(root: Path) -> list[dict[str, Any]]:
    """What ``sentio synth`` says of every picture of a set, or of the sets in a folder; ``image`` is then the path.

    Raises:
        InputError: a listing is missing or damaged.
    """
    paths = [root / LISTING] if (root / LISTING).is_file() else sorted(root.glob(f"*/{LISTING}"))
    if not paths:
        raise InputError(f"{root} holds no {LISTING}.", "Make the pictures with `sentio synth`.")
    return [row for path in paths for row in _read_set(path)]


def _read_set(path: Path) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        crops = path.parent / "affwild2" / "cropped_aligned"
        return [row | {"image": crops / row["image"], "movements": row["movements"]} for row in rows]
    except KeyError as error:
        raise InputError(f"{path} does not tell {error}.", "Make the pictures anew with `sentio synth`.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.", "Make the pictures with `sentio synth`.") from error


def _chosen(rows: list[dict[str, Any]], split: str, rig: str) -> list[dict[str, Any]]:
    chosen = [row for row in rows if row["split"] == split and rig in ("", row["rig"])]
    if not chosen:
        raise InputError(f"There is no {split} picture" + (f" of the rig {rig}." if rig else "."))
    return chosen


def load(rows: list[dict[str, Any]]) -> Renders:
    """Decode the pictures of some rows of the listing."""
    faces = np.zeros((len(rows), SIZE, SIZE, 3), np.uint8)

    def read(k: int) -> None:
        picture = read_image(rows[k]["image"], SIZE)
        if picture is None:
            raise InputError(f"The picture {rows[k]['image']} is missing or damaged.")
        faces[k] = picture

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, range(len(rows))))
    labels = {
        "movements": np.array([strengths(row["movements"]) for row in rows], np.float32),
        "landmarks": (np.array([row["landmarks"] for row in rows], np.float32) + 0.5) * (2 / SIZE) - 1,
        "turn": np.array([row["yaw_pitch_roll"][:2] for row in rows], np.float32),
        "valence_arousal": np.array([(row["valence"], row["arousal"]) for row in rows], np.float32),
        "expression": np.array([EXPRESSIONS.index(row["expression"]) for row in rows], np.int64),
        "action_units": np.array([row["action_units"] for row in rows], np.float32).reshape(-1, len(ACTION_UNITS)),
    }
    return Renders(faces, labels)


def strengths(movements: dict[str, float]) -> list[float]:
    """The strength of each of `MOVEMENTS`, of the stronger side."""
    return [max(movements.get(f"{name}{side}", 0.0) for side in ("", "_L", "_R")) for name in MOVEMENTS]


@torch.no_grad()
def predict(method: Method, renders: Renders, *, batch_size: int = 256) -> dict[str, NDArray[np.float64]]:
    """Predictions of all pictures: valence_arousal (N, 2), probabilities expression (N, 8) and action_units (N, 12)."""

    def values_of(start: int) -> list[NDArray[np.float64]]:
        batch = renders.batch(list(range(start, min(start + batch_size, len(renders)))))
        output = method(batch.to(method.device))
        values = (output.valence_arousal, output.expression.softmax(-1), output.action_units.sigmoid())
        return [value[:, 0].double().cpu().numpy() for value in values]

    parts = processes.spread(values_of, range(0, len(renders), batch_size))
    names = ("valence_arousal", "expression", "action_units")
    return dict(zip(names, map(np.concatenate, zip(*parts, strict=True)), strict=True))


def score(
    predictions: dict[str, NDArray[np.float64]], renders: Renders, decided: Sequence[float] = thresholds.DEFAULT
) -> dict[str, float]:
    """The official multi-task scores of predictions; ``decided`` are the thresholds of the action units."""
    labels = renders.labels
    units = thresholds.apply(predictions["action_units"], tuple(decided))
    tally = Tally.of(
        valence_arousal=(predictions["valence_arousal"], labels["valence_arousal"]),
        expression=(decide(predictions["expression"], "abaw"), labels["expression"]),
        action_units=(units, labels["action_units"].astype(np.int64)),
    )
    return tally.scores("abaw")


@dataclass(frozen=True)
class RendersEvaluationConfig:
    """The ``evaluation`` section of a recipe.

    Attributes:
        split: whose pictures are scored.
        rig: pictures of one rig only, ``ict`` or ``mpfb``; of both if empty.
    """

    split: Literal["train", "validation"] = "validation"
    rig: str = ""


def evaluate(method: Method, root: Path, config: RendersEvaluationConfig, decided: Sequence[float]) -> Figures:
    """The official scores on the pictures of a split.

    Args:
        decided: thresholds of the action units.

    Raises:
        InputError: see :class:`RenderedFaces`.
    """
    rows = _chosen(read_listing(root), "training" if config.split == "train" else config.split, config.rig)
    renders = load(rows)
    header = {
        "system": method.name,
        "split": config.split,
        "protocol": "abaw, pooled over all pictures",
        "pictures": len(rows),
        "rigs": sorted({row["rig"] for row in rows}),
        "thresholds": [round(float(value), 4) for value in decided],
    }
    notes = {
        "train": "These pictures were trained on.",
        "validation": "Temperature and thresholds were chosen on the validation pictures of the training data.",
    }
    return Figures(header, score(predict(method, renders), renders, decided), notes=(notes[config.split],))
