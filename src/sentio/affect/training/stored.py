"""What frozen encoders say of a folder, stored before a training that stands on it: the quick way, told beforehand."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from sentio.affect.backbones import Encoder
from sentio.affect.backbones.frozen import Frozen
from sentio.affect.data.extraction import encode_faces, encode_sound, fill, length_s
from sentio.affect.data.features import CROP_SIZE, Absent, FeatureStore, SoundSteps, bytes_of_vector
from sentio.affect.data.tree import Tree
from sentio.core import processes
from sentio.core.counts import counted
from sentio.core.errors import InputError, OutputError, RecipeError
from sentio.core.method import Method
from sentio.core.optimization import FitConfig
from sentio.core.progress import duration
from sentio.core.writers import try_folder

TRIED, TRIED_S = 4, 8.0
"""Crops, and seconds of sound, that the time of an encoder is measured by."""


@dataclass(frozen=True)
class Missing:
    """Vectors that a store lacks.

    Attributes:
        sources: crop folders or videos by name.
        what: what the vectors are of, in words.
        vectors: how many.
        seconds: that making them takes.
        often: how many the training would make without a store, where it can do without.
    """

    store: FeatureStore
    sources: dict[str, Path]
    what: str
    vectors: float
    seconds: float
    often: float | None = None

    def tell(self, place: torch.device) -> str:
        """What is to be done, time, and disk; checks that it can be done.

        Raises:
            OutputError: there is no room, or the folder of the store cannot be written.
            RecipeError: this is one of several processes.
        """
        folder, size = self.store.folder.parent, self.vectors * bytes_of_vector(self.store.encoder.info.dim)
        other = "Name another folder: --set data.features=FOLDER."
        world, _ = processes.launched()
        if world > 1:
            raise RecipeError(
                f"{self.what} have no stored features of {self.store.encoder.info.name} in {folder}.",
                "One process makes them: begin without torchrun, or see sentio features.",
            )
        try:
            try_folder(self.store.folder)
        except OutputError as error:
            raise OutputError(f"Features cannot be stored: {error.what}", other) from error
        if size > (free := shutil.disk_usage(self.store.folder).free):
            raise OutputError(
                f"The features take {size / 1e9:,.1f} GB, and {folder} has {free / 1e9:,.1f} free.", other
            )
        said = (
            f"First {self.what} are encoded once, by {self.store.encoder.info.name}, which is frozen: about "
            f"{duration(self.seconds)} on {place}, {size / 1e9:,.2g} GB in {self.store.folder}. "
            "Stopped, it goes on where it was."
        )
        if self.often is None:
            return said
        longer = duration(self.seconds / self.vectors * self.often)
        return f"{said}\nFrom the pictures, data.pictures=true, the training would encode {self.often:,.0f}: {longer}."


def may_store(method: Method, config: Any) -> bool:
    """Whether vectors of a method's own face network may be stored, and stand for pictures.

    They may where nothing changes them: the network is not trained, takes the crops as they are stored, and neither
    another store nor the pictures themselves were asked for.

    Args:
        config: the ``DataConfig``.
    """
    encoder = method.part("encoder")
    if config.pictures or config.face_encoder or config.face_size != CROP_SIZE or "lsd" in config.sets:
        return False
    trained = method.training and any(value.requires_grad for value in encoder.parameters())
    return not trained and not (isinstance(encoder, Frozen) and encoder.adapters())


def own_store(method: Method, folder: Path, config: Any) -> FeatureStore | None:
    """The store in a folder of a method's own face network, if it :func:`may <may_store>` have one."""
    return FeatureStore(folder, cast(Encoder, method.part("encoder"))) if may_store(method, config) else None


def store_first(tree: Tree, stores: list[tuple[FeatureStore, float | None]], place: torch.device) -> None:
    """Fill stores with what a training needs of a folder, having told what all of it takes.

    Args:
        tree: the folder.
        stores: each with :attr:`Missing.often`.

    Raises:
        OutputError, RecipeError: see :meth:`Missing.tell`.
    """
    found: list[Missing] = []
    for store, often in stores:
        if isinstance(store.encoder, Absent):
            continue  # what is there has to do
        cast(Any, store.encoder).to(place)
        found += _sound(store, tree.media) if store.steps else _faces(store, tree, often)
    for missing in found:
        print(missing.tell(place), file=sys.stderr)
    for missing in found:
        for problem in fill(missing.store, missing.sources, place):
            print(problem, file=sys.stderr)


def encodings(config: Any, fit: FitConfig, crops: int) -> float:
    """How often a training from pictures runs its face network, at least.

    Args:
        config: the ``DataConfig``.
        crops: of the folder; each is the newest of a window, once in ``windows.hop``.
    """
    if fit.steps is not None:
        return float(fit.steps * fit.accumulate * (config.stream_batch or fit.batch_size) * config.windows.length)
    return float(fit.epochs * crops * config.windows.length / config.windows.hop)


def _faces(store: FeatureStore, tree: Tree, often: float | None) -> Iterator[Missing]:
    sources = {name: folder for name, folder in tree.crops.items() if not _is_there(store, name, folder)}
    if not (crops := sum(len(tree.numbers(name)) for name in sources)):
        return
    pictures = np.zeros((TRIED, CROP_SIZE, CROP_SIZE, 3), np.uint8)
    seconds = _shorter(lambda: encode_faces(store.encoder, pictures)) / TRIED
    yield Missing(store, sources, counted(crops, "crop"), crops, crops * seconds, often)


def _sound(store: FeatureStore, videos: dict[str, Path]) -> Iterator[Missing]:
    sources = {name: path for name, path in videos.items() if not _is_there(store, name, path)}
    if not sources:
        return
    steps = cast(SoundSteps, store.steps)
    noise = np.random.default_rng(0).normal(0, 0.1, round(TRIED_S * cast(int, store.encoder.info.rate)))
    share = _shorter(lambda: encode_sound(store.encoder, steps, noise.astype(np.float32))) / TRIED_S
    length = sum(map(length_s, sources.values()))
    yield Missing(store, sources, f"{duration(length)} of sound", length / store.hop_s, length * share)


def _is_there(store: FeatureStore, name: str, source: Path) -> bool:
    try:
        store.open(name, source)
    except InputError:
        return False
    return True


def _shorter(work: Callable[[], Any]) -> float:
    """Seconds, the shorter time of two: the first may have to prepare things."""
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
