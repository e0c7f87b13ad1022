"""The feature store: frozen encoders run once, one file a clip.

A file is filed under a hash of the encoder and of how it was led, and it notes what it was made from: features of two
encoders never mix, and a crop folder that was changed since is noticed. Each file appears whole or not at all, so
that an interrupted extraction is resumed by running it again.

Files are mapped, and stay so for as long as the store is used: a run over thousands of clips holds no file open, and
what it does not read takes no memory.
"""

import hashlib
import json
import os
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor

from sentio.affect.backbones import Encoder, EncoderInfo, fingerprint
from sentio.affect.backbones.precision import InPrecision
from sentio.affect.labels import FRAME_RATE
from sentio.core.config import from_dict
from sentio.core.errors import InputError, SentioError
from sentio.core.precision import FULL
from sentio.core.writers import atomic_path

FORMAT = "sentio.features.1"
CROP_SIZE = 112
"""Aff-Wild2's crops; others are brought to this size."""
CLOCK = "pictures"
"""Sound is filed with the times of the pictures."""


def bytes_of_vector(dim: int) -> int:
    """What a store takes for a vector of so many numbers of 32 bits, and for its time of 64."""
    return 4 * dim + 8


@dataclass(frozen=True)
class SoundSteps:
    """How an encoder is led over a long sound.

    An encoder that gives a sequence gets ``chunk_s`` seconds at a time with ``context_s`` more on both sides, whose
    vectors are dropped. One that gives a vector for a stretch gets the last ``stretch_s`` seconds every ``hop_s``.
    """

    chunk_s: float = 20.0
    context_s: float = 1.0
    stretch_s: float = 4.0
    hop_s: float = 0.5


@dataclass(frozen=True)
class Features:
    """Stored vectors of one clip, read from disk as they are asked for."""

    values: NDArray[np.float32]
    """(M, D)."""
    times: NDArray[np.float64]
    """(M,): of faces the frame (from 0), of sound the second that the vector stands for."""
    start_s: float
    """Sound: time of the video's first picture."""
    rate: float
    """Sound: pictures per second of the video."""
    pictures: NDArray[np.float64]
    """Sound: times of the video's pictures in seconds where their rate varies, else empty."""

    def picture_times(self, entries: NDArray[np.int64]) -> NDArray[np.float64]:
        """Times in seconds of pictures by number (from 0), of sound; beyond the video's ends by its rate."""
        rate = self.rate or FRAME_RATE
        if not len(self.pictures):
            return self.start_s + entries / rate
        inside = np.clip(entries, 0, len(self.pictures) - 1)
        return self.pictures[inside] + (entries - inside) / rate

    def newest(self, at_s: NDArray[np.float64], hop_s: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Rows of the newest vectors that are not later than (N,) seconds, of sound, and whether they are of then.

        Args:
            hop_s: seconds from one vector to the next; one that is older than one and a half of them is of earlier.
        """
        rows = np.searchsorted(self.times, at_s + 1e-6, side="right") - 1
        if not len(self.times):
            return rows, np.zeros(len(at_s), np.bool_)
        return rows, (rows >= 0) & (at_s - self.times[np.maximum(rows, 0)] < 1.5 * hop_s)

    def before(
        self, end_s: float, seconds: float, hop_s: float
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
        """Vectors (S, D) of sound, one each hop of so many seconds, which are there (S,), and their times (S,)."""
        times_s = np.asarray(end_s - hop_s * np.arange(max(round(seconds / hop_s), 1))[::-1], np.float64)
        rows, there = self.newest(times_s, hop_s)
        values = np.zeros((len(times_s), self.values.shape[1]), np.float32)
        values[there], times_s[there] = self.values[rows[there]], self.times[rows[there]]
        return values, there, times_s


def silent(dim: int) -> Features:
    """Those of no sound."""
    nothing = np.empty(0)
    return Features(np.empty((0, dim), np.float32), nothing, 0.0, 0.0, nothing)


@dataclass(frozen=True)
class Absent:
    """An encoder that is not on this machine, in the place of which its stored features stand."""

    info: EncoderInfo
    fingerprint: str
    why: SentioError

    def __call__(self, x: Tensor) -> Tensor:
        raise self.why


class FeatureStore:
    """The features of one encoder below ``folder``.

    Args:
        folder: holds a folder for each encoder.
        encoder: what makes the features.
        steps: for sound.
    """

    def __init__(self, folder: Path, encoder: Encoder, steps: SoundSteps | None = None) -> None:
        self.encoder = encoder
        self.steps = steps
        self.fingerprint = encoder.fingerprint if isinstance(encoder, Absent) else fingerprint(encoder)
        led = json.dumps(asdict(steps) | {"clock": CLOCK} if steps else {"crop": CROP_SIZE}, sort_keys=True)
        self.key = hashlib.sha256(f"{self.fingerprint} {led}".encode()).hexdigest()
        self.folder = folder / f"{encoder.info.name}-{self.key[:16]}"
        self._opened: dict[str, tuple[dict[str, str], Features]] = {}

    @property
    def hop_s(self) -> float:
        """Sound: seconds from one vector to the next."""
        return self.encoder.info.hop_s or (self.steps or SoundSteps()).hop_s

    def path(self, name: str) -> Path:
        """The file of a clip (faces) or video (sound)."""
        return self.folder / f"{name}.safetensors"

    def is_current(self, name: str, source: Path) -> bool:
        """The features are there and made from what ``source`` holds now; looks at every file of it."""
        try:
            self.open(name)
        except InputError:
            return False
        return self._opened[name][0].get("source") == describe_source(source)["source"]

    def open(self, name: str, source: Path | None = None) -> Features:
        """The features of a clip or video.

        Args:
            source: the crop folder or the video, to see that it was not changed. Of a folder with the time stamp that
                it had at the extraction that is believed; else every file is looked at.

        Raises:
            InputError: they are missing, damaged, of another encoder, or older than a change of ``source``.
        """
        again = "Run `sentio features` (again) with this encoder."
        if name not in self._opened:
            path = self.path(name)
            if not path.is_file():
                raise InputError(f"There are no {self.encoder.info.name} features of {name} in {self.folder}.", again)
            found = _read(path)
            if found[0].get("key") != self.key:
                raise InputError(f"{path} is of another encoder.", again)
            self._opened[name] = found
        meta, features = self._opened[name]
        if source is not None and not _is_unchanged(source, meta):
            raise InputError(f"{source} was changed since its features were extracted.", again)
        return features

    def __getstate__(self) -> dict[str, Any]:
        """For a process that loads windows: it maps the files anew."""
        return self.__dict__ | {"_opened": {}}

    def save(
        self,
        name: str,
        values: NDArray[np.float32],
        times: NDArray[np.float64],
        pictures: Sequence[float] = (),
        **meta: str,
    ) -> None:
        """Write the features of a clip, see :class:`Features`; ``meta`` needs what :func:`describe_source` gives."""
        tensors: dict[str, NDArray[Any]] = {
            "values": np.ascontiguousarray(values, np.float32),
            "times": np.asarray(times, np.float64),
        }
        if len(pictures):
            tensors["pictures"] = np.asarray(pictures, np.float64)
        made_by = {"encoder": json.dumps(asdict(self.encoder.info)), "fingerprint": self.fingerprint}
        precision = self.encoder.precision if isinstance(self.encoder, InPrecision) else None
        header = {"format": FORMAT, "key": self.key, "precision": precision or FULL, **made_by, **meta}
        with atomic_path(self.path(name)) as temporary:
            save_file(tensors, temporary, header)
        self._opened.pop(name, None)


def find_store(folder: Path, names: Sequence[str], steps: SoundSteps, why: SentioError) -> FeatureStore:
    """The store in ``folder`` of an encoder that is not on this machine.

    Args:
        names: what its weights may be called: their published name, or that of their folder.
        steps: how it was led, if it takes sound.
        why: the encoder cannot be had; raised if there are no features of it, or of several.
    """
    found: dict[str, FeatureStore] = {}
    for place in folder.glob("*"):
        file = next(place.glob("*.safetensors"), None)
        meta = _read(file)[0] if file else {}
        if "fingerprint" not in meta:
            continue
        info = from_dict(EncoderInfo, json.loads(meta["encoder"]), where=str(file))
        if info.provenance in names:
            store = FeatureStore(folder, Absent(info, meta["fingerprint"], why), steps if info.rate else None)
            if store.key == meta["key"]:
                found[store.key] = store
    if len(found) != 1:
        raise why
    return found.popitem()[1]


def describe_source(path: Path) -> dict[str, str]:
    """``source``: a hash of names and sizes of the files in a crop folder, or of a video; ``changed_ns``: its stamp."""
    changed_ns = path.stat().st_mtime_ns  # before the look, so that a change during it is noticed
    if path.is_dir():
        with os.scandir(path) as entries:
            files = sorted((entry.name, entry.stat().st_size) for entry in entries)
    else:
        files = [(path.name, path.stat().st_size)]
    return {"source": hashlib.sha256(repr(files).encode()).hexdigest(), "changed_ns": str(changed_ns)}


def _is_unchanged(path: Path, meta: dict[str, str]) -> bool:
    if path.is_dir() and meta.get("changed_ns") == str(path.stat().st_mtime_ns):
        return True
    return meta.get("source") == describe_source(path)["source"]


def _read(path: Path) -> tuple[dict[str, str], Features]:
    """Header and mapped tensors of a store's file.

    Raises:
        InputError: it is no such file, or cut off.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, 1 << 20)))
        meta = header["__metadata__"]
        if meta["format"] != FORMAT:
            raise ValueError(f"format {meta['format']}")
        header.setdefault("pictures", _NONE)
        # torch's mapping keeps no file open, unlike NumPy's: a run may have more clips than a process may have files
        content = torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8).numpy()
        content.setflags(write=False)
        values, times, pictures = (_part(content[8 + length :], header[name], kind) for name, kind in _KINDS.items())
        start_s, rate = float(meta["start_s"]), float(meta["rate"])
        return meta, Features(values, np.array(times), start_s, rate, np.array(pictures))
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise InputError(f"{path} is no feature file, or damaged: {error}.", "Delete it and extract again.") from error


_KINDS = {"values": ("F32", np.float32), "times": ("F64", np.float64), "pictures": ("F64", np.float64)}
_NONE = {"dtype": "F64", "shape": [0], "data_offsets": [0, 0]}


def _part(data: NDArray[np.uint8], entry: dict[str, Any], kind: tuple[str, type]) -> NDArray[Any]:
    if entry["dtype"] != kind[0]:
        raise ValueError(f"dtype {entry['dtype']}")
    begin, end = entry["data_offsets"]
    return data[begin:end].view(kind[1]).reshape(entry["shape"])
