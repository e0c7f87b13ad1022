"""ResNeXt-34 with parallel-add attention, the face network under FER-Tuned and CAPNet.

Every convolution pads as Keras' "same" does: with stride 2 on an even side the odd pixel goes to the right and the
bottom. All convolutions have biases; the batch norms have Keras' epsilon, 1e-3.
"""

import math

from torch import Tensor, nn
from torch.nn import functional, init

from sentio.affect.backbones import EncoderInfo, encode_faces, residual_stages

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Channels and blocks of the four stages."""
CARDINALITY = 32


class ResNeXt34(nn.Module):
    """Faces (B, T, 3, H, W) in [0, 1] -> (B, T, 512): resized to 224, not normalised, pooled over the picture."""

    info = EncoderInfo(
        name="resnext34", dim=512, licence="Apache-2.0", provenance="random", size=224, interpolation="bicubic"
    )

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(SameConv2d(3, 64, 7, stride=2, he=True), _norm(64), nn.ReLU())
        self.blocks = residual_stages(Block, STAGES, 64)

    def forward(self, faces: Tensor) -> Tensor:
        return encode_faces(self.network, self.info, faces)

    def network(self, x: Tensor) -> Tensor:
        """(N, 3, 224, 224) -> (N, 512)."""
        x = self.stem(x)  # (N, 64, 112, 112)
        x = functional.max_pool2d(pad_same(x, 3, 2, value=-math.inf), 3, 2)  # (N, 64, 56, 56)
        features: Tensor = self.blocks(x)  # (N, 512, 7, 7)
        return features.mean((2, 3))  # (N, 512)


class Block(nn.Module):
    """Basic block: 3x3, grouped 3x3, shortcut, ReLU, attention."""

    def __init__(self, channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.first = SameConv2d(channels, width, 3, stride=stride, he=True)
        self.first_norm = _norm(width)
        self.second = SameConv2d(width, width, 3, groups=CARDINALITY)
        self.second_norm = _norm(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != width:
            self.shortcut = nn.Sequential(SameConv2d(channels, width, 1, stride=stride), _norm(width))
        self.attention = ParallelAttention(width)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        attended: Tensor = self.attention(functional.relu(y + self.shortcut(x)))
        return attended


class ParallelAttention(nn.Module):
    """x scaled by a weight for each channel, plus x scaled by a weight for each place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = dense(width, width // 4)
        self.excite = dense(width // 4, width)
        self.place = SameConv2d(width, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        channel = self.excite(functional.relu(self.squeeze(x.mean((2, 3))))).sigmoid()  # (N, C)
        place = self.place(x).sigmoid()  # (N, 1, H, W)
        attended: Tensor = x * channel[:, :, None, None] + x * place
        return attended


class SameConv2d(nn.Conv2d):
    """A convolution with Keras' "same" padding and initial values: glorot uniform, or he normal; zero bias."""

    def __init__(
        self, channels: int, width: int, kernel: int, *, stride: int = 1, groups: int = 1, he: bool = False
    ) -> None:
        super().__init__(channels, width, kernel, stride=stride, groups=groups)
        if he:
            # Keras cuts the normal at two deviations and widens it so that the variance is as asked
            deviation = math.sqrt(2 / (channels // groups * kernel**2)) / 0.87962566
            init.trunc_normal_(self.weight, 0.0, deviation, -2 * deviation, 2 * deviation)
        else:
            init.xavier_uniform_(self.weight)
        init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(pad_same(input, self.kernel_size[0], self.stride[0]))


def pad_same(x: Tensor, kernel: int, stride: int, *, value: float = 0.0) -> Tensor:
    """Pad (..., H, W) so that a window gives ceil(side / stride) places; of an odd padding the end gets more."""
    padding = []
    for side in (x.shape[-1], x.shape[-2]):
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        padding += [total // 2, total - total // 2]
    return functional.pad(x, padding, value=value) if any(padding) else x


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.1)


def dense(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with Keras' initial values: glorot uniform, zero bias."""
    layer = nn.Linear(inputs, outputs)
    init.xavier_uniform_(layer.weight)
    init.zeros_(layer.bias)
    return layer
