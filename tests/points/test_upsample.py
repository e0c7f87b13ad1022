import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from sentio.core.errors import InputError
from sentio.points import geometry, networks, patches
from sentio.points import upsample as driver
from sentio.points.shapes import procedural
from sentio.points.upsample import attention, upsample

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cloud():
    return procedural(2).sample_evenly(400, seed=0).points


def sphere(n, seed=0):
    points = np.random.default_rng(seed).normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def distinct(points):
    return len(np.unique(points, axis=0))


@pytest.mark.parametrize("model", ["pu-any", "pu-mfa"])
@pytest.mark.parametrize("ratio", [1.0, 2.7, 4.0, 16.0])
@pytest.mark.slow
def test_exact_counts_without_duplicates(cloud, model, ratio):
    dense = upsample(cloud, ratio, model=model)
    assert dense.shape == (round(400 * ratio), 3) and dense.dtype == np.float64
    assert distinct(dense) == len(dense)


def test_another_start_gives_another_choice_of_as_many_points(cloud):
    model = networks.embedded("pu-any")
    first, same, other = (driver.upsample_by(model, cloud, 2, start=start) for start in (0, 0, 12_345_678))
    assert np.array_equal(first, same) and np.array_equal(first, upsample(cloud, 2))
    assert distinct(other) == 800 and not np.array_equal(np.unique(other, axis=0), np.unique(first, axis=0))
    assert cKDTree(first).query(other)[0].max() < 0.2


@pytest.mark.slow
def test_counts_by_number_up_and_down(cloud):
    for count in (1, 57, 1001, 6400):
        assert len(upsample(cloud, count=count)) == count


@pytest.mark.parametrize("model", ["pu-any", "pu-mfa"])
def test_kept_input_comes_first_bit_for_bit(cloud, model):
    points = np.concatenate([cloud, cloud[:3]]).astype(np.float32)  # with duplicates of its own
    dense = upsample(points, 5, keep_input=True, model=model)
    assert len(dense) == 5 * len(points)
    assert np.array_equal(dense[: len(points)].astype(np.float32), points)
    assert distinct(dense) == len(dense) - 3


def test_fewer_points_hang_between_walls_that_a_sensor_sees_behind_each_other():
    random = np.random.default_rng(0)
    ways = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 40), np.linspace(-0.3, 0.3, 24)), -1).reshape(-1, 2)
    near = np.sin(20 * ways[:, 0]) > 0.3  # slats before a wall
    depth = np.where(near, 4.0, 4.25) + random.normal(size=len(ways)) * 0.005
    seen = np.column_stack([depth, ways * depth[:, None]])

    def astray(doubt):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(networks, "KEPT_DOUBT", doubt)
            new = upsample(seen, 4, keep_input=True)[len(seen) :, 0]
        return float((np.minimum(abs(new - 4.0), abs(new - 4.25)) > 0.05).mean())

    assert astray(networks.KEPT_DOUBT) < 0.5 * astray(networks.DOUBT)


def test_new_points_lie_nearer_to_a_sphere_than_midpoints():
    points = procedural_sphere()
    dense = upsample(points)
    pairs = cKDTree(points).query(points, 5)[1]
    midpoints = points[pairs[:, :1].repeat(4, 1)] / 2 + points[pairs[:, 1:]] / 2

    def miss(p):
        return np.abs(np.linalg.norm(p, axis=-1) - 1).mean()

    assert miss(dense) < 0.5 * miss(midpoints)


def procedural_sphere():
    points = sphere(6000)
    return points[geometry.farthest_points(points, 1000)]


@pytest.mark.parametrize("rough", [0.0, 0.15])
def test_the_network_is_asked_after_relaxation_only_where_candidates_do_not_lie_flat(monkeypatch, rough):
    random, asked = np.random.default_rng(0), []
    plane = np.stack([*np.meshgrid(np.arange(12.0), np.arange(12.0)), np.zeros((12, 12))], -1).reshape(-1, 3)
    network = networks.AnyRatio(geometry.measure(plane), networks.embedded("pu-any"), start=0, kept=False)
    monkeypatch.setattr(network, "project", lambda points: (asked.extend(points), (points + [0, 0, 9], None))[1])
    candidates = (plane[:, None] + random.random((1, 9, 3)) * [1, 1, 0]).reshape(-1, 3)
    candidates[:, 2] = rough * random.choice([-1, 1], len(candidates))
    new = candidates[::3]
    spread = network.spread(new, np.empty((0, 3)), candidates)
    assert 0.01 < np.linalg.norm(spread - new, axis=1).mean() < 0.2 or rough
    if rough:
        assert len(asked) > 0.5 * len(new) and (spread[:, 2] > 8).any()
    else:
        assert not asked and np.abs(spread[:, 2]).max() < 1e-12


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_outlier_invents_no_points_beyond_itself(seed):
    cloud = procedural(2 + seed).sample_evenly(400, seed=0).points
    far = 100 * sphere(1, seed)
    dense = upsample(np.concatenate([cloud, far]), 4)
    spacing = geometry.measure(cloud).spacing.max()
    out = np.linalg.norm(dense, axis=1) > 1.5
    assert np.linalg.norm(dense[out] - far, axis=1).max(initial=0) < 2 * spacing


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_far_points_are_kept_where_spacings_differ_a_millionfold():
    """Features are beyond 16 bits there."""
    random = np.random.default_rng(0)
    dense = upsample(np.concatenate([scale * random.normal(size=(300, 3)) for scale in (1e-3, 1e3)]), 4)
    assert (np.linalg.norm(dense, axis=1) > 500).sum() > 2000


def test_noise_is_reduced():
    noisy = procedural_sphere() + 0.02 * np.random.default_rng(1).normal(size=(1000, 3))

    def miss(p):
        return np.abs(np.linalg.norm(p, axis=1) - 1).mean()

    assert miss(upsample(noisy)) < 0.8 * miss(noisy)


@pytest.mark.slow
def test_result_does_not_depend_on_tiles_chunks_or_threads(cloud, monkeypatch):
    whole = upsample(cloud, 5)
    for tile, chunk, cores in ((100, 37, 1), (57, 513, 3)):
        monkeypatch.setattr(networks, "TILE", tile)
        monkeypatch.setattr(networks, "CHUNK", chunk)
        monkeypatch.setattr(networks, "usable_cores", lambda cores=cores: cores)
        assert np.array_equal(upsample(cloud, 5), whole)


def children(unit, patch):
    """What the network makes of a patch (N,) of a cloud: (N, 4, 3)."""
    own = geometry.normalise(unit[patch])
    axes = np.linalg.eigh(own.points.T @ own.points)[1][:, ::-1].T  # falling variance
    axes = axes * np.sign(axes @ -own.points[0])[:, None]  # towards the mean, seen from the seed
    axes[1] = np.cross(axes[2], axes[0])
    session = networks.embedded("pu-mfa").sessions["pu-mfa"]
    fine = session.run(["fine"], {"sparse": (own.points @ axes.T)[None].astype(np.float32)})[0][0]
    return (fine.reshape(-1, 4, 3) @ axes) * own.radius + own.centroid


def test_pu_mfa_takes_the_children_of_each_point_from_the_patch_around_it(cloud, monkeypatch):
    unit = geometry.normalise(cloud)
    index = patches.overlapping(unit.points, 256, networks.PatchWise.overlap)
    monkeypatch.setattr(networks.PatchWise, "step", 0.0)
    made, expected = [children(unit.points, patch) for patch in index], []
    for i in range(400):
        holding = [number for number, patch in enumerate(index) if i in patch]
        nearest = min(holding, key=lambda number: np.linalg.norm(unit.points[index[number, 0]] - unit.points[i]))
        expected.append(made[nearest][np.flatnonzero(index[nearest] == i)[0]] * unit.radius + unit.centroid)
    assert len(index) > 2
    assert np.abs(upsample(cloud, 4, model="pu-mfa") - np.concatenate(expected)).max() < 1e-5


@pytest.mark.parametrize("ratio", [2, 2.7])
def test_pu_mfa_thins_the_children_to_other_ratios(cloud, ratio):
    all_of_them, fewer = upsample(cloud, 4, model="pu-mfa"), upsample(cloud, ratio, model="pu-mfa")
    assert len(fewer) == round(400 * ratio)
    assert {tuple(point) for point in fewer} <= {tuple(point) for point in all_of_them}
    assert cKDTree(fewer).query(fewer, 2)[0][:, 1].min() > 2 * cKDTree(all_of_them).query(all_of_them, 2)[0][:, 1].min()


def test_pu_mfa_turns_and_moves_with_the_cloud(cloud):
    turn = Rotation.from_euler("xyz", [0.5, -1.1, 2.0]).as_matrix()
    moved = upsample(3 * cloud @ turn + 5, model="pu-mfa")
    assert np.abs((moved - 5) @ turn.T / 3 - upsample(cloud, model="pu-mfa")).max() < 1e-4


def test_pu_mfa_does_not_depend_on_blocks(cloud, monkeypatch):
    whole = upsample(cloud, 4, model="pu-mfa")
    monkeypatch.setattr(driver, "BLOCK", 90)
    parts = upsample(cloud, 4, model="pu-mfa")
    assert len(parts) == 1600 and cKDTree(parts).query(whole)[0].max() < 1e-9


def test_pu_mfa_does_not_depend_on_batches(cloud, monkeypatch):
    whole = upsample(cloud, model="pu-mfa")
    monkeypatch.setattr(networks.PatchWise, "batch", 1)
    assert np.abs(upsample(cloud, model="pu-mfa") - whole).max() < 1e-5


def test_blocks_meet_without_gaps_or_crowding(monkeypatch):
    points = procedural_sphere()
    monkeypatch.setattr(driver, "BLOCK", 130)
    dense = upsample(points, 4)
    assert len(dense) == 4000
    distance = cKDTree(dense).query(dense, 2)[0][:, 1]
    assert distance.min() > 0.2 * distance.mean()
    holes = cKDTree(dense).query(sphere(20_000, seed=5))[0]
    assert holes.max() < 3.5 * distance.mean()


def test_far_from_the_origin_nothing_is_lost(cloud):
    offset = np.array([448_262.25, 5_411_932.5, 312.0])
    far = upsample(cloud * 100 + offset)
    near = upsample(cloud * 100)
    distance = cKDTree(near).query(far - offset)[0]
    assert np.quantile(distance, 0.98) < 1e-3
    assert np.array_equal(upsample(cloud * 100 + offset, keep_input=True)[:400], cloud * 100 + offset)


def test_interpolation_carries_attributes_exactly_to_kept_points(cloud):
    dense = upsample(cloud, 3, keep_input=True)
    values = geometry.interpolate(np.arange(400.0), cloud, dense)
    assert np.array_equal(values[:400], np.arange(400.0))


def test_progress_ends_at_the_count(cloud):
    seen = []
    upsample(cloud, 6, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2400, 2400)


@pytest.mark.parametrize("model", ["pu-any", "pu-mfa"])
@pytest.mark.parametrize("n", [2, 3, 5, 9, 17])
def test_a_handful_of_points(n, model):
    points = np.random.default_rng(n).random((n, 3))
    dense = upsample(points, 4, model=model)
    assert len(dense) == distinct(dense) == 4 * n
    assert np.isfinite(dense).all()


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_any_unit(cloud, factor):
    assert np.abs(upsample(cloud * factor)).max() < 2 * factor


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.empty((0, 3)), "0 points"),
        (np.zeros((1, 3)), "A cloud of 1 point without"),
        (np.ones((30, 3)), "two different"),
        (np.zeros((30, 2)), r"shape \(N, 3\)"),
        (np.zeros(3), r"shape \(N, 3\)"),
        (np.array([["a", "b", "c"]]), "found"),
        (np.array([[0, 0, np.nan], [1, 0, 0], [0, np.inf, 0]]), "not finite in 2 of 3 points"),
    ],
)
def test_bad_clouds_are_refused(points, words):
    with pytest.raises(InputError, match=words):
        upsample(points)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ratio": 0}, "above 0"),
        ({"ratio": -2.0}, "above 0"),
        ({"ratio": float("nan")}, "above 0"),
        ({"count": 0}, "At least 1"),
        ({"count": 399, "keep_input": True}, "cannot hold"),
        ({"model": "pu-gan"}, "pu-any, pu-mfa"),
    ],
)
def test_bad_options_are_refused(cloud, options, words):
    with pytest.raises(InputError, match=words):
        upsample(cloud, **options)


def test_attention_maps_of_each_scale(cloud):
    index, maps = attention(cloud, near=7)
    assert index.shape == (256,) and index[0] == 7
    assert maps.shape == (4, 256, 256)
    assert np.allclose(maps.sum(-1), 1, atol=1e-4)
    with pytest.raises(InputError, match="no point 400"):
        attention(cloud, near=400)
