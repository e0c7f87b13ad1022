"""A residual face encoder for CPUs: about one million parameters, 80 x 80 pixels."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from sentio.affect.backbones import EncoderInfo, encode_faces, residual_stages

STAGES = ((32, 1), (64, 2), (128, 1), (192, 1))
"""Channels and blocks of the four stages; each begins with stride 2 but the first."""


class SmallResNet(nn.Module):
    """Faces (B, T, 3, H, W) in [0, 1] -> (B, T, 192)."""

    info = EncoderInfo(
        name="small",
        dim=STAGES[-1][0],
        licence="Apache-2.0",
        provenance="random",
        size=80,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    )

    def __init__(self) -> None:
        super().__init__()
        channels = STAGES[0][0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.blocks = residual_stages(Block, STAGES, channels)

    def forward(self, faces: Tensor) -> Tensor:
        return encode_faces(self.network, self.info, faces)

    def network(self, x: Tensor) -> Tensor:
        """(N, 3, 80, 80) -> (N, 192)."""
        features: Tensor = self.blocks(self.stem(x))  # (N, 192, 5, 5)
        return features.mean((2, 3))  # (N, 192)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut; the last batch norm starts at zero, so that it starts as its shortcut.

    ``norm`` makes the first norm from the number of channels.
    """

    def __init__(
        self, channels: int, width: int, *, stride: int, norm: Callable[[int], nn.Module] = nn.BatchNorm2d
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
            norm(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        nn.init.zeros_(self.body[4].weight)  # type: ignore[arg-type]
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.shortcut(x))
