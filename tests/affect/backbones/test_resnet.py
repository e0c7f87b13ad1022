"""ImageNet's ResNets: torchvision's and timm's names and weights against the papers' layers written down plainly."""

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from resnet_weights import BLOCKS, ONE_TO_ANOTHER, state_of
from sentio.affect.backbones.networks import IMAGENET, make_network
from sentio.core import registry, weights
from sentio.core.errors import RecipeError, WeightsError
from sentio.core.runs import start_from


def features_of(kind, state, x):
    """What He et al. and Xie et al. compute with the weights of ``state``: (N, 3, S, S) -> (N, D)."""

    def norm(x, name):
        values = (state[f"{name}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, *values)

    x = functional.relu(norm(functional.conv2d(x, state["conv1.weight"], stride=2, padding=3), "bn1"))
    x = functional.max_pool2d(x, 3, 2, 1)
    layers = (1, 2) if ONE_TO_ANOTHER[kind] == 1 else (1, 2, 3)
    strided = 1 if len(layers) == 2 else 2
    for stage, count in enumerate(BLOCKS[kind]):
        for number in range(count):
            place, y = f"layer{stage + 1}.{number}", x
            stride = 2 if stage and not number else 1
            for k in layers:
                weight = state[f"{place}.conv{k}.weight"]
                options = {"stride": stride if k == strided else 1, "padding": weight.shape[-1] // 2}
                y = norm(
                    functional.conv2d(y, weight, groups=y.shape[1] // weight.shape[1], **options), f"{place}.bn{k}"
                )
                y = functional.relu(y) if k != layers[-1] else y
            if f"{place}.downsample.0.weight" in state:
                x = functional.conv2d(x, state[f"{place}.downsample.0.weight"], stride=stride)
                x = norm(x, f"{place}.downsample.1")
            x = functional.relu(x + y)
    return x.mean((2, 3))


@pytest.mark.parametrize("kind", BLOCKS)
def test_published_weights_give_what_the_paper_computes_with_them(kind, tmp_path):
    state = state_of(kind)
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    method = registry.build("fer-tuned", {"encoder": kind})
    start_from(method, {"encoder": tmp_path / "model.safetensors"})
    network = method.encoder.eval()
    size = network.info.size
    faces = torch.rand(1, 2, 3, size, size)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])  # of ImageNet
    with torch.no_grad():
        expected = features_of(kind, state, ((faces[0].movedim(1, -1) - mean) / std).movedim(-1, 1))
        torch.testing.assert_close(network(faces)[0], expected, rtol=1e-3, atol=1e-3)
    assert expected.shape == (2, network.info.dim) and expected.std() > 0.1


def test_half_precision_and_files_without_counters_are_taken(tmp_path):
    state = {name: value.half() for name, value in state_of("resnet18").items() if "num_batches" not in name}
    save_file(state, tmp_path / "model.safetensors")
    method = registry.build("capnet", {"encoder": "resnet18"})
    start_from(method, {"fer.encoder": tmp_path / "model.safetensors"})
    weight = method.encoder.stem[0].weight
    assert weight.dtype == torch.float32 and torch.equal(weight, state["conv1.weight"].float())


def test_what_does_not_fit_is_counted_and_nothing_is_changed(tmp_path):
    save_file(state_of("resnet18"), tmp_path / "r18.safetensors")
    for kind, said in (
        ("resnet34", r"is no resnet34 .*: 100 of 180 tensors fit; it has no layer1.2.bn1.bias, .* and 76 more"),
        ("resnet50", r"tensors fit; it has no .*"),
    ):
        method = registry.build("fer-tuned", {"encoder": kind})
        before = method.encoder.stem[0].weight.clone()
        with pytest.raises(WeightsError, match=said):
            start_from(method, {"encoder": tmp_path / "r18.safetensors"})
        assert torch.equal(method.encoder.stem[0].weight, before)
    with pytest.raises(RecipeError, match=r"encoder \(ResNeXt34\) takes no other weights"):
        start_from(registry.build("fer-tuned", {}), {"encoder": tmp_path / "r18.safetensors"})
    with pytest.raises(RecipeError, match="no part of pu-mfa takes such"):
        start_from(registry.build("pu-mfa", {}), {"all": tmp_path / "r18.safetensors"})
    deeper = state_of("resnet18") | {"layer1.0.se.fc1.weight": torch.zeros(2, 2)}
    with pytest.raises(WeightsError, match="it has an unknown layer1.0.se.fc1.weight"):
        make_network("resnet18").take(deeper, "se")


def test_a_pickle_is_refused(tmp_path):
    torch.save(state_of("resnet18"), tmp_path / "resnet18.pth")
    with pytest.raises(WeightsError, match="refused"):
        start_from(registry.build("fer-tuned", {"encoder": "resnet18"}), {"encoder": tmp_path / "resnet18.pth"})


def test_a_trained_network_is_one_of_sentio(tmp_path):
    method = registry.build("fer-tuned", {"encoder": "small"})
    weights.save(tmp_path / "own.safetensors", method)
    assert weights.is_of_sentio(tmp_path / "own.safetensors") and "small" not in IMAGENET
