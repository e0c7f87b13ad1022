"""A residual encoder for aligned faces on CPUs, made to carry over from one kind of picture to another.

Three things set it apart from the encoder in small.py: it sees brightness alone, each picture brought to mean 0 and
deviation 1; half of the channels of its first stages are normalised within each picture, which takes out the style of
the picture (IBN-a of Pan et al., "Two at Once", ECCV 2018); and where in the picture something is, is kept to the end.
"""

import torch
from torch import Tensor, nn

from sentio.affect.backbones import EncoderInfo, encode_faces, residual_stages
from sentio.affect.backbones.small import STAGES, Block

SIZE = 80
SQUEEZED = 64
"""Channels of the last map, whose every place has weights of its own in the dense layer."""
STYLED = 64
"""Blocks of at most this many channels are rid of style."""
LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""
DIM = 256


class AlignedResNet(nn.Module):
    """Faces (B, T, 3, H, W) in [0, 1] -> (B, T, 256).

    The stages of :class:`SmallResNet`; instead of the mean over the last map a dense layer over all its places, as in
    face recognition (Deng et al., ArcFace, 2019): in aligned faces a place is a part of the face.
    """

    info = EncoderInfo(name="aligned", dim=DIM, licence="Apache-2.0", provenance="random", size=SIZE)

    def __init__(self) -> None:
        super().__init__()
        channels, last = STAGES[0][0], STAGES[-1][0]
        self.stem = nn.Sequential(
            nn.Conv2d(1, channels, 3, stride=2, padding=1, bias=False), StyleNorm(channels), nn.ReLU()
        )
        self.blocks = residual_stages(_block, STAGES, channels)
        self.squeeze = nn.Sequential(nn.Conv2d(last, SQUEEZED, 1, bias=False), nn.BatchNorm2d(SQUEEZED), nn.ReLU())
        side = SIZE // 2 ** len(STAGES)
        self.dense = nn.Sequential(nn.Flatten(), nn.Linear(SQUEEZED * side**2, DIM, bias=False), nn.BatchNorm1d(DIM))

    def forward(self, faces: Tensor) -> Tensor:
        return encode_faces(self.network, self.info, faces)

    def network(self, x: Tensor) -> Tensor:
        """(N, 3, 80, 80) -> (N, 256)."""
        maps = self.blocks(self.stem(standardise(x)))  # (N, 192, 5, 5)
        features: Tensor = self.dense(self.squeeze(maps))  # (N, 64, 5, 5) -> (N, 256)
        return features


class StyleNorm(nn.Module):
    """The first half of the channels normalised within each picture, the others over the batch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.own = nn.InstanceNorm2d(channels // 2, affine=True)
        self.shared = nn.BatchNorm2d(channels - channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.tensor_split([self.own.num_features], 1)  # (N, C / 2, H, W) each
        return torch.cat([self.own(first), self.shared(second)], 1)


def standardise(faces: Tensor) -> Tensor:
    """(N, 3, H, W) RGB -> (N, 1, H, W) brightness with mean 0 and deviation 1 in each picture."""
    grey = (faces * faces.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    grey = grey - grey.mean((2, 3), keepdim=True)
    return grey / (grey.square().mean((2, 3), keepdim=True) + 1e-4).sqrt()


def _block(channels: int, width: int, *, stride: int) -> Block:
    return Block(channels, width, stride=stride, norm=StyleNorm if width <= STYLED else nn.BatchNorm2d)
