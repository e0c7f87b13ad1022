"""The voice model that comes with the package: whether somebody speaks, and how it sounds, from three seconds of sound.

Log-mel energies, less the window's loudness, and the strength of every pitch; convolutions over time and frequency; in
every 40 ms the odds of speech; the emotion from mean and spread of what is there while somebody speaks. Valence and
arousal are the place of the expected emotion on the circumplex: the training data has no ratings. See docs/voice.md.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentio.affect.backbones.mel import FFT, FLOOR, FRAME, HOP, PREEMPHASIS, mel_filters
from sentio.affect.data.emodb import EMOTIONS, PLACES, EmoDb, EmoDbConfig, SoundBatch
from sentio.affect.labels import EXPRESSIONS
from sentio.core import recipe
from sentio.core.export import Graph
from sentio.core.registry import register

RATE = 16_000
STEP = 2 * HOP
"""Samples between two frames: 20 ms."""
BINS, PITCHES = 64, 48
"""Mel bands, and pitches."""
LOWEST_HZ, HIGHEST_HZ = 80.0, 500.0
"""Range of the pitches, equally apart on a logarithmic scale."""
HARMONICS_HZ = 1500.0
"""Frequency from which on harmonics tell nothing of the pitch."""
SILENCE = 100 * FLOOR
"""Mean energy below which a window is not brought to the loudness of others."""
DEPTH = 10.0
"""Natural log units below the mean energy at which detail ends (43 dB)."""
RECENT = 12
"""Cells of 40 ms, half a second, that the probability of speech is about."""


@dataclass(frozen=True)
class VoiceConfig:
    """Config of the voice model.

    Args:
        channels: of the convolutions over time and frequency; the first leaves a quarter of the frequencies and
            half of the frames, the others halve the frequencies.
        pitch_channels: of those over time and pitch.
        width: of the convolutions over time alone.
        dilations: of these.
        dropout: of the pooled features.
        masks: bands of frequency, of pitch and of time that are hidden in training.
        colour: largest tilt and bend of the spectrum in training, in natural log units of energy.
        affect: weight of the squared error of valence and arousal.
        temperature: what the emotion logits are divided by; found on speakers not trained on.
        threshold: probability of speech from which on somebody speaks.
    """

    channels: tuple[int, ...] = (32, 48, 64)
    pitch_channels: tuple[int, ...] = (16, 24)
    width: int = 128
    dilations: tuple[int, ...] = (1, 2, 4)
    dropout: float = 0.4
    masks: int = 2
    colour: float = 1.5
    affect: float = 1.0
    temperature: float = 1.0
    threshold: float = 0.5

    def __post_init__(self) -> None:
        for channels, rows in ((self.channels, BINS), (self.pitch_channels, PITCHES)):
            if rows % 2 ** (len(channels) + 1):
                raise ValueError(f"{rows} rows cannot be halved {len(channels) + 1} times")


@dataclass(frozen=True)
class VoiceOutput:
    """What the network says of N windows.

    Attributes:
        cells: (N, K) logits of speech in every 40 ms.
        speech: (N,) logits of speech in the last half second.
        emotion: (N, 7) logits in the order of ``EMOTIONS``.
    """

    cells: Tensor
    speech: Tensor
    emotion: Tensor


class FrontEnd(nn.Module):
    """Sound (N, S) -> log mel energies and strengths of pitches (N, T, 112), T = 1 + (S - 400) // 320.

    The energies are those of every second frame of ``backbones.mel.MelFilterBank``. The strength of a pitch is the
    autocorrelation at its period over that at 0, less what the window itself takes from it: about 1 for a perfectly
    periodic frame. Mean removal, pre-emphasis, window and Fourier transform are one matrix, which any runtime can
    multiply with.
    """

    basis: Tensor
    filters: Tensor
    periods: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("basis", fourier_basis()[:, None], persistent=False)
        self.register_buffer("filters", mel_filters(BINS, RATE), persistent=False)
        self.register_buffer("periods", autocorrelation(), persistent=False)

    def forward(self, sound: Tensor) -> Tensor:
        spectrum = functional.conv1d(sound[:, None], self.basis, stride=STEP).transpose(1, 2)
        real, imaginary = spectrum.chunk(2, -1)
        power = real**2 + imaginary**2
        energies = (power @ self.filters).clamp(min=FLOOR).log()
        repeats = power @ self.periods
        strengths = repeats[..., :-1] / repeats[..., -1:].clamp(min=FFT * FLOOR)
        return torch.cat([energies, strengths], -1)


def fourier_basis() -> Tensor:
    """(514, 400): real and imaginary parts of 257 frequencies, of a frame less its mean, pre-emphasised, windowed."""
    identity = torch.eye(FRAME, dtype=torch.float64)
    centred = identity - 1 / FRAME
    before = torch.cat([centred[:1], centred[:-1]])
    window = torch.hann_window(FRAME, periodic=False, dtype=torch.float64)
    spectrum = torch.fft.rfft((centred - PREEMPHASIS * before) * window[:, None], FFT, dim=0)
    return torch.cat([spectrum.real, spectrum.imag]).float()


def autocorrelation() -> Tensor:
    """(257, 49): power spectrum to the autocorrelation at each pitch's period and at 0, the window's own divided out.

    Only the harmonics below 1.5 kHz count, the lowest most: the peaks are then as wide as the pitches are apart.
    """
    pitches = torch.linspace(math.log(LOWEST_HZ), math.log(HIGHEST_HZ), PITCHES, dtype=torch.float64).exp()
    periods = torch.cat([RATE / pitches, torch.zeros(1, dtype=torch.float64)])
    place = torch.arange(FFT // 2 + 1, dtype=torch.float64)[:, None] / FFT
    waves = torch.cos(2 * torch.pi * place * periods)
    waves[1:-1] *= 2  # every frequency but the first and last stands for its mirror image, too
    window = torch.fft.rfft(torch.hann_window(FRAME, periodic=False, dtype=torch.float64), FFT).abs() ** 2
    own = window @ waves
    share = 0.5 + 0.5 * torch.cos(torch.pi * (place * RATE / HARMONICS_HZ).clamp(max=1))
    matrix: Tensor = (share * waves * own[-1] / own).float()
    return matrix


@register("voice", summary="Speech, emotion, valence and arousal of a voice; the model that comes with the package.")
class Voice(nn.Module):
    """See the module's text."""

    Config = VoiceConfig
    places: Tensor

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__()
        self.config = config
        self.front = FrontEnd()
        self.spectral, self.pitch = _stack(config.channels), _stack(config.pitch_channels)
        joined = sum(
            channels[-1] * rows // 2 ** (len(channels) + 1)
            for channels, rows in ((config.channels, BINS), (config.pitch_channels, PITCHES))
        )
        self.join = nn.Sequential(nn.Conv1d(joined, config.width, 1, bias=False), nn.BatchNorm1d(config.width))
        self.temporal = nn.Sequential(*(Residual(config.width, dilation) for dilation in config.dilations))
        self.cell = nn.Conv1d(config.width, 1, 1)
        self.attention = nn.Conv1d(config.width, 1, 1)
        self.dropout = nn.Dropout(config.dropout)
        self.scale = Standardise(3 * (BINS + PITCHES), affine=False)
        self.emotion = nn.Linear(2 * config.width + 3 * (BINS + PITCHES), len(EMOTIONS))
        self.register_buffer("places", torch.tensor([PLACES[name] for name in EMOTIONS]), persistent=False)

    def open_data(self, folder: Path, section: dict[str, Any]) -> EmoDb:
        """A folder of EMO-DB, as the front end hears it."""
        return EmoDb(folder, recipe.from_dict(EmoDbConfig, section, where="data"), self.front)

    def forward(self, sound: Tensor) -> VoiceOutput:
        """Sound (N, S) at 16 kHz, S at least 8,000."""
        return self.listen(normalise(self.front(sound)))

    def listen(self, heard: Tensor) -> VoiceOutput:
        """From normalised features (N, T, 112)."""
        energies, strengths = (part.transpose(1, 2)[:, None] for part in _parts(heard))
        joined = torch.cat([self.spectral(energies).flatten(1, 2), self.pitch(strengths).flatten(1, 2)], 1)
        features = self.temporal(self.join(joined)).float()
        cells = self.cell(features)
        weight = (self.attention(features) + functional.logsigmoid(cells.detach())).softmax(-1)
        learnt = _moments(features, weight)
        simple = self.scale(statistics(heard.transpose(1, 2).float(), cells.detach()))
        emotion = self.emotion(self.dropout(torch.cat([*learnt, simple], -1)))
        return VoiceOutput(cells[:, 0], cells[:, 0, -RECENT:].amax(-1), emotion)

    def valence_arousal(self, probabilities: Tensor) -> Tensor:
        """(N, 7) probabilities of emotions to the expected place, (N, 2)."""
        return probabilities @ self.places

    def loss(self, batch: SoundBatch, progress: float) -> dict[str, Tensor]:
        """Cross-entropies of emotion and speech, squared error of the expected place."""
        found = self.listen(hide(normalise(colour(batch.heard, self.config.colour)), self.config.masks))
        known = batch.emotion.sum(1)
        total = known.sum().clamp(min=1e-6)
        chances = found.emotion.float().log_softmax(-1)
        error = ((self.valence_arousal(chances.exp()) - self.valence_arousal(batch.emotion)) ** 2).sum(1)
        recent = batch.speech[:, -RECENT:].amax(1)
        return {
            "emotion": -(batch.emotion * chances).sum() / total,
            "affect": self.config.affect * (known * error).sum() / total,
            "cells": functional.binary_cross_entropy_with_logits(found.cells.float(), batch.speech),
            "speech": functional.binary_cross_entropy_with_logits(found.speech.float(), recent),
        }

    def graphs(self) -> list[Graph]:
        """The whole model, sound in, probabilities out, for any number and length of windows."""
        sound = torch.randn(2, 3 * RATE, generator=torch.Generator().manual_seed(0)) / 10
        return [
            Graph(
                "voice",
                "Speech, emotion, valence and arousal of a voice.",
                _Probabilities(self),
                {"sound": sound},
                ("speech", "valence_arousal", "expression"),
                dict.fromkeys(("speech", "valence_arousal", "expression"), ("windows",))
                | {"sound": ("windows", "samples")},
                "Mono float32 at 16 kHz within [-1, 1], about 3 s (8,000 samples at least); loudness does not matter.",
                TRAINING_DATA,
                USE,
                {"threshold": self.config.threshold, "temperature": self.config.temperature},
            )
        ]


class _Probabilities(nn.Module):
    """What is exported: probabilities in the order of `EXPRESSIONS`, with none for Surprise."""

    order: Tensor

    def __init__(self, model: Voice) -> None:
        super().__init__()
        self.model = model
        order = [[float(name == expression) for expression in EXPRESSIONS] for name in EMOTIONS]
        self.register_buffer("order", torch.tensor(order))

    def forward(self, sound: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self.model(sound)
        chances = (found.emotion / self.model.config.temperature).softmax(-1)
        return found.speech.sigmoid(), self.model.valence_arousal(chances), chances @ self.order


def normalise(heard: Tensor) -> Tensor:
    """Log energies less the log of their mean in the window (unless it is silent), about 0 and 1; pitches as they are.

    Args:
        heard: (N, T, 112), see :class:`FrontEnd`.
    """
    energies, strengths = _parts(heard)
    loudness = energies.exp().mean((1, 2), keepdim=True).clamp(min=SILENCE).log()
    return torch.cat([((energies - loudness).clamp(min=-DEPTH) + DEPTH / 2) * (3 / DEPTH), 2 * strengths], -1)


def _parts(heard: Tensor) -> tuple[Tensor, Tensor]:
    """Energies and strengths of pitches."""
    return heard[..., :BINS], heard[..., BINS:]


def colour(heard: Tensor, strength: float) -> Tensor:
    """Microphones and rooms: a random tilt and two bends of each window's spectrum."""
    place = torch.linspace(-1, 1, BINS, device=heard.device)
    shapes = torch.stack([place, torch.cos(torch.pi * place), torch.sin(torch.pi * place)])
    weights = strength * (torch.rand(len(heard), 3, device=heard.device) - 0.5)
    return heard + functional.pad(weights @ shapes, (0, PITCHES))[:, None]


def hide(heard: Tensor, masks: int) -> Tensor:
    """Bands of up to 8 neighbouring features and of up to 20 frames set to 0 (SpecAugment, Park et al. 2019)."""
    N, T, features = heard.shape
    for size, widest, shape in ((features, 8, (1, 1, -1)), (T, 20, (1, -1, 1))):
        for _ in range(masks):
            width = torch.randint(0, widest + 1, (N, 1, 1), device=heard.device)
            start = (torch.rand(N, 1, 1, device=heard.device) * (size - width)).long()
            place = torch.arange(size, device=heard.device).view(shape)
            heard = heard.masked_fill((place >= start) & (place < start + width), 0.0)
    return heard


def statistics(heard: Tensor, cells: Tensor) -> Tensor:
    """Mean, spread and spread of the change in 40 ms of every feature while somebody speaks.

    Args:
        heard: (N, F, T).
        cells: (N, 1, T / 2) logits of speech.

    Returns:
        (N, 3 F).
    """
    spoken = cells.sigmoid()[..., None].expand(-1, -1, -1, 2).flatten(2)[..., : heard.shape[-1]]
    change = heard[..., 2:] - heard[..., :-2]
    both = spoken[..., 2:] * spoken[..., :-2]
    return torch.cat([*_moments(heard, _share(spoken)), _moments(change, _share(both))[1]], -1)


def _share(weight: Tensor) -> Tensor:
    return weight / weight.sum(-1, keepdim=True).clamp(min=1e-3)


def _moments(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation over the last axis."""
    mean = (weight * values).sum(-1)
    return mean, ((weight * values**2).sum(-1) - mean**2).clamp(min=1e-4).sqrt()


def _stack(channels: tuple[int, ...]) -> nn.Sequential:
    """Convolutions (N, 1, rows, T) -> (N, C, rows / 2^(n + 1), T / 2), T / 2 rounded up."""
    layers: list[nn.Module] = [nn.Conv2d(1, channels[0], (8, 3), (4, 2), (2, 1), bias=False)]
    for inputs, outputs in pairwise(channels):
        layers += [nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 3, (2, 1), 1, bias=False)]
    layers += [nn.BatchNorm2d(channels[-1]), nn.ReLU()]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


class Standardise(nn.BatchNorm1d):
    """Batch normalisation, spelt out when it is not training: the exporter loses count of computed features."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None
        return (x - self.running_mean) * (self.running_var + self.eps).rsqrt()


class Residual(nn.Module):
    """Convolution over time beside a shortcut."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.norm(self.convolution(x)))


TRAINING_DATA = (
    "EMO-DB, Berlin emotional speech (Burkhardt et al. 2005; CC0 1.0 according to the audEERING data card): 408"
    " utterances of 8 actors",
    "rooms, noise, tones and chords made by sentio.affect.synth (Apache-2.0)",
)
USE = (
    "How a voice sounds to listeners, for research: whether somebody speaks, and which of seven acted emotions it"
    " resembles. Not what anybody feels. German actors in a studio taught it all it knows: other languages, children,"
    " whispers, singing, several voices at once and everyday speech are outside. It knows no Surprise; its valence and"
    " arousal are the place of the expected emotion, not learnt from ratings."
)
