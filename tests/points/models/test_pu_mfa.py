import numpy as np
import pytest
import torch
from torch import nn

from sentio.core import export, registry
from sentio.points.batch import PatchBatch
from sentio.points.models.pu_mfa import GlobalContextRefining, PointTransformerBlock, SelfAttention

SMALL = {"channels": 16, "scales": 3, "heads": 2, "neighbours": 6}


@pytest.fixture(scope="module")
def method():
    torch.manual_seed(0)
    return registry.build("pu-mfa", SMALL).eval()


def patches(count=2, n=40):
    points = torch.randn(count, n, 3, generator=torch.Generator().manual_seed(1))
    return points / points.norm(dim=-1).amax(1)[:, None, None]


def torch_attention(query, key_value, mix, heads):
    """torch's own multi-head attention with the weights of ours."""
    channels = mix.in_features
    twin = nn.MultiheadAttention(channels, heads, batch_first=True)
    with torch.no_grad():
        twin.in_proj_weight.copy_(torch.cat([layer.weight for layer in (*query, *key_value)]))
        twin.in_proj_bias.copy_(torch.cat([layer.bias for layer in (*query, *key_value)]))
        twin.out_proj.weight.copy_(mix.weight)
        twin.out_proj.bias.copy_(mix.bias)
    return twin


def test_context_refining_is_multi_head_cross_attention():
    layer = GlobalContextRefining(16, 4)
    context, scale = torch.randn(2, 10, 16), torch.randn(2, 10, 16)
    twin = torch_attention((layer.query,), (layer.key_value,), layer.mix, 4)
    keys = layer.scale_norm(scale)
    seen, weights = twin(layer.norm(context), keys, keys)
    expected = context + seen
    found, map_ = layer(context, scale)
    assert torch.allclose(found, expected + layer.feed(expected), atol=1e-5)
    assert torch.allclose(map_, weights, atol=1e-6)


def test_self_attention_is_multi_head_attention():
    layer = SelfAttention(16, 4)
    x = torch.randn(2, 10, 16)
    twin = torch_attention((layer.qkv,), (), layer.mix, 4)
    expected = x + twin(*[layer.norm(x)] * 3)[0]
    assert torch.allclose(layer(x), expected + layer.feed(expected), atol=1e-5)


def test_point_transformer_block_is_vector_attention_by_the_book():
    block = PointTransformerBlock(8)
    feature, offset, index = torch.randn(1, 9, 8), torch.randn(1, 9, 4, 3), torch.randint(0, 9, (1, 9, 4))
    x = block.norm(feature)[0]
    for i in range(9):
        logits, values = [], []
        for n, j in enumerate(index[0, i]):
            position = block.position(offset[0, i, n])
            logits.append(block.attention(block.query(x[i]) - block.key(x[j]) + position))
            values.append(block.value(x[j]) + position)
        expected = feature[0, i] + block.mix((torch.stack(logits).softmax(0) * torch.stack(values)).sum(0))
        assert torch.allclose(block(feature, offset, index)[0, i], expected, atol=1e-5)


def test_stages_are_bounded_offsets_of_the_sources_and_maps_are_weights(method):
    sparse = patches()
    with torch.no_grad():
        result = method.upsample(sparse)
    source = sparse.repeat_interleave(4, dim=1)
    assert result.coarse.shape == result.fine.shape == (2, 160, 3)
    assert (result.coarse - source).abs().max() <= method.config.bound
    assert (result.fine - result.coarse).abs().max() <= method.config.bound
    assert result.attention.shape == (2, 3, 40, 40)
    assert torch.allclose(result.attention.sum(-1), torch.ones(2, 3, 40), atol=1e-5)


def test_the_order_of_points_does_not_matter(method):
    sparse = patches()
    order = torch.randperm(40)
    with torch.no_grad():
        plain, shuffled = method.upsample(sparse).fine, method.upsample(sparse[:, order]).fine
    assert torch.allclose(plain.unflatten(1, (40, 4))[:, order].flatten(1, 2), shuffled, atol=1e-5)


@pytest.mark.slow
def test_loss_falls_and_every_parameter_learns():
    torch.manual_seed(0)
    method = registry.build("pu-mfa", SMALL)
    dense = patches(2, 160)
    batch = PatchBatch(dense[:, ::4], dense)
    optimizer = torch.optim.Adam(method.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        terms = method.loss(batch, 0.0)
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        losses.append(terms["fine"].item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters())


@pytest.mark.parametrize("size", [(1, 30), (3, 64)])
def test_onnx_gives_the_numbers_of_torch(method, tmp_path, size):
    onnxruntime = pytest.importorskip("onnxruntime")
    (graph,) = method.graphs()
    export.write_onnx(graph, tmp_path / "model.onnx")
    sparse = patches(*size)
    found = onnxruntime.InferenceSession((tmp_path / "model.onnx").read_bytes()).run(None, {"sparse": sparse.numpy()})
    with torch.no_grad():
        result = method.upsample(sparse)
    for a, b in zip((result.coarse, result.fine, result.attention), found, strict=True):
        assert np.allclose(a.numpy(), b, atol=1e-5)


def test_a_point_that_asks_its_own_feature_alone_needs_no_attention():
    layer = GlobalContextRefining(16, 4, own=True)
    context, scale = torch.randn(2, 10, 16), torch.randn(2, 10, 16)
    value = layer.key_value(layer.scale_norm(scale))[..., 16:]
    expected = context + layer.mix(value)
    found, map_ = layer(context, scale)
    assert torch.allclose(found, expected + layer.feed(expected), atol=1e-5)
    assert torch.equal(map_, torch.eye(10).expand(2, 10, 10))


class Leaf(nn.Module):
    """A block of the extractor whose feature depends on nothing."""

    def forward(self, feature, offset, neighbours):
        self.feature = feature.detach().clone().requires_grad_()
        return self.feature


@pytest.mark.parametrize("refine", ["scales", "deepest", "own", "nothing"])
def test_the_refiner_asks_each_scale_or_the_deepest_alone(refine):
    torch.manual_seed(0)
    method = registry.build("pu-mfa", SMALL | {"refine": refine})
    method.extractor[1], method.extractor[2] = Leaf(), Leaf()
    method.upsample(patches()).fine.square().sum().backward()
    assert (method.extractor[1].feature.grad is not None) == (refine in ("scales", "own"))
    assert method.extractor[2].feature.grad.abs().sum() > 0


def test_without_self_attention_points_are_refined_alone():
    torch.manual_seed(0)
    method = registry.build("pu-mfa", SMALL | {"attend": False}).eval()
    assert not any("attention.qkv" in name for name, _ in method.named_parameters())
    assert method.upsample(patches()).fine.shape == (2, 160, 3)
