import numpy as np
import pytest
import torch

from sentio.core.config import from_dict
from sentio.points import queries
from sentio.points.batch import QueryBatch
from sentio.points.shapes import procedural
from sentio.points.surface import Surface

QUERIES = {"procedural_shapes": 0, "clouds": 4, "patches": 2, "patch": 100, "queries": 60, "density": [300, 400]}


def clouds(**changes):
    config = from_dict(queries.QueryDataConfig, QUERIES | changes)
    return queries.QueryClouds([procedural(1), procedural(4)], config, seed=0, neighbours=32, near=12)


def test_items_depend_on_seed_epoch_and_index_alone():
    first, second = clouds(), clouds()
    _ = first[3]
    assert np.array_equal(first[1][0]["queries"], second[1][0]["queries"])
    second.epoch = 1
    assert not np.array_equal(first[1][0]["queries"], second[1][0]["queries"])


@pytest.mark.slow
def test_targets_are_the_closest_points_of_the_mesh():
    dataset = clouds(clean=1.0)
    surface = procedural(1)
    dataset.surfaces = [surface]
    for patch in dataset[0]:
        offset = surface.closest(patch["surface"][:, 0] * 0).points * 0  # patches are centred: find the shift
        shift = _shift(surface, patch["points"], offset)
        closest = surface.closest(patch["queries"] + shift)
        assert np.allclose(closest.points, patch["surface"][:, 0] + shift, atol=1e-9)
        assert surface.closest(patch["surface"].reshape(-1, 3) + shift).distance.max() < 1e-9
        assert surface.closest(patch["points"] + shift).distance.max() < 1e-9
        assert (patch["weight"] <= 1).all() and patch["weight"].max() == 1
        miss, normal = patch["queries"] - patch["surface"][:, 0], patch["normals"][:, 0]
        across = np.linalg.norm(miss - (miss * normal).sum(1)[:, None] * normal, axis=1)
        assert np.median(across) < 1e-9  # off a face, the way to the closest point is the normal


def _shift(surface, points, _):
    """The point of the sampled cloud that was moved to the origin: it makes all points lie on the surface."""
    random = np.random.default_rng([0, 0, 0])
    random.integers(1)
    count = int(np.exp(random.uniform(*np.log((300, 400)))))
    draw = surface.sample if random.random() < 0.2 else surface.sample_evenly
    cloud = draw(count, seed=int(random.integers(2**31))).points
    return next(p for p in cloud if surface.closest(points + p).distance.max() < 1e-9)


def test_a_share_of_the_queries_lies_on_the_surface_and_has_nowhere_to_go():
    for share in (0.0, 0.25, 1.0):
        patch = clouds(clean=1.0, surface=share)[2][0]
        way = np.linalg.norm(patch["surface"][:, 0] - patch["queries"], axis=1)
        assert (way[: round(60 * share)] < 1e-9).all()
        assert len(np.unique(patch["queries"], axis=0)) == 60
        assert share == 1 or np.median(way[round(60 * share) :]) > 1e-3


def test_patches_and_queries_gather_where_the_surface_bends():
    """On a roof of two planes, patches drawn at the ridge see both."""
    roof = Surface(
        np.array([[-1, -1, 0], [-1, 1, 0], [0, -1, 1], [0, 1, 1], [1, -1, 0], [1, 1, 0]], float),
        np.array([[0, 2, 1], [1, 2, 3], [2, 4, 3], [3, 4, 5]]),
    )
    shares = []
    for bent in (0.0, 1.0):
        dataset = clouds(bent=bent, clean=1.0, scattered=0.0, patches=1)
        dataset.surfaces = [roof]
        sides = [dataset[index][0]["normals"][:, 0, 0] > 0 for index in range(4)]
        shares.append(np.mean([side.any() and not side.all() for side in sides]))
    assert shares[1] == 1.0 > shares[0]


def test_noise_lowers_the_weight():
    weights = [clouds(clean=0.0)[i][0]["weight"].max() for i in range(4)]
    assert all(0.2 <= weight < 1 for weight in weights)
    assert len(set(weights)) == 4


def test_joined_patches_have_shifted_indices():
    items = [clouds()[0], clouds()[1]]
    batch = queries.join(items)
    patches = [patch for item in items for patch in item]
    assert isinstance(batch, QueryBatch) and len(batch.points) == sum(len(p["points"]) for p in patches)
    start = len(patches[0]["points"])
    assert torch.equal(batch.near[60:120], torch.from_numpy(patches[1]["near"] + start))
    assert torch.equal(batch.neighbours[:, 0], torch.arange(len(batch.points)))


def plate(thickness):
    """A square of side 2 with two sides, ``thickness`` apart; open at the rim."""
    corners = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 6, 5], [4, 7, 6]])  # the lower side looks down
    return Surface(np.concatenate([corners, corners - [0, 0, thickness]]), faces)


@pytest.mark.parametrize(("thickness", "single"), [(0.02, False), (0.5, True)])
def test_queries_near_two_sides_of_a_thin_plate_are_known(thickness, single):
    dataset = clouds(clean=1.0, scattered=0.0, surface=0.5)
    dataset.surfaces = [plate(thickness)]
    assert all((patch["single"] == single).all() for patch in dataset[0])


def test_nothing_is_to_rest_in_a_noisy_cloud():
    dataset = clouds(clean=0.0, surface=1.0)
    for patch in dataset[0]:
        assert not patch["single"].any()
        assert np.median(np.linalg.norm(patch["queries"] - patch["surface"][:, 0], axis=1)) > 1e-3
