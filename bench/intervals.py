"""How far valence and arousal may be wrong: intervals from some people, and how many frames of others they hold.

    python bench/intervals.py FOLDER [--judge FOLDER] [--models offline,causal,offline-av,causal-av,face] [--write]

Each FOLDER has videos and their labels in Aff-Wild2's layout: renders (`SET/affwild2` of `sentio synth SET --voices
EMODB`, of a seed that no model was trained on), or recordings. Every video counts as a person. All of FOLDER's videos
give the half widths, by split-conformal prediction over people; `left out` is the coverage of people who are left out,
a tenth at a time, and `judge` that of the videos of the other folder, as `--split` says. `--write` puts the half widths
into the cards.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import sentio
from sentio.affect.analysis.models import open_models
from sentio.affect.analysis.options import Options
from sentio.affect.data.annotations import read
from sentio.affect.data.tree import scan
from sentio.affect.protocol.conformal import covered, half_width
from sentio.affect.table import BOUNDED
from sentio.core import weights
from sentio.core.progress import track
from sentio.core.writers import write_json

COVERAGE = 0.9
MODELS = "offline,causal,offline-av,causal-av,face"
Errors = dict[str, list[NDArray[np.float64]]]


def labels(folder: Path, split: str | None) -> dict[Path, NDArray[np.float32]]:
    """(N, 2) valence and arousal by video."""
    tree = scan(folder)
    found = {}
    for path in sorted(folder.rglob("VA_Estimation_Challenge/*/*.txt")):
        if path.stem in tree.media and (split is None or path.parent.name.lower().startswith(split)):
            found[tree.media[path.stem]] = read(path, "va")[0]
    return found


def errors(model: str, videos: dict[Path, NDArray[np.float32]]) -> Errors:
    """Absolute errors by column and video, of the frames of its first person; NaN where there is no label."""
    options = Options(model=model, causal=model.startswith("causal"), detector="builtin")
    models = open_models(model, causal=options.causal, timed=True, sound=True)
    found: Errors = {name: [] for name in BOUNDED}
    for video in track(list(videos), model):
        table = sentio.analyze(video, options=options, models=models)
        own = table["person"] == 0
        frames = table["frame"][own]
        known = frames < len(videos[video])
        for column, name in enumerate(BOUNDED):
            found[name].append(np.abs(table[name][own][known] - videos[video][frames[known], column]))
    return found


def left_out(own: list[NDArray[np.float64]], folds: int = 10) -> float:
    """The coverage of people by half widths of the others."""
    shares = []
    for fold in range(folds):
        others = [person for k, person in enumerate(own) if k % folds != fold]
        shares += [covered([person], half_width(others, COVERAGE)) for k, person in enumerate(own) if k % folds == fold]
    return float(np.nanmean(shares))


def write(model: str, widths: dict[str, float], source: str) -> None:
    """Put half widths into a card."""
    path = weights.EMBEDDED / f"{model}.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    card["details"]["intervals"] = {"coverage": COVERAGE, **widths, "calibrated_on": source}
    write_json(path, card)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--judge", type=Path)
    parser.add_argument("--split", help="of the videos that judge: train, validation")
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    calibrating = labels(given.folder, None)
    judging = labels(given.judge, given.split) if given.judge else {}
    print(f"{len(calibrating)} people calibrate, {len(judging)} judge; {COVERAGE:.0%} of the frames are to be held.\n")
    print("| model | column | half width | left out | judge |\n|---|---|---|---|---|")
    for model in given.models.split(","):
        own, others = errors(model, calibrating), errors(model, judging)
        widths = {name: round(half_width(own[name], COVERAGE), 3) for name in BOUNDED}
        for name, width in widths.items():
            held = f"{covered(others[name], width):.3f}" if judging else ""
            print(f"| `{model}` | {name} | {width:.3f} | {left_out(own[name]):.3f} | {held} |", flush=True)
        if given.write:
            write(model, widths, f"{len(calibrating)} rendered people, bench/intervals.py")


if __name__ == "__main__":
    main()
