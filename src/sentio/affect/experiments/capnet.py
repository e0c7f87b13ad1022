"""CAPNet's claim: what a face shows now can be told from faces that end a third of a second ago.

Drawn data: the small face network learns from pictures. Given data: the features of the embedded face model stand for
the face network of FER-Tuned, whose head alone is trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np

from sentio.affect.data.clips import Clip
from sentio.affect.evaluate import Evaluation
from sentio.affect.experiments import _data as sets
from sentio.affect.protocol.predictions import Prediction
from sentio.affect.protocol.scoring import tally
from sentio.affect.synth.moving_picture import MovingPicture
from sentio.core.config import from_dict
from sentio.core.experiments import Claim, Experiment, evaluate, train
from sentio.core.runs import Recipe

NOW, HELD = "FER-Tuned, now", "FER-Tuned, held"
WINDOWS = {"CAPNet, 1 s": 1, "CAPNet, 2 s": 2, "CAPNet, 3 s": 3}
ENTRIES = 10
"""Of a sequence, a third of a second apart, the last of which is now."""
FULL = "p_va, full"
"""On the frames for which windows of all three lengths are full."""
MODELS = {"small": {"units": 128, "dropout": 0.5}, "published": {"units": 256, "dropout": 0.2}}
FITS: dict[str, dict[str, Any]] = {
    "small": {"lr": 1e-3, "weight_decay": 0.1, "schedule": "cosine", "epochs": 8},
    "published": {"optimizer": "adam", "lr": 1e-4, "epochs": 30, "patience": 4},
}


def _claims() -> tuple[Claim, ...]:
    ahead = "A third of a second ahead, {} of history is better than holding the last answer"
    return (
        *(Claim(ahead.format(name.removeprefix("CAPNet, ")), name, HELD, FULL) for name in WINDOWS),
        Claim("The same where gaps are FER-Tuned's, three seconds", "CAPNet, 3 s", HELD, "p_va"),
        Claim("Three seconds of history are better than one", "CAPNet, 3 s", "CAPNet, 1 s", FULL),
        Claim("The past third of a second is not missed", "CAPNet, 3 s", NOW, FULL),
    )


@dataclass(frozen=True)
class CapNetAhead(Experiment):
    """Windows of 1, 2 and 3 s against FER-Tuned on the current frame, and against its answer held.

    Args:
        videos, seconds: of the drawn set.
        fit: how CAPNet is trained: ``small`` for sets of some minutes, as the embedded one is; ``published``: the size,
            dropout and optimiser of the release, at the rate of its first runs.
    """

    name: ClassVar[str] = "capnet"
    claim: ClassVar[str] = "Valence and arousal of now are told from faces that end a third of a second ago"
    published: ClassVar[str] = (
        "mean CCC 0.261 on the test set of ABAW2 (rank 10), for the whole system. It cannot be compared: that test set "
        "is closed, its faces are real, and the paper's table of windows and its figure for FER-Tuned were not found"
    )
    baseline: ClassVar[str] = HELD
    scores: ClassVar[tuple[str, ...]] = ("p_va", "ccc_valence", "ccc_arousal", FULL)
    claims: ClassVar[tuple[Claim, ...]] = _claims()
    protocol: ClassVar[dict[str, str]] = {
        "Metric": "mean CCC, pooled over all labelled frames; `full`: over those with three seconds of history",
        "Split": sets.SPLIT,
        "Smoothing": "none; frames without a face keep the answer before",
        "Causal": "yes; CAPNet and the held answer see nothing of the last third of a second",
    }
    paper: ClassVar[dict[str, str]] = {"p_va": "0.261 (ABAW2 test)"}

    videos: int = 20
    seconds: float = 10.0
    fit: Literal["small", "published"] = "small"

    def variants(self, quick: bool) -> tuple[str, ...]:
        return (NOW, HELD, *WINDOWS)

    def seeds(self, quick: bool) -> int:
        return 3 if quick else 5

    def prepare(self, data: Path | None, work: Path, quick: bool) -> Path:
        return data or sets.drawn(work, MovingPicture(self.videos // 2 if quick else self.videos, self.seconds))

    def run(self, variant: str, seed: int, data: Path, work: Path, quick: bool) -> dict[str, float]:
        step = sets.third_of_a_second(data)
        fer = sets.fer_tuned(data, work / f"fer-tuned-{seed}", data, work, seed)
        if variant not in WINDOWS:
            found = cast(Evaluation, evaluate(fer.parent, data))
            return _scores(found.clips, _late(found.predictions, step if variant == HELD else 0), step)
        face = str(fer) if sets.is_drawn(data, work) else sets.FACE
        plan: dict[str, Any] = {
            "system": "capnet",
            "start": {"fer": str(fer)},
            "model": {"encoder": sets.encoder(data, work), "seconds": WINDOWS[variant], **MODELS[self.fit]},
            "data": {
                "windows": {"length": ENTRIES, "step": step, "search": step - 1, "hop": 2},
                "choose_on": sets.CHOOSE_ON,
                "face_encoder": face,
                "features": sets.store_features(data, work, face),
            },
            "fit": {"batch_size": 128, "seed": seed, **FITS[self.fit]},
            "evaluation": {"fill": "previous", "resamples": 0},
        }
        plan["fit"] |= {"batch_size": 32, "epochs": 3} if quick else {}
        run = work / f"capnet-{WINDOWS[variant]}s-{seed}"
        train(from_dict(Recipe, plan), data, run)
        found = cast(Evaluation, evaluate(run, data))
        return _scores(found.clips, found.predictions, step)


def _late(predictions: Sequence[Prediction], frames: int) -> list[Prediction]:
    """The same answers, each given some frames later; 0, 0 before the first."""
    late = []
    for prediction in predictions:
        values = cast(Any, prediction.valence_arousal)
        late.append(Prediction(valence_arousal=np.concatenate([np.zeros((frames, 2)), values])[: len(values)]))
    return late


def _scores(clips: Sequence[Clip], predictions: Sequence[Prediction], step: int) -> dict[str, float]:
    """The official scores, and the same on frames with a whole sequence behind them."""
    found = tally(clips, predictions).scores()
    later = []
    for clip in clips:
        label = np.array(clip.valence_arousal)
        label[: step * (ENTRIES - 1)] = np.nan
        later.append(replace(clip, valence_arousal=label))
    return dict(found) | {FULL: tally(later, predictions).scores()["p_va"]}
