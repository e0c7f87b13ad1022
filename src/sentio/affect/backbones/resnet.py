"""ResNet-50, BYEL's face network (He et al., 2016; the stride is in the 3x3 convolution)."""

from torch import Tensor, nn
from torch.nn import functional, init

from sentio.affect.backbones import EncoderInfo, encode_faces, residual_stages

STAGES = ((256, 3), (512, 4), (1024, 6), (2048, 3))
"""Channels and blocks of the four stages; each begins with stride 2 but the first."""
REDUCTION = 4


class ResNet50(nn.Module):
    """Faces (B, T, 3, H, W) in [0, 1] -> (B, T, 2048): resized to 128, ImageNet's mean and deviation, pooled."""

    info = EncoderInfo(
        name="resnet50",
        dim=STAGES[-1][0],
        licence="Apache-2.0",
        provenance="random",
        size=128,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        interpolation="bicubic",
    )

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(3, 64, 7, stride=2), nn.BatchNorm2d(64), nn.ReLU())
        self.blocks = residual_stages(Bottleneck, STAGES, 64)

    def forward(self, faces: Tensor) -> Tensor:
        return encode_faces(self.network, self.info, faces)

    def network(self, x: Tensor) -> Tensor:
        """(N, 3, 128, 128) -> (N, 2048)."""
        x = functional.max_pool2d(self.stem(x), 3, stride=2, padding=1)  # (N, 64, 32, 32)
        features: Tensor = self.blocks(x)  # (N, 2048, 4, 4)
        return features.mean((2, 3))  # (N, 2048)


class Bottleneck(nn.Module):
    """1x1 to a quarter of the channels, 3x3, 1x1 back, and a shortcut."""

    def __init__(self, channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        narrow = width // REDUCTION
        self.body = nn.Sequential(
            _convolution(channels, narrow, 1),
            nn.BatchNorm2d(narrow),
            nn.ReLU(),
            _convolution(narrow, narrow, 3, stride=stride),
            nn.BatchNorm2d(narrow),
            nn.ReLU(),
            _convolution(narrow, width, 1),
            nn.BatchNorm2d(width),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != width:
            self.shortcut = nn.Sequential(_convolution(channels, width, 1, stride=stride), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.shortcut(x))


def _convolution(channels: int, width: int, kernel: int, *, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2, bias=False)
    init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
