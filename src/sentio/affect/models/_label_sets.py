"""Losses of rows from sets that each label one task, or all: by a row's own labels, and by what a teacher says of it.

Each is over the rows of all processes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor
from torch.nn import functional

from sentio.affect.batch import AffectBatch
from sentio.affect.labels import EXPRESSIONS, SET_TASKS, SOURCES, TASKS
from sentio.affect.losses import ccc, labels
from sentio.core import processes
from sentio.core.errors import InputError

MTL = SOURCES.index("mtl")
"""The set that labels all three."""
CLIP = 1e-7
"""Keras keeps a probability this far from 0 and 1 before it takes the logarithm."""

Losses = Literal["textbook", "swapped"]
"""``swapped``: the cross-entropies take the logarithm of the label, and weigh it by the prediction."""
Predictions = Mapping[str, Tensor]
"""Of N rows, by name: the tasks' (N, 2) in [-1, 1], (N, 8) logits and (N, 12) logits, and ``shared``, (N, D)."""


@dataclass(frozen=True)
class Rows:
    """The sets and labels of all processes' usable rows."""

    source: Tensor
    """(N,) indices into ``labels.SOURCES``."""
    labels: Mapping[str, tuple[Tensor, Tensor]]
    """Of each task that the batch has: the newest frame's labels, and what of them is valid."""

    @classmethod
    def of(cls, batch: AffectBatch, usable: Tensor) -> Self:
        """Raises InputError: rows are from a set that is none of the four, or the labels of a set are not there."""
        source = batch.source[usable]
        if (source > MTL).any():
            raise InputError("The batch has windows of other sets than va, expr, au, mtl.")
        needed = {task for number in set(source.tolist()) for task in SET_TASKS[SOURCES[number]]}
        tasks = [task for task in TASKS if task in needed or getattr(batch, task) is not None]
        known = [value[usable, -1] for task in tasks for value in labels(batch, task)]
        source, *known = processes.whole(source, *known)
        return cls(source, dict(zip(tasks, zip(known[::2], known[1::2], strict=True), strict=True)))


@dataclass(frozen=True)
class Stream:
    """The rows that are from one label set."""

    number: int
    """Index into ``labels.SOURCES``."""
    predictions: Predictions
    labels: Mapping[str, tuple[Tensor, Tensor]]
    """Of the set's own tasks: labels and what of them is valid."""
    rows: Tensor
    """Which rows of all predictions these are."""
    losses: Losses

    @property
    def tasks(self) -> tuple[str, ...]:
        """What the set labels."""
        return tuple(self.labels)

    def label_loss(self, task: str) -> Tensor:
        """The task's loss on the labels; 0, with a gradient of 0, if there is none."""
        label, valid = self.labels[task]
        prediction, target = self.predictions[task][valid], label[valid]
        if not len(prediction):
            return prediction.sum()
        if task == "expression":
            target = functional.one_hot(target, len(EXPRESSIONS)).float()  # (N,) -> (N, 8)
        return task_loss(task, prediction, target, self.losses)

    def teacher_loss(self, task: str, taught: Predictions) -> Tensor:
        """The task's loss with a teacher's predictions, of all rows, for labels."""
        target = taught[task][self.rows]
        if task == "expression":
            target = target.softmax(1)
        elif task == "action_units":
            target = target.sigmoid()
        return task_loss(task, self.predictions[task], target, self.losses)


def streams(known: Rows, found: Predictions, *, complete_rows: bool, losses: Losses) -> Iterator[Stream]:
    """The rows and their predictions by label set.

    Args:
        complete_rows: of the multi-task set those alone that have all labels.
        losses: see :func:`task_loss`.
    """
    for number in sorted(set(known.source.tolist())):
        rows = known.source == number
        if number == MTL and complete_rows:
            rows &= torch.cat([valid.reshape(len(rows), -1) for _, valid in known.labels.values()], 1).all(1)
        tasks = SET_TASKS[SOURCES[number]]
        labelled = {task: (known.labels[task][0][rows], known.labels[task][1][rows]) for task in tasks}
        part = {name: value[rows] for name, value in found.items()}
        yield Stream(number, part, labelled, rows, losses)


def of_all(found: Predictions) -> dict[str, Tensor]:
    """The tasks' predictions of all processes' rows."""
    return dict(zip(TASKS, processes.whole(*(found[task] for task in TASKS)), strict=True))


def task_loss(task: str, prediction: Tensor, target: Tensor, losses: Losses = "textbook") -> Tensor:
    """1 - mean CCC, softmax cross-entropy, or binary cross-entropy.

    Args:
        task: one of ``TASKS``.
        prediction: (N, 2) values, (N, 8) logits, or any number of logits.
        target: of the same shape: values, or probabilities.
        losses: see `Losses`.
    """
    prediction = prediction.float()
    if task == "valence_arousal":
        return 1 - ccc(prediction, target).mean()
    off = target.clamp(CLIP, 1 - CLIP)
    if task == "expression":
        if losses == "swapped":
            return -(prediction.softmax(1) * off.log()).sum(1).mean()
        return functional.cross_entropy(prediction, target)
    if losses == "swapped":
        probability = prediction.sigmoid()
        return -(probability * off.log() + (1 - probability) * (1 - off).log()).mean()
    return functional.binary_cross_entropy_with_logits(prediction, target)
