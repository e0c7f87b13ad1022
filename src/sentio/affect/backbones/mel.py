"""The mel front end of the Audio Spectrogram Transformer: Kaldi's filter bank, in torch, for whole batches."""

import torch
from torch import Tensor, nn

from sentio.affect.labels import SAMPLE_RATE

FRAME, HOP, FFT = 400, 160, 512
"""Samples of a frame (25 ms at 16 kHz), of the step between frames (10 ms), and of the transform."""
LOWEST_HZ = 20.0
PREEMPHASIS = 0.97
FLOOR = 1.1920929e-07
"""Smallest energy before the logarithm: the float32 epsilon."""


class MelFilterBank(nn.Module):
    """Sound (N, S) in [-1, 1] -> log mel energies (N, frames, bins); frames = 1 + (S - 400) // 160, zero if S < 400.

    Each frame: mean removed, pre-emphasis 0.97, Hann window, power spectrum, triangular filters on Kaldi's mel scale,
    natural logarithm.
    """

    filters: Tensor
    window: Tensor

    def __init__(self, *, bins: int = 128, rate: int = SAMPLE_RATE) -> None:
        super().__init__()
        self.register_buffer("filters", mel_filters(bins, rate), persistent=False)
        self.register_buffer("window", torch.hann_window(FRAME, periodic=False), persistent=False)

    def forward(self, sound: Tensor) -> Tensor:
        if sound.shape[-1] < FRAME:
            return sound.new_zeros(sound.shape[0], 0, self.filters.shape[1])
        frames = sound.unfold(-1, FRAME, HOP)  # (N, frames, 400)
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], -1)
        power = torch.fft.rfft((frames - PREEMPHASIS * before) * self.window, FFT).abs() ** 2  # (N, frames, 257)
        energies: Tensor = power @ self.filters  # (N, frames, bins)
        return energies.clamp(min=FLOOR).log()


def mel_filters(bins: int, rate: int) -> Tensor:
    """(257, bins) triangles, equally wide on the mel scale between 20 Hz and half the rate."""
    low, high = to_mel(torch.tensor([LOWEST_HZ, rate / 2], dtype=torch.float64)).tolist()
    edges = torch.linspace(low, high, bins + 2, dtype=torch.float64)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    place = to_mel(torch.arange(FFT // 2 + 1, dtype=torch.float64) * rate / FFT)[:, None]  # (257, 1)
    rising, falling = (place - left) / (centre - left), (right - place) / (right - centre)
    return torch.minimum(rising, falling).clamp(min=0).float()


def to_mel(hertz: Tensor) -> Tensor:
    """Kaldi's mel scale, 1127 ln(1 + f / 700)."""
    return 1127 * torch.log1p(hertz / 700)
