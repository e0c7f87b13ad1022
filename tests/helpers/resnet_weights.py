"""ImageNet's ResNets as files: random weights under the names that torchvision and timm give them."""

import torch

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnext50": (3, 4, 6, 3)}
ONE_TO_ANOTHER = {"resnet18": 1, "resnet34": 1, "resnet50": 4, "resnext50": 4}  # channels out by those of the 3x3


def state_of(kind):
    """Random weights under the names that torchvision's and timm's files have, the classifier with them."""
    random, state = torch.Generator().manual_seed(5), {}

    def convolution(name, outputs, inputs, size):
        state[f"{name}.weight"] = torch.randn(outputs, inputs, size, size, generator=random) / (inputs * size**2) ** 0.5

    def norm(name, width):
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{leaf}"] = 0.5 + torch.rand(width, generator=random) / 2
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    convolution("conv1", 64, 3, 7)
    norm("bn1", 64)
    channels, expansion = 64, ONE_TO_ANOTHER[kind]
    groups, widening = (32, 2) if kind == "resnext50" else (1, 1)
    for stage, count in enumerate(BLOCKS[kind]):
        planes = 64 * 2**stage
        inner, outputs = planes * widening, planes * expansion
        for number in range(count):
            place = f"layer{stage + 1}.{number}"
            if expansion == 1:
                sizes = [(planes, channels, 3), (planes, planes, 3)]
            else:
                sizes = [(inner, channels, 1), (inner, inner // groups, 3), (outputs, inner, 1)]
            for k, size in enumerate(sizes, 1):
                convolution(f"{place}.conv{k}", *size)
                norm(f"{place}.bn{k}", size[0])
            if number == 0 and (stage or channels != outputs):
                convolution(f"{place}.downsample.0", outputs, channels, 1)
                norm(f"{place}.downsample.1", outputs)
            channels = outputs
    state |= {"fc.weight": torch.randn(1000, channels, generator=random), "fc.bias": torch.zeros(1000)}
    return state
