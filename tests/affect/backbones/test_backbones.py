"""Face networks of our own: padding, blocks and attention against plain loops, initial values, sizes, descriptions."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from sentio.affect.backbones import EncoderInfo, fingerprint, normalise
from sentio.affect.backbones.encoders import open_encoder
from sentio.affect.backbones.resnext import Block, ResNeXt34, SameConv2d, pad_same
from sentio.affect.backbones.small import SmallResNet
from sentio.core import registry, weights
from sentio.core.errors import RecipeError, WeightsError


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "expected"),
    [
        (224, 7, 2, (2, 3)),
        (112, 3, 2, (0, 1)),
        (56, 3, 2, (0, 1)),
        (56, 3, 1, (1, 1)),
        (56, 1, 2, (0, 0)),
        (7, 3, 2, (1, 1)),
    ],
)
def test_padding_is_that_of_keras_same(side, kernel, stride, expected):
    x = torch.ones(1, 1, side, side)
    padded = pad_same(x, kernel, stride)
    row = padded[0, 0, side // 2]
    before, after = int(row.argmax()), int(row.flip(0).argmax())
    assert (before, after) == expected
    assert (padded.shape[-1] - kernel) // stride + 1 == math.ceil(side / stride)


def naive_convolution(x, weight, bias, stride, groups):
    """Same-padded convolution as its definition says: (C, H, W) -> (K, H', W')."""
    K, per_group, k, _ = weight.shape
    side = x.shape[1]
    out = math.ceil(side / stride)
    before = max((out - 1) * stride + k - side, 0) // 2
    result = np.zeros((K, out, out))
    for f in range(K):
        first = f // (K // groups) * per_group
        for row in range(out):
            for column in range(out):
                total = bias[f]
                for i in range(k):
                    for j in range(k):
                        y, z = row * stride + i - before, column * stride + j - before
                        if 0 <= y < side and 0 <= z < side:
                            total += weight[f, :, i, j] @ x[first : first + per_group, y, z]
                result[f, row, column] = total
    return result


def naive_norm(x, norm):
    mean, variance = norm.running_mean.numpy(), norm.running_var.numpy()
    scale = norm.weight.detach().numpy() / np.sqrt(variance + 1e-3)
    return (x - mean[:, None, None]) * scale[:, None, None] + norm.bias.detach().numpy()[:, None, None]


def naive_block(x, block, stride):
    def convolve(value, layer, stride, groups):
        return naive_convolution(value, layer.weight.detach().numpy(), layer.bias.detach().numpy(), stride, groups)

    y = np.maximum(naive_norm(convolve(x, block.first, stride, 1), block.first_norm), 0)
    y = naive_norm(convolve(y, block.second, 1, 32), block.second_norm)
    shortcut = x
    if stride > 1:
        shortcut = naive_norm(convolve(x, block.shortcut[0], stride, 1), block.shortcut[1])
    z = np.maximum(y + shortcut, 0)
    attention = block.attention
    squeeze = attention.squeeze.weight.detach().numpy() @ z.mean((1, 2)) + attention.squeeze.bias.detach().numpy()
    excite = attention.excite.weight.detach().numpy() @ np.maximum(squeeze, 0) + attention.excite.bias.detach().numpy()
    channel = z * (1 / (1 + np.exp(-excite)))[:, None, None]
    place = z * (1 / (1 + np.exp(-convolve(z, attention.place, 1, 1))))
    return channel + place


@pytest.mark.parametrize(("channels", "width", "stride"), [(64, 64, 1), (32, 64, 2)])
def test_a_block_is_what_plain_loops_compute(channels, width, stride):
    torch.manual_seed(0)
    block = Block(channels, width, stride=stride).eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.bias)
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.bias)
    x = torch.randn(channels, 6, 6)
    with torch.no_grad():
        found = block(x[None])[0].numpy()
    np.testing.assert_allclose(found, naive_block(x.numpy().astype(np.float64), block, stride), rtol=1e-4, atol=1e-4)


def test_resnext_has_the_layers_and_sides_of_the_notes():
    model = ResNeXt34().eval()
    sides = []
    for block in (model.stem, *model.blocks):
        block.register_forward_hook(lambda _, __, y: sides.append(tuple(y.shape[1:])))
    with torch.no_grad():
        features = model(torch.rand(1, 2, 3, 112, 112))
    assert features.shape == (1, 2, 512)
    assert sides[0] == (64, 112, 112)
    assert sides[1:] == [(64, 56, 56)] * 3 + [(128, 28, 28)] * 4 + [(256, 14, 14)] * 6 + [(512, 7, 7)] * 3
    expected = 3 * 64 * 49 + 64 + 2 * 64
    for channels, width, down in [(64, 64, 0)] * 3 + [(64, 128, 1), *[(128, 128, 0)] * 3] + [
        (128, 256, 1), *[(256, 256, 0)] * 5] + [(256, 512, 1), *[(512, 512, 0)] * 2]:  # fmt: skip
        convolutions = 9 * channels * width + width + 9 * width * width // 32 + width + 4 * width
        attention = width * width // 4 * 2 + width // 4 + width + 9 * width + 1
        expected += convolutions + attention + down * (channels * width + width + 2 * width)
    assert sum(value.numel() for value in model.parameters()) == expected


def test_initial_values_are_those_of_keras():
    torch.manual_seed(0)
    he = SameConv2d(64, 256, 3, he=True).weight.detach()
    deviation = math.sqrt(2 / (64 * 9))
    assert float(he.std()) == pytest.approx(deviation, rel=0.02)
    assert float(he.abs().max()) <= 2 * deviation / 0.87962566 + 1e-6
    glorot = SameConv2d(64, 256, 3).weight.detach()
    assert float(glorot.abs().max()) == pytest.approx(math.sqrt(6 / (9 * 64 + 9 * 256)), rel=0.01)
    assert {norm.eps for norm in ResNeXt34().modules() if isinstance(norm, nn.BatchNorm2d)} == {1e-3}


def test_the_small_encoder_is_small_and_starts_as_its_shortcuts():
    model = SmallResNet()
    assert 0.9e6 < sum(value.numel() for value in model.parameters()) < 1.1e6
    features = model(torch.rand(2, 3, 3, 112, 112))
    assert features.shape == (2, 3, model.info.dim)
    block = model.blocks[2].eval()
    x = torch.randn(1, 64, 10, 10)
    assert torch.equal(block(x), torch.relu(x))


@pytest.mark.parametrize("kind", [ResNeXt34, SmallResNet])
@pytest.mark.slow
def test_frames_do_not_influence_each_other_in_eval_mode(kind):
    torch.manual_seed(0)
    model = kind().eval()
    faces = torch.rand(2, 1, 3, 96, 96)
    with torch.no_grad():
        together = model(faces)
        alone = torch.cat([model(faces[:1]), model(faces[1:])])
        torch.testing.assert_close(model(faces.transpose(0, 1))[0], together[:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_pictures_are_resized_and_normalised_as_the_description_says():
    info = EncoderInfo("x", 1, "", "", size=8, mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.2))
    grey = torch.full((1, 3, 20, 20), 0.5)
    found = normalise(grey, info)
    assert found.shape == (1, 3, 8, 8)
    torch.testing.assert_close(found[0, :, 3, 3], torch.tensor([0.0, 0.4, 1.0]), atol=1e-5, rtol=0)
    halves = torch.zeros(1, 3, 16, 16)
    halves[..., 8:] = 1
    shrunk = normalise(halves, EncoderInfo("x", 1, "", "", size=8, interpolation="bicubic"))
    assert shrunk.min() == 0 and shrunk.max() == 1 and torch.equal(shrunk[0, 0, 0, [0, 7]], torch.tensor([0.0, 1.0]))


def test_fingerprint_follows_weights_and_description():
    torch.manual_seed(0)
    model = SmallResNet()
    first = fingerprint(model)
    assert first == fingerprint(model.eval()) and len(first) == 64
    with torch.no_grad():
        model.stem[0].weight[0, 0, 0, 0] += 1e-6
    assert fingerprint(model) != first


def test_the_encoder_of_a_trained_system_is_opened_frozen(tmp_path):
    torch.manual_seed(1)
    system = registry.build("fer-tuned", {"encoder": "small"})
    weights.save(tmp_path / "fer.safetensors", system)
    encoder = open_encoder(str(tmp_path / "fer.safetensors"))
    faces = torch.rand(1, 2, 3, 80, 80)
    assert torch.equal(encoder(faces), system.encoder.eval()(faces))
    assert encoder.info.provenance == "fer.safetensors"
    assert fingerprint(encoder) == fingerprint(system.encoder)  # features of the one serve the other
    assert not any(value.requires_grad for value in encoder.parameters())


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(RecipeError, match="no encoder 'vgg'"):
        open_encoder("vgg")
    with pytest.raises(WeightsError, match="Cannot read"):
        open_encoder(str(tmp_path / "none.safetensors"))
