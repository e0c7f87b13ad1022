"""A folder in any published layout as training data, with the official score as its validation."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, cast, get_args

from torch.utils.data import Dataset

from sentio.affect.backbones import Encoder, fingerprint
from sentio.affect.backbones.encoders import called, open_encoder
from sentio.affect.backbones.frozen import Frozen
from sentio.affect.batch import AffectBatch
from sentio.affect.data.clips import Clip, Split
from sentio.affect.data.features import CROP_SIZE, FeatureStore, SoundSteps, find_store
from sentio.affect.data.items import WindowDataset, collate
from sentio.affect.data.problems import Problem
from sentio.affect.data.sets import read_sets
from sentio.affect.data.streams import Streams
from sentio.affect.data.tree import scan, video_of
from sentio.affect.data.windows import Windows
from sentio.affect.labels import Source
from sentio.affect.protocol.scores import Protocol
from sentio.affect.protocol.scoring import predict, tally
from sentio.affect.training.stored import encodings, own_store, store_first
from sentio.core import devices
from sentio.core.config import from_dict
from sentio.core.counts import counted
from sentio.core.errors import InputError, RecipeError, WeightsError
from sentio.core.method import Method, TrainingData
from sentio.core.optimization import FitConfig

log = logging.getLogger(__name__)

_SHOWN = 10
"""Unusable files that an error message lists."""


@dataclass(frozen=True)
class DataConfig:
    """The ``data`` section of a recipe.

    Attributes:
        sets: label sets to train and validate on, together.
        windows: how clips are cut.
        validation_hop: frames between the windows of the validation during training; evaluation takes every frame.
        face_size: side of the face images in pixels; not used with stored features.
        face_encoder: stored features of this encoder instead of face images; see ``backbones.open_encoder``.
        sound_encoder: stored sound features of this encoder.
        sound_s: seconds of sound features before the window's newest frame; 0 for none.
        sound_steps: how the sound encoder is led.
        features: folder of the feature store; default: ``features`` in the data folder.
        validation_sets: label sets to validate on; all of ``sets`` if empty.
        choose_on: every n-th training video, with all its people, is not trained on and chooses the weights in the
            place of the validation split, which so judges weights that it did not choose. None: the validation split.
        pictures: encode the face images in every step, also where the face network is frozen and its features could
            be, or are, stored.
        own_rate: time frames by their video's own rate, and not at 30 a second, as the published systems assume.
        strict: refuse the folder if a file in it is unusable, instead of leaving that out.
        stream_batch: train on batches of one label set each, this many windows of the largest set and of the others
            in proportion; the trainer's batch_size is then 1. None mixes the windows of all sets.
    """

    sets: tuple[Source, ...] = ("va",)
    windows: Windows = field(default_factory=Windows)
    validation_hop: int = 1
    face_size: int = CROP_SIZE
    face_encoder: str | None = None
    sound_encoder: str | None = None
    sound_s: float = 0.0
    sound_steps: SoundSteps = field(default_factory=SoundSteps)
    features: str | None = None
    validation_sets: tuple[Source, ...] = ()
    choose_on: int | None = None
    pictures: bool = False
    own_rate: bool = False
    stream_batch: int | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        if "lsd" in self.sets and self.windows.length > 1:
            raise ValueError("the images of lsd do not follow each other: windows.length must be 1")
        if self.choose_on is not None and (self.choose_on < 2 or "lsd" in self.sets):
            raise ValueError("choose_on is 2 or more, and lsd has no videos")


class AffectData(TrainingData):
    """Training and validation clips of a folder.

    Args:
        root: a folder in any published layout.
        config: the recipe's ``data`` section.
        faces: an open store, in place of the one that ``config.face_encoder`` names.
        sound: the same for sound.

    Attributes:
        problems: what is wrong with single lines, clips and files; these are left out, and their number is logged.
        choosing: the clips that choose the weights, where the configuration takes them from the training split.
        sound_suffices: a window without any face is cut, too, if it has sound; for systems that answer by sound alone.

    Raises:
        InputError: no clip of the sets has crops, or with ``config.strict`` a file is unusable.
    """

    Config: ClassVar[type[DataConfig]] = DataConfig
    own: FeatureStore | None = None
    """Features of the method's face network, which stand for pictures of clips that have them."""
    higher_is_better = True
    sound_suffices = False

    def __init__(
        self,
        root: Path,
        config: DataConfig | None = None,
        *,
        faces: FeatureStore | None = None,
        sound: FeatureStore | None = None,
    ) -> None:
        self.root, self.config = root, config or DataConfig()
        self.faces, self.sound = faces, sound
        if faces is None and self.config.face_encoder:
            self.faces = open_store(root, self.config.face_encoder, self.config)
        if sound is None and self.config.sound_encoder:
            self.sound = open_store(root, self.config.sound_encoder, self.config)
        if (self.config.sound_s > 0) != (self.sound is not None):
            raise InputError("sound_s and stored sound features go together.")
        self.tree = scan(root)
        self.clips, self.problems = read_sets(self.tree, self.config.sets)
        self.problems = self.tree.problems + self.problems
        self._tell_problems()
        if not any(clip.crops for clip in self.clips):
            sets = ", ".join(self.config.sets)
            raise InputError(f"{root} has no clip with labels of {sets} and crops.", "Run `sentio data check` on it.")
        self._hold_out()
        self.kinds = list(dict.fromkeys(kind for clip in self.clips for kind in clip.labels()))
        self.protocol: Protocol = "lsd" if self.config.sets == ("lsd",) else "abaw"
        self.monitor = self._monitor()

    def split(self, name: Split) -> list[Clip]:
        """The clips of a split; one without crops gives no window."""
        sets = self.config.validation_sets if name == "validation" else ()
        return [clip for clip in self.clips if clip.split == name and clip.source in (sets or self.config.sets)]

    def scored(self, name: Split) -> list[Clip]:
        """The clips of a split that scores are taken on: of the multi-task set alone, where it is one of several."""
        return [clip for clip in self.split(name) if clip.source == "mtl" or "mtl" not in self.config.sets]

    def train_dataset(self) -> Dataset[Any]:
        """All windows of the training clips that answer for a labelled frame, singly or in batches of one set."""
        windows = self.windows(self.split("train"), self.config.windows)
        return Streams(windows, self.config.stream_batch) if self.config.stream_batch else windows

    @cached_property
    def validation(self) -> WindowDataset:
        """The labelled windows, ``validation_hop`` frames apart, of the clips that choose the weights.

        Raises:
            InputError: ``choose_on`` takes training videos without labels.
        """
        if self.config.choose_on and not self.choosing:
            what = f"No training video that data.choose_on={self.config.choose_on} takes has labels to choose by."
            raise InputError(what, "Choose another data.choose_on, or leave it out.")
        rule = self.config.windows
        hop = rule.hop if rule.answers == "all" else self.config.validation_hop
        return self.windows(self.choosing or self.scored("validation"), replace(rule, hop=hop))

    def windows(self, clips: Sequence[Clip], rule: Windows, *, labelled: bool = True) -> WindowDataset:
        """Windows of any clips with this data's faces and sound; see :class:`WindowDataset`."""
        faces = self.faces
        if self.own and all(self.own.path(clip.name).is_file() for clip in clips if clip.crops):
            faces = self.own
        return WindowDataset(
            clips,
            rule,
            self.kinds,
            faces=faces,
            face_size=self.config.face_size,
            sound=self.sound,
            sound_s=self.config.sound_s,
            labelled=labelled,
            own_rate=self.config.own_rate,
            sound_suffices=self.sound_suffices,
        )

    def collate(self, items: list[Any]) -> AffectBatch:
        """Join windows, or batches of them, into a batch."""
        return collate(list(chain.from_iterable(items)) if self.config.stream_batch else items)

    def validate(self, method: Any) -> dict[str, float]:
        """The official scores, pooled over the labelled frames that the validation windows answer for."""
        predictions = predict(method, self.validation, workers=self.workers)
        return tally(self.validation.clips, predictions, protocol=self.protocol).scores()

    def left_out(self, *splits: Split) -> list[Problem]:
        """The annotations of some splits that are unusable."""
        texts = {path for _, name, path in self.tree.annotations if name in splits}
        texts |= {path for name, path in self.tree.mtl if name in splits}
        return [problem for problem in self.problems if problem.level == "error" and problem.path in texts]

    def _tell_problems(self) -> None:
        """Log them; refuse unusable files if it is so wished."""
        if errors := self.left_out(*get_args(Split)):
            what = f"{counted(len(errors), 'unusable file')} in {self.root}"
            shown = "\n".join(map(str, errors[:_SHOWN]))
            if self.config.strict:
                raise InputError(f"{what}:\n{shown}", "Mend them, take them away, or leave out --strict.")
            log.warning("%s are left out:\n%s", what, shown)
        if rest := [problem for problem in self.problems if problem.level != "error"]:
            log.warning("%d problems in %s, the first: %s", len(rest), self.root, rest[0])

    def _hold_out(self) -> None:
        """Leave out training clips that are validation clips of another set: the organisers split each set anew."""
        held = {clip.name for clip in self.split("validation")}
        kept = [clip for clip in self.clips if clip.split != "train" or clip.name not in held]
        if len(kept) < len(self.clips):
            count = len(self.clips) - len(kept)
            log.warning("%d training clips are left out: another set has them for validation", count)
        videos = sorted({video_of(clip.name) for clip in kept if clip.split == "train"})
        chosen = set(videos[:: self.config.choose_on] if self.config.choose_on else ())
        self.clips = [clip for clip in kept if clip.split != "train" or video_of(clip.name) not in chosen]
        sets = ("mtl",) if "mtl" in self.config.sets else self.config.validation_sets or self.config.sets
        taken = [clip for clip in kept if clip.split == "train" and video_of(clip.name) in chosen]
        self.choosing = [clip for clip in taken if clip.source in sets]

    def _monitor(self) -> str:
        if self.protocol == "lsd":
            return "p_lsd"
        names = {"valence_arousal": "p_va", "expression": "p_expr", "action_units": "p_au"}
        return "p_mtl" if len(self.kinds) > 1 else names[self.kinds[0]]


def open_store(root: Path, spec: str, config: DataConfig, *, fetch: bool = False) -> FeatureStore:
    """The feature store of an encoder for a data folder; to fill it is ``extraction.extract``'s work.

    ``fetch`` allows a download of published weights. Where they are not here, stored features of them suffice.

    Raises:
        WeightsError, RecipeError: the encoder cannot be opened, and there are no features of it.
    """
    folder = store_folder(root, config)
    try:
        encoder = open_encoder(spec, fetch=fetch)
    except WeightsError as error:
        return find_store(folder, called(spec), config.sound_steps, error)
    return FeatureStore(folder, encoder, config.sound_steps if encoder.info.rate else None)


def store_folder(root: Path, config: DataConfig) -> Path:
    """Of the feature stores of a data folder."""
    return Path(config.features) if config.features else root / "features"


def prepare_published(method: Method, root: Path, config: DataConfig, fit: FitConfig) -> None:
    """Store what the frozen encoders of a training say of a folder, so far as they have not yet.

    Those that the data section names are needed. The method's own face network is led over all crops first, if it is
    frozen and the training would lead it over more of them.

    Raises:
        RecipeError: stored features of another face network than the method's, or see :func:`stored.store_first`.
    """
    tree = scan(root)
    stores: list[tuple[FeatureStore, float | None]] = []
    stores += [(open_store(root, spec, config), None) for spec in (config.face_encoder, config.sound_encoder) if spec]
    if config.face_encoder:
        refuse_other_encoder(method, stores[0][0])
    if own := own_store(method, store_folder(root, config), config):
        crops = sum(len(tree.numbers(name)) for name in tree.crops)
        if crops < (often := encodings(config, fit, crops)):
            stores.append((own, often))
    store_first(tree, stores, devices.choose(fit.device))


def open_published(
    method: Method, root: Path, section: dict[str, Any], kind: type[AffectData] = AffectData
) -> AffectData:
    """The data of a method that learns from published layouts and has a face network, its ``encoder``.

    Args:
        root: a folder in any published layout.
        section: see the ``Config`` of ``kind``.
        kind: what is made of them.

    Raises:
        RecipeError: an unknown key, a wrong value, or stored features of another face network than the method's.
        InputError: see :class:`AffectData`.
    """
    data = kind(root, from_dict(kind.Config, section, where="data"))
    data.own = own_store(method, store_folder(root, data.config), data.config)
    if data.faces is not None:
        refuse_other_encoder(method, data.faces)
    return data


def refuse_other_encoder(method: Method, store: FeatureStore) -> None:
    """See that stored features are of the face network that the method has.

    Raises:
        RecipeError: they are of another, or of other weights.
    """
    encoder = method.part("encoder")
    if isinstance(encoder, Frozen) and encoder.adapters():
        raise RecipeError(
            f"The adapters of this {method.name} change what its face network sees: stored features are without them.",
            "Leave out data.face_encoder, so that pictures are encoded in training, or leave out model.lora.",
        )
    if fingerprint(cast(Encoder, encoder)) != store.fingerprint:
        raise RecipeError(
            f"The stored features are of another face network than that of this {method.name}.",
            "Start the model from the weights that data.face_encoder names.",
        )
