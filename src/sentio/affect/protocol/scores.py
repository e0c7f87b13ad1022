"""The official ABAW scores, pooled over every valid frame of a split.

Each video keeps a small tally (moments, a confusion matrix, counts); tallies add up, so that the pooled score, the
score by video and the bootstrap by video all come from one pass, in any order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sentio.affect.labels import (
    ACTION_UNITS,
    EXPRESSIONS,
    VALENCE_AROUSAL,
    valid_action_units,
    valid_expression,
    valid_valence_arousal,
)
from sentio.core.counts import counted
from sentio.core.errors import InputError

Floats = NDArray[np.float64]
Scores = dict[str, float]

Protocol = Literal["abaw", "abaw2", "lsd"]
"""``abaw``: ABAW3 and later. ``abaw2``: seven classes and the mixed scores. ``lsd``: six classes."""
_CLASSES: dict[Protocol, list[int]] = {"abaw": [*range(8)], "abaw2": [*range(7)], "lsd": [*range(1, 7)]}


def decide(probability: NDArray[np.floating[Any]], protocol: Protocol) -> NDArray[np.int64]:
    """(N, 8) probabilities to (N,) ids: the most likely of the classes that the protocol has."""
    classes = np.array(_CLASSES[protocol])
    return np.asarray(classes[probability[:, classes].argmax(axis=1)])


def ccc(prediction: NDArray[np.floating[Any]], label: NDArray[np.floating[Any]]) -> Floats:
    """Concordance correlation of the columns of two (N, D) arrays, with population moments (Lin, 1989).

    Returns:
        (D,) in [-1, 1]; 0 for a constant prediction of a varying label; NaN where it is undefined, that is without
        frames, or if both are constant and equal.
    """
    moments = Moments.of(prediction, label)
    return moments.ccc()


@dataclass(frozen=True)
class Moments:
    """Count, means and centred second moments of D pairs of variables; adding two is exact (Chan et al., 1983)."""

    count: int
    mean: Floats
    """(2, D): of the prediction, of the label."""
    scatter: Floats
    """(3, D): sums of centred squares of prediction and label, and of their product."""

    @classmethod
    def of(cls, prediction: NDArray[Any], label: NDArray[Any]) -> "Moments":
        """Moments of the columns of two (N, D) arrays."""
        pair = np.stack([np.asarray(prediction, np.float64), np.asarray(label, np.float64)])
        count, dimensions = pair.shape[1:]
        if not count:
            return cls(0, np.zeros((2, dimensions)), np.zeros((3, dimensions)))
        mean = pair.mean(axis=1)
        x, y = pair - mean[:, None]
        return cls(count, mean, np.stack([(x * x).sum(0), (y * y).sum(0), (x * y).sum(0)]))

    def __add__(self, other: "Moments") -> "Moments":
        count = self.count + other.count
        if not count:
            return self
        shift = other.mean - self.mean
        product = np.stack([shift[0] ** 2, shift[1] ** 2, shift[0] * shift[1]])
        scatter = self.scatter + other.scatter + product * (self.count * other.count / count)
        return Moments(count, self.mean + shift * (other.count / count), scatter)

    def ccc(self) -> Floats:
        """(D,) concordance correlation."""
        distance = (self.mean[0] - self.mean[1]) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            result: Floats = 2 * self.scatter[2] / (self.scatter[0] + self.scatter[1] + self.count * distance)
        return result


def f1_by_class(confusion: NDArray[Any]) -> Floats:
    """F1 of each class of (..., K, K) counts (rows: label, columns: prediction); 0 for a class that never occurs."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _ratio(2 * hits, confusion.sum(axis=-1) + confusion.sum(axis=-2))


def f1_binary(counts: NDArray[Any]) -> Floats:
    """F1 of the positive class of (4, ..., D) counts (tp, fp, fn, tn); 0 where there is no positive at all."""
    tp, fp, fn, _ = counts
    return _ratio(2 * tp, 2 * tp + fp + fn)


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Floats:
    result = np.zeros(np.shape(denominator))
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


@dataclass(frozen=True)
class Tally:
    """All that the scores need to know of some frames. Tallies add up."""

    moments: Moments = field(default_factory=lambda: Moments.of(np.empty((0, 2)), np.empty((0, 2))))
    confusion: NDArray[np.int64] = field(default_factory=lambda: np.zeros((8, 8), np.int64))
    """(8, 8): rows are labels, columns predictions."""
    units: NDArray[np.int64] = field(default_factory=lambda: np.zeros((4, 12), np.int64))
    """(4, 12): true and false positives, false and true negatives."""

    @classmethod
    def of(
        cls,
        *,
        valence_arousal: tuple[NDArray[Any], NDArray[Any]] | None = None,
        expression: tuple[NDArray[Any], NDArray[Any]] | None = None,
        action_units: tuple[NDArray[Any], NDArray[Any]] | None = None,
    ) -> "Tally":
        """Count pairs of (prediction, label); frames whose label is missing are left out.

        Args:
            valence_arousal: two (N, 2) arrays.
            expression: two (N,) arrays of ids 0 to 7.
            action_units: two (N, 12) arrays of 0 and 1. A frame counts if all its twelve labels are there.

        Raises:
            InputError: lengths differ, or a valid frame has no prediction in range.
        """
        parts: dict[str, Any] = {}
        if valence_arousal is not None:
            keep = valid_valence_arousal(valence_arousal[1])
            prediction, label = _pair(valence_arousal, keep, "valence_arousal", valid_valence_arousal)
            parts["moments"] = Moments.of(prediction, label)
        if expression is not None:
            keep = valid_expression(expression[1])
            prediction, label = _pair(expression, keep, "expression", valid_expression)
            cells = np.bincount(label.astype(np.int64) * 8 + prediction.astype(np.int64), minlength=64)
            parts["confusion"] = cells.reshape(8, 8).astype(np.int64)
        if action_units is not None:
            keep = np.asarray(valid_action_units(action_units[1]).all(axis=-1))
            prediction, label = _pair(action_units, keep, "action_units", valid_action_units)
            x, y = prediction == 1, label == 1
            parts["units"] = np.stack([(x & y).sum(0), (x & ~y).sum(0), (~x & y).sum(0), (~x & ~y).sum(0)])
        return cls(**parts)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.moments + other.moments, self.confusion + other.confusion, self.units + other.units)

    def scores(self, protocol: Protocol = "abaw") -> Scores:
        """The official scores of the tasks that have frames.

        Returns:
            ``ccc_valence``, ``ccc_arousal``, ``p_va``; ``f1_<class>``, ``accuracy_expr``, ``p_expr``; ``f1_<AU>``,
            ``accuracy_au``, ``p_au``; ``p_mtl``, their sum, if all three are there. For ``lsd``, ``p_lsd`` instead
            of ``p_expr``.
        """
        result: Scores = {}
        if self.moments.count:
            result |= _valence_arousal_scores(self.moments.ccc())
        if self.confusion.sum():
            result |= _named(_expression_scores(self.confusion, protocol))
        if self.units.sum():
            result |= _named(_unit_scores(self.units, protocol))
        if {"p_va", "p_expr", "p_au"} <= set(result):
            result["p_mtl"] = result["p_va"] + result["p_expr"] + result["p_au"]
        return result


class Pool:
    """Tallies by video: pooled scores, scores by video, intervals."""

    def __init__(self, protocol: Protocol = "abaw") -> None:
        self.protocol: Protocol = protocol
        self.tallies: dict[str, Tally] = {}

    def add(self, video: str, tally: Tally) -> None:
        """Add frames of a video; may be called many times for each, in any order."""
        self.tallies[video] = self.tallies.get(video, Tally()) + tally

    def scores(self) -> Scores:
        """The official scores over all frames of all videos together; see :meth:`Tally.scores`."""
        return sum(self.tallies.values(), Tally()).scores(self.protocol)

    def by_video(self) -> dict[str, Scores]:
        """The same scores for each video alone. Their mean is not the official score."""
        return {video: tally.scores(self.protocol) for video, tally in sorted(self.tallies.items())}

    def intervals(self, *, level: float = 0.95, resamples: int = 1000, seed: int = 0) -> dict[str, tuple[float, float]]:
        """Percentile bootstrap intervals: whole videos are drawn with replacement, frames of one are not independent.

        There are none with less than two videos that have labels: one video drawn again and again looks certain.

        Args:
            level: coverage, e.g. 0.95.
            resamples: draws.
            seed: of the draws.
        """
        tallies = [tally for _, tally in sorted(self.tallies.items()) if tally.scores(self.protocol)]
        if len(tallies) < 2:
            return {}
        videos = len(tallies)
        draws = np.random.default_rng(seed).multinomial(videos, [1 / videos] * videos, size=resamples)
        values = _resampled_scores(tallies, draws, self.protocol)
        edges = [(1 - level) / 2, (1 + level) / 2]
        result: dict[str, tuple[float, float]] = {}
        for name in self.scores():
            low, high = np.nanquantile(values[name], edges)
            result[name] = float(low), float(high)
        return result


def batch_averaged_mtl(batches: Iterable[Mapping[str, tuple[NDArray[Any], NDArray[Any]]]]) -> Scores:
    """The score behind the P_MTL of 2.40 of the ABAW3 distillation paper. **Not the official one**, and far above it.

    Every mini-batch of complete rows is scored alone and the scores are averaged; a class absent from labels and
    predictions is left out, an action unit absent from both counts as 1.

    Args:
        batches: keyword arguments of :meth:`Tally.of`, one mapping a mini-batch, all three tasks.
    """
    rows = []
    for batch in batches:
        tally = Tally.of(**batch)
        present = (tally.confusion.sum(0) + tally.confusion.sum(1)) > 0
        units = np.where(tally.units[:3].sum(0) > 0, f1_binary(tally.units), 1.0)
        rows.append((tally.moments.ccc().mean(), f1_by_class(tally.confusion)[present].mean(), units.mean()))
    names = ("p_va", "p_expr", "p_au")
    means = np.mean(rows, axis=0)
    scores = {f"batch_averaged_{name}": float(mean) for name, mean in zip(names, means, strict=True)}
    return scores | {"batch_averaged_p_mtl": float(means.sum())}


def _pair(pair: tuple[NDArray[Any], NDArray[Any]], keep: NDArray[np.bool_], name: str, valid: Any) -> Any:
    prediction, label = (np.asarray(side) for side in pair)
    if prediction.shape != label.shape:
        raise InputError(f"{name}: predictions have shape {prediction.shape}, labels {label.shape}.")
    prediction, label = prediction[keep], label[keep]
    wrong = np.count_nonzero(~valid(prediction))
    if wrong:
        raise InputError(
            f"{name}: a prediction is missing or out of range for {wrong} of "
            f"{counted(len(prediction) or 1, 'labelled frame')}.",
            "Fill frames without a prediction before scoring.",
        )
    return prediction, label


def _valence_arousal_scores(values: Floats) -> Scores:
    names = (f"ccc_{name}" for name in VALENCE_AROUSAL)
    return {**dict(zip(names, map(float, values), strict=True)), "p_va": float(values.mean())}


def _expression_scores(confusion: NDArray[Any], protocol: Protocol) -> dict[str, Floats]:
    """Scores of (..., 8, 8) counts, each (...); frames of a class that the protocol does not have are left out."""
    classes = _CLASSES[protocol]
    confusion = np.where(np.isin(np.arange(8), classes)[:, None], confusion, 0)
    f1 = f1_by_class(confusion)[..., classes]
    accuracy = _ratio(np.diagonal(confusion, axis1=-2, axis2=-1).sum(-1), confusion.sum((-2, -1)))
    total = f1.mean(-1)
    scores = {f"f1_{EXPRESSIONS[k].lower()}": f1[..., i] for i, k in enumerate(classes)}
    scores |= {"f1_expr": total, "accuracy_expr": accuracy}
    name = "p_lsd" if protocol == "lsd" else "p_expr"
    return scores | {name: 0.67 * total + 0.33 * accuracy if protocol == "abaw2" else total}


def _unit_scores(counts: NDArray[Any], protocol: Protocol) -> dict[str, Floats]:
    """Scores of (4, ..., 12) counts, each (...)."""
    f1 = f1_binary(counts)
    accuracy = _ratio((counts[0] + counts[3]).sum(-1), counts.sum((0, -1)))
    total = f1.mean(-1)
    scores = {f"f1_{name.lower()}": f1[..., i] for i, name in enumerate(ACTION_UNITS)}
    scores |= {"f1_au": total, "accuracy_au": accuracy}
    return scores | {"p_au": 0.5 * total + 0.5 * accuracy if protocol == "abaw2" else total}


def _named(scores: dict[str, Floats]) -> Scores:
    return {name: float(value) for name, value in scores.items()}


def _resampled_scores(tallies: list[Tally], draws: NDArray[np.int64], protocol: Protocol) -> dict[str, Floats]:
    """Scores of (R, V) draws of V tallies, each (R,)."""
    values = _expression_scores(np.tensordot(draws, [t.confusion for t in tallies], 1), protocol)
    values |= _unit_scores(np.moveaxis(np.tensordot(draws, [t.units for t in tallies], 1), 1, 0), protocol)
    concordance = _resampled_ccc([t.moments for t in tallies], draws)
    values |= {f"ccc_{name}": concordance[:, i] for i, name in enumerate(VALENCE_AROUSAL)}
    values["p_va"] = concordance.mean(axis=1)
    if "p_expr" in values:
        values["p_mtl"] = values["p_va"] + values["p_expr"] + values["p_au"]
    return values


def _resampled_ccc(moments: list[Moments], draws: NDArray[np.int64]) -> Floats:
    """(R, 2): sums are taken about the pooled mean, where they lose no digits, and so add up by weight."""
    centre = sum(moments[1:], moments[0]).mean
    count = np.array([part.count for part in moments], np.float64)
    offset = np.stack([part.mean for part in moments]) - centre
    first = offset * count[:, None, None]
    products = np.stack([offset[:, 0] ** 2, offset[:, 1] ** 2, offset[:, 0] * offset[:, 1]], axis=1)
    second = np.stack([part.scatter for part in moments]) + products * count[:, None, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = (draws @ count)[:, None]
        x, y = np.moveaxis(np.tensordot(draws, first, 1), 1, 0) / total
        xx, yy, xy = np.moveaxis(np.tensordot(draws, second, 1), 1, 0) / total
        difference = x - y + centre[0] - centre[1]
        result: Floats = 2 * (xy - x * y) / (xx - x * x + yy - y * y + difference**2)
    return result
