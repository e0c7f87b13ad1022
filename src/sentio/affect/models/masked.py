"""A transformer over the features of 100 frames, trained with half of the frames masked (ABAW6; arXiv 2403.13731).

Special: what is masked in training is what is missing in use. A frame without a face is a masked frame, so that the
network answers for it from the frames around it. What departs from the release is an option, or listed in
docs/papers/masked.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from sentio.affect.backbones.encoders import open_face_network
from sentio.affect.backbones.lora import Lora, adapted
from sentio.affect.backbones.networks import face_features
from sentio.affect.backbones.transformer import Layer, sinusoid
from sentio.affect.batch import AffectBatch, AffectOutput
from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS, FRAME_RATE, TASKS
from sentio.affect.losses import binary_focal_loss, ccc_loss, class_weights, focal_loss, labels
from sentio.affect.method import AffectMethod
from sentio.affect.training.joined import JoinedData
from sentio.core.errors import InputError
from sentio.core.registry import register

Task = Literal["valence_arousal", "expression", "action_units"]


@dataclass(frozen=True)
class Masking:
    """What is hidden in training.

    Args:
        share: p, the probability that a frame (or an element) is set to zero.
        what: whole frames, or elements of their features, each drawn by itself.
        shared: one draw for all windows of a batch.
        spare_newest: never the newest frame of a window.
    """

    share: float = 0.5
    what: Literal["frames", "elements"] = "frames"
    shared: bool = False
    spare_newest: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(f"masking.share must be in [0, 1), found {self.share}")

    def draw(self, features: Tensor) -> Tensor:
        """Keep (B, T, 1) for frames, (B, T, D) for elements of features (B, T, D): False is masked."""
        B, T, D = features.shape
        shape = (1 if self.shared else B, T, D if self.what == "elements" else 1)
        keep = torch.rand(shape, device=features.device) >= self.share
        if self.spare_newest:
            keep[:, -1] = True
        return keep.expand(B, -1, -1)


@dataclass(frozen=True)
class Focus:
    """The losses: focal ones of expression and action units.

    Args:
        alpha: scale of the focal losses.
        gamma: how much less a label weighs that is predicted well.
        expression_counts, unit_counts: how often each class and each action unit occurs in the training set; one
            weighs 1 - its share. Empty: all weigh the same.
    """

    alpha: float = 0.25
    gamma: float = 2.0
    expression_counts: tuple[float, ...] = ()
    unit_counts: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name, known in (("expression_counts", EXPRESSIONS), ("unit_counts", ACTION_UNITS)):
            counts = getattr(self, name)
            if counts and (len(counts) != len(known) or min(counts) < 0 or not sum(counts)):
                raise ValueError(f"{name}: expected {len(known)} counts, found {counts}")


class FrameTransformer(nn.Module):
    """Frames' features and times -> vectors that know of the other frames.

    Args:
        inputs: length of the features; brought to ``dim`` by a dense layer if it differs.
        attend: ``all``: masked frames are zeros with a position, and seen. ``visible``: they are not seen by others, so
            that nothing depends on how many there are; each still sees itself.
    """

    def __init__(
        self, inputs: int, dim: int, layers: int, heads: int, hidden: int, dropout: float, attend: str
    ) -> None:
        super().__init__()
        self.dim, self.attend = dim, attend
        self.inputs: nn.Module = nn.Identity() if inputs == dim else nn.Linear(inputs, dim)
        self.layers = nn.ModuleList([Layer(dim, heads, hidden, dropout) for _ in range(layers)])

    def forward(self, features: Tensor, visible: Tensor, position: Tensor) -> Tensor:
        """(B, T, D), (B, T) bool, (B, T) in frames of 1/30 s -> (B, T, dim)."""
        x = self.inputs(features) * visible[..., None]  # zero first, then the position
        x = x + sinusoid(position, self.dim)
        allowed = allow(visible) if self.attend == "visible" else None
        for layer in self.layers:
            x = layer(x, allowed)
        return cast(Tensor, x)


def allow(visible: Tensor) -> Tensor:
    """(B, T) -> (B, T, T): each frame sees those that are visible, and itself."""
    row = torch.arange(visible.shape[1], device=visible.device)
    return visible[:, None] | (row == row[:, None])


def positions(time_s: Tensor, newest: bool = False) -> Tensor:
    """(B, T) seconds -> (B, T) float32 in frames of 1/30 s: the first is at 0, or the newest at T - 1."""
    origin, offset = (time_s[:, -1:], time_s.shape[1] - 1) if newest else (time_s[:, :1], 0)
    return ((time_s - origin) * FRAME_RATE).float() + offset


@dataclass(frozen=True)
class MaskedConfig:
    """Config of the published form.

    Args:
        encoder: frozen face network: ``vit``, ``vit:NAME`` or ``vit:FOLDER`` for a ViT snapshot (``clip`` likewise),
            or one of the package's own by name.
        lora: adapters that are learnt in a snapshot's network, from pictures, not from stored features; None: none.
        tasks: one network for each task, or one for several.
        answers: one answer, for the newest of ``length`` frames, or one for every frame.
        length: T, frames of a window; of every window, where one answer is read off all of them.
        dim: of the transformer; None is that of the features.
        attend: see :class:`FrameTransformer`.
        head: units of the dense layer over all frames, for the newest one's answer.
    """

    encoder: str = "aligned"
    lora: Lora | None = None
    tasks: tuple[Task, ...] = ("expression",)
    answers: Literal["newest", "all"] = "newest"
    length: int = 100
    dim: int | None = None
    layers: int = 6
    heads: int = 8
    hidden: int = 2048
    dropout: float = 0.5
    attend: Literal["all", "visible"] = "all"
    head: int = 1024
    masking: Masking = field(default_factory=Masking)
    focus: Focus = field(default_factory=Focus)

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("tasks: name at least one")
        if self.masking.spare_newest and self.answers == "all":
            raise ValueError("masking.spare_newest needs answers: newest; with all there is no single current frame")


@register("masked", summary="Valence, arousal, expression or action units from 100 frames, randomly masked (ABAW6).")
class Masked(AffectMethod):
    """Frozen face network -> masked frames -> transformer -> an answer for the newest frame, or for every frame."""

    Config = MaskedConfig
    Data = JoinedData

    def __init__(self, config: MaskedConfig) -> None:
        super().__init__(config)
        self.encoder = adapted(open_face_network(config.encoder), config.lora)
        inputs = self.encoder.info.dim
        dim = config.dim or inputs
        if dim % (2 * config.heads):
            raise InputError(f"The transformer's dim, {dim}, must be a multiple of twice its {config.heads} heads.")
        self.transformer = FrameTransformer(
            inputs, dim, config.layers, config.heads, config.hidden, config.dropout, config.attend
        )
        self.join: nn.Module = nn.Identity()
        if config.answers == "newest":
            self.join = nn.Sequential(
                nn.Flatten(), nn.Linear(config.length * dim, config.head), nn.BatchNorm1d(config.head)
            )
            dim = config.head
        self.heads = task_heads(dim, config.tasks)

    @property
    def frozen(self) -> tuple[str, ...]:
        return ("encoder",)

    def example_batch(self) -> AffectBatch:
        steps = self.config.length
        return AffectBatch.example(4, steps, L=1 if self.config.answers == "newest" else steps)

    def forward(self, batch: AffectBatch) -> AffectOutput:
        """(B, 1, ...) for the newest frame or (B, T, ...) for all; NaN in windows without any face."""
        found = self.predict(batch, batch.face_valid)
        empty = ~batch.face_valid.any(1)[:, None, None]
        known: dict[str, Any] = {task: value.masked_fill(empty, nan) for task, value in found.items()}
        return AffectOutput(**known)

    def loss(self, batch: AffectBatch, progress: float) -> dict[str, Tensor]:
        """Focal losses and 1 - mean CCC over all labels, of masked and missing frames too."""
        found = self.predict(batch, batch.face_valid, self.config.masking)
        return task_losses(found, batch, self.config.focus)

    def predict(self, batch: AffectBatch, visible: Tensor, masking: Masking | None = None) -> dict[str, Tensor]:
        """(B, L, 2) values and logits by task, from the frames that are visible (B, T) and not masked."""
        newest = self.config.answers == "newest"
        if newest and visible.shape[1] != self.config.length:
            raise InputError(
                f"The model needs windows of {self.config.length} frames, found {visible.shape[1]}.",
                "Set data.windows.length and model.length to the same.",
            )
        features, visible = hide(face_features(self.encoder, batch), visible, masking)
        x = self.transformer(features, visible, positions(batch.time_s, newest))  # (B, T, dim)
        x = self.join(x)[:, None] if newest else x  # (B, L, dim)
        return read_heads(self.heads, x)


def hide(features: Tensor, visible: Tensor, masking: Masking | None) -> tuple[Tensor, Tensor]:
    """Features (B, T, D) and the frames that are visible (B, T) after random masking, if there is any."""
    if masking is None or not masking.share:
        return features, visible
    keep = masking.draw(features)
    return features * keep, visible & keep[..., 0] if masking.what == "frames" else visible


def task_losses(found: dict[str, Tensor], batch: AffectBatch, focus: Focus) -> dict[str, Tensor]:
    """The loss of each task in ``found``: (B, L, 2) values in [-1, 1], (B, L, 8) and (B, L, 12) logits."""
    result = {}
    for task, prediction in found.items():
        label, valid = labels(batch, task)
        if task == "valence_arousal":
            result[task] = ccc_loss(prediction, label, valid)
            continue
        expression = task == "expression"
        counts = focus.expression_counts if expression else focus.unit_counts
        weights = prediction.new_tensor(class_weights(counts)) if counts else None
        loss = focal_loss if expression else binary_focal_loss
        result[task] = loss(prediction, label, valid, weights=weights, alpha=focus.alpha, gamma=focus.gamma)
    return result


def task_heads(dim: int, tasks: Sequence[str]) -> nn.ModuleDict:
    """A dense layer for each task."""
    return nn.ModuleDict({task: nn.Linear(dim, TASKS[task]) for task in tasks})


def read_heads(heads: nn.ModuleDict, x: Tensor) -> dict[str, Tensor]:
    """(B, L, dim) -> valence and arousal in [-1, 1], logits of the others."""
    found = {task: head(x) for task, head in heads.items()}
    return {task: value.tanh() if task == "valence_arousal" else value for task, value in found.items()}
