"""Frozen encoders over face crops and sound, into the feature store; what is there already is not done again."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
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
from sentio.core import devices
from sentio.core.ahead import ahead
from sentio.core.errors import InputError
from sentio.core.precision import FULL
from sentio.core.progress import progress

CROPS, MANY = 64, 256
"""Crops that an encoder gets at once, on the CPU and on any other device. [CHOSEN]"""


def extract(root: Path, store: FeatureStore, precision: Choice | None = None, device: str = "auto") -> list[Problem]:
    """Encode all crops of a data folder, or the sound of all its videos, as the store's encoder wants.

    Args:
        precision: of the encoder, see :class:`InPrecision`; each file tells its own. Where it is not given, 32 bits on
            the CPU, so that every machine gives the same, and ``auto`` elsewhere.
        device: see :func:`sentio.core.devices.choose`.

    Raises:
        InputError: the folder holds no crops, or no videos.
        RecipeError: the encoder says something else in that precision, or the device is not there.
        WeightsError: the store is of an encoder that is not on this machine.
    """
    if isinstance(store.encoder, Absent):
        raise store.encoder.why
    place, tree = devices.choose(device), scan(root)
    wants_sound = store.encoder.info.rate is not None
    sources = tree.media if wants_sound else tree.crops
    if not sources:
        kind = "videos" if wants_sound else "crops"
        raise InputError(f"{root} holds no {kind} for the encoder {store.encoder.info.name}.")
    return fill(store, sources, place, precision)


def fill(
    store: FeatureStore, sources: Mapping[str, Path], place: torch.device, precision: Choice | None = None
) -> list[Problem]:
    """Encode crop folders, or the sound of videos, by name on a device; see :func:`extract`."""
    lead(store, place, precision)
    return (extract_faces if store.encoder.info.rate is None else extract_sound)(store, sources)


def lead(store: FeatureStore, place: torch.device, precision: Choice | None = None) -> None:
    """Have a store's encoder run on a device in a precision; see :func:`extract`."""
    choice = precision or (FULL if place.type == "cpu" else "auto")
    store.encoder = InPrecision(store.encoder, choice).to(place)


def extract_faces(store: FeatureStore, folders: Mapping[str, Path]) -> list[Problem]:
    """Encode the crops of clips that have no current features yet; others are decoded ahead.

    Args:
        folders: crop folders by clip.

    Returns:
        Images that cannot be decoded: their frames have no features.
    """
    problems: list[Problem] = []
    values, frames = _nothing(store.encoder)
    size = CROPS if device_of(store.encoder).type == "cpu" else MANY
    pool = ThreadPoolExecutor(torch.get_num_threads())
    with pool, closing(ahead(_parts(store, folders, size, pool))) as parts, progress("faces") as tell:
        for part in parts:
            tell(part.place + part.share, len(folders), part.clip)
            problems += part.problems
            if len(part.frames):
                values.append(encode_faces(store.encoder, part.crops))
                frames.append(part.frames)
            if part.share == 1:
                told = {"start_s": "0.0", "rate": "0.0", **part.source}
                store.save(part.clip, np.concatenate(values), np.concatenate(frames), (), **told)
                values, frames = _nothing(store.encoder)
    return problems


def extract_sound(store: FeatureStore, videos: Mapping[str, Path]) -> list[Problem]:
    """Encode the sound of videos that have no current features yet; others are decoded ahead.

    Args:
        videos: files by name without suffix.

    Returns:
        Videos that cannot be opened or have no sound; the latter have features of length 0.
    """
    problems: list[Problem] = []
    with closing(ahead(_heard(store, videos), depth=1)) as sounds, progress("sound") as tell:
        for place, heard in sounds:
            tell(place, len(videos))
            if isinstance(heard, Problem):
                problems.append(heard)
                continue
            if not len(heard.samples):
                problems.append(Problem("warning", heard.path, "the video has no sound"))
            values, times = encode_sound(store.encoder, store.steps or SoundSteps(), heard.samples)
            store.save(heard.path.stem, values, times + heard.start_s, heard.pictures, **heard.told)
    return problems


@dataclass(frozen=True)
class _Part:
    """Some crops of a clip, decoded."""

    clip: str
    place: int
    """Clips before it."""
    share: float
    """Of the clip's images, that are done with it; 1 for the last part."""
    source: dict[str, str]
    frames: NDArray[np.float64]
    """(N,)."""
    crops: NDArray[np.uint8]
    """(N, CROP_SIZE, CROP_SIZE, 3) RGB."""
    problems: list[Problem]


def _parts(store: FeatureStore, folders: Mapping[str, Path], size: int, pool: ThreadPoolExecutor) -> Iterator[_Part]:
    for place, name in enumerate(sorted(folders)):
        folder = folders[name]
        if store.is_current(name, folder):
            continue
        source, numbers = describe_source(folder), image_numbers(folder)
        for start in range(0, max(len(numbers), 1), size):
            part = numbers[start : start + size]
            paths = [folder / f"{number:05d}.jpg" for number in part]
            pictures = list(pool.map(lambda path: read_image(path, CROP_SIZE), paths))
            good = [picture for picture in pictures if picture is not None]
            there = np.array([picture is not None for picture in pictures], np.bool_)
            bad = [path for path, picture in zip(paths, pictures, strict=True) if picture is None]
            yield _Part(
                name,
                place,
                min(1.0, (start + size) / max(len(numbers), 1)),
                source,
                (part[there] - 1).astype(np.float64),
                np.stack(good) if good else np.empty((0, CROP_SIZE, CROP_SIZE, 3), np.uint8),
                [Problem("warning", path, "the image cannot be decoded") for path in bad],
            )


@dataclass(frozen=True)
class _Sound:
    """The sound of a video, decoded."""

    path: Path
    samples: NDArray[np.float32]
    start_s: float
    """When it begins."""
    pictures: list[float]
    told: dict[str, str]


def _heard(store: FeatureStore, videos: Mapping[str, Path]) -> Iterator[tuple[int, _Sound | Problem]]:
    for place, name in enumerate(sorted(videos)):
        path = videos[name]
        if store.is_current(name, path):
            continue
        try:
            with open_media(path) as media:
                info = media.info
                samples, start_s = media.waveform()
                pictures = [frame.time_s for frame in media] if info.variable_rate else []
        except InputError as error:
            yield place, Problem("error", path, error.what)
            continue
        told = {"start_s": repr(info.start_s), "rate": repr(info.rate), **describe_source(path)}
        yield place, _Sound(path, samples, start_s, pictures, told)


def length_s(video: Path) -> float:
    """Seconds that a video says it has; 0 where it does not, or cannot be opened."""
    try:
        with open_media(video) as media:
            return media.info.duration_s or 0.0
    except InputError:
        return 0.0


def _nothing(encoder: Encoder) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float64]]]:
    return [np.empty((0, encoder.info.dim), np.float32)], [np.empty(0)]


def encode_faces(encoder: Encoder, crops: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, D) vectors of aligned crops, RGB (CROP_SIZE, CROP_SIZE, 3) each."""
    pictures = torch.from_numpy(np.asarray(crops)).to(device_of(encoder))
    return _run(encoder, pictures.permute(0, 3, 1, 2)[None].float() / 255)


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
    return encoder(x.to(device_of(encoder)))[0].float().cpu().numpy()


def device_of(encoder: Encoder) -> torch.device:
    """Where an encoder's weights are."""
    return next(cast(torch.nn.Module, encoder).parameters()).device
