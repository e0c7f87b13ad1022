"""The embedded model over time that hears, from the past alone: `causal`, and what was heard in the last second.

What the voice may add, and how that is learnt, is as of `offline-av`: see _audiovisual.py and docs/face-and-voice.md.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from sentio.affect.heard import ANSWERS
from sentio.affect.labels import TASKS
from sentio.affect.models._audiovisual import ADDED, HEARD, SAID, Audiovisual, AudiovisualConfig
from sentio.affect.models.causal import Causal, CausalState
from sentio.core.method import Graph
from sentio.core.registry import register


@dataclass(frozen=True)
class CausalAVState(CausalState):
    """What `causal-av` remembers of a stream: W frames, oldest first; all zero at the start."""

    said: Tensor
    """(W, 22) answers of the model of faces."""
    voice: Tensor
    """(W, V)."""
    heard: Tensor
    """(W,) bool."""
    added: Tensor
    """(W, 8) what the voice of each frame adds."""

    def below(self) -> CausalState:
        """The state of the model of faces."""
        return CausalState(*(getattr(self, item.name) for item in fields(CausalState)))


@register("causal-av", summary="All affect of a face and its voice over time, from the past alone; embedded.")
class CausalAV(Audiovisual):
    """`causal`, and what was heard in the last second."""

    base: Causal

    def __init__(self, config: AudiovisualConfig) -> None:
        super().__init__(config, Causal(config.base))

    def raw(
        self, features: Tensor, visible: Tensor, time_s: Tensor, voice: Tensor, heard: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self._advance(self._state(len(features), 0), features, visible, time_s.double(), voice, heard)[0]

    def start(self) -> CausalAVState:
        """The state before the first frame."""
        return CausalAVState(*(value[0] for value in self._state(1, self.config.base.reach).tensors()))

    def continued(
        self, state: CausalAVState, features: Tensor, valid: Tensor, time_s: Tensor, voice: Tensor, heard: Tensor
    ) -> tuple[tuple[Tensor, Tensor, Tensor], CausalAVState]:
        """Predict for the next N frames of a stream.

        Args:
            state: from :meth:`start` or the last call; it is not changed.
            features: (N, D) of the face model.
            valid: (N,) bool, the frames with a face.
            time_s: (N,) seconds, not falling.
            voice: (N, V) answers of the voice model.
            heard: (N,) bool, the frames that have some.

        Returns:
            Valence and arousal (N, 2), probabilities of classes (N, 8) and action units (N, 12), and the next state.
        """
        past = CausalAVState(*(value[None] for value in state.tensors()))
        new = (part[None] for part in (features, valid, time_s.double(), voice, heard))
        (said, added), following = self._advance(past, *new)
        return self.decide(said[0], added[0]), CausalAVState(*(value[0] for value in following.tensors()))

    def _advance(
        self,
        past: CausalAVState,
        features: Tensor,
        valid: Tensor,
        time_s: Tensor,
        voice: Tensor,
        heard: Tensor,
    ) -> tuple[tuple[Tensor, Tensor], CausalAVState]:
        """:meth:`raw` for N frames after W known ones, and what is known then."""
        new, below = self.base.advance(past.below(), features, valid, time_s, self.config.base.trust)
        said = torch.cat([past.said, new], 1)  # (B, W + N, 22)
        voices, hears = torch.cat([past.voice, voice], 1), torch.cat([past.heard, heard], 1)
        seen, times = torch.cat([past.valid, valid], 1), torch.cat([past.time_s, time_s], 1)  # (B, W + N) each
        age = time_s[:, :, None] - times[:, None]  # (B, N, W + N)
        see, hear, known = (self.base.within(there, age) for there in (seen, hears, seen | hears))
        fresh = self.fusion(said, voices, see, hear) * heard[..., None]  # (B, N, 8)
        added = torch.cat([past.added, fresh], 1)
        last = self.config.base.reach
        kept = (value[:, -last:] for value in (said, voices, hears, added))
        return (new, self.carry(added, age.float(), known)), CausalAVState(*below.tensors(), *kept)

    def _state(self, windows: int, length: int) -> CausalAVState:
        """Nothing known, of some length."""
        below = self.base.nothing(windows, length)
        zero = below.logits.new_zeros
        said, voice, added = (zero(windows, length, size) for size in (SAID, ANSWERS, sum(ADDED)))
        more = [said, voice, voice[..., 0] > 0, added]
        return CausalAVState(*below.tensors(), *more)

    def graphs(self) -> list[Graph]:
        """Any number of frames of one person, with the state in and out."""
        (below,) = self.base.graphs()
        now = {name: value for name, value in below.inputs.items() if not name.startswith("state_")}
        N, random = len(now["valid"]), torch.Generator().manual_seed(1)
        heard = torch.arange(N) > 0
        now |= {"voice": torch.randn(N, ANSWERS, generator=random) * heard[:, None], "heard": heard}
        state = {item.name: value for item, value in zip(fields(CausalAVState), self.start().tensors(), strict=True)}
        return [
            Graph(
                self.name,
                "Valence, arousal, 8 expressions and 12 action units of the next frames, by face and voice so far.",
                _Stream(self),
                now | {f"state_{name}": value for name, value in state.items()},
                (*TASKS, *(f"next_{name}" for name in state)),
                dict.fromkeys((*now, *TASKS), ("frames",))
                | {f"{side}_{name}": () for name in state for side in ("state", "next")},
                f"{below.preprocessing} {HEARD}",
                self.details(causal=True),
            )
        ]


class _Stream(nn.Module):
    """`causal-av` as a tracer needs it."""

    def __init__(self, model: CausalAV) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, features: Tensor, valid: Tensor, time_s: Tensor, voice: Tensor, heard: Tensor, *state: Tensor
    ) -> tuple[Tensor, ...]:
        found, following = self.model.continued(CausalAVState(*state), features, valid, time_s, voice, heard)
        return *found, *following.tensors()
