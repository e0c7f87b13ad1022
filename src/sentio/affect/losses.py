"""Losses on affect labels that may be missing: what has no label is left out before anything is computed.

Where a run has several processes, each loss is that of the batches of all of them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sentio.affect.batch import AffectBatch
from sentio.core import processes
from sentio.core.errors import InputError

EPSILON = 1e-8
"""Keeps the concordance of two constants defined (as zero)."""


def ccc(prediction: Tensor, label: Tensor) -> Tensor:
    """Concordance correlation coefficient over the first axis, with population moments.

    Args:
        prediction, label: (N, D).

    Returns:
        (D,) in [-1, 1].
    """
    prediction, label = prediction.float(), label.float()
    mean_p, mean_l = prediction.mean(0), label.mean(0)
    covariance = ((prediction - mean_p) * (label - mean_l)).mean(0)
    spread = prediction.var(0, correction=0) + label.var(0, correction=0)
    return 2 * covariance / (spread + (mean_p - mean_l) ** 2 + EPSILON)


def ccc_loss(prediction: Tensor, label: Tensor, valid: Tensor) -> Tensor:
    """1 - the mean CCC of valence and arousal over the batch's valid frames; 0, with a gradient of 0, if there is none.

    Args:
        prediction, label: (B, L, 2).
        valid: (B, L) bool.
    """
    prediction, label, valid = processes.whole(prediction, label, valid)
    if not valid.any():
        return prediction[valid].sum()
    return 1 - ccc(prediction[valid], label[valid]).mean()


def class_weights(counts: Sequence[float]) -> list[float]:
    """1 - n_c / N: classes that are met less often weigh more."""
    return [1 - count / sum(counts) for count in counts]


def focal_loss(
    logits: Tensor,
    label: Tensor,
    valid: Tensor,
    *,
    weights: Tensor | None = None,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Tensor:
    """The mean of -alpha w_c (1 - p_c)^gamma log p_c over the valid frames, p_c being the label's softmax probability.

    0, with a gradient of 0, if there is none (Lin et al., Focal loss, 2017; alpha scales the whole loss).

    Args:
        logits: (B, L, C).
        label: (B, L) class ids.
        valid: (B, L) bool.
        weights: (C,), 1 if not given.
    """
    logits, label, valid = processes.whole(logits, label, valid)
    logits, label = logits[valid].float(), label[valid]  # (N, C), (N,)
    if not len(label):
        return logits.sum()
    known = logits.log_softmax(-1).gather(1, label[:, None])[:, 0]  # (N,)
    loss = -alpha * (1 - known.exp()) ** gamma * known
    return (loss if weights is None else loss * weights[label]).mean()


def binary_focal_loss(
    logits: Tensor,
    label: Tensor,
    valid: Tensor,
    *,
    weights: Tensor | None = None,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Tensor:
    """The mean of -alpha w_u (1 - p)^gamma log p over the valid labels, p being the probability given to the label.

    0, with a gradient of 0, if there is none. Each unit is a decision of its own, by a sigmoid.

    Args:
        logits: (B, L, U).
        label: (B, L, U), 0 or 1.
        valid: (B, L, U) bool.
        weights: (U,), 1 if not given.
    """
    logits, label, valid = processes.whole(logits, label, valid)
    if not valid.any():
        return logits[valid].sum()
    known = functional.logsigmoid(torch.where(label[valid] > 0.5, logits[valid], -logits[valid]).float())  # (N,)
    loss = -alpha * (1 - known.exp()) ** gamma * known
    return (loss if weights is None else loss * weights.expand(valid.shape)[valid]).mean()


def labels(batch: AffectBatch, name: str) -> tuple[Tensor, Tensor]:
    """A batch's labels and their mask.

    Raises:
        InputError: the batch has no labels of that name.
    """
    label, valid = getattr(batch, name), getattr(batch, f"{name}_valid")
    if label is None:
        raise InputError(f"The batch has no {name} labels, which this loss needs.", "Train on data with these labels.")
    return label, valid
