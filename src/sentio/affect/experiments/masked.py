"""The masked transformer's claim: frames that are masked in training prepare for frames that are missing in use.

One network for all three tasks on the features of the embedded face model, an answer for every frame. What is masked in
training makes the rows, what is missing in the scored videos the columns: single frames, or half seconds.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from sentio.affect.experiments import _data as sets
from sentio.affect.experiments._gaps import Gaps, scores_with
from sentio.affect.labels import TASKS
from sentio.affect.synth.moving_picture import MovingPicture
from sentio.core.config import from_dict
from sentio.core.experiments import Claim, Experiment, train
from sentio.core.runs import Recipe

NEVER, HALF = "nothing masked", "p = 0.5"
MASKING = {NEVER: 0.0, "p = 0.2": 0.2, HALF: 0.5, "p = 0.8": 0.8}
"""Share of the frames, by row."""
NEAREST = {"nothing masked, nearest face": NEVER, "p = 0.5, nearest face": HALF}
"""Rows in which a frame without a face is shown that of the nearest frame that has one, and whose networks they use."""
MISSING = {
    "none": Gaps(),
    "50 %": Gaps(faces=0.5),
    "75 %": Gaps(faces=0.75),
    "50 % in runs": Gaps(faces=0.5, run=15),
    "75 % in runs": Gaps(faces=0.75, run=15),
}
"""Faces that are missing when it is scored."""
PARTS = {"p_va": "CCC", "p_expr": "EXPR F1", "p_au": "AU F1"}
LONG = "75 % in runs"
FILLED, MASKED_FILLED = NEAREST


@dataclass(frozen=True)
class MaskedTrial(Experiment):
    """See the module's text.

    Args:
        videos, seconds: of the drawn set.
        lr, epochs: of each training.
    """

    videos: int = 24
    seconds: float = 10.0
    lr: float = 1e-3
    epochs: int = 12

    name: ClassVar[str] = "masked"
    claim: ClassVar[str] = "Masking random frames in training makes a transformer over time read videos better"
    published: ClassVar[str] = (
        "none was found for this system: the abstract tells no figures for the validation or test set of ABAW6, the "
        "release no results, nor which p of 0.2, 0.5 and 0.8 was best. So there is nothing to compare with"
    )
    baseline: ClassVar[str] = NEVER
    scores: ClassVar[tuple[str, ...]] = (*MISSING, *(f"{part}, {LONG}" for part in PARTS.values()))
    claims: ClassVar[tuple[Claim, ...]] = (
        *(Claim(f"Masking half of the frames helps, missing: {name}", HALF, NEVER, name) for name in MISSING),
        Claim("It helps more than to show the nearest face does", HALF, FILLED, LONG),
        Claim("It helps where the nearest face is shown, too", MASKED_FILLED, FILLED, LONG),
    )
    protocol: ClassVar[dict[str, str]] = {
        "Metric": "P_MTL, the sum of the official scores of three tasks, pooled over all labelled frames, those "
        "without a face too; columns: faces that are missing, single ones or runs of 15 frames; then its three parts",
        "Split": sets.SPLIT,
        "Smoothing": "none, but answers of overlapping windows are averaged",
        "Causal": "no: windows of 100 frames, past and future",
    }

    def variants(self, quick: bool) -> tuple[str, ...]:
        return (NEVER, HALF, *NEAREST) if quick else (*MASKING, *NEAREST)

    def seeds(self, quick: bool) -> int:
        return 2 if quick else 3

    def prepare(self, data: Path | None, work: Path, quick: bool) -> Path:
        return data or sets.drawn(work, MovingPicture(self.videos // 3 if quick else self.videos, self.seconds))

    def run(self, variant: str, seed: int, data: Path, work: Path, quick: bool) -> dict[str, float]:
        """P_MTL by what is missing, and its parts in one case."""
        masked = NEAREST.get(variant, variant)
        run = work / "runs" / f"{masked.replace(' ', '-')}-{seed}"
        train(from_dict(Recipe, self._plan(MASKING[masked], seed, data, work, quick)), data, run)
        filled = variant in NEAREST
        missing = {name: replace(gaps, nearest=filled and gaps.faces > 0) for name, gaps in MISSING.items()}
        found = scores_with(run, data, work, missing, seed)
        parts = {f"{title}, {LONG}": found[LONG][part] for part, title in PARTS.items()}
        return {name: scores["p_mtl"] for name, scores in found.items()} | parts

    def _plan(self, share: float, seed: int, data: Path, work: Path, quick: bool) -> dict[str, Any]:
        return {
            "system": "masked",
            "start": {"encoder": sets.FACE},
            "model": {
                "encoder": "aligned", "tasks": list(TASKS), "answers": "all", "dim": 128, "layers": 4, "heads": 4,
                "hidden": 256, "dropout": 0.2, "masking": {"share": share},
            },
            "data": {
                "sets": ["va", "expr", "au"], "face_encoder": sets.FACE, "choose_on": sets.CHOOSE_ON,
                "features": sets.store_features(data, work, sets.FACE), "own_rate": True,
                "windows": {"length": 100, "hop": 20, "answers": "all", "padding": "mask"},
            },
            "fit": {
                "epochs": 2 if quick else self.epochs, "batch_size": 4 if quick else 16, "lr": self.lr,
                "weight_decay": 0.05, "schedule": "cosine", "warmup_steps": 20, "clip_norm": 5.0, "seed": seed,
            },
            "evaluation": {"resamples": 0},
        }  # fmt: skip
