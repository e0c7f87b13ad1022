import numpy as np

from sentio.points import geometry, patches


def test_blocks_hold_each_point_once_and_are_compact():
    points = np.random.default_rng(0).normal(size=(5000, 3))
    parts = patches.blocks(points, 700)
    assert sorted(np.concatenate(parts)) == list(range(5000))
    assert max(map(len, parts)) <= 700 and min(map(len, parts)) >= 350
    assert np.mean([np.ptp(points[part], axis=0).prod() for part in parts]) < np.ptp(points, axis=0).prod() / 4
    assert [part.tolist() for part in patches.blocks(points[:10], 700)] == [list(range(10))]


def test_blocks_of_equal_points_end():
    assert sum(map(len, patches.blocks(np.zeros((100, 3)), 7))) == 100


def test_shares_add_up_and_keep_to_proportion():
    for total in (1, 10, 97, 100_000):
        sizes = [3, 1, 1, 1, 7, 200]
        found = patches.shares(sizes, total)
        assert sum(found) == total
        assert np.abs(np.array(found) - np.array(sizes) * total / sum(sizes)).max() <= 1


def test_overlapping_patches_cover_the_cloud():
    random = np.random.default_rng(1)
    points = np.concatenate([random.normal(size=(1000, 3)), 20 + 5 * random.normal(size=(9, 3))])
    index = patches.overlapping(points, 100, 3.0)
    assert 31 <= len(index) < 60
    assert len(np.unique(index)) == 1009
    assert (index == geometry.nearest(points, points[index[:, 0]], 100)[1]).all()


def test_patches_cover_changing_density_with_about_as_many_as_one_after_the_other_would_be():
    random = np.random.default_rng(2)
    points = random.normal(size=(2000, 3)) * 10 ** random.uniform(-2, 0, (2000, 1))
    index = patches.overlapping(points, 64, 1.0, start=2007)
    assert index[0, 0] == 7 and len(np.unique(index)) == 2000
    seeds = geometry.farthest_points(points, 32, start=7)
    single = list(geometry.nearest(points, points[seeds], 64)[1])
    while len(missing := np.setdiff1d(np.arange(2000), single)):
        single.append(geometry.nearest(points, points[missing[:1]], 64)[1][0])
    assert len(index) < 2 * len(single)


def test_owners_are_the_patches_with_the_nearest_seed_of_those_that_hold_a_point():
    points = np.random.default_rng(3).normal(size=(300, 3))
    index = patches.overlapping(points, 40, 2.0)
    for i, owner in enumerate(patches.owners(points, index)):
        holding = [number for number, patch in enumerate(index) if i in patch]
        assert owner == min(holding, key=lambda number: np.linalg.norm(points[i] - points[index[number, 0]]))
