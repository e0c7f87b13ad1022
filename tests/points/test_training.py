import numpy as np
import pytest
import torch

from sentio.core import registry
from sentio.core.config import from_dict, read_json
from sentio.core.errors import InputError, RecipeError
from sentio.points import geometry
from sentio.points import training as data
from sentio.points.batch import PatchBatch, QueryBatch
from sentio.points.shapes import procedural

QUERIES = {"procedural_shapes": 0, "clouds": 4, "patches": 2, "patch": 100, "queries": 60, "density": [300, 400]}
PATCHES = {"procedural_shapes": 0, "clouds": 3, "patches": 2, "patch": 64, "density": [300, 400]}


@pytest.fixture
def meshes(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    for index in range(3):
        shape = procedural(index)
        trimesh.Trimesh(shape.vertices * 9 + 4, shape.faces, process=False).export(tmp_path / f"{index}.off")
    return tmp_path


def clouds(**changes):
    config = from_dict(data.QueryDataConfig, QUERIES | changes)
    return data.QueryClouds([procedural(1), procedural(4)], config, seed=0, neighbours=32, near=12)


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
        offset = surface.closest(patch["target"] * 0).points * 0  # patches are centred: find the shift
        shift = _shift(surface, patch["points"], offset)
        closest = surface.closest(patch["queries"] + shift)
        assert np.allclose(closest.points, patch["target"] + shift, atol=1e-9)
        assert surface.closest(patch["points"] + shift).distance.max() < 1e-9
        assert (patch["weight"] <= 1).all() and patch["weight"].max() == 1
        miss = patch["queries"] - patch["target"]
        across = np.linalg.norm(miss - (miss * patch["normal"]).sum(1)[:, None] * patch["normal"], axis=1)
        assert np.median(across) < 1e-9  # off a face, the way to the closest point is the normal


def _shift(surface, points, _):
    """The point of the sampled cloud that was moved to the origin: it makes all points lie on the surface."""
    random = np.random.default_rng([0, 0, 0])
    random.integers(1)
    count = int(np.exp(random.uniform(*np.log((300, 400)))))
    draw = surface.sample if random.random() < 0.2 else surface.sample_evenly
    cloud = draw(count, seed=int(random.integers(2**31))).points
    return next(p for p in cloud if surface.closest(points + p).distance.max() < 1e-9)


def test_noise_lowers_the_weight():
    weights = [clouds(clean=0.0)[i][0]["weight"].max() for i in range(4)]
    assert all(0.2 <= weight < 1 for weight in weights)
    assert len(set(weights)) == 4


def test_joined_patches_have_shifted_indices():
    items = [clouds()[0], clouds()[1]]
    batch = data.join(items)
    patches = [patch for item in items for patch in item]
    assert isinstance(batch, QueryBatch) and len(batch.points) == sum(len(p["points"]) for p in patches)
    start = len(patches[0]["points"])
    assert torch.equal(batch.near[60:120], torch.from_numpy(patches[1]["near"] + start))
    assert torch.equal(batch.neighbours[:, 0], torch.arange(len(batch.points)))


@pytest.mark.slow
def test_models_train_from_a_folder_of_meshes(meshes):
    for name, values, kind in (("pu-any", QUERIES, QueryBatch), ("pu-mfa", PATCHES, PatchBatch)):
        method = registry.build(name, {"channels": 16, "neighbours": 6})
        opened = method.open_data(meshes, values)
        dataset = opened.train_dataset()
        batch = opened.collate([dataset[0], dataset[1]])
        assert isinstance(batch, kind)
        terms = method.loss(batch.to("cpu"), 0.0)
        assert all(torch.isfinite(term) for term in terms.values())
        with torch.no_grad():
            assert np.isfinite(opened.validate(method)[opened.monitor])


def test_surfaces_are_brought_into_the_unit_sphere(meshes):
    for surface in data.read_surfaces(meshes):
        assert np.linalg.norm(surface.vertices, axis=1).max() == pytest.approx(1)


def test_a_folder_without_meshes_and_an_unknown_key_are_refused(tmp_path, meshes):
    method = registry.build("pu-mfa", {})
    with pytest.raises(InputError, match="no meshes"):
        method.open_data(tmp_path / "nothing", {})
    with pytest.raises(RecipeError, match="patchsize"):
        method.open_data(meshes, {"patchsize": 3})


def write_h5(path, count=5):
    h5py = pytest.importorskip("h5py")
    dense = np.random.default_rng(0).normal(size=(count, 1024, 3)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["poisson_1024"], file["poisson_256"] = dense, dense[:, ::4]
    return dense


def test_patch_files_of_the_field(tmp_path):
    dense = write_h5(tmp_path / "train.h5")
    sparse, truth = data.read_patches(tmp_path / "train.h5")
    assert np.array_equal(sparse, dense[:, ::4]) and np.array_equal(truth, dense)
    opened = registry.build("pu-mfa", {}).open_data(tmp_path / "train.h5", {"patches": 2})
    batch = opened.collate([opened.train_dataset()[0], opened.train_dataset()[1]])
    assert batch.sparse.shape == (4, 256, 3) and batch.dense.shape == (4, 1024, 3)


def test_other_h5_files_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(3)
    (tmp_path / "text.h5").write_text("no")
    for name in ("other.h5", "text.h5", "missing.h5"):
        with pytest.raises(InputError, match="poisson_256"):
            data.read_patches(tmp_path / name)


def test_augmentation_turns_and_scales_both_alike():
    random = np.random.default_rng(3)
    sparse, dense = random.normal(size=(64, 3)), random.normal(size=(256, 3))
    plain = data.PatchDataConfig(uneven=0, jittered=0)
    a, b = data.augment(sparse, dense, plain, np.random.default_rng(0))
    unit = geometry.normalise(sparse)
    together = np.concatenate([unit.points, (dense - unit.centroid) / unit.radius])
    found = np.concatenate([a, b])
    scale = np.linalg.norm(found) / np.linalg.norm(together)
    assert 0.8 <= scale <= 1.2
    assert np.allclose(found @ found.T, scale**2 * together @ together.T, atol=1e-4)
    assert not np.allclose(found, scale * together, atol=0.1)


def test_uneven_patches_are_subsets_and_jitter_is_cut():
    random = np.random.default_rng(4)
    sparse, dense = random.normal(size=(64, 3)), random.normal(size=(256, 3))
    uneven = data.PatchDataConfig(uneven=1, jittered=0)
    a, b = data.augment(sparse, dense, uneven, np.random.default_rng(0))
    assert {tuple(p) for p in a} <= {tuple(p) for p in b} and len(np.unique(a, axis=0)) == 64
    shaken = data.PatchDataConfig(uneven=1, jittered=1, jitter=0.01)
    c, _ = data.augment(sparse, dense, shaken, np.random.default_rng(0))
    assert 0.005 < np.abs(c - a).max() <= 0.0301


def test_shipped_recipes_build():
    root = pytest.importorskip("pathlib").Path(__file__).resolve().parents[2] / "recipes"
    for name, config in (("pu_any", data.QueryDataConfig), ("pu_mfa", data.PatchDataConfig)):
        values = read_json(root / f"{name}.json")
        registry.build(values["system"], values["model"])
        from_dict(config, values["data"])
