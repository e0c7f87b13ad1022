"""How the voice model hears: log-mel energies by one matrix, brought to one loudness, and varied in training."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentio.affect.backbones.mel import FFT, FLOOR, FRAME, HOP, PREEMPHASIS, mel_filters
from sentio.affect.labels import SAMPLE_RATE

STEP = 2 * HOP
"""Samples between two frames: 20 ms."""
BINS = 64
"""Mel bands."""
SILENCE = 100 * FLOOR
"""Mean energy below which a window is not brought to the loudness of others."""
DEPTH = 10.0
"""Natural log units below the mean energy at which detail ends (43 dB)."""


class FrontEnd(nn.Module):
    """Sound (N, S) -> log mel energies (N, T, 64), T = 1 + (S - 400) // 320.

    They are those of every second frame of ``backbones.mel.MelFilterBank``. Mean removal, pre-emphasis, window and
    Fourier transform are one matrix here, which any runtime can multiply with.
    """

    basis: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("basis", fourier_basis()[:, None], persistent=False)
        self.register_buffer("filters", mel_filters(BINS, SAMPLE_RATE), persistent=False)

    def forward(self, sound: Tensor) -> Tensor:
        spectrum = functional.conv1d(sound[:, None], self.basis, stride=STEP).transpose(1, 2)  # (N, T, 514)
        real, imaginary = spectrum.chunk(2, -1)  # (N, T, 257) each
        energies: Tensor = (real**2 + imaginary**2) @ self.filters  # (N, T, 64)
        return energies.clamp(min=FLOOR).log()


def fourier_basis() -> Tensor:
    """(514, 400): real and imaginary parts of 257 frequencies, of a frame less its mean, pre-emphasised, windowed."""
    identity = torch.eye(FRAME, dtype=torch.float64)
    centred = identity - 1 / FRAME
    before = torch.cat([centred[:1], centred[:-1]])
    window = torch.hann_window(FRAME, periodic=False, dtype=torch.float64)
    spectrum = torch.fft.rfft((centred - PREEMPHASIS * before) * window[:, None], FFT, dim=0)
    return torch.cat([spectrum.real, spectrum.imag]).float()  # (514, 400)


def normalise(energies: Tensor) -> Tensor:
    """Log energies (N, T, 64) less the log of their mean in the window (unless it is silent), about -1.5 to 2."""
    loudness = energies.exp().mean((1, 2), keepdim=True).clamp(min=SILENCE).log()
    return ((energies - loudness).clamp(min=-DEPTH) + DEPTH / 2) * (3 / DEPTH)


def tilt(energies: Tensor, strength: float) -> Tensor:
    """Microphones and rooms: a random tilt and two bends of each window's spectrum."""
    place = torch.linspace(-1, 1, BINS, device=energies.device)
    shapes = torch.stack([place, torch.cos(torch.pi * place), torch.sin(torch.pi * place)])
    weights = strength * (torch.rand(len(energies), 3, device=energies.device) - 0.5)
    return energies + (weights @ shapes)[:, None]  # (N, 3) @ (3, 64) -> (N, 1, 64)


def mask(energies: Tensor, masks: int) -> Tensor:
    """Bands of up to 8 mel bands and of up to 20 frames set to 0 (SpecAugment, Park et al. 2019)."""
    N, T, bins = energies.shape
    for size, widest, shape in ((bins, 8, (1, 1, -1)), (T, 20, (1, -1, 1))):
        for _ in range(masks):
            width = torch.randint(0, widest + 1, (N, 1, 1), device=energies.device)
            start = (torch.rand(N, 1, 1, device=energies.device) * (size - width)).long()
            place = torch.arange(size, device=energies.device).view(shape)
            energies = energies.masked_fill((place >= start) & (place < start + width), 0.0)
    return energies
