"""Windows of clips as the items of a data set, and items as batches.

Frames are timed at 30 a second, as the label files and all published systems assume; with sound they are timed by the
video's own pictures, and where it is asked for by its rate.
"""

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from sentio.affect.batch import AffectBatch
from sentio.affect.data.clips import Clip
from sentio.affect.data.features import CROP_SIZE, FeatureStore, silent
from sentio.affect.data.images import read_image
from sentio.affect.data.windows import Windows
from sentio.affect.labels import (
    ACTION_UNITS,
    FILE_INVALID,
    FRAME_RATE,
    SOURCES,
    VALENCE_AROUSAL,
    VALID,
)
from sentio.affect.media import open_media

log = logging.getLogger(__name__)

Item = dict[str, NDArray[Any]]
SHAPES: dict[str, tuple[int, ...]] = {
    "valence_arousal": (len(VALENCE_AROUSAL),),
    "expression": (),
    "action_units": (len(ACTION_UNITS),),
}
"""Kinds of label, and the shape of one frame's."""


class WindowDataset(Dataset[Item]):
    """The windows of some clips; an item depends on nothing but its index.

    Args:
        clips: what to cut; a clip without crops gives no window, unless its sound suffices.
        windows: how.
        kinds: kinds of label that every item has; those a clip lacks are masked.
        faces: stored face features instead of images.
        face_size: side of the images in pixels.
        sound: stored sound features.
        sound_s: seconds of them before the newest frame.
        labelled: leave out windows that answer for no frame with a label.
        own_rate: time frames by the rate of the clip's video, if it is there.
        sound_suffices: a window without any face is cut, too, if it has sound.

    Raises:
        InputError: stored features are missing or out of date.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        windows: Windows,
        kinds: Sequence[str],
        *,
        faces: FeatureStore | None = None,
        face_size: int = CROP_SIZE,
        sound: FeatureStore | None = None,
        sound_s: float = 0.0,
        labelled: bool = True,
        own_rate: bool = False,
        sound_suffices: bool = False,
    ) -> None:
        self.clips, self.rule, self.kinds = list(clips), windows, list(kinds)
        self.faces, self.face_size, self.sound, self.sound_s = faces, face_size, sound, sound_s
        self.rates = [video_rate(clip.media) if own_rate and clip.media else FRAME_RATE for clip in self.clips]
        present = [self._present(clip) for clip in self.clips]
        self.lookups = [windows.lookup(mask) for mask in present]
        if sound is not None:
            for clip in self.clips:
                if clip.media is not None:
                    sound.open(clip.media.stem, clip.media)
        self.anchors = [
            windows.select(mask, clip.labelled() if labelled else None, self._heard(clip) if sound_suffices else None)
            for clip, mask in zip(self.clips, present, strict=True)
        ]
        self.ends = np.cumsum([len(anchors) for anchors in self.anchors], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def locate(self, index: int) -> tuple[int, int]:
        """Number of the clip and anchor frame of a window."""
        clip = int(np.searchsorted(self.ends, index, side="right"))
        return clip, int(self.anchors[clip][index - self.ends[clip]])  # negative: from the end of the clip's anchors

    def describe(self, index: int) -> str:
        """A window in words, for error messages."""
        number, anchor = self.locate(index)
        clip = self.clips[number]
        return f"{clip.name} frame {anchor + 1} ({clip.source} {clip.split})"

    def __getitem__(self, index: int) -> Item:
        number, anchor = self.locate(index)
        clip, anchors = self.clips[number], np.array([anchor])
        entries = self.rule.entries(anchors)
        sources = self.rule.sources(entries, self.lookups[number])[0]
        item = {"source": np.array(SOURCES.index(clip.source))}
        item |= self._faces(clip, sources)
        item |= self._sound(clip, entries[0], self.rates[number])
        for kind in self.kinds:
            item |= _labels(clip, kind, self.rule.targets(anchors)[0])
        return item

    def _present(self, clip: Clip) -> NDArray[np.bool_]:
        """(N,): the frames whose face can be had; sees that stored features are those of the crops."""
        if clip.crops is None or self.faces is None:
            return np.zeros(clip.frames, np.bool_) if clip.crops is None else clip.crops.present
        frames = self.faces.open(clip.name, clip.crops.folder).times.astype(np.int64)
        present = np.zeros(clip.frames, np.bool_)
        present[frames[frames < clip.frames]] = True
        return present

    def _heard(self, clip: Clip) -> NDArray[np.bool_]:
        """(N,): the frames that have sound."""
        if self.sound is None or clip.media is None:
            return np.zeros(clip.frames, np.bool_)
        features = self.sound.open(clip.media.stem)
        return features.newest(features.picture_times(np.arange(clip.frames)), self.sound.hop_s)[1]

    def _faces(self, clip: Clip, sources: NDArray[np.int64]) -> Item:
        """(T, D) features or (T, H, W, 3) bytes, and which of them are faces; the others are zero."""
        valid = sources >= 0
        if self.faces is not None:
            result = np.zeros((len(sources), self.faces.encoder.info.dim), np.float32)
            if valid.any():
                features = self.faces.open(clip.name)
                result[valid] = features.values[np.searchsorted(features.times, sources[valid])]
            return {"face_feature": result, "face_valid": valid}
        faces = np.zeros((len(sources), self.face_size, self.face_size, 3), np.uint8)
        for row in np.flatnonzero(valid):
            assert clip.crops is not None
            path = clip.crops.path(int(sources[row]))
            picture = read_image(path, self.face_size)
            if picture is None:
                log.warning("The image %s cannot be decoded: its frame counts as one without a face.", path)
                valid[row] = False
            else:
                faces[row] = picture
        return {"face": faces, "face_valid": valid}

    def _sound(self, clip: Clip, entries: NDArray[np.int64], frame_rate: float) -> Item:
        """Times of the frames; the stored steps of the ``sound_s`` seconds before the newest, and their times."""
        if self.sound is None:
            return {"time_s": (entries / frame_rate).astype(np.float32)}
        if clip.media is None:
            features, time_s = silent(self.sound.encoder.info.dim), entries / frame_rate
        else:
            features = self.sound.open(clip.media.stem)
            time_s = features.picture_times(entries)
        values, valid, times = features.before(time_s[-1], self.sound_s, self.sound.hop_s)
        item: Item = {"audio_feature": values, "audio_valid": valid, "audio_time_s": times.astype(np.float32)}
        return item | {"time_s": time_s.astype(np.float32)}


@lru_cache(maxsize=4096)
def video_rate(path: Path) -> float:
    """Pictures per second of a video; 30 if it does not tell.

    Raises:
        MediaError: it cannot be read.
    """
    with open_media(path) as media:
        return media.info.rate or FRAME_RATE


def collate(items: list[Item]) -> AffectBatch:
    """Stack items; face bytes become (B, T, 3, H, W) floats in [0, 1]."""
    fields = {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]}
    if "face" in fields:
        fields["face"] = fields["face"].permute(0, 1, 4, 2, 3).float() / 255
    return AffectBatch(**fields)


def _labels(clip: Clip, kind: str, targets: NDArray[np.int64]) -> Item:
    """Labels and mask of L frames; a frame beyond the clip has none."""
    missing, dtype = (FILE_INVALID, np.int64) if kind == "expression" else (np.nan, np.float32)
    values: NDArray[Any] = np.full((len(targets), *SHAPES[kind]), missing, dtype)
    known = clip.labels().get(kind)
    if known is not None:
        inside = (targets >= 0) & (targets < clip.frames)
        values[inside] = known[targets[inside]]
    valid = VALID[kind](values)
    values[~valid] = missing
    return {kind: values, f"{kind}_valid": valid}
