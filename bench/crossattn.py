"""What the two modalities and the guidance are worth to cross-attention: trainings of the small form, as a table.

python bench/crossattn.py FOLDER [--sound SPEC] [--features STORE] [--seeds 3] [--epochs 8] [--rows both,face,...]

FOLDER is in Aff-Wild2's layout with EXPR labels and has features of the embedded face model and of the sound encoder
(`sentio features FOLDER --encoder SPEC`): the embedded voice model, or a published one such as `whisper:FOLDER`. Each
row trains on the same videos and scores the weights of the last step, so that no validation video chooses anything: the
official macro-F1 over all labelled frames, not smoothed. The network of the row "both" is then tried with missing
modalities, as in `bench/softprompt.py`. The texts are learnt vectors, which need no CLIP. Intervals are of 95 %, of the
mean over the seeds by Student's t; the last column is the paired difference from the first row.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any, cast

from masking import FACE
from sentio.affect.data.items import WindowDataset
from sentio.affect.protocol.scoring import predict, tally
from sentio.affect.training.published import AffectData, DataConfig
from sentio.core import registry, runtime
from sentio.core.config import from_dict
from sentio.core.optimization import FitConfig
from sentio.core.training import fit, start_from
from softprompt import LOST, VOICE, Lossy, show

LEARNT = {"text": "learnt", "features": 64}
SMALL = {"dim": 128, "heads": 4, "hidden": 256, "head": 64, "dropping": {"face": 0.15, "sound": 0.15}}
ROWS: dict[str, dict[str, Any]] = {
    "both": {},
    "face": {"inputs": "face"},
    "sound": {"inputs": "sound"},
    "no guidance": {"guidance": {}},
    "nothing hidden in training": {"dropping": {}},
    "window 30": {"length": 30},
    "window 120": {"length": 120},
}
"""What is changed against the first."""


def open_data(given: argparse.Namespace, length: int) -> AffectData:
    """Windows of that length, every half of it."""
    section = {
        "sets": ["expr"], "face_encoder": FACE, "sound_encoder": given.sound, "sound_s": length / 30 + 1,
        "windows": {"length": length, "hop": length // 2, "answers": "all", "padding": "mask"}, "own_rate": True,
        "features": given.features,
    }  # fmt: skip
    return AffectData(given.folder, from_dict(DataConfig, section))


def train(data: AffectData, change: dict[str, Any], seed: int, given: argparse.Namespace, out: Path) -> Any:
    """The network after its last step."""
    runtime.seed_everything(seed)
    info = cast(Any, data.sound).encoder.info
    known = {"sound_features": info.dim, "reach_s": 0.1 if info.hop_s else 0.55, "guidance": LEARNT}
    method = registry.build("crossattn", SMALL | known | change)
    start_from(method, {"encoder": FACE})
    config = FitConfig(
        epochs=given.epochs, batch_size=16, lr=5e-4, weight_decay=0.05, schedule="cosine", warmup_steps=20,
        clip_norm=5.0, device="cpu", seed=seed, validate_every=10**6,
    )  # fmt: skip
    fit(method, data, config, out)
    return method.eval()


def score(method: Any, windows: WindowDataset) -> float:
    """Macro-F1 of all frames; what no window answers takes the nearest answer."""
    found = [prediction.filled("nearest") for prediction in predict(method, windows)]
    return tally(windows.clips, found).scores()["p_expr"]


def seed_scores(given: argparse.Namespace, seed: int, work: Path) -> dict[str, float]:
    """All rows of one seed."""
    found = {}
    for row in given.rows:
        change = dict(ROWS[row])
        data = open_data(given, change.pop("length", 60))
        method = train(data, change, seed, given, work / f"{row}-{seed}")
        found[row] = score(method, Lossy(data, 0.0, 0.0, seed))
        if row == "both":
            found |= {name: score(method, Lossy(data, *shares, seed)) for name, shares in LOST.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sound", default=VOICE)
    parser.add_argument("--features", help="folder of the feature store, FOLDER/features if not given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rows", default=",".join(ROWS), help="the first is what the others are compared with")
    given = parser.parse_args()
    given.rows = given.rows.split(",")
    data = open_data(given, 60)
    counts = [len(data.split(split)) for split in ("train", "validation")]
    print(f"{counts[0]} training clips, {counts[1]} validation clips; sound: {cast(Any, data.sound).encoder.info.name}")
    with tempfile.TemporaryDirectory() as work:
        show([seed_scores(given, seed, Path(work)) for seed in range(given.seeds)], "macro-F1")


if __name__ == "__main__":
    main()
