"""BYEL: a face network learnt from rendered faces (ABAW4), and the classifier of six expressions made from it.

Special: BYOL, whose online prediction also feeds an orthogonal emotion classifier W; before it is held against the
target's projection, the vector of its own emotion is subtracted, so that what the two views must agree on is the rest.
Ids are LSD's official ones throughout. What departs from the release is listed in docs/papers/byel.md.
"""

import copy
from dataclasses import dataclass
from math import inf, nan
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional, init

from sentio.affect.backbones import Encoder
from sentio.affect.backbones.networks import FaceNetwork, face_features, make_network
from sentio.affect.batch import AffectBatch, AffectOutput
from sentio.affect.labels import EXPRESSIONS, EXPRESSIONS_LSD
from sentio.affect.losses import labels
from sentio.affect.method import AffectMethod
from sentio.affect.training.augmentation import SMALLEST, Draws, RandomView
from sentio.core import processes
from sentio.core.counts import counted
from sentio.core.errors import InputError
from sentio.core.registry import register

FIRST = EXPRESSIONS.index(EXPRESSIONS_LSD[0])
"""LSD's id 0 among the eight classes."""


@dataclass(frozen=True)
class ByelConfig:
    """Config of BYEL's pre-training.

    Args:
        encoder: face network.
        draws: one augmentation for every picture, or one for all of a batch, as the release does.
        smallest: share of a picture's area that every view keeps.
        projection: P, length of projections and predictions.
        units: of the hidden layers of projector and predictor.
        decay: of the target, a moving average of the online network.
        classifier: False is BYOL alone; what the model answers is then not learnt.
        subtraction: False leaves the emotion in the predictions.
    """

    encoder: FaceNetwork = "small"
    draws: Draws = "sample"
    smallest: float = SMALLEST
    projection: int = 256
    units: int = 4096
    decay: float = 0.99
    classifier: bool = True
    subtraction: bool = True

    def __post_init__(self) -> None:
        if self.subtraction and not self.classifier:
            raise ValueError("without the classifier there is no emotion to subtract: subtraction must be false, too")


class Branch(nn.Module):
    """Face network and projector: (N, 3, H, W) -> (N, P)."""

    def __init__(self, config: ByelConfig) -> None:
        super().__init__()
        self.encoder = make_network(config.encoder)
        self.projector = _perceptron(self.encoder.info.dim, config.units, config.projection)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.project(self.encoder(pictures[:, None])[:, 0])  # (N, 1, D) -> (N, D) -> (N, P)

    def project(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, P)."""
        return cast(Tensor, self.projector(features))


@register("byel", summary="Face network learnt from labelled synthetic faces (ABAW4): BYOL with emotion vectors.")
class Byel(AffectMethod):
    """Online and target branch, predictor, and the emotion vectors W."""

    Config = ByelConfig

    def __init__(self, config: ByelConfig) -> None:
        super().__init__(config)
        self.online = Branch(config)
        self.view = RandomView(cast(int, self.encoder.info.size), config.draws, config.smallest)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.predictor = _perceptron(config.projection, config.units, config.projection)
        self.emotions = nn.Parameter(init.orthogonal_(torch.empty(config.projection, len(EXPRESSIONS_LSD))))
        self.norm = nn.BatchNorm1d(len(EXPRESSIONS_LSD))

    @property
    def encoder(self) -> Encoder:
        """The face network, which is what the transfer stage starts from."""
        return self.online.encoder

    def example_batch(self) -> AffectBatch:
        return AffectBatch.example()

    def forward(self, batch: AffectBatch) -> AffectOutput:
        """Logits of the six classes, -inf for Neutral and Other, for the newest L frames; NaN without a face."""
        features = face_features(self.encoder, batch, _wanted(batch))  # (B, L, D)
        prediction = self.predictor(self.online.project(features.flatten(0, 1)))  # (B L, P)
        logits = self.classify(prediction).reshape(*features.shape[:2], -1)  # (B, L, 6)
        return _output(logits, features, batch)

    def classify(self, prediction: Tensor) -> Tensor:
        """(N, P) online predictions -> (N, 6) logits."""
        return cast(Tensor, self.norm(prediction @ self.emotions))

    def loss(self, batch: AffectBatch, progress: float) -> dict[str, Tensor]:
        """BYOL on predictions without their emotion, W's distance from orthogonal, cross-entropy of both views."""
        faces, emotion = _labelled(batch)
        views = self.view(faces), self.view(faces)
        predictions = [cast(Tensor, self.predictor(self.online(view))) for view in views]
        with torch.no_grad():
            targets = [cast(Tensor, self.target(view)) for view in views]
        logits = [self.classify(prediction) for prediction in predictions]
        emotion, *vectors = processes.whole(emotion, *predictions, *targets, *logits)
        predictions, targets, logits = vectors[:2], vectors[2:4], vectors[4:]
        rest = predictions
        if self.config.subtraction:
            rest = [subtract(prediction, self.emotions, emotion) for prediction in predictions]
        byol = {"byol": (distance(rest[0], targets[1]) + distance(rest[1], targets[0])).mean()}
        if not self.config.classifier:
            return byol
        return byol | {
            "orthogonality": orthogonality(self.emotions),
            "emotion": sum(
                (functional.cross_entropy(each, emotion) for each in logits),
                start=faces.new_zeros(()),
            ),
        }

    @torch.no_grad()
    def after_step(self) -> None:
        """Let the target follow: parameters only, each batch norm keeps statistics of its own."""
        for target, online in zip(self.target.parameters(), self.online.parameters(), strict=True):
            target.lerp_(online, 1 - self.config.decay)


@dataclass(frozen=True)
class ByelTransferConfig:
    """Config of BYEL's second stage.

    Args:
        encoder: face network, that of the pre-training it starts from.
        draws, smallest: see :class:`ByelConfig`.
        dropout: before the classifier.
    """

    encoder: FaceNetwork = "small"
    draws: Draws = "sample"
    smallest: float = SMALLEST
    dropout: float = 0.3


@register("byel-transfer", summary="Six expressions from one face (ABAW4): BYEL's second stage, all of it fine-tuned.")
class ByelTransfer(AffectMethod):
    """Face network, dropout, one dense layer. Untrained, it is the plain supervision that BYEL is compared with."""

    Config = ByelTransferConfig

    def __init__(self, config: ByelTransferConfig) -> None:
        super().__init__(config)
        self.encoder = make_network(config.encoder)
        self.view = RandomView(cast(int, self.encoder.info.size), config.draws, config.smallest)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.encoder.info.dim, len(EXPRESSIONS_LSD))

    def example_batch(self) -> AffectBatch:
        return AffectBatch.example()

    def forward(self, batch: AffectBatch) -> AffectOutput:
        """Logits of the six classes, -inf for Neutral and Other, for the newest L frames; NaN without a face."""
        features = face_features(self.encoder, batch, _wanted(batch))  # (B, L, D)
        return _output(self.head(self.dropout(features)), features, batch)

    def loss(self, batch: AffectBatch, progress: float) -> dict[str, Tensor]:
        """Cross-entropy on one random view of every face."""
        faces, emotion = _labelled(batch)
        features = self.encoder(self.view(faces)[:, None])[:, 0]  # (N, D)
        logits, emotion = processes.whole(self.head(self.dropout(features)), emotion)
        return {"emotion": functional.cross_entropy(logits, emotion)}


def subtract(prediction: Tensor, emotions: Tensor, emotion: Tensor) -> Tensor:
    """p - |p| W[:, y]: predictions without their emotion; gradients reach p, its norm, and W.

    Args:
        prediction: (N, P).
        emotions: (P, 6), W.
        emotion: (N,) ids 0 to 5, y.

    Returns:
        (N, P).
    """
    length: Tensor = torch.linalg.vector_norm(prediction, dim=1, keepdim=True)
    return prediction - length * emotions.T[emotion]


def distance(prediction: Tensor, target: Tensor) -> Tensor:
    """2 - 2 cos of the angle between rows of (N, P), in [0, 4]: (N,)."""
    similarity: Tensor = functional.cosine_similarity(prediction.float(), target.float())
    return 2 - 2 * similarity


def orthogonality(emotions: Tensor) -> Tensor:
    """Sum of the absolute values of I - W^T W."""
    products = (emotions[:, :, None] * emotions[:, None]).sum(0)  # (6, 6); a matmul would be cast to 16 bits
    return (torch.eye(emotions.shape[1], device=emotions.device) - products).abs().sum()


def _perceptron(inputs: int, units: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, units), nn.BatchNorm1d(units), nn.ReLU(), nn.Linear(units, outputs))


def _wanted(batch: AffectBatch) -> slice:
    """The newest L frames, L being that of the labels, or T if there are none."""
    wanted = batch.face_valid if batch.expression is None else batch.expression
    return slice(-wanted.shape[1], None)


def _output(logits: Tensor, features: Tensor, batch: AffectBatch) -> AffectOutput:
    """(B, L, 6) logits in their places among the eight classes."""
    others = len(EXPRESSIONS) - FIRST - logits.shape[2]
    logits = functional.pad(logits, (FIRST, others), value=-inf)  # (B, L, 8)
    faceless = ~batch.face_valid[:, _wanted(batch), None]
    return AffectOutput(expression=logits.masked_fill(faceless, nan), features=features)


def _labelled(batch: AffectBatch) -> tuple[Tensor, Tensor]:
    """(N, 3, H, W) faces with one of the six classes, and its (N,) id in LSD.

    Raises:
        InputError: there are fewer than two, which batch norm needs, or features instead of faces.
    """
    if batch.face is None:
        raise InputError("BYEL trains on face images, the batch has stored features.", "Leave the feature store out.")
    label, valid = labels(batch, "expression")
    part = _wanted(batch)
    six = (label >= FIRST) & (label < FIRST + len(EXPRESSIONS_LSD))
    rows = valid & six & batch.face_valid[:, part]
    if rows.sum() < 2:
        raise InputError(
            f"The batch has {counted(int(rows.sum()), 'face')} with one of the six expressions, BYEL needs two."
        )
    return batch.face[:, part][rows], label[rows] - FIRST
