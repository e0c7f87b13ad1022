"""Encoders: faces, sound or sentences to vectors, each saying what it wants and where it is from.

Faces come as (B, T, 3, H, W) RGB in [0, 1] of any size, and the encoder resizes and normalises them itself; sound comes
as float32 in [-1, 1], mono, at ``info.rate``. Nothing about the input is left for the caller to guess.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class EncoderInfo:
    """What an encoder wants and gives.

    Args:
        dim: D, the length of its vectors.
        provenance: where the weights are from: a name, a file, or "random".
        size: side of the square picture in pixels.
        mean, std: per channel, on [0, 1] pixels.
        interpolation: how pictures come to ``size``; shrinking is anti-aliased.
        rate: samples per second.
        hop_s, offset_s: the k-th vector of a sound is centred on ``offset_s + k * hop_s`` seconds.
    """

    name: str
    dim: int
    licence: str
    provenance: str
    size: int | None = None
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    rate: int | None = None
    hop_s: float | None = None
    offset_s: float | None = None


_ORIGIN = ("licence", "provenance")


class Encoder(Protocol):
    """A torch module: faces (B, T, 3, H, W) -> (B, T, D), or sound -> (B, T, D), as its ``info`` says."""

    @property
    def info(self) -> EncoderInfo: ...

    def __call__(self, x: Tensor) -> Tensor: ...


def residual_stages(block: Callable[..., nn.Module], stages: Sequence[tuple[int, int]], channels: int) -> nn.Sequential:
    """Blocks one after another, as in He et al. (2016): each stage but the first begins with stride 2.

    Args:
        block: makes a block from its channels in, its channels out and ``stride``.
        stages: channels and number of blocks of each stage.
        channels: channels that come in.
    """
    blocks = []
    for stage, (width, count) in enumerate(stages):
        for position in range(count):
            blocks.append(block(channels, width, stride=2 if stage and not position else 1))
            channels = width
    return nn.Sequential(*blocks)


def encode_faces(network: Callable[[Tensor], Tensor], info: EncoderInfo, faces: Tensor) -> Tensor:
    """Apply a network of single pictures, (N, 3, S, S) -> (N, D), to (B, T, 3, H, W) faces in [0, 1]."""
    B, T = faces.shape[:2]
    features = network(normalise(faces.flatten(0, 1), info))  # (B T, 3, S, S) -> (B T, D)
    return features.reshape(B, T, -1)  # (B, T, D)


def normalise(pictures: Tensor, info: EncoderInfo) -> Tensor:
    """(N, 3, H, W) RGB in [0, 1] to the size, mean and deviation that the encoder was trained with."""
    if info.size is not None and tuple(pictures.shape[-2:]) != (info.size, info.size):
        size = (info.size, info.size)
        pictures = functional.interpolate(pictures, size, mode=info.interpolation, antialias=True).clamp(0, 1)
    mean, std = (pictures.new_tensor(values).view(-1, 1, 1) for values in (info.mean, info.std))
    return (pictures - mean) / std


def fingerprint(encoder: Encoder) -> str:
    """64 hex digits of all that its vectors depend on: input and weights, and not where these are from."""
    info = {name: value for name, value in dataclasses.asdict(encoder.info).items() if name not in _ORIGIN}
    digest = hashlib.sha256(json.dumps(info, sort_keys=True).encode())
    for name, value in sorted(cast(nn.Module, encoder).state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
