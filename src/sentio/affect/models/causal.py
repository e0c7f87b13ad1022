"""The embedded model over time that knows the past alone: a transformer over the last second, frame by frame.

Its state goes in and out. What it adds to the face model, and how it learns, is as of `offline`: see _temporal.py and
docs/papers/masked.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import cast

import torch
from torch import Tensor, nn

from sentio.affect.backbones.transformer import Layer, rotate, split_heads
from sentio.affect.labels import FRAME_RATE, TASKS
from sentio.affect.models._temporal import SIZES, Temporal, TemporalConfig
from sentio.core.errors import InputError
from sentio.core.method import Graph
from sentio.core.registry import register


@dataclass(frozen=True)
class CausalState:
    """What `causal` remembers of a stream: W frames, oldest first; all zero at the start.

    With a first dimension more, of B windows at once.
    """

    keys: Tensor
    """(layers, W, dim)."""
    values: Tensor
    """(layers, W, dim)."""
    logits: Tensor
    """(W, 22) of the face model."""
    valid: Tensor
    """(W,) bool."""
    time_s: Tensor
    """(W,) float64."""

    def tensors(self) -> tuple[Tensor, ...]:
        """In the order of the fields."""
        return tuple(getattr(self, item.name) for item in fields(self))


@register("causal", summary="All affect of a face over time, from the past alone, frame by frame; embedded.")
class Causal(Temporal):
    """A transformer whose frames see those of the last second, in every layer; time enters by rotation."""

    def __init__(self, config: TemporalConfig) -> None:
        super().__init__(config)
        self.inputs = nn.Linear(self.encoder.info.dim, config.dim)
        self.layers = nn.ModuleList(
            [Layer(config.dim, config.heads, config.hidden, config.dropout) for _ in range(config.layers)]
        )

    def raw(self, features: Tensor, visible: Tensor, time_s: Tensor, *, trust: float) -> Tensor:
        return self.advance(self.nothing(len(features), 0), features, visible, time_s.double(), trust)[0]

    def answered(self, valid: Tensor) -> Tensor:
        known: Tensor = valid.cumsum(1) > 0
        return known

    def start(self) -> CausalState:
        """The state before the first frame."""
        return CausalState(*(value[0] for value in self.nothing(1, self.config.reach).tensors()))

    @torch.no_grad()
    def step(
        self, state: CausalState, features: Tensor, valid: Tensor, time_s: Tensor
    ) -> tuple[tuple[Tensor, Tensor, Tensor], CausalState]:
        """Predict for the next N frames of a stream.

        Args:
            state: from :meth:`start` or the last call; it is not changed.
            features: (N, D) of the face model.
            valid: (N,) bool, the frames with a face.
            time_s: (N,) seconds, not falling.

        Returns:
            Valence and arousal (N, 2), probabilities of classes (N, 8) and action units (N, 12), and the next state.

        Raises:
            InputError: time goes backwards.
        """
        if (torch.cat([state.time_s[state.valid][-1:], time_s.double()]).diff() < 0).any():
            raise InputError("The frames of a stream must come in the order of their time stamps.")
        return self.continued(state, features, valid, time_s)

    def continued(
        self, state: CausalState, features: Tensor, valid: Tensor, time_s: Tensor
    ) -> tuple[tuple[Tensor, Tensor, Tensor], CausalState]:
        """:meth:`step` without its checks, as it is exported."""
        past = CausalState(*(value[None] for value in state.tensors()))
        raw, following = self.advance(past, features[None], valid[None], time_s.double()[None], self.config.trust)
        affect, expression, units = self.decide(raw[0])
        return (affect, expression, units), CausalState(*(value[0] for value in following.tensors()))

    def advance(
        self, past: CausalState, features: Tensor, valid: Tensor, time_s: Tensor, trust: float
    ) -> tuple[Tensor, CausalState]:
        """(B, N, 22) for N frames after W known ones, and what is known then."""
        features = features * valid[..., None]
        known = torch.cat([past.valid, valid], 1)  # (B, W + N)
        times = torch.cat([past.time_s, time_s], 1)  # (B, W + N)
        logits = torch.cat([past.logits, self.face_logits(features, valid)], 1)  # (B, W + N, 22)
        age = time_s[:, :, None] - times[:, None]  # (B, N, W + N)
        seen = self.within(known, age)
        itself = _order(known.shape[1], valid.shape[1], known.device) == 0
        place = ((times - time_s[:, :1]) * FRAME_RATE).float()[:, None]  # (B, 1, W + N)
        x = self.inputs(features) * valid[..., None]  # (B, N, dim)
        kept: list[tuple[Tensor, Tensor]] = []
        for number, layer in enumerate(cast(Sequence[Layer], self.layers)):
            queries, keys, values = layer.project(x).chunk(3, -1)
            keys = torch.cat([past.keys[:, number], keys], 1)  # (B, W + N, dim)
            values = torch.cat([past.values[:, number], values], 1)
            kept.append((keys, values))
            queries, keys, values = (split_heads(part, layer.heads) for part in (queries, keys, values))
            turned = rotate(queries, place[..., past.valid.shape[1] :])
            x = layer.finish(x, turned, rotate(keys, place), values, seen | itself)
        raw = self.smoother(logits, age.float(), seen) + trust * self.correction(x)
        keys, values = (torch.stack(side, 1) for side in zip(*kept, strict=True))  # (B, layers, W + N, dim)
        last = self.config.reach
        following = CausalState(
            keys[:, :, -last:], values[:, :, -last:], logits[:, -last:], known[:, -last:], times[:, -last:]
        )
        return raw, following

    def within(self, known: Tensor, age: Tensor) -> Tensor:
        """Which of the known frames a new one sees, (B, N, W + N): no later one, none too old by time or by number.

        Args:
            known: (B, W + N) bool.
            age: (B, N, W + N) seconds by which each is older than the new one.
        """
        order = _order(known.shape[1], age.shape[1], known.device)
        oldest = (self.config.reach + 0.5) / FRAME_RATE
        seen: Tensor = known[:, None] & (order >= 0) & (order <= self.config.reach) & (age <= oldest)
        return seen

    def nothing(self, windows: int, length: int) -> CausalState:
        """The state of some windows, each of so many frames, in which nothing is known."""
        zero = self.inputs.weight.new_zeros
        config = self.config
        keys = zero(windows, config.layers, length, config.dim)
        times = zero(windows, length, dtype=torch.float64)
        return CausalState(keys, keys, zero(windows, length, sum(SIZES)), times > 0, times)

    def graphs(self) -> list[Graph]:
        """Any number of frames of one person, with the state in and out."""
        N, random = 3, torch.Generator().manual_seed(0)
        inputs = {
            "features": torch.randn(N, self.encoder.info.dim, generator=random),
            "valid": torch.tensor([True, False, True]),
            "time_s": torch.arange(N, dtype=torch.float64) / FRAME_RATE,
        }
        state = {item.name: value for item, value in zip(fields(CausalState), self.start().tensors(), strict=True)}
        outputs = (*TASKS, *(f"next_{name}" for name in state))
        return [
            Graph(
                "causal",
                "Valence, arousal, 8 expressions and 12 action units of the next frames, from the past alone.",
                _Stream(self),
                inputs | {f"state_{name}": value for name, value in state.items()},
                outputs,
                dict.fromkeys((*inputs, *TASKS), ("frames",))
                | {f"{side}_{name}": () for name in state for side in ("state", "next")},
                "Features of the face model; valid is false, features 0, without a face. The first state is all zero.",
                self.details(causal=True),
            )
        ]


def _order(known: int, frames: int, device: torch.device) -> Tensor:
    """(N, W + N): by how many frames a known one (column) is before a new one (row); negative: after it."""
    row = torch.arange(known, device=device)
    distance: Tensor = row[known - frames :, None] - row
    return distance


class _Stream(nn.Module):
    """`causal` as a tracer needs it."""

    def __init__(self, model: Causal) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor, valid: Tensor, time_s: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        found, following = self.model.continued(CausalState(*state), features, valid, time_s)
        return *found, *following.tensors()
