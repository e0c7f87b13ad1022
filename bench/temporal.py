"""Is a model over time better than the face model on single frames? What `sentio analyze` takes by default rests on it.

    python bench/temporal.py videos FOLDER [--models face,offline,causal,capnet] [--split validation] [--out FILE]
    python bench/temporal.py clips FOLDER  [--detector builtin]
    python bench/temporal.py stills FOLDER

Models are weights by name, or paths of cards. `videos`: FOLDER is in Aff-Wild2's layout, with features of the embedded
face model (`sentio features FOLDER --visual face`). Official scores of the clips of one
split over all labelled frames, at the videos' own rates; where a model says nothing, it is held to what it said last.
flicker: mean |difference| from frame to frame of valence and arousal, of the classes' probabilities, and of the action
units', and that of the truth. lag: frames by which the steps of a model come later than those of the truth, where their
cross-correlation is greatest (valence, arousal and action units; differences over 5 frames, rising ones of the truth).
gap: scores of the 30 frames from the 91st on, when their faces are taken away; of clips that have so many.

`clips`: FOLDER holds real clips; each is analyzed as it is. flicker as above; calm: share of Neutral among the rows of
the six GRID clips, whose speakers read calmly, and mean valence and arousal of these; smile: height and time of the
largest p_happiness in single_face.mp4.

`stills`: FOLDER is as in bench/labelled_faces.py; every picture is held for a second at 30 frames a second, and the
last frame counts. The figures are those of that bench.
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detectors import read_labels
from labelled_faces import crops_of, figures_of
from real_faces import rounded
from sentio import analyze
from sentio.affect.analysis.models import FaceModel, face_pixels
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.temporal import TemporalModel
from sentio.affect.data.clips import Clip
from sentio.affect.labels import EXPRESSIONS, FRAME_RATE, TASKS, VALENCE_AROUSAL
from sentio.affect.media.info import probe
from sentio.affect.protocol.predictions import Prediction
from sentio.affect.protocol.scoring import tally
from sentio.affect.table import AU_COLUMNS, P_COLUMNS
from sentio.core import weights
from sentio.core.bench import report
from sentio.core.results import Table

FACE = "face"
MODELS = (FACE, "offline", "causal", "capnet")
SHORTEST = 31
"""Frames that a clip needs for its lag to be measured."""
LAGS = np.arange(-15, 16)
OVER = 5
"""Frames over which differences are taken."""
GAP = slice(90, 120)
GROUPS = {"valence_arousal": "va", "expression": "expr", "action_units": "au"}
Values = dict[str, NDArray[np.float64]]


def single(features: NDArray[np.float32], present: NDArray[np.bool_]) -> Values:
    """What the face model says of single frames: (N, 2), (N, 8), (N, 12); NaN without a face."""
    import torch

    face = weights.load(FACE).eval()
    with torch.no_grad():
        found = face.predict(torch.from_numpy(features))
    return {name: np.where(present[:, None], value.numpy(), np.nan) for name, value in zip(TASKS, found, strict=True)}


def over_time(
    model: TemporalModel, features: NDArray[np.float32], present: NDArray[np.bool_], base: Values, rate: float
) -> Values:
    """What a model over time says of the frames of one person, and the face model where that says nothing."""
    track = model.track(0.0)
    moments = []
    first = int(present.argmax()) if present.any() else len(present)
    for k in range(first, len(present)):
        moments += track.push((k - first) / rate, features[k] if present[k] else None)
    moments += track.flush() if len(moments) or first < len(present) else []
    values = {name: value.copy() for name, value in base.items()}
    for k, moment in enumerate(moments, start=first):
        for name, value in (moment.values or {}).items():
            values[name][k] = np.where(np.isnan(value), values[name][k], value)
    return values


def thresholds_of(name: str) -> tuple[float, ...]:
    """Of the action units: the model's own, else those of the face model."""
    told = weights.card(name).details
    return tuple(told.get("thresholds", weights.card(FACE).details["thresholds"]))


def flicker(values: Values) -> dict[str, float]:
    """Mean |difference| from frame to frame, over neighbours that both have values."""
    return {GROUPS[name]: float(np.nanmean(np.abs(np.diff(value, axis=0)))) for name, value in values.items()}


def correlation(truth: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(lags,): rising steps of the truth (N, K) times the steps of the values, later by each of `LAGS`."""
    rises = np.maximum(np.nan_to_num(truth[OVER:] - truth[:-OVER]), 0)
    steps = np.nan_to_num(values[OVER:] - values[:-OVER])
    inner = slice(-LAGS[0], len(rises) - LAGS[-1])
    return np.array([(rises[inner] * steps[inner.start + lag : inner.stop + lag]).sum() for lag in LAGS])


def peak(curve: NDArray[np.float64]) -> float:
    """Where a curve over `LAGS` is greatest, between them by a parabola."""
    k = int(curve.argmax())
    if not 0 < k < len(curve) - 1:
        return float(LAGS[k])
    left, middle, right = curve[k - 1 : k + 2]
    return float(LAGS[k] + 0.5 * (left - right) / (left - 2 * middle + right))


def late(truth: list[Values], values: list[Values], task: str) -> float:
    """Frames by which the values of a task come later than the truth, over all clips."""
    pairs = [(true[task], said[task]) for true, said in zip(truth, values, strict=True)]
    return peak(np.sum([correlation(*pair) for pair in pairs if len(pair[0]) > SHORTEST + OVER], axis=0))


def labels_of(clip: Clip) -> Values:
    """Valence and arousal, and action units, NaN where missing."""
    found = {name: np.asarray(value, np.float64) for name, value in clip.labels().items() if name != "expression"}
    return {name: np.where(value < -1, np.nan, value) for name, value in found.items()}


def scores(clips: list[Clip], values: list[Values], name: str, frames: slice = slice(None)) -> dict[str, float]:
    """Official scores of some frames of each clip."""
    parts = [clip_part(clip, frames) for clip in clips]
    filled = [
        Prediction(**{task: value.astype(np.float32) for task, value in found.items()}).filled("previous")
        for found in values
    ]
    said = [Prediction(**{task: value[frames] for task, value in one.fields().items()}) for one in filled]
    found = tally(parts, said, thresholds=thresholds_of(name)).scores()
    return {key: found[key] for key in ("p_va", "p_expr", "p_au")}


def clip_part(clip: Clip, frames: slice) -> Clip:
    """Some frames of a clip, labels alone."""
    labels: dict[str, Any] = {name: value[frames] for name, value in clip.labels().items()}
    return Clip(
        name=clip.name, source=clip.source, split=clip.split, frames=len(range(*frames.indices(clip.frames))), **labels
    )


def videos(folder: Path, names: list[str], split: str) -> dict[str, Any]:
    """The report on rendered videos."""
    from sentio.affect.training.joined import JoinedData
    from sentio.affect.training.published import DataConfig

    encoder = str(weights.locate(FACE, "safetensors"))
    data = JoinedData(folder, DataConfig(sets=("va", "expr", "au"), face_encoder=encoder))
    clips = data.split(split)  # type: ignore[arg-type]
    stored = [of_clip(data.faces, clip) for clip in clips]
    base = [single(*one) for one in stored]
    taken = [
        (features, present & ~np.isin(np.arange(len(present)), np.arange(*GAP.indices(10**6))))
        for features, present in stored
    ]
    base_taken = [single(*one) for one in taken]
    truth = [labels_of(clip) for clip in clips]
    rates = [probe(clip.media).rate if clip.media else FRAME_RATE for clip in clips]
    figures: dict[str, Any] = {"clips": len(clips), "frames": sum(clip.frames for clip in clips)}
    figures["truth"] = {"flicker": mean([flicker(one) for one in truth])}
    for name in names:
        model = None if name == FACE else TemporalModel(name)
        values, gap = base, base_taken
        if model is not None:
            values = [over_time(model, *one, low, rate) for one, low, rate in zip(stored, base, rates, strict=True)]
            gap = [over_time(model, *one, low, rate) for one, low, rate in zip(taken, base_taken, rates, strict=True)]
        lag = {GROUPS[task]: late(truth, values, task) for task in ("valence_arousal", "action_units")}
        long = [k for k, clip in enumerate(clips) if clip.frames >= GAP.stop]
        figures[name] = {
            **scores(clips, values, name),
            "flicker": mean([flicker(found) for found in values]),
            "lag": lag,
            "gap": scores([clips[k] for k in long], [gap[k] for k in long], name, GAP) if long else {},
        }
    return figures


def of_clip(store: Any, clip: Clip) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Stored features (N, D) of a clip, zero without a face, and where there is one (N,)."""
    found = store.open(clip.name)
    frames = found.times.astype(int)
    kept = frames < clip.frames
    features = np.zeros((clip.frames, found.values.shape[1]), np.float32)
    features[frames[kept]] = found.values[kept]
    present = np.zeros(clip.frames, np.bool_)
    present[frames[kept]] = True
    return features, present


def mean(parts: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each key."""
    return {key: float(np.nanmean([part[key] for part in parts])) for key in parts[0]}


def clips(folder: Path, names: list[str], detector: str) -> dict[str, Any]:
    """The report on real clips."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".mp4", ".mpg", ".mov", ".mkv"))
    figures: dict[str, Any] = {"clips": len(paths)}
    for name in names:
        tables = {path.name: analyze(path, options=Options(detector=detector, model=name)) for path in paths}  # type: ignore[arg-type]
        every = [flicker(person) for table in tables.values() for person in persons(table)]
        calm = {path: table for path, table in tables.items() if path.startswith("grid_")}
        grid = {path: neutral(table) for path, table in calm.items()}
        affect = {key: float(np.mean([np.nanmean(table[key]) for table in calm.values()])) for key in VALENCE_AROUSAL}
        figures[name] = {"flicker": mean(every), "calm": float(np.mean(list(grid.values()))), **affect, "neutral": grid}
        if "single_face.mp4" in tables:
            table = tables["single_face.mp4"]
            k = int(np.nanargmax(table["p_happiness"]))
            figures[name]["smile"] = {"p_happiness": table["p_happiness"][k], "time_s": table["time_s"][k]}
    return figures


def persons(table: Table) -> list[Values]:
    """The rows of each person that is seen in more than a second."""
    columns = {"valence_arousal": ("valence", "arousal"), "expression": P_COLUMNS, "action_units": AU_COLUMNS}
    found = []
    for number in np.unique(table["person"][~np.isnan(table["person"])]):
        own = table["person"] == number
        if own.sum() > FRAME_RATE:
            found.append({task: np.stack([table[key][own] for key in keys], 1) for task, keys in columns.items()})
    return found


def neutral(table: Table) -> float:
    """Share of the rows with a person that are called Neutral."""
    called = table["expression"][~np.isnan(table["person"])]
    return float((called == EXPRESSIONS[0]).mean())


def stills(folder: Path, names: list[str]) -> dict[str, Any]:
    """The report on labelled pictures that are held still."""
    rows = read_labels(folder)
    known = [name.lower() for name in EXPRESSIONS]
    label = np.array([known.index(row["label"]) for row in rows])
    press = np.array([row["source"] == "press" for row in rows])
    crops = crops_of(folder, rows, "builtin")
    found = [k for k, crop in enumerate(crops) if crop is not None]
    side, session = FaceModel(FACE).side, weights.session(FACE)
    pixels = face_pixels([crop for crop in crops if crop is not None], side)
    parts = [session.run(["features", *TASKS], {"face": pixels[k : k + 64]}) for k in range(0, len(pixels), 64)]
    features, *base = (np.concatenate(part) for part in zip(*parts, strict=True))
    figures: dict[str, Any] = {}
    for name in names:
        model = None if name == FACE else TemporalModel(name)
        answers = {task: np.full((len(rows), size), np.nan) for task, size in TASKS.items()}
        for row, face, *low in zip(found, features, *base, strict=True):
            said = dict(zip(TASKS, low, strict=True))
            if model is not None:
                track = model.track(0.0)
                moments = [moment for k in range(30) for moment in track.push(k / FRAME_RATE, face)] + track.flush()
                said |= {task: value for task, value in moments[-1].values.items() if not np.isnan(value).any()}
            for task, value in said.items():
                answers[task][row] = value
        judged = figures_of(answers, label, press)
        figures[name] = {key: value for key, value in judged.items() if not isinstance(value, list | dict)}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["videos", "clips", "stills"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--split", default="validation", choices=["train", "validation"])
    parser.add_argument("--detector", default="builtin")
    parser.add_argument("--out", type=Path, help="JSON lines to append the report to")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    names = given.models.split(",")
    figures = {
        "videos": lambda: videos(given.folder, names, given.split),
        "clips": lambda: clips(given.folder, names, given.detector),
        "stills": lambda: stills(given.folder, names),
    }[given.what]()
    report(f"models over time: {given.what}", rounded(figures), given.out)


if __name__ == "__main__":
    main()
