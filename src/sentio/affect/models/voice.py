"""The voice model that comes with the package: whether somebody speaks, and how it sounds, from three seconds of sound.

Convolutions over log-mel energies give the odds of speech in every 40 ms; the emotion comes from mean and spread of
what they find, by attention, while somebody speaks. Valence and arousal are the place of the expected emotion on the
circumplex: the training data has no ratings of them. See docs/voice.md.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentio.affect.backbones import EncoderInfo
from sentio.affect.backbones.voice import BINS, FrontEnd, mask, normalise, tilt
from sentio.affect.labels import EXPRESSIONS, SAMPLE_RATE
from sentio.affect.training import emodb
from sentio.affect.training.emodb import EMOTIONS, PLACES, SoundBatch
from sentio.core import processes
from sentio.core.config import from_dict
from sentio.core.method import Graph, Method
from sentio.core.progress import Tell, silent
from sentio.core.registry import register
from sentio.core.report import Figures

RECENT = 12
"""Cells of 40 ms, half a second, that the probability of speech is about."""


@dataclass(frozen=True)
class VoiceConfig:
    """Config of the voice model.

    Args:
        channels: of the convolutions over time and frequency, each of which halves the frequencies, the first the
            frames, too.
        width: of the convolutions over time alone.
        dilations: of these.
        dropout: of what is pooled over time.
        masks: bands of frequency, and of time, that are masked in training.
        colour: largest tilt and bend of the spectrum in training, in natural log units of energy.
        affect: weight of the squared error of valence and arousal.
        temperature: what the emotion logits are divided by; found on speakers not trained on.
        threshold: probability of speech from which on somebody speaks.
    """

    channels: tuple[int, ...] = (16, 32, 48, 64)
    width: int = 128
    dilations: tuple[int, ...] = (1, 2, 4)
    dropout: float = 0.5
    masks: int = 2
    colour: float = 1.5
    affect: float = 1.0
    temperature: float = 1.0
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if BINS % 2 ** len(self.channels):
            raise ValueError(f"{BINS} mel bands cannot be halved {len(self.channels)} times")


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


@register("voice", summary="Speech, emotion, valence and arousal of a voice; the model that comes with the package.")
class Voice(Method):
    """See the module's text."""

    Config = VoiceConfig
    places: Tensor

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__(config)
        self.front = FrontEnd()
        self.spectral = _stack(config.channels)
        joined = config.channels[-1] * BINS // 2 ** len(config.channels)
        self.join = nn.Sequential(nn.Conv1d(joined, config.width, 1, bias=False), nn.BatchNorm1d(config.width))
        self.temporal = nn.Sequential(*(Residual(config.width, dilation) for dilation in config.dilations))
        self.cell = nn.Conv1d(config.width, 1, 1)
        self.attention = nn.Conv1d(config.width, 1, 1)
        self.emotion = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(2 * config.width, len(EMOTIONS)))
        self.register_buffer("places", torch.tensor([PLACES[name] for name in EMOTIONS]), persistent=False)

    def open_data(self, path: Path, section: dict[str, Any]) -> emodb.EmoDb:
        """A folder of EMO-DB, as the front end gives it."""
        return emodb.EmoDb(path, from_dict(emodb.EmoDbConfig, section, where="data"), FrontEnd())

    def evaluate(self, path: Path, section: dict[str, Any], *, data: dict[str, Any], tell: Tell = silent) -> Figures:
        """Recalls of the emotions of speakers that were held out; see ``training.emodb.VoiceEvaluationConfig``."""
        config = from_dict(emodb.VoiceEvaluationConfig, section, where="evaluation of voice")
        trained = from_dict(emodb.EmoDbConfig, data, where="data")
        return emodb.evaluate(self, path, config, trained, tell=tell)

    def example_batch(self) -> SoundBatch:
        random = torch.Generator().manual_seed(0)
        emotion = torch.rand(4, len(EMOTIONS), generator=random).softmax(1)
        cells = torch.randint(2, (4, emodb.WINDOW // emodb.CELL), generator=random).float()
        with torch.no_grad():
            energies = self.front(torch.randn(4, emodb.WINDOW, generator=random) / 10)
        return SoundBatch(energies, emotion, cells)

    def forward(self, batch: SoundBatch) -> VoiceOutput:
        """All that there is to say of N windows."""
        return self.predict(normalise(batch.energies))

    def hear(self, sound: Tensor) -> VoiceOutput:
        """The same of sound (N, S) at 16 kHz, S at least 8,000."""
        return self.predict(normalise(self.front(sound)))

    def predict(self, energies: Tensor) -> VoiceOutput:
        """From normalised energies (N, T, 64)."""
        cells, features = self.encode(energies)
        return VoiceOutput(cells, cells[:, -RECENT:].amax(-1), self.emotion(features))

    def encode(self, energies: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised energies (N, T, 64) -> logits of speech (N, K), and what the emotion comes from, (N, 2 width)."""
        maps = self.spectral(energies.transpose(1, 2)[:, None])  # (N, 1, 64, T) -> (N, C, 64 / 2^n, K)
        features = self.temporal(self.join(maps.flatten(1, 2))).float()  # (N, width, K)
        cells = self.cell(features)  # (N, 1, K)
        weight = (self.attention(features) + functional.logsigmoid(cells.detach())).softmax(-1)
        mean = (weight * features).sum(-1)  # (N, width)
        spread = ((weight * features**2).sum(-1) - mean**2).clamp(min=1e-4).sqrt()
        return cells[:, 0], torch.cat([mean, spread], -1)

    @property
    def encoder(self) -> "VoiceEncoder":
        """The model as an encoder of sound, with the same weights."""
        return VoiceEncoder(self)

    def valence_arousal(self, probabilities: Tensor) -> Tensor:
        """(N, 7) probabilities of emotions to the expected place, (N, 2)."""
        return probabilities @ self.places

    def loss(self, batch: SoundBatch, progress: float) -> dict[str, Tensor]:
        """Cross-entropies of emotion and of speech, squared error of the expected place."""
        found = self.predict(mask(normalise(tilt(batch.energies, self.config.colour)), self.config.masks))
        known = batch.emotion.sum(1)
        total = processes.mean(known.sum()).clamp(min=1e-6)
        logarithms = found.emotion.float().log_softmax(-1)
        error = ((self.valence_arousal(logarithms.exp()) - self.valence_arousal(batch.emotion)) ** 2).sum(1)
        recent = batch.speech[:, -RECENT:].amax(1)
        return {
            "emotion": -(batch.emotion * logarithms).sum() / total,
            "affect": self.config.affect * (known * error).sum() / total,
            "cells": functional.binary_cross_entropy_with_logits(found.cells.float(), batch.speech),
            "speech": functional.binary_cross_entropy_with_logits(found.speech.float(), recent),
        }

    def graphs(self) -> list[Graph]:
        """The whole model, sound in, probabilities out, for any number and length of windows."""
        sound = torch.randn(2, 3 * SAMPLE_RATE, generator=torch.Generator().manual_seed(0)) / 10
        return [
            Graph(
                "voice",
                "Speech, emotion, valence and arousal of a voice.",
                _Probabilities(self),
                {"sound": sound},
                ("speech", "valence_arousal", "expression"),
                dict.fromkeys(("speech", "valence_arousal", "expression"), ("windows",))
                | {"sound": ("windows", "samples")},
                "Mono float32 at 16 kHz within [-1, 1], about 3 s (8,000 samples at least); loudness hardly matters.",
                {"threshold": self.config.threshold, "temperature": self.config.temperature},
            )
        ]


class VoiceEncoder(nn.Module):
    """N stretches of sound (B, T, S) at 16 kHz -> (B, T, 2 width): mean and spread that the emotion comes from."""

    def __init__(self, model: Voice) -> None:
        super().__init__()
        self.model = model
        dim = 2 * model.config.width
        self.info = EncoderInfo(name="voice", dim=dim, licence="Apache-2.0", provenance="random", rate=SAMPLE_RATE)

    def forward(self, sound: Tensor) -> Tensor:
        energies = normalise(self.model.front(sound.flatten(0, 1)))  # (B T, frames, 64)
        features: Tensor = self.model.encode(energies)[1]  # (B T, 2 width)
        return features.reshape(*sound.shape[:2], -1)  # (B, T, 2 width)


class _Probabilities(nn.Module):
    """What is exported: probabilities in the order of `EXPRESSIONS`, with none for Surprise."""

    order: Tensor

    def __init__(self, model: Voice) -> None:
        super().__init__()
        self.model = model
        order = [[float(name == expression) for expression in EXPRESSIONS] for name in EMOTIONS]
        self.register_buffer("order", torch.tensor(order))

    def forward(self, sound: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self.model.hear(sound)
        probabilities = (found.emotion / self.model.config.temperature).softmax(-1)  # (N, 7)
        return found.speech.sigmoid(), self.model.valence_arousal(probabilities), probabilities @ self.order  # (N, 8)


def _stack(channels: tuple[int, ...]) -> nn.Sequential:
    """Convolutions (N, 1, 64, T) -> (N, C, 64 / 2^n, T / 2), T / 2 rounded up."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((1, *channels)):
        step = (2, 2 if inputs == 1 else 1)
        layers += [nn.Conv2d(inputs, outputs, 3, step, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


class Residual(nn.Module):
    """Convolution over time beside a shortcut."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.norm(self.convolution(x)))
