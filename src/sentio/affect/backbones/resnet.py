"""ResNets as torchvision and timm have them, with the same names of their weights for whoever brings some.

He et al., 2016, with the stride in the 3x3 convolution; ResNeXt: Xie et al., 2017. ResNet-50 is BYEL's face network.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional, init

from sentio.affect.backbones import EncoderInfo, encode_faces, residual_stages
from sentio.affect.backbones.small import Block
from sentio.core.errors import WeightsError

COUNTS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Blocks of the four stages by layers."""
PLACES = {0: "conv1", 1: "bn1", 3: "conv2", 4: "bn2", 6: "conv3", 7: "bn3"}
"""Names of what stands where in a block's body."""
HEAD = ("fc.", "classifier.")
"""What begins like this is the classifier of the thousand classes, and not taken."""


def _info(name: str, dim: int, size: int = 224) -> EncoderInfo:
    """With the mean and deviation of ImageNet's pictures, as all of these weights were trained."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return EncoderInfo(name, dim, "Apache-2.0", "random", size=size, mean=mean, std=std, interpolation="bicubic")


class Bottleneck(nn.Module):
    """1x1 to fewer channels, 3x3 in groups, 1x1 back, and a shortcut."""

    def __init__(self, channels: int, width: int, *, stride: int, reduction: int = 4, groups: int = 1) -> None:
        super().__init__()
        narrow = width // reduction
        self.body = nn.Sequential(
            _convolution(channels, narrow, 1),
            nn.BatchNorm2d(narrow),
            nn.ReLU(),
            _convolution(narrow, narrow, 3, stride=stride, groups=groups),
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


class ResNet(nn.Module):
    """Faces (B, T, 3, H, W) in [0, 1] -> (B, T, D): resized, ImageNet's mean and deviation, pooled."""

    info: ClassVar[EncoderInfo]
    block: ClassVar[Callable[..., nn.Module]]
    counts: ClassVar[Sequence[int]]

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(3, 64, 7, stride=2), nn.BatchNorm2d(64), nn.ReLU())
        widths = [self.info.dim // 8 * 2**stage for stage in range(4)]
        self.blocks = residual_stages(self.block, list(zip(widths, self.counts, strict=True)), 64)

    def forward(self, faces: Tensor) -> Tensor:
        return encode_faces(self.network, self.info, faces)

    def network(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, D)."""
        x = functional.max_pool2d(self.stem(x), 3, stride=2, padding=1)  # (N, 64, S / 4, S / 4)
        features: Tensor = self.blocks(x)  # (N, D, S / 32, S / 32)
        return features.mean((2, 3))  # (N, D)

    def elsewhere(self, name: str) -> str:
        """What torchvision and timm call one of its tensors."""
        part, number, *inside = name.split(".")
        if part == "stem":
            return ".".join([PLACES[int(number)], *inside])
        stage, position = 0, int(number)
        while position >= self.counts[stage]:
            stage, position = stage + 1, position - self.counts[stage]
        place = ["downsample", inside[1]] if inside[0] == "shortcut" else [PLACES[int(inside[1])]]
        return ".".join([f"layer{stage + 1}", str(position), *place, *inside[2:]])

    def take(self, tensors: Mapping[str, Tensor], origin: str) -> None:
        """Become what torchvision's or timm's weights are, all of them but the classifier.

        Args:
            tensors: by the names that they have there.
            origin: where they are from, for messages.

        Raises:
            WeightsError: a tensor is missing, of another shape, or one too many; the message counts what fits.
        """
        own = {self.elsewhere(name): (name, value) for name, value in self.state_dict().items()}
        wanted = {name for name in own if not name.endswith("num_batches_tracked")}
        given = {name: value for name, value in tensors.items() if not name.startswith(HEAD)}
        shapes = {name: (tuple(given[name].shape), tuple(own[name][1].shape)) for name in sorted(wanted & given.keys())}
        other = [
            f"{name} of {found}, not {expected}" for name, (found, expected) in shapes.items() if found != expected
        ]
        wrong = [f"no {name}" for name in sorted(wanted - given.keys())]
        wrong += [f"an unknown {name}" for name in sorted(given.keys() - own.keys())] + other
        if wrong:
            fitting = len(shapes) - len(other)
            shown = ", ".join(wrong[:4]) + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else "")
            raise WeightsError(
                f"{origin} is no {self.info.name} as torchvision or timm has it: {fitting} of {len(wanted)} tensors "
                f"fit; it has {shown}.",
                "Choose the model.encoder that it is of: resnet18, resnet34, resnet50 or resnext50 (32 groups of 4).",
            )
        self.load_state_dict({own[name][0]: value.float() for name, value in given.items()}, strict=False)


class ResNet18(ResNet):
    """As :class:`ResNet`: 512 numbers of 224 x 224 pixels."""

    info = _info("resnet18", 512)
    block, counts = Block, COUNTS[18]


class ResNet34(ResNet):
    """As :class:`ResNet`: 512 numbers of 224 x 224 pixels."""

    info = _info("resnet34", 512)
    block, counts = Block, COUNTS[34]


class ResNet50(ResNet):
    """As :class:`ResNet`: 2048 numbers of 128 x 128 pixels, as BYEL has them."""

    info = _info("resnet50", 2048, size=128)
    block, counts = Bottleneck, COUNTS[50]


class ResNeXt50(ResNet):
    """As :class:`ResNet`: 32 groups of 4 channels, 2048 numbers of 224 x 224 pixels."""

    info = _info("resnext50", 2048)
    block, counts = partial(Bottleneck, reduction=2, groups=32), COUNTS[50]


def _convolution(channels: int, width: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
