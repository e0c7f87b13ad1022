"""CAPNet against FER-Tuned and a constant on drawn pictures, as a table.

python bench/capnet.py [--videos 32] [--seconds 10] [--seeds 3] [--folder DIR]

A set is drawn in Aff-Wild2's layout; FER-Tuned with the small face network is trained on it, its features are stored,
and CAPNet is trained on them for windows of 1, 2 and 3 s. Scores are the official mean CCC, pooled over all labelled
frames of the validation videos, gaps filled from the previous frame, no smoothing. "held" is FER-Tuned's answer of a
third of a second ago, which sees as much as CAPNet does. The pictures are drawn discs, not faces: no figure here says
anything about Aff-Wild2.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from sentio.affect.data.extraction import extract
from sentio.affect.evaluate import Evaluation, EvaluationConfig, evaluate
from sentio.affect.protocol.predictions import Prediction
from sentio.affect.protocol.scoring import tally
from sentio.affect.synth.moving_picture import MovingPicture, generate
from sentio.affect.training.published import AffectData, DataConfig, open_store
from sentio.core import runs
from sentio.core.config import from_dict
from sentio.core.runs import Recipe

GAP = 10
"""Frames in a third of a second."""
SEQUENCE = {"length": 10, "step": 10, "search": 9}
FILL = EvaluationConfig(fill="previous", resamples=0)


def scores(root: Path, work: Path, seed: int) -> dict[str, float]:
    """Mean CCC of every row for one seed of the models."""
    fit = {"batch_size": 64, "lr": 1e-3, "schedule": "cosine", "seed": seed}
    plan = {
        "system": "fer-tuned",
        "model": {"encoder": "small"},
        "data": {"windows": {"hop": 4}, "validation_hop": 5},
        "fit": {**fit, "epochs": 5},
    }
    fer = runs.train(from_dict(Recipe, plan), root, work / f"fer_tuned-{seed}")
    current = _evaluate(work / f"fer_tuned-{seed}", root)
    rows = {"constant": _constant(current), "FER-Tuned, now": current.scores["p_va"], "FER-Tuned, held": _held(current)}
    extract(root, open_store(root, str(fer), DataConfig()))
    for seconds in (1, 2, 3):
        plan = {
            "system": "capnet",
            "start": {"fer": str(fer)},
            "model": {"encoder": "small", "seconds": seconds},
            "data": {"windows": SEQUENCE, "face_encoder": str(fer)},
            "fit": {**fit, "epochs": 15, "batch_size": 128},
        }
        run = work / f"capnet{seconds}-{seed}"
        runs.train(from_dict(Recipe, plan), root, run)
        rows[f"CAPNet, {seconds} s"] = _evaluate(run, root).scores["p_va"]
    return rows


def _evaluate(run: Path, root: Path) -> Evaluation:
    plan, method = runs.read_run(run)
    return evaluate(method, AffectData(root, from_dict(DataConfig, plan.data)), FILL)


def _constant(current: Evaluation) -> float:
    same = [Prediction(valence_arousal=np.full((len(p), 2), 0.1, np.float32)) for p in current.predictions]
    return tally(current.clips, same).scores()["p_va"]


def _held(current: Evaluation) -> float:
    """The score of the same predictions, each given a third of a second later."""
    late = []
    for prediction in current.predictions:
        values = prediction.valence_arousal
        late.append(Prediction(valence_arousal=np.concatenate([np.zeros((GAP, 2)), values[:-GAP]])))
    return tally(current.clips, late).scores()["p_va"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the set and the runs here")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        generate(folder / "set", MovingPicture(videos=chosen.videos, seconds=chosen.seconds))
        table = [scores(folder / "set", folder / "runs", seed) for seed in range(chosen.seeds)]
    print("| mean CCC | " + " | ".join(f"seed {seed}" for seed in range(chosen.seeds)) + " | mean |")
    print("|---" * (chosen.seeds + 2) + "|")
    for row in table[0]:
        values = [seed[row] for seed in table]
        print(f"| {row} | " + " | ".join(f"{value:.3f}" for value in [*values, float(np.mean(values))]) + " |")


if __name__ == "__main__":
    main()
