"""A residual encoder for aligned faces on CPUs: where in the picture something is, is kept to the end."""

from torch import Tensor, nn

from sentio.affect.backbones import EncoderInfo, encode_faces, residual_stages
from sentio.affect.backbones.small import STAGES, Block

SIZE = 80
SQUEEZED = 64
"""Channels of the last map, whose every place has weights of its own in the dense layer."""


class AlignedResNet(nn.Module):
    """Faces (B, T, 3, H, W) in [0, 1] -> (B, T, 256).

    The stages of :class:`SmallResNet`; instead of the mean over the last map a dense layer over all its places, as in
    face recognition (Deng et al., ArcFace, 2019): in aligned faces a place is a part of the face.
    """

    info = EncoderInfo(
        name="aligned",
        dim=256,
        licence="Apache-2.0",
        provenance="random",
        size=SIZE,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    )

    def __init__(self) -> None:
        super().__init__()
        channels, last = STAGES[0][0], STAGES[-1][0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.blocks = residual_stages(Block, STAGES, channels)
        self.squeeze = nn.Sequential(nn.Conv2d(last, SQUEEZED, 1, bias=False), nn.BatchNorm2d(SQUEEZED), nn.ReLU())
        side = SIZE // 2 ** len(STAGES)
        self.dense = nn.Sequential(
            nn.Flatten(), nn.Linear(SQUEEZED * side**2, self.info.dim, bias=False), nn.BatchNorm1d(self.info.dim)
        )

    def forward(self, faces: Tensor) -> Tensor:
        return encode_faces(self.network, self.info, faces)

    def network(self, x: Tensor) -> Tensor:
        """(N, 3, 80, 80) -> (N, 256)."""
        features: Tensor = self.dense(self.squeeze(self.blocks(self.stem(x))))
        return features
