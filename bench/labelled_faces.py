"""What a model calls the faces of real pictures that people have labelled with seven classes.

    python bench/labelled_faces.py FOLDER --weights NAME [--detector labels|builtin|yunet|haar] [--out FILE]

FOLDER holds pictures/ and labels.csv (picture, label, source, x, y, width, height, and five landmarks *_x, *_y; empty
where no face was found). NAME is as in bench/real_faces.py. With `labels` faces are aligned by the landmarks of the
file, else by those of a detector, and the widest face of a picture is judged; a face that is not found is a wrong
answer.

f1_7: macro-F1 of seven classes, the most probable of the seven. f1_6: without Neutral, pictures and answers. core_5:
macro-F1 of Neutral, Anger, Happiness, Sadness, Surprise in pictures whose source is "press", the most probable of the
five: labels of other classes and of films are the least sure. neutral_*: recall among the seven, mean probability of
AU4 and mean valence in neutral press pictures.
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detectors import points_of, read_labels
from real_faces import Answers, face_crop, open_system, rounded
from sentio.affect.faces.alignment import align
from sentio.affect.faces.detectors import NAMES, open_detector
from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS
from sentio.affect.protocol.scores import f1_by_class
from sentio.core.bench import report

SEVEN = tuple(range(7))
SIX = tuple(range(1, 7))
CORE = tuple(EXPRESSIONS.index(name) for name in ("Neutral", "Anger", "Happiness", "Sadness", "Surprise"))
MISSED = -1


def crops_of(folder: Path, rows: list[dict[str, str]], detector: str) -> list[NDArray[np.uint8] | None]:
    """The aligned crop of every picture, None where no face was found."""
    finder = None if detector == "labels" else open_detector(detector)
    if finder is not None:
        return [face_crop(folder / "pictures" / row["picture"], finder) for row in rows]
    crops: list[NDArray[np.uint8] | None] = []
    for row in rows:
        image = cv2.cvtColor(cv2.imread(str(folder / "pictures" / row["picture"])), cv2.COLOR_BGR2RGB)
        crops.append(align(image, points_of(row)) if row["x"] else None)
    return crops


def figures_of(answers: Answers, label: NDArray[np.int64], press: NDArray[np.bool_]) -> dict[str, Any]:
    """See the text of this file.

    Args:
        answers: expression (N, 8), action_units (N, 12), valence_arousal (N, 2); NaN in the rows of missed faces.
    """
    expression = answers["expression"]
    called = called_among(expression, SEVEN)
    rest = (label == 0) & press
    seen = rest & (called != MISSED)
    by_class, core = f1(called, label, SEVEN), f1(called_among(expression, CORE), np.where(press, label, MISSED), CORE)
    six = f1(called_among(expression, SIX), np.where(label == 0, MISSED, label), SIX)
    names = [EXPRESSIONS[k] for k in SEVEN]
    table = [[int(((label == a) & (called == b)).sum()) for b in (*SEVEN, MISSED)] for a in SEVEN]
    return {
        "pictures": len(label),
        "missed": int((called == MISSED).sum()),
        "f1_7": float(np.mean(by_class)),
        "f1_6": float(np.mean(six)),
        "core_5": float(np.mean(core)),
        "by_class": dict(zip(names, by_class, strict=True)),
        "core_by_class": dict(zip([EXPRESSIONS[k] for k in CORE], core, strict=True)),
        "neutral_recall": float((called[rest] == 0).mean()),
        "neutral_au4": float(answers["action_units"][seen, ACTION_UNITS.index("AU4")].mean()),
        "neutral_valence": float(answers["valence_arousal"][seen, 0].mean()),
        "rows_true_columns_called_then_missed": table,
    }


def called_among(expression: NDArray[np.float64], classes: tuple[int, ...]) -> NDArray[np.int64]:
    """(N, 8) probabilities to the most probable of some classes, MISSED where there are none."""
    chosen = np.array(classes)[np.nan_to_num(expression)[:, classes].argmax(1)]
    return np.where(np.isnan(expression[:, 0]), MISSED, chosen)


def f1(called: NDArray[np.int64], label: NDArray[np.int64], classes: tuple[int, ...]) -> list[float]:
    """F1 of every class, over the pictures whose label is one of them; a missed face is an answer of its own."""
    order = (*classes, MISSED)
    kept = np.isin(label, classes)
    table = np.array([[((called == b) & (label == a) & kept).sum() for b in order] for a in order])
    return [float(score) for score in f1_by_class(table)[: len(classes)]]


def judge(folder: Path, weights: str, detector: str) -> dict[str, Any]:
    """The report."""
    rows = read_labels(folder)
    names = [name.lower() for name in EXPRESSIONS]
    label = np.array([names.index(row["label"]) for row in rows])
    press = np.array([row["source"] == "press" for row in rows])
    crops = crops_of(folder, rows, detector)
    found = np.flatnonzero([crop is not None for crop in crops])
    judged = open_system(weights)(np.stack([crop for crop in crops if crop is not None]))
    answers = {name: np.full((len(rows), values.shape[1]), np.nan) for name, values in judged.items()}
    for name, values in judged.items():
        answers[name][found] = values
    return {"weights": weights, "detector": detector} | figures_of(answers, label, press)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", default="face", help="a card or a safetensors file")
    parser.add_argument("--detector", choices=["labels", *NAMES], default="builtin")
    parser.add_argument("--out", type=Path, help="JSON lines to append the report to")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    report("labelled faces", rounded(judge(options.folder, options.weights, options.detector)), options.out)


if __name__ == "__main__":
    main()
