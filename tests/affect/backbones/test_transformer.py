"""The layers against torch's own, positions against their closed form, masks against what they must hide."""

import math

import pytest
import torch
from torch import nn

from sentio.affect.backbones.transformer import CrossAttention, Layer, rotate, sinusoid


@pytest.mark.parametrize("dim", [2, 8, 768])
def test_positions_are_their_closed_form(dim):
    places = torch.tensor([[0.0, 1.0, 2.5], [99.0, -3.0, 40.0]])
    found = sinusoid(places, dim)
    assert found.shape == (2, 3, dim)
    for row, column in ((0, 1), (0, 2), (1, 0), (1, 1)):
        position = float(places[row, column])
        for i in range(dim // 2):
            angle = position / 10000 ** (2 * i / dim)
            assert float(found[row, column, 2 * i]) == pytest.approx(math.sin(angle), abs=1e-4)
            assert float(found[row, column, 2 * i + 1]) == pytest.approx(math.cos(angle), abs=1e-4)


def test_turned_products_depend_on_the_distance_alone():
    torch.manual_seed(0)
    query, key = torch.randn(2, 8)
    one = (rotate(query[None], torch.tensor([7.0])) * rotate(key[None], torch.tensor([4.5]))).sum()
    two = (rotate(query[None], torch.tensor([52.5])) * rotate(key[None], torch.tensor([50.0]))).sum()
    other = (rotate(query[None], torch.tensor([7.0])) * rotate(key[None], torch.tensor([5.5]))).sum()
    torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)
    assert abs(float(one - other)) > 1e-3
    angle = 3.0 / 10000 ** (2 / 8)
    pair = torch.tensor([math.cos(angle) * 0.5 - math.sin(angle) * 2, math.sin(angle) * 0.5 + math.cos(angle) * 2])
    turned = rotate(torch.tensor([[0.0, 0, 0.5, 2, 0, 0, 0, 0]]), torch.tensor([3.0]))
    torch.testing.assert_close(turned[0, 2:4], pair)


def twin(layer, dim, heads, hidden):
    """torch's layer with the weights of ours."""
    theirs = nn.TransformerEncoderLayer(dim, heads, hidden, dropout=0.0, batch_first=True).eval()
    names = {
        "self_attn.in_proj_weight": layer.project.weight, "self_attn.in_proj_bias": layer.project.bias,
        "self_attn.out_proj.weight": layer.join.weight, "self_attn.out_proj.bias": layer.join.bias,
        "linear1.weight": layer.expand.weight, "linear1.bias": layer.expand.bias,
        "linear2.weight": layer.contract.weight, "linear2.bias": layer.contract.bias,
        "norm1.weight": layer.norms[0].weight, "norm1.bias": layer.norms[0].bias,
        "norm2.weight": layer.norms[1].weight, "norm2.bias": layer.norms[1].bias,
    }  # fmt: skip
    theirs.load_state_dict({name: value.detach() for name, value in names.items()})
    return theirs


@pytest.mark.parametrize(("dim", "heads", "hidden"), [(8, 1, 4), (16, 4, 32), (48, 8, 20)])
def test_a_layer_is_torchs_encoder_layer(dim, heads, hidden):
    torch.manual_seed(1)
    layer = Layer(dim, heads, hidden, dropout=0.5).eval()
    for value in layer.parameters():
        nn.init.normal_(value, std=0.3)
    theirs, x = twin(layer, dim, heads, hidden), torch.randn(3, 7, dim)
    torch.testing.assert_close(layer(x), theirs(x), atol=1e-5, rtol=1e-4)
    allowed = torch.rand(7, 7) > 0.4
    allowed |= torch.eye(7, dtype=torch.bool)
    masked = layer(x, allowed.expand(3, 7, 7))
    torch.testing.assert_close(masked, theirs(x, src_mask=~allowed), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(masked, layer(x))


def test_what_a_frame_may_not_see_changes_no_bit_of_it():
    torch.manual_seed(2)
    layer = Layer(16, 4, 32, dropout=0.0).eval()
    x = torch.randn(2, 9, 16)
    allowed = torch.ones(9, 9).tril().bool().expand(2, 9, 9)
    other = x.clone()
    other[:, 5:] = torch.randn(2, 4, 16) * 50
    before, after = layer(x, allowed), layer(other, allowed)
    assert torch.equal(before[:, :5], after[:, :5]) and not torch.equal(before[:, 5], after[:, 5])


def test_dropout_is_of_training_alone():
    torch.manual_seed(3)
    layer = Layer(16, 2, 32, dropout=0.5)
    x = torch.randn(1, 4, 16)
    assert not torch.equal(layer(x), layer(x))
    assert torch.equal(layer.eval()(x), layer(x))


def naive_attention(block, x, other, allowed):
    """One row, one head, one product at a time."""
    queries, (keys, values) = block.query(x), block.key_value(other).chunk(2, -1)
    B, N, dim = x.shape
    size = dim // block.heads
    rows = torch.zeros(B, N, dim)
    for b in range(B):
        for n in range(N):
            seen = [m for m in range(other.shape[1]) if allowed[b, n, m]]
            if not seen:
                continue
            joined = []
            for head in range(block.heads):
                part = slice(head * size, (head + 1) * size)
                scores = [float(queries[b, n, part] @ keys[b, m, part]) / math.sqrt(size) for m in seen]
                weights = [math.exp(score - max(scores)) for score in scores]
                joined.append(sum(w * values[b, m, part] for w, m in zip(weights, seen, strict=True)) / sum(weights))
            rows[b, n] = block.join(torch.cat(joined))
    total = x + rows
    spread = total.var(-1, correction=0, keepdim=True) + block.norm.eps
    return (total - total.mean(-1, keepdim=True)) / spread.sqrt() * block.norm.weight + block.norm.bias


@pytest.mark.parametrize(("dim", "heads"), [(8, 1), (16, 4)])
def test_attention_to_another_sequence_is_a_naive_loop(dim, heads):
    torch.manual_seed(3)
    block = CrossAttention(dim, heads, dropout=0.5).eval()
    for value in block.parameters():
        nn.init.normal_(value, std=0.4)
    x, other = torch.randn(2, 5, dim), torch.randn(2, 7, dim)
    allowed = torch.rand(2, 5, 7) > 0.5
    allowed[1, 2] = False
    with torch.no_grad():
        torch.testing.assert_close(block(x, other, allowed), naive_attention(block, x, other, allowed))
        everything = torch.ones_like(allowed)
        torch.testing.assert_close(block(x, other), naive_attention(block, x, other, everything))
        torch.testing.assert_close(block(x, other, allowed)[1, 2], block.norm(x[1, 2]))


def test_what_may_not_be_seen_of_the_other_sequence_has_no_influence():
    torch.manual_seed(4)
    block = CrossAttention(16, 4, dropout=0.0)
    x, other = torch.randn(2, 5, 16), torch.randn(2, 7, 16, requires_grad=True)
    allowed = torch.rand(2, 5, 7) > 0.3
    allowed[:, :, 4] = False
    allowed[0, 0] = False
    changed = other.detach().clone()
    changed[:, 4] = 9.0
    assert torch.equal(block(x, other, allowed), block(x, changed, allowed))
    block(x, other, allowed).sum().backward()
    assert torch.isfinite(other.grad).all() and not other.grad[:, 4].any()
