"""Recipes carried out: run folders, refusals, resuming."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("lightning", reason="needs the train extra")

from safetensors.torch import load_file  # noqa: E402

import fitting  # noqa: E402
import snapshots  # noqa: E402
from sentio.core import registry, runs, weights  # noqa: E402
from sentio.core.errors import OutputError, RecipeError, WeightsError  # noqa: E402

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def plan(tmp_path, *settings, **sections) -> runs.Recipe:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"system": "test-net", "fit": {"steps": 8, "batch_size": 4, "seed": 5}} | sections))
    return runs.read(path, list(settings))


@pytest.fixture
def system(monkeypatch):
    """A registered system for these tests; its data takes its size from the recipe."""
    entry = registry.Entry("test-net", fitting.__name__, "A small net.")
    monkeypatch.setattr(registry, "entries", lambda: {"test-net": entry})
    monkeypatch.setitem(registry._classes, "test-net", fitting.Net)


@pytest.fixture
def trained(system, tmp_path):
    """Weights of the system, other than those that it begins with."""
    torch.manual_seed(3)
    weights.save(tmp_path / "best.safetensors", fitting.Net())
    return tmp_path / "best.safetensors"


def tiny_encoders(path, folder) -> list[str]:
    """Settings that put tiny snapshots in the place of the published encoders that a recipe names."""
    model = json.loads(path.read_text()).get("model", {})
    named = {"model.encoder": model.get("encoder"), "model.guidance.text": model.get("guidance", {}).get("text")}
    writers = {"clip": snapshots.write_clip, "vit": snapshots.write_vit}
    for kind in writers.keys() & set(named.values()):
        writers[kind](folder / kind)
    return [f"{key}={kind}:{folder / kind}" for key, kind in named.items() if kind in writers]


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.json")), ids=lambda path: path.stem)
def test_every_recipe_is_valid_and_builds_its_model(path, tmp_path) -> None:
    read = runs.read(path, tiny_encoders(path, tmp_path))
    assert registry.build(read.system, read.model).name == read.system


def test_a_run_folder_describes_itself(system, tmp_path) -> None:
    wanted = plan(tmp_path, "model.width=8", data={"size": 40})
    best = runs.train(wanted, tmp_path, tmp_path / "run")
    recipe, method = runs.read_run(tmp_path / "run")
    assert recipe == wanted
    assert (best, method.config.width, method.training) == (tmp_path / "run/best.safetensors", 8, False)
    assert json.loads((tmp_path / "run/metrics.json").read_text())["best"]["mse"] >= 0


def test_the_seed_decides_the_weights(system, tmp_path) -> None:
    def tensors(recipe: runs.Recipe, name: str) -> dict[str, bytes]:  # the header's keys come in any order
        weights = load_file(runs.train(recipe, tmp_path, tmp_path / name))
        return {key: value.numpy().tobytes() for key, value in weights.items()}

    one = tensors(plan(tmp_path), "one")
    assert tensors(plan(tmp_path), "two") == one
    assert tensors(plan(tmp_path, "fit.seed=6"), "other") != one


def test_a_run_is_neither_overwritten_nor_mixed_with_another(system, tmp_path) -> None:
    runs.train(plan(tmp_path), tmp_path, tmp_path / "run")
    before = (tmp_path / "run/recipe.json").read_bytes()
    with pytest.raises(OutputError, match="already holds a run"):
        runs.train(plan(tmp_path), tmp_path, tmp_path / "run")
    for other in (plan(tmp_path, "model.width=8"), plan(tmp_path, data={"size": 60}), plan(tmp_path, "evaluation.x=1")):
        with pytest.raises(RecipeError, match="was begun with another"):
            runs.train(other, tmp_path, tmp_path / "run", resume=True)
    assert (tmp_path / "run/recipe.json").read_bytes() == before


def test_folders_without_a_run_are_refused(tmp_path) -> None:
    with pytest.raises(RecipeError, match="is no run"):
        runs.read_run(tmp_path)
    (tmp_path / "recipe.json").write_text('{"system": "pu-mfa"}')
    with pytest.raises(WeightsError, match="Cannot read"):
        runs.read_run(tmp_path)


def test_mistakes_in_a_recipe_are_named(tmp_path) -> None:
    with pytest.raises(RecipeError, match="unknown key 'modle'"):
        plan(tmp_path, modle={})
    with pytest.raises(RecipeError, match=r"fit: unknown key 'learning_rate'"):
        plan(tmp_path, "fit.learning_rate=1")


def test_all_of_a_method_starts_from_trained_weights(trained):
    net = fitting.Net()
    runs.start_from(net, {"all": trained})
    best = load_file(trained)
    assert all(torch.equal(value, best[name]) for name, value in net.state_dict().items())
    with pytest.raises(WeightsError, match="Cannot read"):
        runs.start_from(net, {"all": trained.with_name("none.safetensors")})


def test_a_part_starts_from_trained_weights(trained):
    class Larger(fitting.Net):
        def __init__(self):
            super().__init__()
            self.inner = fitting.Net()

    larger = Larger()
    runs.start_from(larger, {"inner": trained})
    best = load_file(trained)
    assert all(torch.equal(value, best[name]) for name, value in larger.inner.state_dict().items())
    with pytest.raises(RecipeError, match="test-net has no part 'outer'"):
        runs.start_from(larger, {"outer": trained})
    with pytest.raises(WeightsError, match="Cannot read"):
        runs.start_from(larger, {"inner": trained.with_name("none.safetensors")})
