"""The embedded model over time that knows past and future: the transformer of masked.py over windows of 100 frames.

What it adds to the face model, and how it learns, is as of `causal`: see _temporal.py and docs/papers/masked.md.
"""

import torch
from torch import Tensor, nn

from sentio.affect.labels import FRAME_RATE, TASKS
from sentio.affect.models._temporal import Temporal, TemporalConfig
from sentio.affect.models.masked import FrameTransformer, positions
from sentio.core.method import Graph
from sentio.core.registry import register


@register("offline", summary="All affect of a face over time, with past and future; bridges missing faces; embedded.")
class Offline(Temporal):
    """The masked transformer over windows of 100 frames; an answer for every frame, overlaps averaged."""

    def __init__(self, config: TemporalConfig) -> None:
        super().__init__(config)
        self.transformer = FrameTransformer(
            self.encoder.info.dim, config.dim, config.layers, config.heads, config.hidden, config.dropout, "visible"
        )

    def raw(self, features: Tensor, visible: Tensor, time_s: Tensor, *, trust: float) -> Tensor:
        dt = (time_s[:, :, None] - time_s[:, None]).float()  # (B, T, T)
        seen = visible[:, None].expand_as(dt)
        base: Tensor = self.smoother(self.face_logits(features, visible), dt, seen)
        return base + trust * self.correction(self.transformer(features, visible, positions(time_s)))

    def answered(self, valid: Tensor) -> Tensor:
        return valid.any(1, keepdim=True).expand_as(valid)

    def graphs(self) -> list[Graph]:
        """Windows of any length; see :class:`TemporalConfig` for how they lie."""
        T, random = self.config.length, torch.Generator().manual_seed(0)
        inputs = {
            "features": torch.randn(2, T, self.encoder.info.dim, generator=random),
            "valid": torch.rand(2, T, generator=random) > 0.3,
            "time_s": (torch.arange(T, dtype=torch.float64) / FRAME_RATE).expand(2, T),
        }
        return [
            Graph(
                "offline",
                "Valence, arousal, 8 expressions and 12 action units of every frame of a window, faces missing or not.",
                _Windows(self),
                inputs,
                tuple(TASKS),
                dict.fromkeys((*inputs, *TASKS), ("windows", "frames")),
                "Features of the face model, 30 frames a second; valid is false, features 0, where there is no face.",
                self.details(causal=False),
            )
        ]


class _Windows(nn.Module):
    """`offline` as a tracer needs it."""

    def __init__(self, model: Offline) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor, valid: Tensor, time_s: Tensor) -> tuple[Tensor, ...]:
        found = self.model.raw(features * valid[..., None], valid, time_s, trust=self.model.config.trust)
        return self.model.decide(found)
