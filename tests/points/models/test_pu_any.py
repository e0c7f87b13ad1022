import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from sentio.core import export, registry
from sentio.core.config import to_dict
from sentio.points import candidates, geometry, networks
from sentio.points.models.pu_any import ContextRefiner, Encoder, PointTransformerBlock, PUAnyConfig
from sentio.points.queries import QueryClouds, QueryDataConfig, join
from sentio.points.shapes import procedural

SMALL = {"channels": 16, "heads": 2, "neighbours": 6, "dilations": [1, 2], "query_neighbours": 5}


@pytest.fixture(scope="module")
def method():
    torch.manual_seed(0)
    return registry.build("pu-any", SMALL).eval()


def batch(points, queries, config):
    """The tensors of a cloud and its queries, unlabelled."""
    source = geometry.measure(points, config.neighbours * max(config.dilations))
    near = geometry.nearest(points, queries, config.query_neighbours)[1]
    item = {"points": points, "frames": source.frames, "spacing": source.spacing, "neighbours": source.neighbours}
    item |= {"queries": queries, "near": near, "surface": queries[:, None], "normals": queries[:, None]}
    item |= {"weight": np.ones(len(queries)), "single": np.ones(len(queries))}
    return join([[item]])


def test_displacements_turn_move_and_scale_with_the_cloud(method):
    points = procedural(1).sample_evenly(300, seed=0).points
    queries, _ = candidates.generate(geometry.measure(points), np.arange(50))
    turn = Rotation.random(random_state=1).as_matrix()
    with torch.no_grad():
        plain, error = method(batch(points, queries, method.config))
        moved, same = method(batch(3 * points @ turn.T + [1, 2, 3], 3 * queries @ turn.T + [1, 2, 3], method.config))
    expected = 3 * plain.numpy() @ turn.T
    far = np.abs(moved.numpy() - expected).max(1) > 1e-3 * np.abs(expected).max()
    assert far.mean() < 0.02  # where two principal axes are equally long, rounding may choose
    assert np.quantile((error - same).abs().numpy(), 0.98) < 1e-3


def test_no_query_moves_farther_than_the_least_spacing_around_it(method):
    points = procedural(1).sample_evenly(300, seed=0).points
    queries = points + 0.3 * np.random.default_rng(0).normal(size=points.shape)
    one = batch(points, queries, method.config)
    limit = one.spacing[one.near].amin(1)
    with torch.no_grad():
        before = method(one)[0].norm(dim=1)
        method.head.vote.weight *= 30
        moved = method(one)[0].norm(dim=1)
        method.head.vote.weight /= 30
    assert (before < limit).any() and (moved <= limit * 1.0001).all() and (moved > 0.999 * limit).any()


def test_joined_clouds_do_not_see_each_other(method):
    items = QueryClouds(
        [procedural(1)], QueryDataConfig(patches=2, patch=100, queries=40), seed=0, neighbours=12, near=5
    )[0]
    with torch.no_grad():
        together = method(join([items]))[0]
        alone = torch.cat([method(join([[item]]))[0] for item in items])
    assert torch.allclose(together, alone, atol=1e-6)


def test_context_refiner_is_multi_head_attention_over_each_query_s_neighbours(method):
    refiner: ContextRefiner = method.head.refiners[0]
    channels, heads = 16, 2
    feature, source = torch.randn(7, channels), torch.randn(30, channels)
    position, near = torch.randn(7, 5, channels), torch.randint(0, 30, (7, 5))
    queries = refiner.query(refiner.norm(feature)).view(7, heads, 2 * channels)
    for i in range(7):
        memory = torch.stack(
            [torch.cat([refiner.source_norm(source[j]), position[i, n]]) for n, j in enumerate(near[i])]
        )
        seen = []
        for head in range(heads):
            weight = torch.softmax(memory @ queries[i, head] / (2 * channels) ** 0.5, 0)
            seen.append((weight[:, None] * memory).sum(0))
        expected = feature[i] + refiner.value(torch.cat(seen))
        expected = expected + refiner.feed(expected)
        assert torch.allclose(refiner(feature, source, position, near)[i], expected, atol=1e-5)


def test_point_transformer_block_is_vector_attention():
    block = PointTransformerBlock(16, groups=4)
    feature, geometric, index = torch.randn(9, 16), torch.randn(9, 3, 11), torch.randint(0, 9, (9, 3))
    x = block.norm(feature)
    key, value = block.key_value(x).chunk(2, -1)
    for i in range(9):
        logits = torch.stack(
            [
                block.attention(block.query(x)[i] - key[j] + block.position(geometric[i, n]))
                for n, j in enumerate(index[i])
            ]
        )
        weight = logits.softmax(0).repeat_interleave(4, 1)
        values = torch.stack([value[j] + block.position(geometric[i, n]) for n, j in enumerate(index[i])])
        expected = feature[i] + block.mix((weight * values).sum(0))
        expected = expected + block.feed(expected)
        assert torch.allclose(block(feature, geometric, index)[i], expected, atol=1e-5)


def test_features_depend_on_nothing_beyond_the_hops():
    torch.manual_seed(1)
    encoder = Encoder(PUAnyConfig(channels=16, neighbours=2, dilations=(1, 1, 1)))
    chain = torch.clamp(torch.arange(12)[:, None] + torch.tensor([0, 1]), max=11)
    points = torch.randn(12, 3)
    frames, spacing = torch.linalg.qr(torch.randn(12, 3, 3))[0], torch.ones(12)

    def features(points):
        return encoder(points[chain] - points[:, None], frames, spacing, chain)

    moved = points.clone()
    moved[8] += 1
    changed = (features(points) != features(moved)).any(-1).any(-1)
    assert changed.tolist() == [4 <= i <= 8 for i in range(12)]  # three blocks and the embedding


@pytest.mark.slow
def test_loss_falls_and_every_parameter_learns():
    torch.manual_seed(0)
    method = registry.build("pu-any", SMALL)
    data = QueryClouds(
        [procedural(1)], QueryDataConfig(patches=2, patch=120, queries=100), seed=0, neighbours=12, near=5
    )
    batch = join([data[0]])
    optimizer = torch.optim.Adam(method.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        terms = method.loss(batch, 0.0)
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        losses.append(terms["surface"].item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters())


@pytest.mark.parametrize("size", [(70, 33), (200, 500)])
def test_onnx_gives_the_numbers_of_torch(method, tmp_path, monkeypatch, size):
    monkeypatch.setattr(networks, "TILE", 30)
    monkeypatch.setattr(networks, "STORED", np.float32)
    onnxruntime = pytest.importorskip("onnxruntime")
    points = procedural(4).sample_evenly(size[0], seed=0).points
    queries = points[np.random.default_rng(0).integers(0, size[0], size[1])] + 0.01
    sessions = {}
    for graph in method.graphs():
        export.write_onnx(graph, tmp_path / graph.name)
        sessions[graph.name] = onnxruntime.InferenceSession((tmp_path / graph.name).read_bytes())
    model = networks.Model("pu-any", sessions, to_dict(method.config))
    network = networks.AnyRatio(geometry.measure(points), model, start=0, kept=False)
    tensors = batch(points, queries, method.config)
    with torch.no_grad():
        around = tensors.points[tensors.neighbours] - tensors.points[:, None]
        features = method.encoder(around, tensors.frames, tensors.spacing, tensors.neighbours)
        displacement, error = method(tensors)
    assert np.allclose(features.numpy(), np.stack(network.features, 1), atol=1e-5)
    moved, expected = network.project(queries)
    assert np.allclose(moved - queries, displacement.numpy(), atol=1e-5)
    assert np.allclose(expected, error.numpy(), atol=1e-5)
