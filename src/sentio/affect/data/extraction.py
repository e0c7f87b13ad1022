"""Frozen encoders over face crops and sound, into the feature store; what is there already is not done again."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from sentio.affect.backbones import Encoder
from sentio.affect.backbones.precision import Choice, InPrecision
from sentio.affect.data.clips import image_numbers
from sentio.affect.data.features import CROP_SIZE, Absent, FeatureStore, SoundSteps, describe_source
from sentio.affect.data.images import read_image
from sentio.affect.data.problems import Problem
from sentio.affect.data.tree import scan
from sentio.affect.media import open_media
from sentio.core.errors import InputError
from sentio.core.precision import FULL
from sentio.core.progress import track

BATCH = 64
"""Crops that an encoder gets at once."""


def extract(root: Path, store: FeatureStore, precision: Choice = FULL) -> list[Problem]:
    """Encode all crops of a data folder, or the sound of all its videos, as the store's encoder wants.

    Args:
        precision: of the encoder, see :class:`InPrecision`; each file tells its own.

    Raises:
        InputError: the folder holds no crops, or no videos.
        RecipeError: the encoder says something else in that precision.
        WeightsError: the store is of an encoder that is not on this machine.
    """
    if isinstance(store.encoder, Absent):
        raise store.encoder.why
    store.encoder = InPrecision(store.encoder, precision)
    tree = scan(root)
    wants_sound = store.encoder.info.rate is not None
    if not (tree.media if wants_sound else tree.crops):
        kind = "videos" if wants_sound else "crops"
        raise InputError(f"{root} holds no {kind} for the encoder {store.encoder.info.name}.")
    return extract_sound(store, tree.media) if wants_sound else extract_faces(store, tree.crops)


def extract_faces(store: FeatureStore, folders: Mapping[str, Path]) -> list[Problem]:
    """Encode the crops of clips that have no current features yet.

    Args:
        folders: crop folders by clip.

    Returns:
        Images that cannot be decoded: their frames have no features.
    """
    problems: list[Problem] = []
    for name in track(sorted(folders), "faces"):
        if not store.is_current(name, folders[name]):
            problems += _extract_clip(store, name, folders[name])
    return problems


def extract_sound(store: FeatureStore, videos: Mapping[str, Path]) -> list[Problem]:
    """Encode the sound of videos that have no current features yet.

    Args:
        videos: files by name without suffix.

    Returns:
        Videos that cannot be opened or have no sound; the latter have features of length 0.
    """
    problems: list[Problem] = []
    for name in track(sorted(videos), "sound"):
        path = videos[name]
        if store.is_current(name, path):
            continue
        try:
            with open_media(path) as media:
                info = media.info
                samples, start_s = media.waveform()
                pictures = [frame.time_s for frame in media] if info.variable_rate else []
        except InputError as error:
            problems.append(Problem("error", path, error.what))
            continue
        if not len(samples):
            problems.append(Problem("warning", path, "the video has no sound"))
        values, times = encode_sound(store.encoder, store.steps or SoundSteps(), samples)
        meta = {"start_s": repr(info.start_s), "rate": repr(info.rate), **describe_source(path)}
        store.save(name, values, times + start_s, pictures, **meta)
    return problems


def _extract_clip(store: FeatureStore, name: str, folder: Path) -> list[Problem]:
    source = describe_source(folder)
    numbers = image_numbers(folder)
    values, frames, problems = [np.empty((0, store.encoder.info.dim), np.float32)], [np.empty(0)], list[Problem]()
    for start in range(0, len(numbers), BATCH):
        part = numbers[start : start + BATCH]
        pictures = [read_image(folder / f"{number:05d}.jpg", CROP_SIZE) for number in part]
        good = np.array([picture is not None for picture in pictures])
        for number in part[~good]:
            problems.append(Problem("warning", folder / f"{number:05d}.jpg", "the image cannot be decoded"))
        if good.any():
            values.append(encode_faces(store.encoder, [picture for picture in pictures if picture is not None]))
            frames.append(part[good] - 1.0)
    store.save(name, np.concatenate(values), np.concatenate(frames), (), start_s="0.0", rate="0.0", **source)
    return problems


def encode_faces(encoder: Encoder, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """(N, D) vectors of aligned crops, RGB (CROP_SIZE, CROP_SIZE, 3) each."""
    return _run(encoder, torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)[None].float() / 255)


def encode_sound(
    encoder: Encoder, steps: SoundSteps, samples: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """(M, D) vectors and the times they stand for, from the first sample on, of mono sound at the encoder's rate."""
    info = encoder.info
    rate = cast(int, info.rate)
    chunks = _stretches(samples, rate, steps) if info.hop_s is None else _chunks(samples, rate, steps)
    values, times = [np.empty((0, info.dim), np.float32)], [np.empty(0)]
    for begin_s, end_s, offset_s, sound in chunks:
        if info.hop_s is None:
            vectors, stamps = _run(encoder, torch.from_numpy(sound)[None, None]), np.array([end_s])
        else:
            vectors = _run(encoder, torch.from_numpy(sound)[None])
            stamps = offset_s + cast(float, info.offset_s) + info.hop_s * np.arange(len(vectors))
            inside = (stamps >= begin_s) & (stamps < end_s)
            vectors, stamps = vectors[inside], stamps[inside]
        values.append(vectors)
        times.append(stamps)
    return np.concatenate(values), np.concatenate(times)


Chunk = tuple[float, float, float, NDArray[np.float32]]
"""Begin and end of what is kept, begin of what is heard (all in seconds), samples."""


def _chunks(samples: NDArray[np.float32], rate: int, steps: SoundSteps) -> Iterator[Chunk]:
    length, context = round(steps.chunk_s * rate), round(steps.context_s * rate)
    for begin in range(0, len(samples), length):
        first, last = max(begin - context, 0), min(begin + length + context, len(samples))
        if last - first >= rate // 10:  # shorter than any encoder's own frame
            yield begin / rate, (begin + length) / rate, first / rate, samples[first:last]


def _stretches(samples: NDArray[np.float32], rate: int, steps: SoundSteps) -> Iterator[Chunk]:
    length, hop = round(steps.stretch_s * rate), round(steps.hop_s * rate)
    padded = np.concatenate([np.zeros(length, np.float32), samples])
    for end in range(hop, len(samples) + 1, hop):
        yield 0.0, end / rate, 0.0, padded[end : end + length]


@torch.inference_mode()
def _run(encoder: Encoder, x: torch.Tensor) -> NDArray[np.float32]:
    """(1, ...) input -> (M, D) vectors, on the encoder's device."""
    parameter = next(cast(torch.nn.Module, encoder).parameters())
    return encoder(x.to(parameter.device))[0].float().cpu().numpy()
