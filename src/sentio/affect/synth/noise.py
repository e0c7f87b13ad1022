"""Sounds that nobody speaks: noise of all colours, hum, clicks, chords, bursts, and voices turned upside down."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sentio.affect.labels import SAMPLE_RATE

Floats = NDArray[np.float64]


def coloured(samples: int, rng: np.random.Generator) -> Floats:
    """Noise whose amplitude falls as f^-0 to f^-1.2: white, pink, brown and between; half of them through a band."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    hertz = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    spectrum /= np.maximum(hertz, 30) ** rng.uniform(0, 1.2)
    if rng.random() < 0.5:
        centre, octaves = 2 ** rng.uniform(6.5, 12.5), rng.uniform(0.5, 3)
        spectrum *= np.exp(-0.5 * (np.log2(np.maximum(hertz, 1) / centre) / octaves) ** 2)
    swell = np.interp(np.arange(samples), np.linspace(0, samples, 6), rng.uniform(0.3, 1, 6))
    return np.asarray(np.fft.irfft(spectrum, samples) * swell)


def hum(samples: int, rng: np.random.Generator) -> Floats:
    """Mains or a motor: a low tone and its harmonics, steady."""
    base = rng.choice([50.0, 60.0, rng.uniform(30, 300)])
    time = np.arange(samples) / SAMPLE_RATE
    orders = np.arange(1, int(rng.integers(3, 20)))
    levels = rng.uniform(0, 1, len(orders)) / orders ** rng.uniform(0.3, 1.5)
    return sum_of_sines(time, base * orders, levels, rng)


def clicks(samples: int, rng: np.random.Generator) -> Floats:
    """Keys, taps, claps, footsteps: short bursts of noise that die away, some in a rhythm."""
    sound = np.zeros(samples)
    count = int(rng.integers(1, 14))
    starts = np.arange(count) * samples / count if rng.random() < 0.4 else rng.uniform(0, samples, count)
    for start in starts.astype(int):
        length = min(int(SAMPLE_RATE * 10 ** rng.uniform(-2.5, -0.6)), samples - start)
        burst = rng.standard_normal(length) * np.exp(-5 * np.arange(length) / max(length, 1))
        sound[start : start + length] += rng.uniform(0.2, 1) * np.convolve(burst, rng.uniform(-1, 1, 8))[:length]
    return sound


def chords(samples: int, rng: np.random.Generator) -> Floats:
    """Music of a kind: notes of a scale, alone and together, with overtones, vibrato and decay."""
    sound = np.zeros(samples)
    root, start = 55 * 2 ** rng.uniform(0, 3), 0
    while start < samples:
        length = min(int(SAMPLE_RATE * rng.choice([0.15, 0.3, 0.6, 1.2, 3.0])), samples - start)
        time = np.arange(length) / SAMPLE_RATE
        note = np.zeros(length)
        for step in rng.choice([0, 2, 4, 5, 7, 9, 11, 12, 16, 19], int(rng.integers(1, 5)), replace=False):
            orders = np.arange(1, int(rng.integers(2, 10)))
            levels = np.exp(-rng.uniform(0.1, 1.2) * orders)
            note += sum_of_sines(time, root * 2 ** (step / 12) * orders, levels, rng, wobble=rng.uniform(0, 0.01))
        attack = np.minimum(1, time / 10 ** rng.uniform(-2.5, -1))
        sound[start : start + length] = note * attack * np.exp(-rng.uniform(0, 6) * time)
        start += length
    return sound


def sum_of_sines(
    time: Floats, hertz: Floats, levels: Floats, rng: np.random.Generator, *, wobble: float = 0.0
) -> Floats:
    """Sines below 7.6 kHz with random phases; ``wobble`` is the depth of a 5 Hz vibrato."""
    bent = time + wobble * np.sin(2 * np.pi * 5 * time) / (2 * np.pi * 5)
    sound = np.zeros(len(time))
    for pitch, level in zip(hertz, levels, strict=True):
        if pitch < 7600:
            sound += level * np.sin(2 * np.pi * (pitch * bent + rng.random()))
    return sound


def inverted(voices: Sequence[NDArray[np.floating]], samples: int, rng: np.random.Generator) -> Floats:
    """Voices with high and low exchanged (f becomes 8 kHz - f): the rhythm of speech without its sound."""
    sound = np.zeros(samples)
    for voice in voices:
        piece = np.resize(voice, samples)
        sound += rng.uniform(0.3, 1) * np.roll(piece, int(rng.integers(samples)))
    return np.asarray(sound * np.where(np.arange(samples) % 2, -1, 1))


def noise(samples: int, voices: Sequence[NDArray[np.floating]], rng: np.random.Generator) -> Floats:
    """One to three of these sounds together, with a root mean square of 1.

    Args:
        voices: what may be turned upside down; none if empty.
    """
    kinds = [coloured, hum, clicks, chords]
    sound = np.zeros(samples)
    for _ in range(int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))):
        choice = int(rng.integers(len(kinds) + bool(len(voices))))
        part = kinds[choice](samples, rng) if choice < len(kinds) else inverted(_some(voices, rng), samples, rng)
        sound += rng.uniform(0.1, 1) * part / max(_level(part), 1e-9)
    return sound / max(_level(sound), 1e-9)


def _some(voices: Sequence[NDArray[np.floating]], rng: np.random.Generator) -> list[NDArray[np.floating]]:
    return [voices[int(k)] for k in rng.integers(len(voices), size=int(rng.integers(1, 5)))]


def _level(sound: Floats) -> float:
    return float(np.sqrt(np.mean(sound**2)))
