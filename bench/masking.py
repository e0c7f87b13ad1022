"""Does masking frames in training help when frames are missing in use? Two trainings a seed, as a table.

python bench/masking.py FOLDER [--seeds 3] [--epochs 15] [--attend all]

FOLDER is in Aff-Wild2's layout with VA, EXPR and AU labels of the same videos, and has features of the embedded face
model (`sentio features FOLDER --visual face`). The masked transformer, one answer for
every frame of windows of 100 frames and all three tasks, is trained with p = 0 and with p = 0.5, all else the same.
Then 0, 25, 50 and 75 % of the frames of the validation videos are dropped: single ones, or runs of 15 (half a
second). Scores are the official ones over all labelled frames, dropped or not. Every seed has its own weights, order
of windows and dropped frames; what is dropped is the same for both. Intervals are of 95 %, of the mean over the seeds
by Student's t; those of the gain are of the paired differences. A third row is what one would do without masking: in
the network trained without it each frame without a face gets the face of the nearest frame that has one.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sentio.affect.data.items import WindowDataset
from sentio.affect.protocol.predictions import fill
from sentio.affect.protocol.scoring import predict, tally
from sentio.affect.training.joined import JoinedData
from sentio.affect.training.published import DataConfig
from sentio.core import registry, runtime
from sentio.core.config import from_dict
from sentio.core.optimization import FitConfig
from sentio.core.training import fit, start_from

FACE = str(Path(__file__).parents[1] / "src/sentio/weights/face.safetensors")
SHARES = (0.0, 0.25, 0.5, 0.75)
RUN = 15
"""Frames in a run."""
SCORES = {"p_expr": "EXPR macro-F1", "p_au": "AU mean F1", "p_va": "VA mean CCC"}
TASKS = ["valence_arousal", "expression", "action_units"]
Scores = dict[tuple[str, int, float], dict[str, float]]
"""By row, length of the runs and share that is dropped."""
ROWS = ("without masking", "with masking", "nearest face")
DATA = {
    "sets": ["va", "expr", "au"],
    "face_encoder": FACE,
    "windows": {"length": 100, "hop": 20, "answers": "all", "padding": "mask"},
}


class Dropped(WindowDataset):
    """Windows of the validation videos in which some frames have lost their face, or got that of the nearest frame."""

    def __init__(self, data: JoinedData, lost: list[NDArray[np.bool_]], *, nearest: bool = False) -> None:
        clips = data.scored("validation")
        super().__init__(clips, data.config.windows, data.kinds, faces=data.faces, labelled=False)
        for number, mask in enumerate(lost):
            left = np.where(mask, -1, self.lookups[number])  # the frame whose face stands for each
            self.lookups[number] = nearest_face(left) if nearest else left


def nearest_face(left: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same without gaps, as far as any face is left."""
    known = np.where(left < 0, np.nan, left)[:, None]
    return fill(known, "nearest", np.array([-1.0]))[:, 0].astype(np.int64)


def drop(frames: int, share: float, run: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """(frames,) mask of a share of the frames, in runs that do not overlap."""
    pieces = -(-frames // run)
    chosen = random.permutation(pieces)[: round(share * pieces)]
    return np.isin(np.arange(frames) // run, chosen)


def train(data: JoinedData, share: float, seed: int, given: argparse.Namespace, out: Path) -> Any:
    """The network after its last step: no validation video chooses anything."""
    runtime.seed_everything(seed)
    plan = {
        "encoder": "aligned", "tasks": TASKS, "answers": "all", "dim": 128, "layers": 4, "heads": 4, "hidden": 256,
        "dropout": 0.2, "attend": given.attend, "masking": {"share": share},
    }  # fmt: skip
    method = registry.build("masked", plan)
    start_from(method, {"encoder": FACE})
    config = FitConfig(
        epochs=given.epochs, batch_size=16, lr=1e-3, weight_decay=0.05, schedule="cosine", warmup_steps=20,
        clip_norm=5.0, device="cpu", seed=seed, validate_every=10**6,
    )  # fmt: skip
    fit(method, data, config, out)
    return method.eval()


def measure(method: Any, windows: Dropped) -> dict[str, float]:
    """Official scores of all frames; what no window answers takes the nearest answer."""
    found = [prediction.filled("nearest") for prediction in predict(method, windows)]
    return tally(windows.clips, found).scores()


def seed_scores(data: JoinedData, seed: int, given: argparse.Namespace, work: Path) -> Scores:
    """Two trainings, and all scores of a seed."""
    models = {name: train(data, share, seed, given, work / f"{name}-{seed}")
              for name, share in (("without masking", 0.0), ("with masking", 0.5))}  # fmt: skip
    found: Scores = {}
    for run in (1, RUN):
        for share in SHARES:
            random = np.random.default_rng((seed, run, int(100 * share)))
            lost = [drop(clip.frames, share, run, random) for clip in data.scored("validation")]
            for name, method in models.items():
                found[name, run, share] = measure(method, Dropped(data, lost))
            filled = Dropped(data, lost, nearest=True)
            found["nearest face", run, share] = measure(models["without masking"], filled)
    return found


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval by Student's t."""
    if len(values) < 2:
        return float(np.mean(values)), float("nan")
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return float(np.mean(values)), float(half)


def show(table: list[Scores]) -> None:
    """Print a table for each score and kind of dropping; the gain of masking is paired, seed by seed."""
    for score, title in SCORES.items():
        for run in (1, RUN):
            kind = "single frames" if run == 1 else f"runs of {run} frames"
            print(f"\n| {title}, {kind} dropped | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |")
            print("|---" * (len(SHARES) + 1) + "|")
            for row in ROWS:
                cells = [interval([seed[row, run, share][score] for seed in table]) for share in SHARES]
                print(f"| {row} | " + " | ".join(f"{mean:.3f} ± {half:.3f}" for mean, half in cells) + " |")
            gains = [
                interval([seed[ROWS[1], run, share][score] - seed[ROWS[0], run, share][score] for seed in table])
                for share in SHARES
            ]
            shown = [f"{mean:+.3f} ± {half:.3f}{' shown' if mean > half else ''}" for mean, half in gains]
            print("| gain of masking | " + " | ".join(shown) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--attend", choices=["all", "visible"], default="all")
    given = parser.parse_args()
    data = JoinedData(given.folder, from_dict(DataConfig, DATA))
    kept = [clip for clip in data.scored("validation") if clip.crops is not None]
    print(f"{len(data.split('train'))} training clips, {len(kept)} validation clips of {given.folder.name}")
    with tempfile.TemporaryDirectory() as work:
        show([seed_scores(data, seed, given, Path(work)) for seed in range(given.seeds)])


if __name__ == "__main__":
    main()
