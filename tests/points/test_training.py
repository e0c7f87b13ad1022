from pathlib import Path

import numpy as np
import pytest
import torch

from sentio.core import checkpoints, registry, runs
from sentio.core.config import from_dict
from sentio.core.errors import InputError, RecipeError
from sentio.core.runs import start_from
from sentio.points import geometry
from sentio.points import training as data
from sentio.points.batch import PatchBatch, QueryBatch
from sentio.points.queries import QueryDataConfig
from sentio.points.shapes import procedural

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
QUERIES = {"procedural_shapes": 0, "clouds": 4, "patches": 2, "patch": 100, "queries": 60, "density": [300, 400]}
PATCHES = {"procedural_shapes": 0, "clouds": 3, "patches": 2, "patch": 64, "density": [300, 400]}


@pytest.fixture
def meshes(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    for index in range(3):
        shape = procedural(index)
        trimesh.Trimesh(shape.vertices * 9 + 4, shape.faces, process=False).export(tmp_path / f"{index}.off")
    return tmp_path


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


def patch_clouds(**changes):
    config = from_dict(data.PatchDataConfig, PATCHES | changes)
    return data.PatchClouds([procedural(1), procedural(4)], config, seed=0)


def test_patches_depend_on_seed_epoch_and_index_alone():
    one, other = patch_clouds(), patch_clouds()
    first = [one[i] for i in range(6)]
    again = [other[i] for i in (4, 1, 5, 0, 3, 2)]
    for i, (sparse, dense) in zip((4, 1, 5, 0, 3, 2), again, strict=True):
        assert np.array_equal(sparse, first[i][0]) and np.array_equal(dense, first[i][1])
    other.set_epoch(1)
    assert not np.array_equal(other[0][0], first[0][0])
    other.set_epoch(0)
    assert np.array_equal(other[0][0], first[0][0])


def test_patches_are_the_nearest_points_of_even_clouds_on_their_principal_axes():
    dataset = patch_clouds(uneven=0, jittered=0, turned=0, scale=[1, 1])
    sparse, dense = dataset[1]
    cloud, truth = dataset.clouds[0]
    centre = cloud[np.random.default_rng([0, 0, 0, 1]).integers(len(cloud))][None]
    unit = geometry.normalise(cloud[geometry.nearest(cloud, centre, 64)[1][0]])
    many = (truth[geometry.nearest(truth, centre, 256)[1][0]] - unit.centroid) / unit.radius
    assert len(truth) == 4 * len(cloud)
    assert np.allclose(sparse @ sparse.T, unit.points @ unit.points.T, atol=1e-5)
    assert np.allclose(dense @ dense.T, many @ many.T, atol=1e-5)
    spread = sparse.T @ sparse
    assert np.allclose(spread, np.diag(np.diag(spread)), atol=1e-4) and (np.diff(np.diag(spread)) < 0).all()


def trained(meshes, out, *, resume=False, **fit):
    """Weights after some steps on patches; an epoch has 6 items, a step 2."""
    values = {"system": "pu-mfa", "model": {"channels": 8, "scales": 1, "heads": 2, "neighbours": 6}, "data": PATCHES}
    plan = from_dict(runs.Recipe, values | {"fit": {"batch_size": 2, "checkpoint_every": 2, "device": "cpu", **fit}})
    torch.set_num_threads(1)
    runs.train(plan, meshes, out, resume=resume)
    return checkpoints.under_prefix("model", checkpoints.load_newest(out / "checkpoints")[0])


@pytest.mark.slow
def test_workers_and_a_stop_in_the_middle_of_an_epoch_change_nothing(meshes, tmp_path, monkeypatch):
    whole = trained(meshes, tmp_path / "whole", steps=6)
    shared = trained(meshes, tmp_path / "shared", steps=6, workers=2)
    monkeypatch.setattr("sentio.core.training._Run.finished", property(lambda run: run.step >= 2))
    trained(meshes, tmp_path / "stopped", steps=6)
    monkeypatch.undo()
    resumed = trained(meshes, tmp_path / "stopped", steps=6, resume=True)
    for name, value in whole.items():
        assert torch.equal(value, shared[name]) and torch.equal(value, resumed[name]), name


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
    opened = registry.build("pu-mfa", {}).open_data(tmp_path / "train.h5", {})
    batch = opened.collate([opened.train_dataset()[0], opened.train_dataset()[1]])
    assert batch.sparse.shape == (2, 256, 3) and batch.dense.shape == (2, 1024, 3)
    assert len(opened.train_dataset()) == 5


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
    shaken = data.PatchDataConfig(uneven=1, jittered=1, jitter=0.01, scale=(1, 1))
    c, d = data.augment(sparse, dense, shaken, np.random.default_rng(0))
    turn = np.linalg.lstsq(b, d, rcond=None)[0]  # what the dense points went through
    noise = c - a @ turn
    assert 0.005 < np.linalg.norm(noise, axis=1).max() <= 0.0301 * 3**0.5


def test_shipped_recipes_build():
    kinds = dict.fromkeys(("pu_any", "pu_any_more"), QueryDataConfig) | dict.fromkeys(
        ("pu_mfa", "pu_mfa_more", "pu_mfa_published"), data.PatchDataConfig
    )
    for name, config in kinds.items():
        plan = runs.read(RECIPES / f"{name}.json")
        start_from(registry.build(plan.system, plan.model), plan.start)
        from_dict(config, plan.data)


def test_the_published_recipe_sees_24000_patches_a_hundred_times_by_64():
    plan = runs.read(RECIPES / "pu_mfa_published.json")
    config = from_dict(data.PatchDataConfig, plan.data)
    assert (config.clouds * config.patches, plan.fit.epochs, plan.fit.batch_size) == (24_000, 100, 64)
    assert (plan.fit.optimizer, plan.fit.lr, plan.fit.schedule) == ("adam", 1e-4, "constant")
