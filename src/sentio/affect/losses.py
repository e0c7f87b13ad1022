"""Losses on affect labels that may be missing: what has no label is left out before anything is computed."""

from torch import Tensor

from sentio.affect.batch import AffectBatch
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
    if not valid.any():
        return prediction[valid].sum()
    return 1 - ccc(prediction[valid], label[valid]).mean()


def labels(batch: AffectBatch, name: str) -> tuple[Tensor, Tensor]:
    """A batch's labels and their mask.

    Raises:
        InputError: the batch has no labels of that name.
    """
    label, valid = getattr(batch, name), getattr(batch, f"{name}_valid")
    if label is None:
        raise InputError(f"The batch has no {name} labels, which this loss needs.", "Train on data with these labels.")
    return label, valid
