"""A model over windows: frame-wise predictions, and their tallies by the official protocol."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sentio.affect.batch import AffectOutput
from sentio.affect.data.clips import Clip, valid
from sentio.affect.data.items import WindowDataset, collate
from sentio.affect.labels import TASKS
from sentio.affect.protocol import thresholds as units
from sentio.affect.protocol.predictions import Prediction
from sentio.affect.protocol.scores import Pool, Protocol, Tally, decide
from sentio.core import loading, processes
from sentio.core.errors import InputError
from sentio.core.method import Method
from sentio.core.precision import FULL, Precision, autocast
from sentio.core.progress import Tell, silent

Sums = defaultdict[int, dict[str, NDArray[np.float64]]]
"""By clip and task: what windows said of each frame, summed up; under ``COUNT`` how many did."""
COUNT = "count"
Pairs = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
"""Predictions and labels by task."""


@torch.no_grad()
def predict(
    method: Method,
    data: WindowDataset,
    *,
    batch_size: int = 128,
    workers: int | None = None,
    precision: Precision = FULL,
    tell: Tell = silent,
) -> list[Prediction]:
    """Predictions of every frame that a window is about; windows that overlap are averaged, but those that say NaN.

    The processes of a training run share the windows, and each gets all predictions.

    Args:
        method: called with an AffectBatch, gives an AffectOutput; in eval mode, on its own device.
        data: windows; labels are not used.
        workers: see :func:`sentio.core.loading.batches`.
        precision: of the method.
        tell: told how many windows are done.

    Returns:
        One prediction a clip of ``data.clips``: expression and action units as probabilities, NaN where no window
        answers.

    Raises:
        InputError: there is no window at all, or the model answers for other frames than the windows ask for.
    """
    if not len(data):
        raise InputError("No window can be cut from these clips.", "Do they have crops, and are they long enough?")
    mine = processes.share(range(len(data)))
    rows = [mine[first : first + batch_size] for first in range(0, len(mine), batch_size)]
    sums: Sums = defaultdict(dict)
    start = 0
    for batch in loading.batches(data, rows, collate, workers):
        with autocast(precision, method.device.type):
            found = probabilities(method(batch.to(method.device)))
        _refuse_other_steps(found, data.rule.targets(np.zeros(1, np.int64)).shape[1])
        _add(sums, data, mine[start : start + len(batch)], found)
        start += len(batch)
        tell(start, len(mine))
    joined = _join(processes.gather(sums))
    predicted = {name for part in joined.values() for name in part if name != COUNT}
    return [_mean(joined[number], clip.frames, predicted) for number, clip in enumerate(data.clips)]


def tally(
    clips: Sequence[Clip],
    predictions: Sequence[Prediction],
    *,
    protocol: Protocol = "abaw",
    thresholds: tuple[float, ...] = units.DEFAULT,
) -> Pool:
    """Count predictions against labels; frames without a prediction are left out, so fill gaps before if they count."""
    pool = Pool(protocol)
    for clip, prediction in zip(clips, predictions, strict=True):
        known = ~prediction.missing()
        decided = _decided(prediction, protocol, thresholds)
        labels = clip.labels()
        pairs = {name: (decided[name][known], labels[name][known]) for name in decided if name in labels}
        pool.add(clip.name, Tally.of(**pairs))
    return pool


def complete_rows(
    clips: Sequence[Clip], predictions: Sequence[Prediction], rows: int, thresholds: tuple[float, ...] = units.DEFAULT
) -> Iterator[Pairs]:
    """Mini-batches of ``rows`` frames that have a prediction and labels of all three tasks, for `batch_averaged_mtl`.

    Frames come in the order of the clips; the last batch may be shorter.
    """
    parts: list[Pairs] = []
    for clip, prediction in zip(clips, predictions, strict=True):
        decided, labels = _decided(prediction, "abaw", thresholds), clip.labels()
        if set(decided) >= set(TASKS) and set(labels) >= set(TASKS):
            whole = np.logical_and.reduce([valid(name, labels[name]) for name in TASKS]) & ~prediction.missing()
            parts.append({name: (decided[name][whole], labels[name][whole]) for name in TASKS})
    joined = {
        name: tuple(np.concatenate([part[name][side] for part in parts]) for side in (0, 1)) for name in TASKS if parts
    }
    for start in range(0, len(joined["expression"][0]) if parts else 0, rows):
        yield {name: (pair[0][start : start + rows], pair[1][start : start + rows]) for name, pair in joined.items()}


def _decided(prediction: Prediction, protocol: Protocol, thresholds: tuple[float, ...]) -> dict[str, NDArray[Any]]:
    """The fields of a prediction with classes and action units instead of probabilities."""
    decided: dict[str, NDArray[Any]] = dict(prediction.fields())
    if "expression" in decided:
        decided["expression"] = decide(decided["expression"], protocol)
    if "action_units" in decided:
        decided["action_units"] = units.apply(decided["action_units"], thresholds)
    return decided


def probabilities(output: AffectOutput) -> dict[str, NDArray[np.float32]]:
    """(B, L, ...) values; logits become probabilities."""
    values: dict[str, torch.Tensor | None] = {
        "valence_arousal": output.valence_arousal,
        "expression": None if output.expression is None else output.expression.softmax(-1),
        "action_units": None if output.action_units is None else output.action_units.sigmoid(),
    }
    return {name: value.float().cpu().numpy() for name, value in values.items() if value is not None}


def _add(sums: Sums, data: WindowDataset, windows: Sequence[int], found: dict[str, NDArray[np.float32]]) -> None:
    """Add what was found in some windows, (B, L, ...), to the sums of their clips."""
    answered = ~np.isnan(next(iter(found.values()))[..., 0])  # (B, L)
    for row, window in enumerate(windows):
        number, anchor = data.locate(window)
        targets = data.rule.targets(np.array([anchor]))[0]
        frames = data.clips[number].frames
        inside = (targets >= 0) & (targets < frames) & answered[row]
        sums[number].setdefault(COUNT, np.zeros((frames, 1)))[targets[inside]] += 1
        for name, values in found.items():
            total = sums[number].setdefault(name, np.zeros((frames, TASKS[name])))
            total[targets[inside]] += values[row, inside]


def _join(parts: Sequence[Sums]) -> Sums:
    """The sums of all processes."""
    joined: Sums = defaultdict(dict)
    for part in parts:
        for number, values in part.items():
            joined[number] = {name: value + joined[number].get(name, 0) for name, value in values.items()}
    return joined


def _refuse_other_steps(found: dict[str, NDArray[np.float32]], expected: int) -> None:
    for name, values in found.items():
        if values.shape[1] != expected:
            raise InputError(
                f"The model gives {values.shape[1]} predictions of {name} for a window that asks for {expected}.",
                "Set data.windows.answers to what the model predicts.",
            )


def _mean(sums: dict[str, NDArray[np.float64]], frames: int, predicted: set[str]) -> Prediction:
    """Sums by counts; a clip without any window is all NaN."""
    counts = sums.get(COUNT, np.zeros((frames, 1)))
    known = np.where(counts > 0, counts, np.nan)
    fields = {name: sums.get(name, np.zeros((frames, TASKS[name]))) / known for name in predicted}
    return Prediction(**{name: value.astype(np.float32) for name, value in fields.items()})
