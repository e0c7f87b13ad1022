"""Voices for performances: utterances of EMO-DB with the emotion of the face, in a room, with noise.

EMO-DB (Burkhardt et al. 2005) is read from a folder that the user names; without one, videos have faint noise only.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sentio.affect.labels import SAMPLE_RATE
from sentio.core.errors import InputError, require

Floats = NDArray[np.float64]
EMOTIONS = {"W": "Anger", "L": "Other", "N": "Neutral", "F": "Happiness", "A": "Fear", "T": "Sadness", "E": "Disgust"}
"""Sixth character of a file's name -> expression; L is boredom. There is no surprise."""


@dataclass(frozen=True)
class Track:
    """Sound of a video.

    Attributes:
        sound: (S,) mono at 16 kHz.
        energy: (T,) loudness of the voice alone in each frame, 0 to 1.
        said: names of the utterances.
    """

    sound: NDArray[np.float32]
    energy: Floats
    said: tuple[str, ...]


def utterances(folder: Path, speakers: tuple[str, ...] = ()) -> dict[str, list[Path]]:
    """Files by expression; ``speakers`` are the two digits that names begin with, all if none is given.

    Raises:
        InputError: the folder holds no EMO-DB utterances.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted([*folder.rglob("*.flac"), *folder.rglob("*.wav")]):
        emotion = EMOTIONS.get(path.stem[5:6])
        if len(path.stem) == 7 and path.stem[:2].isdigit() and emotion and (not speakers or path.stem[:2] in speakers):
            found.setdefault(emotion, []).append(path)
    if not found:
        raise InputError(f"{folder} holds no utterances of EMO-DB.", "Expected names such as 03a01Fa.wav.")
    return found


def speakers(folder: Path) -> tuple[str, ...]:
    """The two digits of each actor, in order."""
    return tuple(sorted({path.stem[:2] for paths in utterances(folder).values() for path in paths}))


def speak(
    names: list[str], seconds: float, fps: float, voices: dict[str, list[Path]], rng: np.random.Generator
) -> Track:
    """A track in which one actor says something in the emotion of each act, where there is such an utterance.

    Args:
        names: expressions of the acts, which share the time equally.
        voices: see :func:`utterances`; empty for no speech.
    """
    voice = np.zeros(round(seconds * SAMPLE_RATE))
    said = []
    actors = sorted({path.stem[:2] for paths in voices.values() for path in paths})
    actor = str(rng.choice(actors)) if actors else ""
    for k, name in enumerate(names):
        own = [path for path in voices.get(name, []) if path.stem.startswith(actor)]
        if own and rng.random() < 0.9:
            path = own[rng.integers(len(own))]
            if _place(voice, read(path), int(len(voice) * k / len(names)), len(voice) // len(names), rng):
                said.append(path.stem)
    energy = loudness(voice, fps, round(seconds * fps))
    return Track(room(voice, rng), energy, tuple(said))


def read(path: Path) -> Floats:
    """(S,) mono at 16 kHz with a root mean square of 0.06."""
    soundfile = require("soundfile", "train")
    sound, rate = soundfile.read(path, dtype="float64", always_2d=True)
    if rate != SAMPLE_RATE:
        sound = require("soxr", "train").resample(sound, rate, SAMPLE_RATE)
    mono = sound.mean(axis=1)
    return np.asarray(mono / max(float(np.sqrt(np.mean(mono**2))), 1e-6) * 0.06)


def _place(voice: Floats, speech: Floats, start: int, room: int, rng: np.random.Generator) -> bool:
    """Put ``speech`` somewhere into ``room`` samples from ``start``; cut with a fade if it is longer."""
    speech = speech[:room].copy()
    if len(speech) < SAMPLE_RATE // 4:
        return False
    fade = SAMPLE_RATE // 50
    speech[-fade:] *= np.linspace(1, 0, fade)
    at = start + int(rng.integers(room - len(speech) + 1))
    voice[at : at + len(speech)] += speech
    return True


def loudness(voice: Floats, fps: float, frames: int) -> Floats:
    """(frames,) root mean square about each frame's moment, 1 at the loudest twentieth."""
    edges = (np.arange(frames + 1) / fps * SAMPLE_RATE).astype(int)
    squares = np.concatenate([[0.0], np.cumsum(voice**2)])[np.minimum(edges, len(voice))]
    level = np.sqrt(np.maximum(np.diff(squares), 0) * fps / SAMPLE_RATE)
    top = np.percentile(level[level > 1e-4], 95) if (level > 1e-4).any() else 1.0
    return np.asarray(np.clip(level / top, 0, 1))


def room(voice: Floats, rng: np.random.Generator) -> NDArray[np.float32]:
    """Echoes of a room of 0.1 to 0.6 s, pinkish noise 10 to 40 dB below, a gain."""
    length = int(rng.uniform(0.1, 0.6) * SAMPLE_RATE)
    echo = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    echo *= rng.uniform(0.02, 0.35) / np.sqrt(np.sum(echo**2))
    size = 1 << int(np.ceil(np.log2(len(voice) + length)))
    wet = np.fft.irfft(np.fft.rfft(voice, size) * np.fft.rfft(echo, size), size)[: len(voice)]
    spectrum = np.fft.rfft(rng.standard_normal(len(voice)))
    spectrum /= np.maximum(np.arange(len(spectrum)), 20) ** rng.uniform(0.2, 0.6)
    noise = np.fft.irfft(spectrum, len(voice))
    noise *= 0.06 * 10 ** (-rng.uniform(10, 40) / 20) / np.sqrt(np.mean(noise**2))
    mixed = (voice + wet + noise) * 10 ** (rng.uniform(-6, 6) / 20)
    return np.clip(mixed, -0.99, 0.99).astype(np.float32)
