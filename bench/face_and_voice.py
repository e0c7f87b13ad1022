"""What face and voice are worth, and each part of a system: trainings of its small form with one thing changed.

    python bench/face_and_voice.py crossattn|softprompt FOLDER [--sound SPEC] [--features STORE] [--seeds 3]
        [--epochs N] [--rows both,face,...] [--scores FILE]

FOLDER is in Aff-Wild2's layout with labels of EXPR (`crossattn`) or VA (`softprompt`), and has features of the embedded
face model and of a sound encoder (`sentio features FOLDER --visual face --audio SPEC`): `voice`, or a published one
such as `whisper:FOLDER`. Each row trains on the same videos and scores the weights of the last step, so that no
validation video chooses anything: the official macro-F1 or mean CCC over all labelled frames, not smoothed. The network
of the row "both" is then tried with missing modalities: 30 % of the faces in runs of half a second, 30 % of the sound
in half seconds, all of the sound. Texts are learnt vectors, which need no CLIP. Intervals are of 95 %, of the mean over
the seeds by Student's t; the last column is the paired difference from the first row. `--scores` keeps what was scored,
so that a run that was stopped goes on, and rows can be added.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from masking import FACE, drop, interval
from sentio.affect.data.items import Item, WindowDataset
from sentio.affect.protocol.scoring import predict, tally
from sentio.affect.training.published import AffectData, DataConfig
from sentio.core import registry, runtime
from sentio.core.config import from_dict
from sentio.core.optimization import FitConfig
from sentio.core.training import fit, start_from
from sentio.core.writers import write_json

VOICE = str(Path(FACE).with_name("voice.safetensors"))
RUN = 15
"""Frames of half a second."""
PIECE_S = 0.5
"""Seconds of sound that go missing together."""
LOST = {
    "30 % of the faces missing": (0.3, 0.0),
    "30 % of the sound missing": (0.0, 0.3),
    "30 % of both missing": (0.3, 0.3),
    "no sound": (0.0, 1.0),
}
"""Shares of faces and of sound that the first row is tried without."""


@dataclass(frozen=True)
class Trial:
    """How a system is tried.

    Attributes:
        labels: the set whose labels it learns.
        score, measure: the official score, and what it is called.
        length: frames of a window.
        more_s: seconds of sound beyond a window.
        epochs: of a training.
        small: its config.
        rows: what is changed against the first.
    """

    labels: str
    score: str
    measure: str
    length: int
    more_s: float
    epochs: int
    small: dict[str, Any]
    rows: dict[str, dict[str, Any]]


MODALITIES: dict[str, dict[str, Any]] = {"both": {}, "face": {"inputs": "face"}, "sound": {"inputs": "sound"}}
TRIALS = {
    "crossattn": Trial(
        "expr", "p_expr", "macro-F1", 60, 1.0, 8,
        {
            "dim": 128, "heads": 4, "hidden": 256, "head": 64, "dropping": {"face": 0.15, "sound": 0.15},
            "guidance": {"text": "learnt", "features": 64},
        },
        MODALITIES | {
            "no guidance": {"guidance": {}},
            "nothing hidden in training": {"dropping": {}},
            "window 30": {"length": 30},
            "window 120": {"length": 120},
        },
    ),
    "softprompt": Trial(
        "va", "p_va", "mean CCC", 64, 0.9, 4,
        {"units": 64, "heads": 4, "dropping": {"face": 0.1, "sound": 0.1}},
        MODALITIES | {
            "hard labels": {"region_labels": "hard"},
            "no regions": {"region_labels": "none"},
            "sigma 1/6": {"sigma": 1 / 6},
            "sigma 2/3": {"sigma": 2 / 3},
            "window 32": {"length": 32},
            "window 100": {"length": 100},
            "nothing hidden in training": {"dropping": {}},
            "causal": {"causal": True},
        },
    ),
}  # fmt: skip


class Lossy(WindowDataset):
    """The validation windows without some faces and some pieces of sound."""

    def __init__(self, data: AffectData, faces: float, sound: float, seed: int) -> None:
        config = data.config
        super().__init__(
            data.scored("validation"), config.windows, data.kinds, faces=data.faces, sound=data.sound,
            sound_s=config.sound_s, own_rate=config.own_rate, sound_suffices=data.sound_suffices,
        )  # fmt: skip
        random = np.random.default_rng((seed, int(100 * faces), int(100 * sound)))
        for number, clip in enumerate(self.clips):
            self.lookups[number] = np.where(drop(clip.frames, faces, RUN, random), -1, self.lookups[number])
        self.silent: list[NDArray[np.bool_]] = [
            drop(clip.frames, sound, 1, random) for clip in self.clips
        ]  # one piece for each frame, which are more than enough

    def __getitem__(self, index: int) -> Item:
        item, silent = super().__getitem__(index), self.silent[self.locate(index)[0]]
        pieces = np.clip(np.floor(item["audio_time_s"] / PIECE_S).astype(int), 0, len(silent) - 1)
        return item | {"audio_valid": item["audio_valid"] & ~silent[pieces]}


def open_data(given: argparse.Namespace, length: int) -> AffectData:
    """Windows of that length, every half of it."""
    trial: Trial = given.trial
    section = {
        "sets": [trial.labels], "face_encoder": FACE, "sound_encoder": given.sound,
        "sound_s": length / 30 + trial.more_s, "own_rate": True, "features": given.features,
        "windows": {"length": length, "hop": length // 2, "answers": "all", "padding": "mask"},
    }  # fmt: skip
    return AffectData(given.folder, from_dict(DataConfig, section))


def train(data: AffectData, change: dict[str, Any], seed: int, given: argparse.Namespace, out: Path) -> Any:
    """The network after its last step."""
    runtime.seed_everything(seed)
    info = cast(Any, data.sound).encoder.info
    known = {"sound_features": info.dim}
    if given.system == "crossattn":
        known["reach_s"] = 0.1 if info.hop_s else 0.55  # vectors each 20 ms, or each half second
    method = registry.build(given.system, given.trial.small | known | change)
    start_from(method, {"encoder": FACE})
    config = FitConfig(
        epochs=given.epochs, batch_size=16, lr=5e-4, weight_decay=0.05, schedule="cosine", warmup_steps=20,
        clip_norm=5.0, device="cpu", seed=seed, validate_every=10**6,
    )  # fmt: skip
    fit(method, data, config, out)
    return method.eval()


def score(method: Any, windows: WindowDataset, name: str) -> float:
    """An official score of all frames; what no window answers takes the nearest answer."""
    found = [prediction.filled("nearest") for prediction in predict(method, windows)]
    return tally(windows.clips, found).scores()[name]


def row_scores(given: argparse.Namespace, row: str, seed: int) -> dict[str, float]:
    """What a row's training scores; that of "both" also with what is lost."""
    trial, change = given.trial, dict(given.trial.rows[row])
    data = open_data(given, change.pop("length", trial.length))
    with tempfile.TemporaryDirectory() as work:
        method = train(data, change, seed, given, Path(work))
    lost = {row: (0.0, 0.0)} | (LOST if row == "both" else {})
    return {name: score(method, Lossy(data, *shares, seed), trial.score) for name, shares in lost.items()}


def all_scores(given: argparse.Namespace) -> list[dict[str, float]]:
    """Of each seed the scores by row, in the order that was asked for."""
    known = json.loads(given.scores.read_text()) if given.scores and given.scores.is_file() else {}
    for seed in map(str, range(given.seeds)):
        for row in given.rows:
            if row not in known.setdefault(seed, {}):
                known[seed] |= row_scores(given, row, int(seed))
                if given.scores:
                    write_json(given.scores, known)
    names = [name for row in given.rows for name in (row, *(LOST if row == "both" else ()))]
    return [{name: known[str(seed)][name] for name in names} for seed in range(given.seeds)]


def show(table: list[dict[str, float]], measure: str) -> None:
    """Print a line a row."""
    first = next(iter(table[0]))
    print(f"| | {measure} | difference |\n|---|---|---|")
    for row in table[0]:
        mean, half = interval([seed[row] for seed in table])
        gain, width = interval([seed[row] - seed[first] for seed in table])
        told = "" if row == first else f"{gain:+.3f} ± {width:.3f}"
        print(f"| {row} | {mean:.3f} ± {half:.3f} | {told} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=list(TRIALS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sound", default=VOICE)
    parser.add_argument("--features", help="folder of the feature store, FOLDER/features if not given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="8 for crossattn, 4 for softprompt if not given")
    parser.add_argument("--scores", type=Path, help="JSON file of the scores")
    parser.add_argument("--rows", help="the first is what the others are compared with; all if not given")
    given = parser.parse_args()
    given.trial = TRIALS[given.system]
    given.rows = given.rows.split(",") if given.rows else list(given.trial.rows)
    given.epochs = given.epochs or given.trial.epochs
    data = open_data(given, given.trial.length)
    counts = [len(data.split(split)) for split in ("train", "validation")]
    print(f"{counts[0]} training clips, {counts[1]} validation clips; sound: {cast(Any, data.sound).encoder.info.name}")
    show(all_scores(given), given.trial.measure)


if __name__ == "__main__":
    main()
