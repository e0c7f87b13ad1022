"""CAPNet: valence and arousal of now, from faces that end a third of a second ago; and FER-Tuned, from the face of now.

Special: the newest face that CAPNet sees is one GAP old, and the frozen face network under it is FER-Tuned's, which
also predicts where CAPNet has no full sequence. What departs from the release is an option, or listed in
docs/papers/capnet.md.
"""

import dataclasses
from dataclasses import dataclass
from math import ceil, nan
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional, init

from sentio.affect.backbones import Encoder
from sentio.affect.backbones.networks import FaceNetwork, face_features, make_network
from sentio.affect.backbones.resnext import dense
from sentio.affect.batch import AffectBatch, AffectOutput
from sentio.affect.labels import FRAME_RATE
from sentio.affect.losses import ccc_loss, labels
from sentio.affect.method import AffectMethod
from sentio.core.errors import InputError
from sentio.core.method import Graph
from sentio.core.registry import register

GAP = 1 / 3
"""Seconds between the faces of a sequence, and from the newest to the frame predicted: 10 frames at 30 per second."""
ROUNDING = 1e-3
"""Seconds by which a container may have rounded a time stamp."""


@dataclass(frozen=True)
class FerTunedConfig:
    """Config of FER-Tuned: its face network."""

    encoder: FaceNetwork = "resnext34"


@register("fer-tuned", summary="Valence and arousal from the current face (ABAW2); the face network of CAPNet.")
class FerTuned(AffectMethod):
    """A face network and one dense layer with tanh, on every frame by itself."""

    Config = FerTunedConfig

    def __init__(self, config: FerTunedConfig) -> None:
        super().__init__(config)
        self.encoder = make_network(config.encoder)
        self.head = dense(self.encoder.info.dim, 2)

    def example_batch(self) -> AffectBatch:
        return AffectBatch.example()

    def forward(self, batch: AffectBatch) -> AffectOutput:
        """(B, L, 2) for the newest L frames, L being that of the labels, or T if there are none; NaN without a face."""
        wanted = batch.face_valid if batch.valence_arousal is None else batch.valence_arousal
        part = slice(-wanted.shape[1], None)
        features = face_features(self.encoder, batch, part)  # (B, L, D)
        prediction = self.predict(features).masked_fill(~batch.face_valid[:, part, None], nan)  # (B, L, 2)
        return AffectOutput(valence_arousal=prediction, features=features)

    def predict(self, features: Tensor) -> Tensor:
        """(..., D) -> (..., 2) in [-1, 1]."""
        logits: Tensor = self.head(features)
        return logits.tanh()

    def loss(self, batch: AffectBatch, progress: float) -> dict[str, Tensor]:
        """1 - mean CCC over the frames that have a face and a label."""
        label, valid = labels(batch, "valence_arousal")
        prediction = self(batch).valence_arousal
        return {"ccc": ccc_loss(prediction, label, valid & batch.face_valid[:, -label.shape[1] :])}


@dataclass(frozen=True)
class CapNetConfig:
    """Config of CAPNet.

    Args:
        encoder: face network, that of the FER-Tuned it starts from.
        seconds: length of the window; three faces for each second.
        train_lstm: False leaves the LSTM as it was drawn and trains the two dense layers only, as the release does.
        fill: what FER-Tuned predicts from where a sequence is not full: the newest face that is at least one GAP old
            (so that nothing ever sees the last third of a second), or the current face, as the release does.
        units: of the LSTM and of the dense layer after it.
        dropout: on the LSTM's input (one mask for all faces of a sequence) and on its output.
    """

    encoder: FaceNetwork = "resnext34"
    seconds: Literal[1, 2, 3] = 3
    train_lstm: bool = True
    fill: Literal["past", "current"] = "past"
    units: int = 256
    dropout: float = 0.2

    @property
    def faces(self) -> int:
        """n, the faces of a sequence."""
        return 3 * self.seconds


@dataclass(frozen=True)
class CapNetState:
    """What CAPNet remembers of a stream: the faces, oldest first, that a prediction may still need."""

    features: Tensor
    """(K, D)."""
    time_s: Tensor
    """(K,) float64, not falling."""


@register("capnet", summary="Valence and arousal of now from faces that end a third of a second ago (ABAW2); causal.")
class CapNet(AffectMethod):
    """Frozen face network -> LSTM -> dense tanh -> dense tanh, over n faces that lie one GAP apart."""

    Config = CapNetConfig

    def __init__(self, config: CapNetConfig) -> None:
        super().__init__(config)
        self.fer = FerTuned(FerTunedConfig(config.encoder))
        self.lstm = _lstm(self.encoder.info.dim, config.units)
        self.dense = dense(config.units, config.units)
        self.head = dense(config.units, 2)

    @property
    def encoder(self) -> Encoder:
        """The face network."""
        return self.fer.encoder

    @property
    def frozen(self) -> tuple[str, ...]:
        """FER-Tuned, and the LSTM where the Config says so."""
        return ("fer",) if self.config.train_lstm else ("fer", "lstm")

    def example_batch(self) -> AffectBatch:
        return AffectBatch.example(3, self.config.faces + 1)

    def forward(self, batch: AffectBatch) -> AffectOutput:
        """(B, 1, 2) for the last of T >= n + 1 entries one GAP apart, from the n before it; NaN where all are empty."""
        n, steps = self.config.faces, batch.face_valid.shape[1]
        if steps <= n:
            raise InputError(f"CAPNet of {self.config.seconds} s needs windows of {n + 1} entries, found {steps}.")
        end = steps if self.config.fill == "current" else steps - 1
        part = slice(steps - 1 - n, end)
        features, valid = face_features(self.encoder, batch, part), batch.face_valid[:, part]  # (B, n, D), (B, n)
        newest = (valid * torch.arange(1, end - part.start + 1, device=valid.device)).argmax(1)
        filling = self.fer.predict(features[torch.arange(len(features)), newest])  # (B, 2)
        filling = filling.masked_fill(~valid.any(1, keepdim=True), nan)
        prediction = torch.where(valid[:, :n].all(1, keepdim=True), self.predict(features[:, :n]), filling)
        return AffectOutput(valence_arousal=prediction[:, None])  # (B, 1, 2)

    def predict(self, sequences: Tensor) -> Tensor:
        """(N, n, D) full sequences -> (N, 2) in [-1, 1]."""
        keep = functional.dropout(torch.ones_like(sequences[:, :1]), self.config.dropout, self.training)
        states: Tensor = self.lstm(sequences * keep)[0]  # (N, n, units)
        last = functional.dropout(states[:, -1], self.config.dropout, self.training)
        logits: Tensor = self.head(self.dense(last).tanh())  # (N, 2)
        return logits.tanh()

    def loss(self, batch: AffectBatch, progress: float) -> dict[str, Tensor]:
        """1 - mean CCC over the windows that have a label and a full sequence."""
        label, valid = labels(batch, "valence_arousal")
        full = batch.face_valid[:, -self.config.faces - 1 : -1].all(1, keepdim=True)
        return {"ccc": ccc_loss(self(batch).valence_arousal, label, valid & full)}

    # --- streaming

    def start(self) -> CapNetState:
        """The state before the first frame."""
        weight = self.head.weight
        empty = weight.new_zeros(0, self.encoder.info.dim)
        return CapNetState(empty, torch.zeros(0, dtype=torch.float64, device=weight.device))

    @torch.no_grad()
    def step(self, state: CapNetState, face: Tensor, valid: Tensor, time_s: Tensor) -> tuple[Tensor, CapNetState]:
        """Predict for the next N frames of a stream, at any frame rate.

        Entry k of a sequence is the newest face at most k GAP old, and less than (k + 1) GAP.

        Args:
            state: from :meth:`start` or the last call; it is not changed.
            face: (N, 3, H, W) in [0, 1], or (N, D) stored features.
            valid: (N,) bool, the frames with a face.
            time_s: (N,) seconds, not falling.

        Returns:
            (N, 2), and the state for the next call. Before the first face, and a GAP longer, the prediction is 0, 0.

        Raises:
            InputError: time goes backwards.
        """
        now = time_s.to(state.time_s)
        if (torch.cat([state.time_s[-1:], now]).diff() < 0).any():
            raise InputError("The frames of a stream must come in the order of their time stamps.")
        seen = face[valid]
        features = self.encoder(seen[None])[0] if seen.ndim == 4 else seen
        known = CapNetState(torch.cat([state.features, features]), torch.cat([state.time_s, now[valid]]))
        rows = self._entries(known.time_s, now)
        prediction = self._fill(known, now)
        full = (rows >= 0).all(1)
        prediction[full] = self.predict(known.features[rows[full]])
        return prediction, self._forget(known, now)

    def _entries(self, known: Tensor, now: Tensor) -> Tensor:
        """(N, n) rows of the known faces, oldest first, -1 where there is none within a GAP."""
        age = GAP * torch.arange(self.config.faces, 0, -1, dtype=now.dtype, device=now.device)
        latest = now[:, None] - age + ROUNDING
        row = torch.searchsorted(known, latest, right=True) - 1
        if not len(known):
            return row
        return torch.where((row >= 0) & (known[row.clamp(min=0)] > latest - GAP), row, -1)

    def _fill(self, known: CapNetState, now: Tensor) -> Tensor:
        """(N, 2) from FER-Tuned on the newest face allowed, however old it is; 0, 0 before the first."""
        latest = now - GAP + ROUNDING if self.config.fill == "past" else now
        row = torch.searchsorted(known.time_s, latest, right=True) - 1
        prediction = self.head.weight.new_zeros(len(now), 2)
        prediction[row >= 0] = self.fer.predict(known.features[row[row >= 0]])
        return prediction

    def _forget(self, known: CapNetState, now: Tensor) -> CapNetState:
        """Drop the faces that no later frame can ask for; the newest of the old ones stays, for the filling."""
        if not len(now):
            return known
        oldest = now[-1] - GAP * (self.config.faces + 1)
        first = int(torch.searchsorted(known.time_s, oldest)) - 1
        return CapNetState(*(value[max(first, 0) :] for value in dataclasses.astuple(known)))

    def graphs(self) -> list[Graph]:
        """One frame of one person, from stored features, with the state in and out."""
        dim, kept = self.encoder.info.dim, ceil(GAP * (self.config.faces + 1) * FRAME_RATE)
        random = torch.Generator().manual_seed(0)
        time_s = torch.arange(1 - kept, 1, dtype=torch.float64) / FRAME_RATE
        inputs = {
            "features": torch.randn(1, dim, generator=random),
            "valid": torch.ones(1, dtype=torch.bool),
            "time_s": time_s[-1:] + 1 / FRAME_RATE,
            "state_features": torch.randn(kept, dim, generator=random),
            "state_valid": torch.rand(kept, generator=random) > 0.1,
            "state_time_s": time_s,
        }
        state = ("next_features", "next_valid", "next_time_s")
        return [
            Graph(
                "capnet",
                "Valence and arousal of now, from the faces that a person had until a third of a second ago.",
                _Step(self),
                inputs,
                ("valence_arousal", *state),
                dict.fromkeys((*inputs, "valence_arousal", *state), ()),
                "Features of the face model, up to 30 frames a second. The first state is all zero.",
                {"causal": True, "features_of": "face", "rate": int(FRAME_RATE), "ahead_s": round(GAP, 4)},
            )
        ]


class _Step(nn.Module):
    """:meth:`CapNet.step` for one frame as a tracer needs it: what is remembered has a fixed size.

    K faces, oldest first, reach as far back as the rule asks at 30 frames a second. NaN where `step` has 0, 0: what
    nothing was seen for.
    """

    latest: Tensor

    def __init__(self, model: CapNet) -> None:
        super().__init__()
        self.model = model
        age = GAP * torch.arange(model.config.faces, 0, -1, dtype=torch.float64)
        self.register_buffer("latest", ROUNDING - age, persistent=False)
        self.fill = ROUNDING - GAP if model.config.fill == "past" else 0.0

    def forward(
        self, features: Tensor, valid: Tensor, time_s: Tensor, old: Tensor, old_valid: Tensor, old_time_s: Tensor
    ) -> tuple[Tensor, ...]:
        known, there = torch.cat([old, features]), torch.cat([old_valid, valid])  # (K + 1, D), (K + 1,)
        times = torch.cat([old_time_s, time_s])  # (K + 1,)
        latest = (time_s + self.latest)[:, None]  # (n, 1)
        number = torch.arange(1, len(known) + 1, device=known.device)
        row = (number * (there & (times <= latest) & (times > latest - GAP))).amax(1)  # (n,), 0: none
        newest = (number * (there & (times <= time_s + self.fill))).amax()
        filling = self.model.fer.predict(known[(newest - 1).clamp(min=0)][None])  # (1, 2)
        filling = torch.where(newest > 0, filling, nan)
        prediction = self.model.predict(known[(row - 1).clamp(min=0)][None])  # (1, n, D) -> (1, 2)
        answer = torch.where((row > 0).all(), prediction, filling)
        return (
            answer,
            torch.where(valid, known[1:], known[:-1]),
            (valid & there[1:]) | (~valid & there[:-1]),  # ONNX Runtime has no `where` of bool
            torch.where(valid, times[1:], times[:-1]),
        )


def _lstm(inputs: int, units: int) -> nn.LSTM:
    """One layer with Keras' initial values: glorot, orthogonal, zero biases but one for the forget gate."""
    layer = nn.LSTM(inputs, units, batch_first=True)
    for name, value in layer.named_parameters():
        fill = {"weight_ih_l0": init.xavier_uniform_, "weight_hh_l0": init.orthogonal_}.get(name, init.zeros_)
        fill(value)
        if name == "bias_ih_l0":
            init.ones_(value.data[units : 2 * units])
    return layer
