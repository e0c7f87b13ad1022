"""Valence-arousal, expression and action units of one frame, learnt from sets that each label one of them (ABAW3).

Special: a discriminator behind a gradient reversal must not find out which set a sample is from, and a student of the
teacher's own size learns from labels where there are some and from the teacher where there are none. What departs from
the release is an option, or listed in docs/papers/multitask.md.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import nan
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional, init

from sentio.affect.backbones import Encoder
from sentio.affect.backbones.networks import FaceNetwork, face_features, make_network
from sentio.affect.batch import AffectBatch, AffectOutput
from sentio.affect.labels import TASKS
from sentio.affect.method import AffectMethod
from sentio.affect.models._label_sets import MTL, Losses, Predictions, Rows, Stream, of_all, streams
from sentio.core import processes
from sentio.core.counts import counted
from sentio.core.errors import InputError
from sentio.core.registry import register

SCORES = ("p_va", "p_expr", "p_au")
"""The validation score of each task."""

Inputs = tuple[Tensor | None, Tensor | None]
"""(N, T, D) face features and (N, Da) mean sound features; None for what is not used."""


@dataclass(frozen=True)
class MultiTaskConfig:
    """Config of the network, teacher and student alike.

    Args:
        encoder: frozen face network; not run on stored features.
        inputs: faces, sound, or both.
        sound_features: length of the stored sound vectors, whose mean over the window is used.
        adversary: the task discriminator.
        complete_rows: train on those rows of the multi-task set only that have all labels, as the release does.
        losses: ``swapped`` gives label and prediction to the cross-entropies in each other's place, as the release
            does in part: the logarithm is then of the label.
        lstm, sound, shared, heads, discriminator: units.
        dropout: in the shared blocks and the discriminator.
    """

    encoder: FaceNetwork = "small"
    inputs: Literal["both", "image", "audio"] = "both"
    sound_features: int = 768
    adversary: bool = True
    complete_rows: bool = False
    losses: Losses = "textbook"
    lstm: int = 512
    sound: int = 1000
    shared: tuple[int, ...] = (1024, 512)
    heads: tuple[int, ...] = (256, 128)
    discriminator: tuple[int, ...] = (64, 32)
    dropout: float = 0.5


class Network(nn.Module):
    """LSTM over the faces, beside it the sound, shared blocks, a head for each task, and the discriminator."""

    def __init__(self, config: MultiTaskConfig, faces: int) -> None:
        super().__init__()
        self.lstm = ReluLstm(faces, config.lstm) if config.inputs != "audio" else None
        self.sound = nn.Linear(config.sound_features, config.sound) if config.inputs != "image" else None
        inputs = (config.lstm if self.lstm else 0) + (config.sound if self.sound else 0)
        self.shared = _blocks(inputs, config.shared, config.dropout)
        width = config.shared[-1]
        self.heads = nn.ModuleDict(
            {task: nn.Sequential(_blocks(width, config.heads), nn.Linear(config.heads[-1], size))
             for task, size in TASKS.items()}
        )  # fmt: skip
        self.discriminator = nn.Sequential(
            _blocks(width, config.discriminator, config.dropout), nn.Linear(config.discriminator[-1], len(TASKS))
        )

    def forward(self, faces: Tensor | None, sound: Tensor | None) -> dict[str, Tensor]:
        image = [] if self.lstm is None else [self.lstm(faces)]  # (N, lstm)
        audio = [] if self.sound is None else [self.sound(sound)]  # (N, sound)
        shared = self.shared(torch.cat(image + audio, 1))  # (N, D)
        found = {task: head(shared) for task, head in self.heads.items()}  # (N, 2), (N, 8), (N, 12)
        return found | {"valence_arousal": found["valence_arousal"].tanh(), "shared": shared}

    def discriminate(self, shared: Tensor) -> Tensor:
        """(N, D) -> (N, 3) logits of the set that each row is from; what is learnt there is unlearnt in ``shared``."""
        return cast(Tensor, self.discriminator(reverse(shared)))


@register(
    "multitask", summary="Valence, arousal, expression, action units from incomplete labels (ABAW3); the teacher."
)
class MultiTask(AffectMethod):
    """A frozen face network under the network of three tasks; learns each row's own labels."""

    Config = MultiTaskConfig

    def __init__(self, config: MultiTaskConfig) -> None:
        super().__init__(config)
        self.encoder = make_network(config.encoder)
        self.network = Network(config, self.encoder.info.dim)

    @property
    def frozen(self) -> tuple[str, ...]:
        return ("encoder",)

    def example_batch(self) -> AffectBatch:
        return _example(self.config)

    def inputs(self, batch: AffectBatch) -> tuple[Inputs, Tensor]:
        """The network's inputs for B windows, and (B,) whether all that it needs is there."""
        faces = sound = None
        usable = torch.ones(len(batch), dtype=torch.bool, device=batch.source.device)
        if self.config.inputs != "image":
            sound, usable = _mean_sound(batch)
        if self.config.inputs != "audio":
            faces, usable = face_features(self.encoder, batch), batch.face_valid.all(1)
        return (faces, sound), usable

    def streams(self, known: Rows, found: Predictions) -> Iterator[Stream]:
        """The rows and their predictions by label set, with the losses of the Config."""
        return streams(known, found, complete_rows=self.config.complete_rows, losses=self.config.losses)

    def forward(self, batch: AffectBatch) -> AffectOutput:
        """Predictions of the newest frame; NaN where a face of the window is missing (without faces: all sound)."""
        inputs, usable = self.inputs(batch)
        return output(self.network(*inputs), usable)

    def loss(self, batch: AffectBatch, progress: float) -> dict[str, Tensor]:
        """Each set's losses on its own labels, and the discriminator's, whose weight grows with progress."""
        inputs, usable = self.inputs(batch)
        found = self.network(*_select(inputs, usable))
        terms: defaultdict[str, Tensor] = defaultdict(lambda: batch.time_s.new_zeros(()))
        for stream in self.streams(Rows.of(batch, usable), of_all(found)):
            for task in stream.tasks:
                terms[task] += stream.label_loss(task)
        return terms | adversary_loss(self.network, found, batch.source[usable], progress, self.config)


@dataclass(frozen=True)
class MultiTaskStudentConfig:
    """Config of the student.

    Args:
        network: that of the teacher it learns from; the student's is the same.
        temperature: both softmaxes over expressions are of logits divided by it.
        alpha: weight of the labels.
        beta: weight of the teacher on tasks that a row has no label of; on the labelled one it is 1.
        patience: a task's weight grows by exp of this for each validation in a row without a new best of its score.
    """

    network: MultiTaskConfig = field(default_factory=MultiTaskConfig)
    temperature: float = 2.5
    alpha: float = 10.0
    beta: float = 0.9
    patience: float = 0.5


@register("multitask-student", summary="The same three from labels and from a teacher where there are none (ABAW3).")
class MultiTaskStudent(AffectMethod):
    """A frozen teacher, and a new network on the same inputs."""

    Config = MultiTaskStudentConfig
    best: Tensor
    stale: Tensor

    def __init__(self, config: MultiTaskStudentConfig) -> None:
        super().__init__(config)
        self.teacher = MultiTask(config.network)
        self.network = Network(config.network, self.encoder.info.dim)
        self.register_buffer("best", torch.full((len(TASKS),), -1.0))
        self.register_buffer("stale", torch.zeros(len(TASKS), dtype=torch.int64))

    @property
    def encoder(self) -> Encoder:
        """The face network, which is the teacher's."""
        return self.teacher.encoder

    @property
    def frozen(self) -> tuple[str, ...]:
        return ("teacher",)

    def example_batch(self) -> AffectBatch:
        return _example(self.config.network)

    def forward(self, batch: AffectBatch) -> AffectOutput:
        """As the teacher's; the logits of the expressions are those at the temperature it was trained with."""
        inputs, usable = self.teacher.inputs(batch)
        return output(self._cooled(self.network(*inputs)), usable)

    def loss(self, batch: AffectBatch, progress: float) -> dict[str, Tensor]:
        """Labels; the teacher on all tasks of the rows that are labelled for one; the discriminator."""
        inputs, usable = self.teacher.inputs(batch)
        inputs = _select(inputs, usable)
        found = self._cooled(self.network(*inputs))
        with torch.no_grad():
            taught = of_all(self._cooled(self.teacher.network(*inputs)))
        weights = dict(zip(TASKS, (self.config.patience * self.stale).exp(), strict=True))
        terms: defaultdict[str, Tensor] = defaultdict(lambda: batch.time_s.new_zeros(()))
        for stream in self.teacher.streams(Rows.of(batch, usable), of_all(found)):
            single = stream.number != MTL
            for task in stream.tasks:
                terms[task] += weights[task] * (self.config.alpha if single else 1.0) * stream.label_loss(task)
            for task in TASKS if single else ():
                share = 1.0 if task in stream.tasks else self.config.beta
                terms[f"{task}_taught"] += weights[task] * share * stream.teacher_loss(task, taught)
        return terms | adversary_loss(self.network, found, batch.source[usable], progress, self.config.network)

    def after_validation(self, metrics: dict[str, float]) -> None:
        """Count the validations in a row that brought no new best, for each task."""
        for task, name in enumerate(SCORES):
            if name in metrics:
                better = metrics[name] > self.best[task]
                self.stale[task] = 0 if better else self.stale[task] + 1
                self.best[task] = max(metrics[name], float(self.best[task]))

    def _cooled(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        return found | {"expression": found["expression"] / self.config.temperature}


class ReluLstm(nn.Module):
    """An LSTM with ReLU for tanh: (N, T, D) -> (N, units), its last output. The initial values are Keras'."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.input = nn.Linear(inputs, 4 * units)
        self.recurrent = nn.Linear(units, 4 * units, bias=False)
        init.xavier_uniform_(self.input.weight)
        init.orthogonal_(self.recurrent.weight)
        init.zeros_(self.input.bias)
        init.ones_(self.input.bias.data[units : 2 * units])  # of the forget gate

    def forward(self, x: Tensor) -> Tensor:
        output = cell = x.new_zeros(len(x), self.units)
        for step in self.input(x).unbind(1):
            enter, forget, value, leave = (step + self.recurrent(output)).chunk(4, 1)  # (N, units) each
            cell = forget.sigmoid() * cell + enter.sigmoid() * value.relu()
            output = leave.sigmoid() * cell.relu()
        return output


def adversary_loss(
    network: Network, found: Predictions, source: Tensor, progress: float, config: MultiTaskConfig
) -> dict[str, Tensor]:
    """Cross-entropy of the discriminator's set, over the rows from a set of one task, times progress (0 to 1)."""
    single = source < len(TASKS)
    if not config.adversary or processes.whole(single)[0].sum() < 2:  # batch norm needs two
        return {}
    logits, which = processes.whole(network.discriminate(found["shared"][single]), source[single])
    return {"adversary": progress * functional.cross_entropy(logits, which)}


def reverse(x: Tensor) -> Tensor:
    """x itself, but its gradient comes back with the other sign (Ganin et al., 2016)."""
    return 2 * x.detach() - x


def output(found: Predictions, usable: Tensor) -> AffectOutput:
    """(N, ...) predictions as (N, 1, ...), NaN in the rows that are not usable."""
    known = {name: value.masked_fill(~usable[:, None], nan)[:, None] for name, value in found.items()}
    return AffectOutput(**{task: known[task] for task in TASKS}, features=known["shared"])  # type: ignore[arg-type]


def _example(config: MultiTaskConfig) -> AffectBatch:
    """Three windows of two faces, and of sound, from each label set."""
    sound = None if config.inputs == "image" else config.sound_features
    return AffectBatch.example(12, 2, sources=range(MTL + 1), sound=sound)


def _mean_sound(batch: AffectBatch) -> tuple[Tensor, Tensor]:
    """(B, Da) mean of the stored sound vectors that are no padding, 0 without any, and (B,) whether there are some."""
    if batch.audio_feature is None or batch.audio_valid is None:
        raise InputError(
            "The batch has no stored sound features.", "Give sound_encoder and sound_s, or set inputs to image."
        )
    valid = batch.audio_valid[..., None]
    total = (batch.audio_feature * valid).sum(1)
    return total / valid.sum(1).clamp(min=1), batch.audio_valid.any(1)


def _select(inputs: Inputs, usable: Tensor) -> Inputs:
    if usable.sum() < 2:
        raise InputError(
            f"The batch has {counted(int(usable.sum()), 'window')} with all faces (or sound), training needs two."
        )
    faces, sound = (None if value is None else value[usable] for value in inputs)
    return faces, sound


def _blocks(inputs: int, widths: tuple[int, ...], dropout: float = 0.0) -> nn.Sequential:
    """Dense, batch norm, swish, dropout; once for each width."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.SiLU(), nn.Dropout(dropout)]
        inputs = width
    return nn.Sequential(*layers)
