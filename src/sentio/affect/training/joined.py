"""Published layouts for a method of several tasks over time: the label sets of a clip are joined."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentio.affect.data.clips import Clip
from sentio.affect.data.features import FeatureStore
from sentio.affect.protocol import thresholds
from sentio.affect.protocol.scoring import predict, tally
from sentio.affect.training.published import AffectData, DataConfig


class JoinedData(AffectData):
    """As :class:`AffectData`, but a clip that several sets label gives its windows once, with the labels of all."""

    def __init__(self, root: Path, config: DataConfig | None = None, *, sound: FeatureStore | None = None) -> None:
        super().__init__(root, config, sound=sound)
        self.clips = join(self.clips)


class CalibratedData(JoinedData):
    """Joined, and each validation chooses the method's thresholds of action units, which its score is then by.

    The score is a little optimistic for it. The method has ``thresholds``, a tensor of 12.
    """

    def validate(self, method: Any) -> dict[str, float]:
        predictions = predict(method, self.validation, workers=self.workers)
        labelled = [
            (found.action_units, clip.action_units[: len(found)])
            for clip, found in zip(self.validation.clips, predictions, strict=True)
            if found.action_units is not None and clip.action_units is not None
        ]
        if labelled:
            probability, label = (np.concatenate(side) for side in zip(*labelled, strict=True))
            known = ~np.isnan(probability).any(1)
            chosen = thresholds.search(probability[known], label[known], split="validation")
            method.thresholds.copy_(method.thresholds.new_tensor(chosen))
        decided = tuple(method.thresholds.tolist())
        return tally(self.validation.clips, predictions, protocol=self.protocol, thresholds=decided).scores()


def join(clips: Sequence[Clip]) -> list[Clip]:
    """One clip for each name and split, with the labels of all sets that have as many frames as the first."""
    joined: dict[tuple[str, str, int], Clip] = {}
    for clip in clips:
        key = (clip.name, clip.split, clip.frames)
        known = joined.get(key)
        joined[key] = clip if known is None else _with(known, clip.labels())
    return list(joined.values())


def _with(clip: Clip, labels: dict[str, NDArray[Any]]) -> Clip:
    """The clip with the labels that it lacks."""
    added: dict[str, Any] = labels | clip.labels()
    return replace(clip, **added)
