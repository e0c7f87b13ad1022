"""Stored features in which faces and sound are missing, to score a run by what it makes of the rest."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from sentio.affect.data.features import FeatureStore, describe_source
from sentio.affect.training.published import AffectData, DataConfig
from sentio.core import runs
from sentio.core.config import from_dict
from sentio.core.experiments import evaluate, make
from sentio.core.report import Figures

PIECE_S = 1.0
"""Seconds of sound that go missing together."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Gaps:
    """What is missing.

    Attributes:
        faces, sound: share of the frames without a face, and of the seconds without sound.
        run: frames without a face that follow each other.
        nearest: a frame without a face gets that of the nearest one that has it.
    """

    faces: float = 0.0
    sound: float = 0.0
    run: int = 1
    nearest: bool = False


def scores_with(
    run: Path, data: Path, work: Path, gaps: Mapping[str, Gaps], seed: int
) -> dict[str, Mapping[str, float]]:
    """The official scores of a run by name of what is missing; what it is, the seed draws, for every run the same."""
    config = from_dict(DataConfig, runs.read(run / runs.RECIPE).data, where="data")
    found: dict[str, Mapping[str, float]] = {}
    for name, missing in gaps.items():
        folder = config.features
        if missing != Gaps():
            place = work / "gaps" / "-".join(map(str, (*astuple(missing), seed)))
            folder = str(make(place, partial(write_gaps, data, config, missing, seed)))
        found[name] = cast(Figures, evaluate(run, data, [f"data.features={folder}"])).scores
    return found


def write_gaps(root: Path, config: DataConfig, gaps: Gaps, seed: int, folder: Path) -> None:
    """The stored features of the validation clips with gaps, as a store in ``folder``."""
    data = AffectData(root, config)
    random = np.random.default_rng((seed, round(100 * gaps.faces), round(100 * gaps.sound), gaps.run))
    media: set[Path] = set()
    for clip in data.scored("validation"):
        if data.faces is not None and clip.crops is not None:
            lost = drop(clip.frames + 1, gaps.faces, gaps.run, random)
            _write_faces(data.faces, clip.name, clip.crops.folder, lost, gaps.nearest, folder)
        if data.sound is not None and clip.media is not None and clip.media not in media:
            media.add(clip.media)
            _write_sound(data.sound, clip.media, gaps.sound, random, folder)


def drop(count: int, share: float, run: int, random: np.random.Generator) -> Mask:
    """(count,) mask of a share of them, in runs that do not overlap."""
    pieces = -(-count // run)
    chosen = random.permutation(pieces)[: round(share * pieces)]
    return np.isin(np.arange(count) // run, chosen)


def _write_faces(store: FeatureStore, name: str, crops: Path, lost: Mask, nearest: bool, folder: Path) -> None:
    features = store.open(name)
    frames = features.times.astype(np.int64)
    left = np.flatnonzero(~lost[np.minimum(frames, len(lost) - 1)])
    rows, kept = left, left
    if nearest and len(left):
        kept = np.arange(len(frames))
        rows = left[np.abs(frames[left][:, None] - frames).argmin(axis=0)]
    into = FeatureStore(folder, store.encoder)
    source = describe_source(crops)
    into.save(name, features.values[rows], features.times[kept], (), start_s="0.0", rate="0.0", **source)


def _write_sound(store: FeatureStore, media: Path, share: float, random: np.random.Generator, folder: Path) -> None:
    features = store.open(media.stem)
    left = ~drop(len(features.times), share, max(1, round(PIECE_S / store.hop_s)), random)
    into = FeatureStore(folder, store.encoder, store.steps)
    meta = {"start_s": repr(features.start_s), "rate": repr(features.rate), **describe_source(media)}
    into.save(media.stem, features.values[left], features.times[left], features.pictures.tolist(), **meta)
