"""EMO-DB (Burkhardt et al. 2005) for the voice model: three seconds at a time, in rooms and noise, and noise alone.

A folder with the utterances (``03a01Fa.flac`` or ``.wav``, anywhere below) and the listeners' table ``erkennung.txt``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sentio.affect.labels import EXPRESSIONS, SAMPLE_RATE
from sentio.affect.synth import voice
from sentio.affect.synth.noise import noise
from sentio.core import processes
from sentio.core.errors import InputError
from sentio.core.method import Method, TrainingData
from sentio.core.progress import Tell, silent
from sentio.core.report import Figures

EMOTIONS = tuple(name for name in EXPRESSIONS if name in voice.EMOTIONS.values())
"""The seven of EMO-DB in the order of the expressions: no Surprise, and boredom is Other."""
PLACES = {
    "Neutral": (0.0, 0.0),
    "Anger": (-0.51, 0.59),
    "Disgust": (-0.60, 0.35),
    "Fear": (-0.64, 0.60),
    "Happiness": (0.81, 0.51),
    "Sadness": (-0.63, -0.27),
    "Other": (-0.65, -0.62),
}
"""Valence and arousal of each emotion: a choice, for EMO-DB has none.

Mean ratings of the words angry, disgusted, fearful, happy, sad and bored (Russell and Mehrabian 1977); neutral is ours.
"""
WINDOW = 3 * SAMPLE_RATE
CELL = SAMPLE_RATE // 25
"""Samples of a cell, 40 ms: the grid on which speech is marked."""
AUDIBLE = 0.03
"""Loudness, beside the loudest twentieth of an utterance, above which a cell is speech (-30 dB)."""
BACKGROUNDS = 200
"""Noises that are made once and used again, behind speech and alone."""

Sound = NDArray[np.float32]
Item = tuple[Tensor, Tensor, Tensor]
FrontEnd = Callable[[Tensor], Tensor]
"""Sound (N, S) -> energies (N, T, 64)."""


@dataclass(frozen=True)
class Utterance:
    """Something that an actor said.

    Attributes:
        emotion: index into `EMOTIONS`.
        agreement: share of 20 listeners who recognised it.
        sound: (S,) with a root mean square of 0.06.
    """

    name: str
    emotion: int
    agreement: float
    sound: Sound

    @property
    def speaker(self) -> str:
        return self.name[:2]


@dataclass(frozen=True)
class EmoDbConfig:
    """The ``data`` section of a recipe.

    Attributes:
        held_out: speakers (the two digits that names begin with) for validation alone; without any the validation is
            on the speakers of the training, and tells nothing of others.
        silent: windows without speech for each window with speech.
        clean: share of the utterances that stay as they were recorded.
        stretch: largest change of speed and pitch together, up or down, as a natural logarithm.
        rounds: epochs after which the same windows come again (with other masks and tilts): they are kept in memory.
        seed: of all that is drawn.
    """

    held_out: tuple[str, ...] = ()
    silent: float = 0.35
    clean: float = 0.4
    stretch: float = 0.22
    rounds: int = 12
    seed: int = 0


@dataclass(frozen=True)
class SoundBatch:
    """N windows.

    Attributes:
        energies: (N, T, 64) float32 log-mel energies.
        emotion: (N, 7) shares of listeners, zeros without speech.
        speech: (N, 75) 1 where somebody speaks, in cells of 40 ms.
    """

    energies: Tensor
    emotion: Tensor
    speech: Tensor

    def to(self, device: torch.device | str) -> Self:
        """The same batch with all tensors on ``device``."""
        return type(self)(**{name: value.to(device, non_blocking=True) for name, value in vars(self).items()})


def read(folder: Path) -> list[Utterance]:
    """All utterances of a folder.

    Raises:
        InputError: there are none, or the listeners' table is missing or lacks one.
    """
    known = agreement(folder / "erkennung.txt")
    found = []
    for name, paths in voice.utterances(folder).items():
        for path in paths:
            if path.stem not in known:
                raise InputError(f"{folder / 'erkennung.txt'} has no line for {path.stem}.")
            sound = voice.read(path).astype(np.float32)
            found.append(Utterance(path.stem, EMOTIONS.index(name), known[path.stem], sound))
    return sorted(found, key=lambda utterance: utterance.name)


def agreement(table: Path) -> dict[str, float]:
    """Share of the listeners who recognised each utterance: lines of number, name, percentages with decimal commas.

    Raises:
        InputError: it cannot be read.
    """
    try:
        lines = table.read_text(encoding="latin-1").splitlines()[1:]
        rows = [line.replace("\xa0", " ").split("\t") for line in lines if line.strip()]
        return {Path(row[1].strip()).stem: float(row[2].replace(",", ".")) / 100 for row in rows}
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{table} cannot be read: {error}.", "It comes with EMO-DB.") from error


class EmoDb(TrainingData):
    """Training and validation of the voice model on a folder.

    Raises:
        InputError: see :func:`read`, or nobody is left to train or validate on.
    """

    monitor = "uar"
    higher_is_better = True

    def __init__(self, folder: Path, config: EmoDbConfig, front: FrontEnd) -> None:
        utterances = read(folder)
        if unknown := set(config.held_out) - {utterance.speaker for utterance in utterances}:
            raise InputError(f"{folder} has no speaker {min(unknown)}.")
        training = [utterance for utterance in utterances if utterance.speaker not in config.held_out]
        if not training:
            raise InputError(f"All speakers of {folder} are held out.")
        self.train = Windows(training, config, front)
        self.validation = [utterance for utterance in utterances if utterance.speaker in config.held_out] or training

    def train_dataset(self) -> "Windows":
        return self.train

    def set_epoch(self, epoch: int) -> None:
        self.train.set_epoch(epoch)

    def collate(self, items: list[Item]) -> SoundBatch:
        return SoundBatch(*(torch.stack(part).float() for part in zip(*items, strict=True)))

    def validate(self, method: Any) -> dict[str, float]:
        """``uar``: unweighted average recall of the seven emotions, each utterance whole and alone."""
        return {"uar": scores(method, self.validation)["uar"]}


@dataclass(frozen=True)
class VoiceEvaluationConfig:
    """The ``evaluation`` section of a recipe.

    Attributes:
        speakers: who is listened to; those that were held out of the training if empty, or all where none was.
    """

    speakers: tuple[str, ...] = ()


def evaluate(
    method: Method, folder: Path, config: VoiceEvaluationConfig, trained: EmoDbConfig, *, tell: Tell = silent
) -> Figures:
    """Recall of each emotion, each utterance whole and alone, and their unweighted average.

    Args:
        trained: the ``data`` section of the training: who was held out.
        tell: told how many utterances are done.

    Raises:
        InputError: see :func:`read`, or there is no such speaker.
    """
    utterances = read(folder)
    chosen = config.speakers or trained.held_out or tuple(sorted({each.speaker for each in utterances}))
    if unknown := set(chosen) - {each.speaker for each in utterances}:
        raise InputError(f"{folder} has no speaker {min(unknown)}.")
    kept = [each for each in utterances if each.speaker in chosen]
    known = sorted(set(chosen) - set(trained.held_out))
    header = {
        "system": method.name,
        "protocol": "unweighted average recall of seven emotions, whole utterances",
        "speakers": list(chosen),
        "utterances": len(kept),
    }
    said = f"Not held out of the training by its recipe: {', '.join(known)}. Their scores say nothing of other voices."
    return Figures(header, scores(method, kept, tell=tell), notes=(said,) if known else ())


@torch.no_grad()
def scores(method: Any, utterances: Sequence[Utterance], *, tell: Tell = silent) -> dict[str, float]:
    """``uar``, ``accuracy``, and ``recall_<emotion>`` of the emotions that there are."""
    done = count(1)

    def logits_of(utterance: Utterance) -> Tensor:
        sound = torch.from_numpy(padded(utterance.sound))[None].to(method.device)
        logits: Tensor = method.hear(sound).emotion.cpu()
        tell(next(done), len(utterances))
        return logits

    logits = processes.spread(logits_of, utterances)
    found, true = torch.cat(logits).argmax(1).numpy(), np.array([each.emotion for each in utterances])
    each = recalls(found, true)
    named = {f"recall_{name.lower()}": float(value) for name, value in zip(EMOTIONS, each, strict=True)}
    kept = {name: value for name, value in named.items() if not np.isnan(value)}
    return {"uar": float(np.nanmean(each)), "accuracy": float(np.mean(found == true)), **kept}


def recalls(found: NDArray[Any], true: NDArray[Any]) -> NDArray[np.float64]:
    """(7,) recall of each emotion; NaN where there is none."""
    return np.array([np.mean(found[true == k] == k) if (true == k).any() else np.nan for k in range(len(EMOTIONS))])


class Windows(Dataset[Item]):
    """Windows of three seconds: as many with speech as there are utterances, emotions alike often, and some without."""

    def __init__(self, utterances: list[Utterance], config: EmoDbConfig, front: FrontEnd) -> None:
        self.config, self.front, self.round = config, front, 0
        self.sounds = [utterance.sound for utterance in utterances]
        kinds = sorted({utterance.emotion for utterance in utterances})
        self.classes = [[each for each in utterances if each.emotion == kind] for kind in kinds]
        self.spoken = len(utterances)
        rng = np.random.default_rng((config.seed, 1))
        self.backgrounds = [noise(WINDOW, self.sounds, rng).astype(np.float32) for _ in range(BACKGROUNDS)]
        self._made: dict[tuple[int, int], Item] = {}

    def set_epoch(self, epoch: int) -> None:
        self.round = epoch % self.config.rounds

    def __len__(self) -> int:
        return self.spoken + round(self.config.silent * self.spoken)

    def __getitem__(self, index: int) -> Item:
        """Energies (T, 64) in half precision, emotion (7,) and speech (75,)."""
        key = self.round, index
        if key not in self._made:
            sound, *labels = self.draw(np.random.default_rng((self.config.seed, 0, *key)), index)
            with torch.no_grad():
                energies = self.front(torch.from_numpy(sound)[None])[0].half()
            emotion, speech = map(torch.from_numpy, labels)
            self._made[key] = energies, emotion, speech
        return self._made[key]

    def draw(self, rng: np.random.Generator, index: int) -> tuple[Sound, Sound, Sound]:
        """Sound (48000,), emotion (7,) and speech (75,) of an item."""
        if index >= self.spoken:
            return self._silent(rng)
        own = self.classes[index % len(self.classes)]
        return self._spoken(own[int(rng.integers(len(own)))], rng)

    def _spoken(self, utterance: Utterance, rng: np.random.Generator) -> tuple[Sound, Sound, Sound]:
        said = stretch(utterance.sound, float(np.exp(self.config.stretch * rng.uniform(-1, 1))))
        cells = voice.loudness(said.astype(np.float64), SAMPLE_RATE / CELL, len(said) // CELL) > AUDIBLE
        sound, speech = np.zeros(WINDOW, np.float32), np.zeros(WINDOW // CELL, np.float32)
        put(said, cells, sound, speech, rng)
        if rng.random() > self.config.clean:
            if rng.random() < 0.4:
                sound = voice.room(sound.astype(np.float64), rng)
            if rng.random() < 0.5:
                sound += self._background(rng) * 0.06 * 10 ** (-rng.uniform(0, 30) / 20)
        share = (1 - utterance.agreement) / (len(EMOTIONS) - 1)
        emotion = np.full(len(EMOTIONS), share, np.float32)
        emotion[utterance.emotion] = utterance.agreement
        return sound * np.float32(10 ** (rng.uniform(-20, 10) / 20)), emotion, speech

    def _silent(self, rng: np.random.Generator) -> tuple[Sound, Sound, Sound]:
        """Noise, faint to loud, from its beginning or from some moment on."""
        sound = noise(WINDOW, self.sounds, rng).astype(np.float32) if rng.random() < 0.5 else self._background(rng)
        sound = sound * np.float32(0.3 * 10 ** -rng.uniform(0, 3.5))
        if rng.random() < 0.3:
            sound[: int(rng.integers(WINDOW))] *= np.float32(rng.choice([0, 0.03]))
        return sound, np.zeros(len(EMOTIONS), np.float32), np.zeros(WINDOW // CELL, np.float32)

    def _background(self, rng: np.random.Generator) -> Sound:
        return np.roll(self.backgrounds[int(rng.integers(BACKGROUNDS))], int(rng.integers(WINDOW)))


def padded(sound: Sound) -> Sound:
    """At least a window, with silence before the sound, as the stream begins."""
    return np.pad(sound, (max(0, WINDOW - len(sound)), 0))


def stretch(sound: Sound, factor: float) -> Sound:
    """The sound played ``factor`` times as fast: speed, pitch and formants move together."""
    places = np.arange(0, len(sound) - 1, factor)
    return np.asarray(np.interp(places, np.arange(len(sound)), sound), np.float32)


def put(said: Sound, cells: NDArray[np.bool_], sound: Sound, speech: Sound, rng: np.random.Generator) -> None:
    """Lay an utterance into an empty window so that one to three seconds of it, or all, are in there."""
    size, length = len(speech), len(cells)
    least = min(length, size, int(rng.integers(25, size + 1)))
    start = int(rng.integers(least - length, size - least + 1))  # of the utterance, in cells of the window
    low, high = max(0, -start), min(length, size - start)
    speech[start + low : start + high] = cells[low:high]
    sound[(start + low) * CELL : (start + high) * CELL] = said[low * CELL : high * CELL]
