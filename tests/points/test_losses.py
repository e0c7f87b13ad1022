import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from sentio.points import losses
from sentio.points.batch import QueryBatch


def pair():
    torch.manual_seed(0)
    return torch.randn(2, 30, 3), torch.randn(2, 50, 3)


def test_chamfer_is_that_of_a_search_tree():
    a, b = pair()
    for x, y, found in zip(a.numpy(), b.numpy(), losses.chamfer(a, b), strict=True):
        expected = (cKDTree(y).query(x)[0] ** 2).mean() + (cKDTree(x).query(y)[0] ** 2).mean()
        assert np.isclose(float(found), expected, rtol=1e-5)


def test_chamfer_keeps_digits_far_from_the_origin_and_its_gradient_points_to_the_truth():
    a, b = pair()
    exact = losses.chamfer(a * 1e-2, b * 1e-2)
    moved = losses.chamfer(a * 1e-2 + 1, b * 1e-2 + 1)
    assert torch.allclose(exact, moved, rtol=1e-2)
    a.requires_grad_()
    losses.chamfer(a, b).sum().backward()
    with torch.no_grad():
        assert losses.chamfer(a - 0.1 * a.grad, b).sum() < losses.chamfer(a, b).sum()


def test_chamfer_of_a_cloud_to_itself_is_zero():
    a, _ = pair()
    assert losses.chamfer(a, a).abs().max() == 0


def test_squared_distances():
    a, b = pair()
    assert torch.allclose(losses.squared_distances(a, b), torch.cdist(a, b) ** 2, atol=1e-4)


def test_repulsion_is_that_of_a_loop():
    points = torch.rand(1, 20, 3)
    distance = torch.cdist(points, points)[0].sort(1).values[:, 1:5]
    expected = torch.relu(1 - distance / 0.3).mean()
    assert torch.allclose(losses.repulsion(points, 0.3)[0], expected, atol=1e-5)
    assert losses.repulsion(points * 100, 0.3)[0] == 0


def test_centred_chamfer_weighs_both_ways_by_the_place_in_the_patch():
    generator = torch.Generator().manual_seed(1)
    sparse = torch.nn.functional.normalize(torch.randn(1, 20, 3, generator=generator), dim=-1)
    sparse = sparse * torch.rand(1, 20, 1, generator=generator)
    fine = sparse.repeat_interleave(4, 1) + 0.1 * torch.randn(1, 80, 3, generator=generator)
    dense = torch.randn(1, 90, 3, generator=generator)

    def weight(point):
        return min(1.0, max(0.1, (1.05 - float(point.norm())) / 0.3))

    def mean(points, others, weights):
        least = [min(float(((p - q) ** 2).sum()) for q in others) for p in points]
        return np.average(least, weights=weights)

    there = mean(fine[0], dense[0], [weight(sparse[0, i // 4]) for i in range(80)])
    back = mean(dense[0], fine[0], [weight(point) for point in dense[0]])
    assert np.isclose(float(losses.centred_chamfer(sparse, fine, dense)), there + back, rtol=1e-5)


def test_nearest_are_found_alike_by_tree_and_by_matrix():
    a, b = pair()
    expected = losses.squared_distances(a, b).topk(4, largest=False).indices
    assert torch.equal(losses.nearest(a, b, 4), expected)
    assert torch.equal(losses.nearest(a, b, 1), expected[..., :1])


def between_two_sheets(moved):
    """A batch whose surface is two planes, z = 0 and z = 1, as random points within 3 of the origin."""
    sheet = torch.rand(8000, 3, generator=torch.Generator().manual_seed(0)) * 6 - 3
    sheet[:, 2] = torch.arange(8000) % 2
    normals = torch.tensor([[0.0, 0, 1], [0, 0, -1]]).repeat(4000, 1)
    q = len(moved)
    rest = dict.fromkeys(("points", "frames", "neighbours", "queries", "weight", "single"), torch.zeros(q))
    every = {"surface": sheet.expand(q, -1, -1), "normals": normals.expand(q, -1, -1)}
    return QueryBatch(**rest, **every, spacing=torch.ones(1), near=torch.zeros(q, 1, dtype=torch.long))


def test_distance_from_the_surface_is_that_from_the_nearer_of_two_sheets():
    moved = torch.tensor([[0.1, 0.2, -0.4], [1.0, -1, 0.3], [-2, 0.5, 0.8], [0, 0, 1], [0, 0, 1.5]], requires_grad=True)
    distance = losses.surface_distance(between_two_sheets(moved), moved)
    assert torch.allclose(distance, torch.tensor([0.4, 0.3, 0.2, 0, 0.5]), atol=1e-5)
    distance[:3].sum().backward()
    way = torch.tensor([[0.0, 0, -1], [0, 0, 1], [0, 0, -1]])
    assert torch.allclose(moved.grad[:3], way, atol=1e-4)  # straight away from the nearer one


def test_beyond_the_rim_of_a_sheet_is_off_the_surface():
    moved = torch.tensor([[5.0, 0, 0], [0, 0, 0]])
    distance = losses.surface_distance(between_two_sheets(moved), moved)
    assert distance[0] == pytest.approx(2 - losses.GAP, abs=0.2) and distance[1] < 1e-5
