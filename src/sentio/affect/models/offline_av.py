"""The embedded model over time that hears, with past and future: `offline`, and what is heard anywhere in the window.

What the voice may add, and how that is learnt, is as of `causal-av`: see _audiovisual.py and docs/face-and-voice.md.
"""

import torch
from torch import Tensor, nn

from sentio.affect.backbones.transformer import sinusoid
from sentio.affect.heard import ANSWERS
from sentio.affect.models._audiovisual import HEARD, Audiovisual, AudiovisualConfig
from sentio.affect.models.masked import positions
from sentio.affect.models.offline import Offline
from sentio.core.method import Graph
from sentio.core.registry import register


@register("offline-av", summary="All affect of a face and its voice over time, with past and future; embedded.")
class OfflineAV(Audiovisual):
    """`offline`, and what is heard anywhere in the window."""

    def __init__(self, config: AudiovisualConfig) -> None:
        super().__init__(config, Offline(config.base))

    def raw(
        self, features: Tensor, visible: Tensor, time_s: Tensor, voice: Tensor, heard: Tensor
    ) -> tuple[Tensor, Tensor]:
        said = self.base.raw(features, visible, time_s, trust=self.config.base.trust)  # (B, T, 22)
        place = sinusoid(positions(time_s), self.config.dim)
        dt = (time_s[:, :, None] - time_s[:, None]).float()  # (B, T, T)
        see, hear, known = (there[:, None].expand_as(dt) for there in (visible, heard, visible | heard))
        added = self.fusion(said, voice, see, hear, place) * heard[..., None]
        return said, self.carry(added, dt, known)

    def graphs(self) -> list[Graph]:
        """Windows of any length; see :class:`TemporalConfig` for how they lie."""
        (below,) = self.base.graphs()
        T, random = self.config.base.length, torch.Generator().manual_seed(1)
        heard = torch.rand(2, T, generator=random) > 0.3
        spoken = torch.randn(2, T, ANSWERS, generator=random) * heard[..., None]
        inputs = {**below.inputs, "voice": spoken, "heard": heard}
        return [
            Graph(
                self.name,
                "Valence, arousal, 8 expressions and 12 action units of every frame of a window, by face and voice.",
                _Windows(self),
                inputs,
                below.outputs,
                dict.fromkeys((*inputs, *below.outputs), ("windows", "frames")),
                f"{below.preprocessing} {HEARD}",
                self.details(causal=False),
            )
        ]


class _Windows(nn.Module):
    """`offline-av` as a tracer needs it."""

    def __init__(self, model: OfflineAV) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, features: Tensor, valid: Tensor, time_s: Tensor, voice: Tensor, heard: Tensor
    ) -> tuple[Tensor, ...]:
        return self.model.decide(*self.model.raw(features * valid[..., None], valid, time_s, voice, heard))
