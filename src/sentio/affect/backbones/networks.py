"""The face networks that systems are built on: by name, and applied to a batch."""

from typing import Literal, cast

from torch import Tensor

from sentio.affect.backbones import Encoder
from sentio.affect.backbones.aligned import AlignedResNet
from sentio.affect.backbones.resnet import ResNet, ResNet18, ResNet34, ResNet50, ResNeXt50
from sentio.affect.backbones.resnext import ResNeXt34
from sentio.affect.backbones.small import SmallResNet
from sentio.affect.batch import AffectBatch
from sentio.core.errors import InputError

FaceNetwork = Literal["small", "aligned", "resnext34", "resnet18", "resnet34", "resnet50", "resnext50"]
FaceModule = SmallResNet | AlignedResNet | ResNeXt34 | ResNet
NETWORKS: dict[str, type[FaceModule]] = {
    "small": SmallResNet,
    "aligned": AlignedResNet,
    "resnext34": ResNeXt34,
    "resnet18": ResNet18,
    "resnet34": ResNet34,
    "resnet50": ResNet50,
    "resnext50": ResNeXt50,
}
IMAGENET = tuple(name for name, kind in NETWORKS.items() if issubclass(kind, ResNet))
"""Those that take the published ImageNet weights of torchvision and timm."""


def make_network(name: FaceNetwork) -> FaceModule:
    """A face network with random weights."""
    return NETWORKS[name]()


def face_features(encoder: Encoder, batch: AffectBatch, part: slice = slice(None)) -> Tensor:
    """(B, part of T, D), encoded from the batch's faces or taken as stored.

    Raises:
        InputError: the stored features are of another length.
    """
    if batch.face_feature is None:
        return encoder(cast(Tensor, batch.face)[:, part])
    stored, needed = batch.face_feature.shape[2], encoder.info.dim
    if stored != needed:
        raise InputError(f"The stored face features have {stored} numbers, {encoder.info.name} gives {needed}.")
    return batch.face_feature[:, part]
