"""What a model sees in faces that it was not trained on: photographs of people, and held-out renders.

    python bench/real_faces.py london FOLDER --weights NAME [--detector builtin|yunet|haar]
    python bench/real_faces.py renders FOLDER --weights NAME [--rig ict|mpfb] [--split validation]

NAME is a card (its ONNX file answers), the path of a card, or the safetensors file of a run.

`london`: smile against neutral on the Face Research Lab London Set (neutral_front/PERSON_03.jpg,
smiling_front/PERSON_08.jpg, london_info.csv), each photograph through detector and alignment as `sentio analyze` does
it. Areas under the ROC curve, with 95 % intervals over people (both pictures of a person are drawn together). Skin tone
is the individual typology angle of the cheeks of the neutral photograph (median colour of two patches between eye and
mouth, in CIELAB under D65), cut in thirds: dark is the third with the smallest angles in this set.

`renders`: the official scores of the pictures of one split that `sentio synth` wrote, also while it still writes. Those
of action units depend on thresholds: a model's own, if it has any, else 0.5; chosen on the same split they flatter.
"""

import argparse
import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.analysis.models import FaceModel, face_pixels
from sentio.affect.faces.detection import Detector
from sentio.affect.faces.detectors import NAMES, open_detector
from sentio.affect.faces.tracking import FaceTracker
from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS, TASKS
from sentio.affect.protocol import thresholds
from sentio.affect.protocol.roc import paired_auc
from sentio.affect.protocol.scores import Tally, decide, f1_by_class
from sentio.affect.training import renders
from sentio.core import weights
from sentio.core.bench import report

CHEEKS = (slice(66, 76), (slice(33, 43), slice(70, 80)))
"""Rows and the two ranges of columns of an aligned crop."""
TONES = ("dark", "middle", "light")
KINDS = ("neutral", "smiling")
BATCH = 64

Answers = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class System:
    """What judges faces: a batch of crops (N, 112, 112, 3) to arrays; thresholds of the twelve action units."""

    answer: Callable[[NDArray[np.uint8]], Answers]
    thresholds: tuple[float, ...]

    def __call__(self, crops: NDArray[np.uint8]) -> Answers:
        """valence_arousal (N, 2), probabilities expression (N, 8) and action_units (N, 12); those that there are."""
        parts = [self.answer(crops[start : start + BATCH]) for start in range(0, len(crops), BATCH)]
        return {output: np.concatenate([part[output] for part in parts]).astype(float) for output in parts[0]}


def open_system(name: str) -> System:
    """Weights as the module's text says."""
    return _method(name) if name.endswith(".safetensors") else _graph(name)


def _graph(name: str) -> System:
    model, session = FaceModel(name), weights.session(name)  # the first refuses other kinds of model
    outputs = [name for name in TASKS if name in model.outputs]

    def answer(crops: NDArray[np.uint8]) -> Answers:
        found = session.run(outputs, {"face": face_pixels(list(crops), model.side)})
        return dict(zip(outputs, found, strict=True))

    return System(answer, tuple(model.card.details.get("thresholds", thresholds.DEFAULT)))


def _method(path: str) -> System:
    import torch

    from sentio.affect.batch import AffectBatch

    method = weights.load(path).eval()

    @torch.inference_mode()
    def answer(crops: NDArray[np.uint8]) -> Answers:
        output = method(AffectBatch.of_faces(torch.from_numpy(face_pixels(list(crops), method.encoder.info.size))))
        values = {
            "valence_arousal": output.valence_arousal,
            "expression": None if output.expression is None else output.expression.softmax(-1),
            "action_units": None if output.action_units is None else output.action_units.sigmoid(),
        }
        return {key: value[:, 0].numpy() for key, value in values.items() if value is not None}

    found = getattr(method, "thresholds", None)
    return System(answer, thresholds.DEFAULT if found is None else tuple(found.tolist()))


def london(folder: Path, name: str, detector: str) -> dict[str, Any]:
    """The report on the photographs."""
    people, missed = read_people(folder, open_detector(detector))
    system = open_system(name)
    neutral, smiling = (system(np.stack([getattr(person, kind) for person in people])) for kind in KINDS)
    figures: dict[str, Any] = {"weights": name, "detector": detector, "missed": missed, "groups": {}}
    for group, rows in groups(people).items():
        own = [people[row] for row in rows]
        angles = np.array([person.skin_angle for person in own])
        figures["groups"][group] = {
            "people": len(own),
            "skin_angle_degrees": [angles.min(), angles.max()],
            **group_figures(*({task: values[rows] for task, values in part.items()} for part in (neutral, smiling))),
        }
    figures["table"] = london_table(figures["groups"])
    return figures


def london_table(measured: dict[str, Any]) -> list[str]:
    """Lines of a table: areas under the curve with their intervals, by group."""
    scores = list(measured["all"]["auc"])
    lines = [f"| group | people | {' | '.join(scores)} |", "|---" * (len(scores) + 2) + "|"]
    for group, figures in measured.items():
        cells = ["{:.3f} [{:.3f}, {:.3f}]".format(*area) for area in figures["auc"].values()]
        lines.append(f"| {group} | {figures['people']} | {' | '.join(cells)} |")
    return lines


@dataclass(frozen=True)
class Person:
    """Aligned crops of both photographs, and what the table says."""

    neutral: NDArray[np.uint8]
    smiling: NDArray[np.uint8]
    gender: str

    @property
    def skin_angle(self) -> float:
        """Individual typology angle (Chardon et al., 1991) of the cheeks in degrees: larger is lighter."""
        rows, columns = CHEEKS
        patches = np.concatenate([self.neutral[rows, part].reshape(-1, 3) for part in columns])
        colour = np.median(patches, axis=0).astype(np.float32).reshape(1, 1, 3) / 255
        lightness, _, yellow = cv2.cvtColor(colour, cv2.COLOR_RGB2LAB)[0, 0]
        return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def read_people(folder: Path, detector: Detector) -> tuple[list[Person], list[str]]:
    """The people whose face was found in both photographs, and the photographs in which none was."""
    with (folder / "london_info.csv").open(newline="") as file:
        genders = {row["face_id"]: row["face_gender"] for row in csv.DictReader(file)}
    people, missed = [], []
    for path in sorted((folder / "neutral_front").glob("*.jpg")):
        number = path.stem.partition("_")[0]
        paths = [path, *(folder / "smiling_front").glob(f"{number}_*.jpg")]
        crops = [face_crop(item, detector) for item in paths]
        missed += [f"{item.parent.name}/{item.name}" for item, crop in zip(paths, crops, strict=True) if crop is None]
        found = [crop for crop in crops if crop is not None]
        if len(found) == len(KINDS):
            people.append(Person(*found, genders[number]))
    return people, missed


def face_crop(path: Path, detector: Detector) -> NDArray[np.uint8] | None:
    """The aligned crop of the widest face in a picture, found as in a video of one frame."""
    tracker = FaceTracker(detector)
    decided = tracker.push(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), 0.0) + tracker.flush()
    faces = [face for frame in decided for face in frame.faces]
    return max(faces, key=lambda face: face.box[2]).crop if faces else None


def groups(people: list[Person]) -> dict[str, NDArray[np.int64]]:
    """Rows of everybody, by gender, and by third of skin tone."""
    numbers, genders = np.arange(len(people)), np.array([person.gender for person in people])
    result = {"all": numbers} | {gender: numbers[genders == gender] for gender in sorted(set(genders.tolist()))}
    thirds = np.array_split(np.argsort([person.skin_angle for person in people]), len(TONES))
    return result | {f"skin {tone}": third for tone, third in zip(TONES, thirds, strict=True)}


def group_figures(neutral: Answers, smiling: Answers) -> dict[str, Any]:
    """Areas under the curve, and what the faces of each kind are taken for."""
    before, after = (named_scores(answers) for answers in (neutral, smiling))
    figures: dict[str, Any] = {"auc": {score: list(paired_auc(after[score], before[score])) for score in before}}
    for kind, answers in zip(KINDS, (neutral, smiling), strict=True):
        if "expression" in answers:
            called = np.bincount(answers["expression"].argmax(1), minlength=len(EXPRESSIONS))
            figures[f"{kind}_called"] = {EXPRESSIONS[k]: int(called[k]) for k in np.flatnonzero(called)}
        if "valence_arousal" in answers:
            figures[f"{kind}_mean_valence_arousal"] = answers["valence_arousal"].mean(0).tolist()
        if "action_units" in answers:
            units = answers["action_units"].mean(0).tolist()
            figures[f"{kind}_mean_probability"] = dict(zip(ACTION_UNITS, units, strict=True))
    return figures


def named_scores(answers: Answers) -> dict[str, NDArray[np.float64]]:
    """The scores that a smile should raise, of those that the system answers."""
    scores = {}
    if "expression" in answers:
        scores["p(Happiness)"] = answers["expression"][:, EXPRESSIONS.index("Happiness")]
    if "action_units" in answers:
        scores |= {unit: answers["action_units"][:, ACTION_UNITS.index(unit)] for unit in ("AU12", "AU6")}
    if "valence_arousal" in answers:
        scores["valence"] = answers["valence_arousal"][:, 0]
    return scores


def held_out(folder: Path, name: str, rig: str | None, split: str) -> dict[str, Any]:
    """The report on renders."""
    rows = [row for row in read_rows(folder) if row["split"] == split and rig in (None, row["rig"])]
    pictures, system = renders.load(rows), open_system(name)
    answers, labels = system(pictures.faces), pictures.labels
    decided = dict(answers)
    if "action_units" in answers:
        decided["action_units"] = thresholds.apply(answers["action_units"], system.thresholds)
    if "expression" in answers:
        decided["expression"] = decide(answers["expression"], "abaw")
    scores = Tally.of(**{task: (values, labels[task]) for task, values in decided.items()}).scores()
    figures: dict[str, Any] = {"weights": name, "rig": rig, "split": split, "pictures": len(rows), "scores": scores}
    if "expression" in answers:
        scores["macro_f1_7"], confusion = macro_f1(answers["expression"], labels["expression"], "abaw2")
        scores["macro_f1_6"], _ = macro_f1(answers["expression"], labels["expression"], "lsd")
        figures["confusion_7"] = text(confusion)
    return figures


def macro_f1(probability: NDArray[Any], label: NDArray[Any], protocol: Any) -> tuple[float, NDArray[Any]]:
    """Over the classes of the protocol alone: pictures of other classes are left out, nothing else is answered."""
    classes = range(7) if protocol == "abaw2" else range(1, 7)
    keep = np.isin(label, classes)
    confusion = Tally.of(expression=(decide(probability[keep], protocol), label[keep])).confusion
    part = confusion[classes.start : classes.stop, classes.start : classes.stop]
    return float(f1_by_class(part).mean()), part


def text(confusion: NDArray[Any]) -> list[str]:
    """Lines of a table: rows are labels, columns answers."""
    names = [name[:5] for name in EXPRESSIONS[: len(confusion)]]
    lines = [" " * 6 + "".join(f"{name:>6}" for name in names)]
    return lines + [f"{name:<6}" + "".join(f"{n:>6}" for n in row) for name, row in zip(names, confusion, strict=True)]


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """What is known of the pictures: the listing, or the parts of it while the set is being made."""
    if not (folder / ".parts").is_dir():
        return renders.read_listing(folder)
    parts = [json.loads(path.read_text()) for path in sorted((folder / ".parts").glob("person*.json"))]
    crops = folder / "affwild2" / "cropped_aligned"
    return [row["about"] | {"image": crops / row["image"], "split": row["split"]} for part in parts for row in part]


def rounded(figures: Any) -> Any:
    if isinstance(figures, dict):
        return {name: rounded(value) for name, value in figures.items()}
    if isinstance(figures, list):
        return [rounded(value) for value in figures]
    return round(float(figures), 4) if isinstance(figures, float | np.floating) else figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("london", "renders"):
        chosen = verbs.add_parser(verb)
        chosen.add_argument("folder", type=Path)
        chosen.add_argument("--weights", default="face", help="a card or a safetensors file")
        chosen.add_argument("--out", type=Path, help="JSON lines to append the report to")
    verbs.choices["london"].add_argument("--detector", choices=NAMES, default="builtin")
    verbs.choices["renders"].add_argument("--rig", choices=["ict", "mpfb"])
    verbs.choices["renders"].add_argument("--split", default="validation")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.verb == "london":
        figures = london(options.folder, options.weights, options.detector)
    else:
        figures = held_out(options.folder, options.weights, options.rig, options.split)
    report(f"real faces {options.verb}", rounded(figures), options.out)


if __name__ == "__main__":
    main()
