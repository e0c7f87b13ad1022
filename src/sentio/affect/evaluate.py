"""A trained model against the official protocol: every frame predicted, post-processed, scored, submitted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import torch

from sentio.affect.data.clips import Clip, Frames, Split
from sentio.affect.data.sets import listed_clips
from sentio.affect.data.windows import Windows
from sentio.affect.labels import ACTION_UNITS, Source, expression_to_lsd
from sentio.affect.protocol import submission, thresholds
from sentio.affect.protocol.predictions import Fill, Prediction
from sentio.affect.protocol.readback import validate
from sentio.affect.protocol.scores import Protocol, Scores, batch_averaged_mtl, decide
from sentio.affect.protocol.scoring import complete_rows, predict, tally
from sentio.affect.protocol.smoothing import Smoothing
from sentio.affect.training.published import AffectData
from sentio.core import runs
from sentio.core.counts import counted
from sentio.core.devices import refuse_precision
from sentio.core.errors import InputError, OutputError
from sentio.core.method import Method
from sentio.core.precision import FULL, Precision
from sentio.core.progress import Tell, silent
from sentio.core.report import Figures, finite_or_none

_SHOWN = 20
"""Faults of a submission that an error message lists."""


@dataclass(frozen=True)
class EvaluationConfig:
    """The ``evaluation`` section of a recipe.

    Attributes:
        split: whose frames are meant; validation for scores and test for a submission, if not given.
        fallback: another run, for the frames that the first one says nothing of (FER-Tuned for CAPNet).
        fill: where a frame without a prediction takes one from.
        valence_arousal, expression, action_units: smoothing of each.
        thresholds: of the twelve action units.
        search_thresholds: choose them anew on the frames that are scored; validation only, and the score is optimistic.
        abaw2: seven classes and the mixed scores of ABAW2.
        resamples: draws of the bootstrap; 0 for no intervals.
        metric: ``batch-averaged`` is not the official score but that behind the 2.40 of the ABAW3 distillation paper,
            to compare with it and with nothing else; see :func:`~sentio.affect.protocol.scores.batch_averaged_mtl`.
        batch_rows: frames in a mini-batch of it.
        workers: processes that load windows; as many as pay if not given.
        precision: of the networks; 32 bits, unless others are asked for.
    """

    split: Split | None = None
    fallback: str | None = None
    fill: Fill = "nearest"
    valence_arousal: Smoothing = field(default_factory=Smoothing)
    expression: Smoothing = field(default_factory=Smoothing)
    action_units: Smoothing = field(default_factory=Smoothing)
    thresholds: tuple[float, ...] = thresholds.DEFAULT
    search_thresholds: bool = False
    abaw2: bool = False
    resamples: int = 1000
    metric: Literal["official", "batch-averaged"] = "official"
    batch_rows: int = 256
    workers: int | None = None
    precision: Precision = FULL

    def __post_init__(self) -> None:
        if len(self.thresholds) != len(ACTION_UNITS):
            raise ValueError(f"expected {len(ACTION_UNITS)} thresholds, found {len(self.thresholds)}")
        if self.batch_rows < 1:
            raise ValueError(f"batch_rows must be above zero, found {self.batch_rows}")


@dataclass(frozen=True)
class Form:
    """Which submission is asked for.

    Attributes:
        track: of the challenge.
        edition: of ABAW, 2 to 10, which decides the layout.
        images: the organisers' list of images to answer for, or any text whose rows begin with ``clip/00001.jpg``;
            in ABAW2 and ABAW3 also of videos. Without it, every frame of the split.
    """

    track: Source
    edition: int
    images: Path | None = None


@dataclass(frozen=True)
class Evaluation(Figures):
    """Official scores with all that they depend on; ``intervals`` are of 95 %, by bootstrap over videos."""

    by_video: dict[str, Scores] = field(default_factory=dict)
    clips: list[Clip] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    """Of every frame of ``clips``, as scored."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values; an undefined score is None."""
        return super().to_dict() | {"by_video": {name: finite_or_none(part) for name, part in self.by_video.items()}}


def evaluate(
    method: Method, data: AffectData, config: EvaluationConfig | None = None, *, tell: Tell = silent
) -> Evaluation:
    """Score a method on all labelled frames of a split, those without a face too.

    Args:
        method: in eval mode.
        tell: told how many windows were predicted.

    Raises:
        InputError: the split has no clip, or thresholds are to be searched on another split than validation.
    """
    config = config or EvaluationConfig()
    split = config.split or "validation"
    clips = data.scored(split)
    if not clips:
        raise InputError(f"{data.root} has no {split} clip of {', '.join(data.config.sets)}.")
    fallback = _fallback(config, data.root, method.device)
    raw = predict_clips(method, data, clips, fallback=fallback, config=config, tell=tell)
    predictions = [postprocess(prediction, config) for prediction in raw]
    decided = _search(clips, predictions, split) if config.search_thresholds else config.thresholds
    protocol: Protocol = "abaw2" if config.abaw2 else data.protocol
    pool = tally(clips, predictions, protocol=protocol, thresholds=decided)
    header = {
        "system": method.name,
        "fallback": fallback[0].name if fallback else None,
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
        "precision": config.precision,
    }
    if config.metric == "batch-averaged":
        return _batch_averaged(header, clips, raw, config.batch_rows, decided)
    intervals = pool.intervals(resamples=config.resamples) if config.resamples else {}
    alone = config.resamples and not intervals
    notes = ["No intervals: they come from drawing videos anew, and only one has labels."] if alone else []
    notes += [f"Left out, so that this is no score of the whole split: {bad}" for bad in data.left_out(split)]
    return Evaluation(header, pool.scores(), intervals, tuple(notes), pool.by_video(), clips, predictions)


def _batch_averaged(
    header: dict[str, Any], clips: list[Clip], raw: list[Prediction], batch_rows: int, decided: tuple[float, ...]
) -> Evaluation:
    """The score of the distillation paper, of what the model says: nothing is filled or smoothed."""
    batches = list(complete_rows(clips, raw, batch_rows, decided))
    if not batches:
        raise InputError(
            "No frame has a prediction and labels of all three tasks, which the batch-averaged metric needs.",
            "Take a system of all three, and the multi-task set.",
        )
    rows = sum(len(batch["expression"][0]) for batch in batches)
    parts = counted(len(batches), "mini-batch", "mini-batches")
    protocol = f"NOT official: the mean over {parts} of up to {batch_rows} complete rows"
    unused: dict[str, Any] = {"frames_filled": 0, "fill": None, "smoothing": {}}
    note = "Batch-averaged scores lie far above the official ones and compare with the ABAW3 distillation paper alone."
    header = header | unused | {"protocol": protocol, "labelled_frames": rows}
    return Evaluation(header, batch_averaged_mtl(batches), {}, (note,), {}, clips, raw)


def submit_run(method: Method, data: AffectData, config: EvaluationConfig, form: Form, out: Path) -> list[Path]:
    """Write a method's submission, and read it back.

    Args:
        method: in eval mode.
        config: its ``split`` is the one whose frames are all answered for where there is no list; test if not given.
        out: folder of the files.

    Returns:
        The files.

    Raises:
        InputError: nothing to answer for, another layout of the data than the track has, or thresholds that are still
            to be searched.
        OutputError: see :func:`submit`.
    """
    if form.track == "lsd" and form.images:
        raise InputError("The images of LSD's test set are taken from its folder: give no list.")
    if config.search_thresholds:
        raise InputError(
            "A submission does not search thresholds.",
            "Give those that the evaluation found on validation: --set evaluation.thresholds=[...].",
        )
    frames = (
        cast(Frames, submission.read_asked(form.images, form.track, form.edition, data.tree)) if form.images else None
    )
    split = config.split or "test"
    clips = listed_clips(data.tree, frames, form.track) if frames else data.scored(split)
    if not clips:
        there = [f"--split {name}" for name in reversed(get_args(Split)) if data.scored(name)]
        raise InputError(
            f"{data.root} has no {split} clip to answer for.",
            f"Give the organisers' list: --images LIST; or take another split: {' or '.join(there)}.",
        )
    fallback = _fallback(config, data.root, method.device)
    raw = predict_clips(method, data, clips, fallback=fallback, config=config)
    predictions = [postprocess(prediction, config) for prediction in raw]
    return submit(out, form.track, form.edition, clips, predictions, frames=frames, decided=config.thresholds)


def predict_clips(
    method: Method,
    data: AffectData,
    clips: Sequence[Clip],
    *,
    fallback: tuple[Method, AffectData] | None = None,
    config: EvaluationConfig | None = None,
    tell: Tell = silent,
) -> list[Prediction]:
    """Predictions of every frame that the method, or else the fallback, has one for; NaN elsewhere."""
    config = config or EvaluationConfig()
    refuse_precision(method.device, config.precision)
    how: dict[str, Any] = {"workers": config.workers, "precision": config.precision, "tell": tell}
    found = predict(method, data.windows(clips, _every_frame(data.config.windows), labelled=False), **how)
    if fallback is not None:
        other, its_data = fallback
        windows = its_data.windows(clips, _every_frame(its_data.config.windows), labelled=False)
        others = predict(other, windows, **how)
        found = [first.merged(second) for first, second in zip(found, others, strict=True)]
    return found


def postprocess(prediction: Prediction, config: EvaluationConfig) -> Prediction:
    """Fill gaps, then smooth."""
    fields = prediction.filled(config.fill).fields()
    return Prediction(**{name: getattr(config, name)(values) for name, values in fields.items()})


def submit(
    folder: Path,
    track: Source,
    edition: int,
    clips: Sequence[Clip],
    predictions: Sequence[Prediction],
    *,
    frames: Frames | None = None,
    decided: Sequence[float] = thresholds.DEFAULT,
) -> list[Path]:
    """Write a submission and read it back.

    Args:
        clips: of the split, in the order of ``predictions``.
        frames: images to answer for, by clip; default: every frame of every clip.
        decided: thresholds of the action units.

    Raises:
        OutputError: what was written is not valid (the first faults are named).
    """
    pairs = list(zip(clips, predictions, strict=True))
    pairs = [pair for pair in pairs if pair[0].source == track] or pairs  # a clip may be in several label sets
    expected: Frames | list[str]
    if track == "lsd":
        expected = [name for clip, _ in pairs if clip.crops for name in clip.crops.names or ()]
        classes = [decide(values, "lsd") for _, p in pairs if (values := p.expression) is not None]
        files = [submission.write_lsd(folder, expected, expression_to_lsd(np.concatenate(classes)))]
    else:
        expected = frames or {clip.name: np.arange(1, clip.frames + 1) for clip, _ in pairs}
        by_name = {clip.name: prediction for clip, prediction in pairs}
        files = submission.write(folder, track, edition, by_name, expected, decided)
    place = files[0] if files[0].name == f"{track}.txt" else folder
    faults = list(islice(validate(place, track, edition, expected), _SHOWN))
    if faults:
        raise OutputError("The submission is not valid:\n" + "\n".join(map(str, faults)))
    return files


def _fallback(config: EvaluationConfig, root: Path, device: torch.device) -> tuple[Method, AffectData] | None:
    """The other run that a configuration names, with the data as its own recipe cuts them."""
    if config.fallback is None:
        return None
    plan, method = runs.read_run(config.fallback, device=str(device))
    return method, method.open_data(root, plan.data)


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
