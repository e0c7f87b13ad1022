"""A model over windows: frame-wise predictions, and their tallies by the official protocol."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from sentio.affect.batch import AffectOutput
from sentio.affect.data.clips import Clip
from sentio.affect.data.items import WindowDataset, collate
from sentio.affect.labels import TASKS
from sentio.affect.protocol import thresholds as units
from sentio.affect.protocol.predictions import Prediction
from sentio.affect.protocol.scores import Pool, Protocol, Tally, decide
from sentio.core.errors import InputError
from sentio.core.method import Method
from sentio.core.progress import Tell, silent


@torch.no_grad()
def predict(
    method: Method, data: WindowDataset, *, batch_size: int = 128, workers: int = 0, tell: Tell = silent
) -> list[Prediction]:
    """Predictions of every frame that a window is about; windows that overlap are averaged, but those that say NaN.

    Args:
        method: called with an AffectBatch, gives an AffectOutput; in eval mode, on its own device.
        data: windows; labels are not used.
        tell: told how many windows are done.

    Returns:
        One prediction a clip of ``data.clips``: expression and action units as probabilities, NaN where no window
        answers.

    Raises:
        InputError: there is no window at all, or the model answers for other frames than the windows ask for.
    """
    if not len(data):
        raise InputError("No window can be cut from these clips.", "Do they have crops, and are they long enough?")
    sums: list[dict[str, NDArray[np.float64]]] = [{} for _ in data.clips]
    counts = [np.zeros((clip.frames, 1)) for clip in data.clips]
    start = 0
    own = torch.Generator()  # else the loader would draw from the global one
    for batch in DataLoader(data, batch_size, collate_fn=collate, num_workers=workers, generator=own):
        found = probabilities(method(batch.to(method.device)))
        answered = ~np.isnan(next(iter(found.values()))[..., 0])  # (B, L)
        _refuse_other_steps(found, data.rule.targets(np.zeros(1, np.int64)).shape[1])
        for row in range(len(batch)):
            number, anchor = data.locate(start + row)
            targets = data.rule.targets(np.array([anchor]))[0]
            inside = (targets >= 0) & (targets < data.clips[number].frames) & answered[row]
            counts[number][targets[inside]] += 1
            for name, values in found.items():
                total = sums[number].setdefault(name, np.zeros((len(counts[number]), TASKS[name])))
                total[targets[inside]] += values[row, inside]
        start += len(batch)
        tell(start, len(data))
    predicted = {name for part in sums for name in part}
    return [_mean(part, count, predicted) for part, count in zip(sums, counts, strict=True)]


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
        decided: dict[str, Any] = prediction.fields()
        if "expression" in decided:
            decided["expression"] = decide(decided["expression"], protocol)
        if "action_units" in decided:
            decided["action_units"] = units.apply(decided["action_units"], thresholds)
        labels = clip.labels()
        pairs = {name: (decided[name][known], labels[name][known]) for name in decided if name in labels}
        pool.add(clip.name, Tally.of(**pairs))
    return pool


def probabilities(output: AffectOutput) -> dict[str, NDArray[np.float32]]:
    """(B, L, ...) values; logits become probabilities."""
    values: dict[str, torch.Tensor | None] = {
        "valence_arousal": output.valence_arousal,
        "expression": None if output.expression is None else output.expression.softmax(-1),
        "action_units": None if output.action_units is None else output.action_units.sigmoid(),
    }
    return {name: value.float().cpu().numpy() for name, value in values.items() if value is not None}


def _refuse_other_steps(found: dict[str, NDArray[np.float32]], expected: int) -> None:
    for name, values in found.items():
        if values.shape[1] != expected:
            raise InputError(
                f"The model gives {values.shape[1]} predictions of {name} for a window that asks for {expected}.",
                "Set data.windows.answers to what the model predicts.",
            )


def _mean(sums: dict[str, NDArray[np.float64]], counts: NDArray[np.float64], predicted: set[str]) -> Prediction:
    """Sums by counts; a clip without any window is all NaN."""
    empty = np.where(counts > 0, counts, np.nan)
    fields = {name: sums.get(name, np.zeros((len(counts), TASKS[name]))) / empty for name in predicted}
    return Prediction(**{name: value.astype(np.float32) for name, value in fields.items()})
