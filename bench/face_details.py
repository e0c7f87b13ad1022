"""How well a face model tells pose, landmarks and the strength of movements, on held-out renders, where they are exact.

    python bench/face_details.py FOLDER --weights NAME [--split validation]

FOLDER is what `sentio synth` wrote, NAME a card or the path of one. Mean absolute errors of yaw, pitch and roll in
degrees; mean distance of the 68 landmarks in eye distances; of each action unit the correlation of the intensity with
the weight that the studio gave it, how often it is shown, and F1 at 0.5.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from real_faces import BATCH, rounded
from sentio.affect.analysis.models import face_pixels
from sentio.affect.labels import ACTION_UNITS, ALL_UNITS
from sentio.affect.models.face import EYES
from sentio.affect.training import renders
from sentio.core import weights
from sentio.core.bench import report

ASKED = ("action_units", "further_units", "intensities", "pose", "landmarks")

Arrays = dict[str, NDArray[np.float64]]


def answers_of(name: str, pictures: renders.Renders) -> Arrays:
    """What the exported model says of all pictures, by the names of its outputs."""
    session, side = weights.session(name), int(weights.card(name).inputs["face"][-1])
    parts = []
    for start in range(0, len(pictures), BATCH):
        pixels = face_pixels(list(pictures.faces[start : start + BATCH]), side)
        parts.append(session.run(list(ASKED), {"face": pixels}))
    return {
        key: np.concatenate(column).astype(float) for key, column in zip(ASKED, zip(*parts, strict=True), strict=True)
    }


def eyes(marks: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 68, 2) landmarks -> (N, 2) from the middle of one eye to that of the other."""
    left, right = (marks[:, eye].mean(1) for eye in EYES)
    return right - left


def figures_of(found: Arrays, labels: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """See the text of this file."""
    marks, across = labels["landmarks"].astype(float), eyes(labels["landmarks"].astype(float))
    roll = np.arctan2(across[:, 1], across[:, 0])
    pose = np.degrees(np.column_stack([labels["turn"], roll]))
    distance = np.linalg.norm(found["landmarks"] - marks, axis=2).mean(1) / np.linalg.norm(across, axis=1)
    strength = labels["movements"][:, renders.INTENSITIES]
    shown = np.column_stack([labels["action_units"], strength[:, len(ACTION_UNITS) :] >= renders.VISIBLE]) > 0
    said = np.column_stack([found["action_units"], found["further_units"]]) >= 0.5
    units = {}
    for k, unit in enumerate(ALL_UNITS):
        hits = int((said[:, k] & shown[:, k]).sum())
        units[unit] = {
            "correlation": np.corrcoef(found["intensities"][:, k], strength[:, k])[0, 1],
            "shown": shown[:, k].mean(),
            "f1": 2 * hits / max(int(said[:, k].sum() + shown[:, k].sum()), 1),
        }
    errors = np.abs(found["pose"] - pose).mean(0)
    return {
        "pictures": len(marks),
        "pose_error_degrees": dict(zip(("yaw", "pitch", "roll"), errors, strict=True)),
        "landmark_error": distance.mean(),
        "units": units,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", default="face", help="a card")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--out", type=Path, help="JSON lines to append the report to")
    options = parser.parse_args()
    rows = [row for row in renders.read_listing(options.folder) if row["split"] == options.split]
    pictures = renders.load(rows)
    figures = figures_of(answers_of(options.weights, pictures), pictures.labels)
    report("face details", rounded({"weights": options.weights} | figures), options.out)


if __name__ == "__main__":
    main()
