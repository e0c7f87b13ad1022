"""Rendered faces with exact labels, as ``sentio synth`` writes them: held in memory, with every movement's strength."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sentio.affect.batch import AffectBatch
from sentio.affect.data.images import read_image
from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS
from sentio.affect.protocol.scores import Tally, decide
from sentio.core.errors import InputError

MOVEMENTS = (
    "AU1", "AU2", "AU4", "AU5", "AU6", "AU7", "AU9", "AU10", "AU12", "AU14", "AU15", "AU16", "AU17", "AU18", "AU20",
    "AU22", "AU23", "AU24", "AU25", "AU26", "blink", "puff",
)  # fmt: skip
"""What the studio's people move, in the order of the strengths."""
LISTING = "faces.jsonl"
SIDE = 112
"""Side of the crops in pixels."""


@dataclass(frozen=True)
class RendersConfig:
    """The ``data`` section of a recipe.

    Attributes:
        rig: pictures of one rig only, ``ict`` or ``mpfb``; of both if empty.
        validation_rig: the same for validation.
    """

    rig: str = ""
    validation_rig: str = ""


@dataclass(frozen=True)
class RenderBatch:
    """N rendered faces.

    Attributes:
        face: (N, 3, 112, 112) float32 RGB in [0, 1].
        movements: (N, len(MOVEMENTS)) float32, strengths from 0 to about 1; the stronger side counts.
        landmarks: (N, 68, 2) float32, x and y, -1 at the left and upper edges of the picture, 1 at the others.
        valence_arousal: (N, 2) float32 in [-1, 1].
        expression: (N,) int64, 0 to 7.
        action_units: (N, 12) float32, 0 or 1.
    """

    face: Tensor
    movements: Tensor
    landmarks: Tensor
    valence_arousal: Tensor
    expression: Tensor
    action_units: Tensor

    def to(self, device: torch.device | str) -> Self:
        """The same batch with all tensors on ``device``."""
        return type(self)(**{name: value.to(device, non_blocking=True) for name, value in vars(self).items()})


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
        return RenderBatch(face, **{name: torch.from_numpy(values[items]) for name, values in self.labels.items()})


class RenderedFaces:
    """Training and validation pictures of a folder that ``sentio synth`` filled, as ``core.training`` wants them.

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
        answers = predict(method, self.validation)
        method.calibrate(answers, self.validation.labels)
        return score(answers, self.validation)


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
    faces = np.zeros((len(rows), SIDE, SIDE, 3), np.uint8)

    def read(k: int) -> None:
        picture = read_image(rows[k]["image"], SIDE)
        if picture is None:
            raise InputError(f"The picture {rows[k]['image']} is missing or damaged.")
        faces[k] = picture

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, range(len(rows))))
    labels = {
        "movements": np.array([strengths(row["movements"]) for row in rows], np.float32),
        "landmarks": (np.array([row["landmarks"] for row in rows], np.float32) + 0.5) * (2 / SIDE) - 1,
        "valence_arousal": np.array([(row["valence"], row["arousal"]) for row in rows], np.float32),
        "expression": np.array([EXPRESSIONS.index(row["expression"]) for row in rows], np.int64),
        "action_units": np.array([row["action_units"] for row in rows], np.float32).reshape(-1, len(ACTION_UNITS)),
    }
    return Renders(faces, labels)


def strengths(movements: dict[str, float]) -> list[float]:
    """The strength of each of `MOVEMENTS`, of the stronger side."""
    return [max(movements.get(f"{name}{side}", 0.0) for side in ("", "_L", "_R")) for name in MOVEMENTS]


@torch.no_grad()
def predict(method: Any, renders: Renders, *, batch_size: int = 256) -> dict[str, NDArray[np.float64]]:
    """Answers for all pictures: valence_arousal (N, 2), probabilities expression (N, 8) and action_units (N, 12)."""
    device = next(cast(torch.nn.Module, method).parameters()).device
    parts = []
    for start in range(0, len(renders), batch_size):
        face = renders.batch(list(range(start, min(start + batch_size, len(renders))))).face
        output = method(AffectBatch.of_faces(face).to(device))
        values = (output.valence_arousal, output.expression.softmax(-1), output.action_units.sigmoid())
        parts.append([value[:, 0].double().cpu().numpy() for value in values])
    names = ("valence_arousal", "expression", "action_units")
    return dict(zip(names, map(np.concatenate, zip(*parts, strict=True)), strict=True))


def score(answers: dict[str, NDArray[np.float64]], renders: Renders) -> dict[str, float]:
    """The official multi-task scores of answers for pictures; action units are decided at 0.5."""
    labels = renders.labels
    tally = Tally.of(
        valence_arousal=(answers["valence_arousal"], labels["valence_arousal"]),
        expression=(decide(answers["expression"], "abaw"), labels["expression"]),
        action_units=((answers["action_units"] >= 0.5).astype(np.int64), labels["action_units"].astype(np.int64)),
    )
    return tally.scores("abaw")
