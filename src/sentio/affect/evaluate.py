"""A trained model against the official protocol: every frame predicted, post-processed, scored, submitted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sentio.affect.data.clips import Clip, Split
from sentio.affect.data.sets import listed_clips
from sentio.affect.data.windows import Windows
from sentio.affect.labels import ACTION_UNITS, expression_to_lsd
from sentio.affect.protocol import submission, thresholds
from sentio.affect.protocol.predictions import Fill, Prediction
from sentio.affect.protocol.scores import Protocol, Scores, decide
from sentio.affect.protocol.scoring import predict, tally
from sentio.affect.protocol.smoothing import Smoothing
from sentio.affect.training.published import AffectData
from sentio.core import runs
from sentio.core.config import from_dict
from sentio.core.errors import InputError, OutputError
from sentio.core.runlog import finite_or_none


@dataclass(frozen=True)
class EvaluationConfig:
    """The ``evaluation`` section of a recipe.

    Attributes:
        fill: where a frame without a prediction takes one from.
        valence_arousal, expression, action_units: smoothing of each.
        thresholds: of the twelve action units.
        search_thresholds: choose them anew on the frames that are scored; validation only, and the score is optimistic.
        abaw2: seven classes and the mixed scores of ABAW2.
        resamples: draws of the bootstrap; 0 for no intervals.
    """

    fill: Fill = "nearest"
    valence_arousal: Smoothing = field(default_factory=Smoothing)
    expression: Smoothing = field(default_factory=Smoothing)
    action_units: Smoothing = field(default_factory=Smoothing)
    thresholds: tuple[float, ...] = thresholds.DEFAULT
    search_thresholds: bool = False
    abaw2: bool = False
    resamples: int = 1000

    def __post_init__(self) -> None:
        if len(self.thresholds) != len(ACTION_UNITS):
            raise ValueError(f"expected {len(ACTION_UNITS)} thresholds, found {len(self.thresholds)}")


@dataclass(frozen=True)
class Evaluation:
    """Scores with all that they depend on."""

    header: dict[str, Any]
    """System, fallback, split, protocol, windows, smoothing, filling, thresholds, counts."""
    scores: Scores
    intervals: dict[str, tuple[float, float]]
    """95 %, by bootstrap over videos."""
    by_video: dict[str, Scores]
    clips: list[Clip]
    predictions: list[Prediction]
    """Of every frame of ``clips``, as scored."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values; an undefined score is None."""
        return {
            "header": self.header,
            "scores": finite_or_none(self.scores),
            "intervals": {
                name: list(finite_or_none({"low": low, "high": high}).values())
                for name, (low, high) in self.intervals.items()
            },
            "by_video": {video: finite_or_none(scores) for video, scores in self.by_video.items()},
        }

    def to_text(self) -> str:
        """Header and pooled scores for people."""
        lines = [f"{name}: {value}" for name, value in self.header.items()]
        for name, value in self.scores.items():
            low, high = self.intervals.get(name, (np.nan, np.nan))
            lines.append(f"{name:>16} {value:7.4f}" + ("" if np.isnan(low) else f"  [{low:.4f}, {high:.4f}]"))
        return "\n".join(lines) + "\n"


def evaluate(
    method: Any,
    data: AffectData,
    config: EvaluationConfig | None = None,
    *,
    split: Split = "validation",
    fallback: tuple[Any, AffectData] | None = None,
) -> Evaluation:
    """Score a method on all labelled frames of a split, those without a face too.

    Args:
        method: in eval mode.
        fallback: another method, with its own data, for the frames that the first one says nothing of.

    Raises:
        InputError: the split has no clip, or thresholds are to be searched on another split than validation.
    """
    config = config or EvaluationConfig()
    clips = data.scored(split)
    if not clips:
        raise InputError(f"{data.root} has no {split} clip of {', '.join(data.config.sets)}.")
    raw = predict_clips(method, data, clips, fallback=fallback)
    predictions = [postprocess(prediction, config) for prediction in raw]
    decided = _search(clips, predictions, split) if config.search_thresholds else config.thresholds
    protocol: Protocol = "abaw2" if config.abaw2 else data.protocol
    pool = tally(clips, predictions, protocol=protocol, thresholds=decided)
    header = {
        "system": _name(method),
        "fallback": _name(fallback[0]) if fallback else None,
        "split": split,
        "protocol": f"{protocol}, pooled over all labelled frames",
        "sets": list(dict.fromkeys(clip.source for clip in clips)),
        "clips": len(clips),
        "frames": sum(clip.frames for clip in clips),
        "labelled_frames": int(sum(clip.labelled().sum() for clip in clips)),
        "frames_filled": int(sum(prediction.missing().sum() for prediction in raw)),
        "fill": config.fill,
        "smoothing": {name: getattr(config, name).stamp() for name in predictions[0].fields()},
        "thresholds": list(decided),
        "thresholds_from": "searched on these frames" if config.search_thresholds else "given",
        "windows": asdict(data.config.windows),
    }
    intervals = pool.intervals(resamples=config.resamples) if config.resamples else {}
    return Evaluation(header, pool.scores(), intervals, pool.by_video(), clips, predictions)


def evaluate_run(run: Path, folder: Path, *, split: Split = "validation", fallback: Path | None = None) -> Evaluation:
    """Score a finished run as its recipe's ``data`` and ``evaluation`` sections say.

    Args:
        run: folder of the run.
        folder: the data.
        fallback: another run, for the frames that the first one says nothing of.
    """
    method, data, config = _open_run(run, folder)
    other = _open_run(fallback, folder)[:2] if fallback else None
    return evaluate(method, data, config, split=split, fallback=other)


def submit_run(
    run: Path,
    folder: Path,
    out: Path,
    *,
    track: submission.Track,
    edition: int,
    images: Path | None = None,
    split: Split = "test",
    fallback: Path | None = None,
) -> list[Path]:
    """Write the submission of a finished run, and read it back.

    Args:
        images: the organisers' list of images to answer for, or any text whose rows begin with ``clip/00001.jpg``.
        split: whose frames are all answered for, where there is no list.

    Returns:
        The files.

    Raises:
        InputError: nothing to answer for, a list with LSD, or thresholds that are still to be searched.
        OutputError: see :func:`submit`.
    """
    if images and track == "lsd":
        raise InputError("LSD is answered for all images of its test folder.", "Leave out the list of images.")
    method, data, config = _open_run(run, folder)
    if config.search_thresholds and track in ("au", "mtl"):
        raise InputError(
            "A submission does not search thresholds.",
            "Give those that the evaluation found on validation as evaluation.thresholds, in the run's recipe.json.",
        )
    frames = submission.read_frames(images) if images else None
    clips = listed_clips(data.tree, frames, track) if frames else data.scored(split)
    if not clips:
        raise InputError(f"{folder} has no {split} clip.", "Give the list of images to answer for.")
    other = _open_run(fallback, folder)[:2] if fallback else None
    raw = predict_clips(method, data, clips, fallback=other)
    predictions = [postprocess(prediction, config) for prediction in raw]
    return submit(out, track, edition, clips, predictions, frames=frames, decided=config.thresholds)


def predict_clips(
    method: Any, data: AffectData, clips: Sequence[Clip], *, fallback: tuple[Any, AffectData] | None = None
) -> list[Prediction]:
    """Predictions of every frame that the method, or else the fallback, has an answer for; NaN elsewhere."""
    answers = predict(method, data.windows(clips, _every_frame(data.config.windows), labelled=False))
    if fallback is not None:
        other, its_data = fallback
        others = predict(other, its_data.windows(clips, _every_frame(its_data.config.windows), labelled=False))
        answers = [first.merged(second) for first, second in zip(answers, others, strict=True)]
    return answers


def postprocess(prediction: Prediction, config: EvaluationConfig) -> Prediction:
    """Fill gaps, then smooth."""
    fields = prediction.filled(config.fill).fields()
    return Prediction(**{name: getattr(config, name)(values) for name, values in fields.items()})


def submit(
    folder: Path,
    track: submission.Track,
    edition: int,
    clips: Sequence[Clip],
    predictions: Sequence[Prediction],
    *,
    frames: submission.Frames | None = None,
    decided: Sequence[float] = thresholds.DEFAULT,
) -> list[Path]:
    """Write a submission and read it back.

    Args:
        clips: of the split, in the order of ``predictions``.
        frames: images to answer for, by clip; default: every frame of every clip. Where a submission is one text a
            video, its rows are every frame up to the last of them.
        decided: thresholds of the action units.

    Raises:
        OutputError: what was written is not valid (the first faults are named).
    """
    pairs = list(zip(clips, predictions, strict=True))
    pairs = [pair for pair in pairs if pair[0].source == track] or pairs  # a clip may be in several label sets
    expected: submission.Frames | list[str]
    if track == "lsd":
        expected = [name for clip, _ in pairs if clip.crops for name in clip.crops.names or ()]
        classes = [decide(values, "lsd") for _, p in pairs if (values := p.expression) is not None]
        files = [submission.write_lsd(folder, expected, expression_to_lsd(np.concatenate(classes)))]
    else:
        listed = None if submission.one_file_a_video(track, edition) else frames
        expected = listed or {clip.name: np.arange(1, clip.frames + 1) for clip, _ in pairs}
        by_name = {clip.name: prediction for clip, prediction in pairs}
        files = submission.write(folder, track, edition, by_name, expected, decided)
    place = files[0] if files[0].name == f"{track}.txt" else folder
    faults = submission.validate(place, track, edition, expected)
    if faults:
        raise OutputError("The submission is not valid:\n" + "\n".join(map(str, faults)))
    return files


def _open_run(run: Path, folder: Path) -> tuple[Any, AffectData, EvaluationConfig]:
    """The model of a run, the data as its recipe cuts them, and how it is evaluated."""
    plan, method = runs.read_run(run)
    data = runs.open_data(plan.system, method, folder, plan.data)
    return method, data, from_dict(EvaluationConfig, plan.evaluation, where="evaluation")


def _name(method: Any) -> str:
    return getattr(method, "name", type(method).__name__)


def _every_frame(rule: Windows) -> Windows:
    """The rule for prediction: a window for each frame, also where some of its entries have no face."""
    return replace(
        rule,
        hop=rule.hop if rule.answers == "all" else 1,
        padding="mask" if rule.padding == "drop" else rule.padding,
    )


def _search(clips: Sequence[Clip], predictions: Sequence[Prediction], split: Split) -> tuple[float, ...]:
    pairs = [
        (prediction.action_units, clip.action_units)
        for clip, prediction in zip(clips, predictions, strict=True)
        if prediction.action_units is not None and clip.action_units is not None
    ]
    if not pairs:
        raise InputError("There are no action units to search thresholds for.")
    probability, label = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return thresholds.search(probability, label, split=split)
