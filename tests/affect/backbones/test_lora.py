"""Adapters on a frozen face network: what they change, what stays, and what a run keeps of them."""

import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("peft", reason="needs the lora extra")

from safetensors.torch import load_file  # noqa: E402

import snapshots  # noqa: E402
from sentio.affect.backbones.encoders import open_face_network  # noqa: E402
from sentio.affect.backbones.lora import Lora, adapted  # noqa: E402
from sentio.affect.backbones.published import PUBLISHED  # noqa: E402
from sentio.affect.batch import AffectBatch  # noqa: E402
from sentio.cli import main  # noqa: E402
from sentio.core import needs, registry, runs, weights  # noqa: E402
from sentio.core.errors import RecipeError  # noqa: E402

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
SMALL = {
    "crossattn": {"inputs": "face", "dim": 16, "heads": 2, "hidden": 8, "head": 8},
    "softprompt": {"inputs": "face", "units": 8, "heads": 2, "layers": 1},
    "masked": {"layers": 1, "heads": 2, "hidden": 8, "answers": "all", "length": 6, "tasks": ["expression"]},
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "clip"
    snapshots.write_clip(folder, dim=16)
    return f"clip:{folder}"


def build(name, clip, lora=None):
    torch.manual_seed(0)
    return registry.build(name, SMALL[name] | {"encoder": clip, "lora": lora})


def train(method, batch, steps=2):
    optimizer = torch.optim.AdamW(method.train().parameter_groups(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(method.loss(batch, 0.0).values()).backward()
        optimizer.step()


@pytest.mark.parametrize("kind", ["clip", "vit"])
def test_an_adapter_is_its_closed_form_and_nothing_at_first(kind, tmp_path):
    getattr(snapshots, f"write_{kind}")(tmp_path)
    plain = open_face_network(f"{kind}:{tmp_path}")
    encoder = adapted(open_face_network(f"{kind}:{tmp_path}"), Lora(rank=3, alpha=6.0))
    faces = torch.rand(1, 2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(encoder(faces), plain(faces)) and not plain.adapters()
    layers = [(name, layer) for name, layer in encoder.named_modules() if hasattr(layer, "lora_A")]
    assert len(layers) == 4 and len(encoder.adapters()) == 8  # queries and values of two layers
    with torch.no_grad():
        for value in encoder.adapters():
            value.normal_(generator=torch.Generator().manual_seed(1))
        for name, layer in layers:
            low, high = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            assert low.shape[0] == high.shape[1] == 3
            plain.get_submodule(name).weight += 6.0 / 3 * high @ low
    found, expected = encoder(faces), plain(faces)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_training_changes_the_adapters_and_no_bit_of_the_trunk(name, clip, tmp_path):
    method, batch = build(name, clip, {"rank": 2}), AffectBatch.example(4, 6, L=6)
    before = {key: value.clone() for key, value in method.encoder.state_dict().items()}
    seen = method.encoder(batch.face)
    train(method, batch)
    after = method.encoder.state_dict()
    assert before.keys() == after.keys() and not method.encoder.training
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed and changed == {key for key in before if ".lora_" in key}
    assert not torch.equal(method.encoder(batch.face), seen)
    weights.save(tmp_path / "one.safetensors", method)
    again = weights.load(tmp_path / "one.safetensors")
    assert torch.equal(again.encoder(batch.face), method.encoder(batch.face))
    assert again.config.lora == Lora(rank=2)


def test_without_it_nothing_is_learnt_in_the_encoder(clip):
    method = build("crossattn", clip).train()
    assert not any(value.requires_grad for value in method.encoder.parameters())


def test_a_dry_run_counts_what_the_trunk_keeps(clip):
    plan = {
        "system": "crossattn",
        "data": {"sets": ["expr"], "windows": {"length": 6, "answers": "all"}, "face_size": 32},
    }
    model = SMALL["crossattn"] | {"encoder": clip}
    without, with_lora = (
        needs.needs(runs.Recipe(**plan, model=model | {"lora": lora})) for lora in (None, {"rank": 2})
    )
    added = build("crossattn", clip, {"rank": 2}).encoder.adapters()
    assert with_lora.trained - without.trained == sum(value.numel() for value in added)
    assert with_lora.activations > 2 * without.activations


def test_a_dry_run_needs_no_snapshot_for_it(clip, monkeypatch, tmp_path, capsys):
    files = build("crossattn", clip).encoder.files
    monkeypatch.setitem(PUBLISHED, "some/clip", files)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    changes = ["model.encoder=clip:some/clip", "model.lora.rank=2", "data.face_encoder=null", "fit.batch_size=1",
               "model.guidance.text=learnt", "data.windows.length=2"]  # fmt: skip
    words = [word for change in changes for word in ("--set", change)]
    assert main(["train", str(RECIPES / "crossattn.json"), "--dry-run", *words]) == 0
    assert "activations, batch of 1" in capsys.readouterr().out


def test_what_cannot_be_adapted_is_refused(clip, drawn, tmp_path):
    with pytest.raises(RecipeError, match="is the package's own"):
        registry.build("crossattn", SMALL["crossattn"] | {"lora": {"rank": 2}})
    with pytest.raises(RecipeError, match=r"has no layers gate"):
        build("crossattn", clip, {"layers": ["gate"]})
    with pytest.raises(RecipeError, match="rank is at least 1"):
        build("crossattn", clip, {"rank": 0})
    store = tmp_path / "features"
    assert main(["features", str(drawn), "--visual", clip, "--out", str(store)]) == 0
    section = {
        "sets": ["expr"],
        "windows": {"length": 6, "answers": "all"},
        "face_encoder": clip,
        "features": str(store),
    }
    build("crossattn", clip).open_data(drawn, section)
    with pytest.raises(RecipeError, match="stored features are without them"):
        build("crossattn", clip, {"rank": 2}).open_data(drawn, section)


@pytest.mark.slow
def test_a_run_on_pictures_goes_on_bit_for_bit(clip, drawn, tmp_path):
    plan = {"system": "crossattn", "model": SMALL["crossattn"] | {"encoder": clip, "lora": {"rank": 2}},
            "data": {"sets": ["expr"], "windows": {"length": 6, "hop": 30, "answers": "all", "padding": "mask"}},
            "fit": {"steps": 4, "batch_size": 2, "device": "cpu", "checkpoint_every": 2}}  # fmt: skip
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    where = ["--data", str(drawn), "--out"]
    assert main(["train", str(tmp_path / "plan.json"), *where, str(tmp_path / "run")]) == 0
    stopped = shutil.copytree(tmp_path / "run", tmp_path / "stopped")
    last = sorted((stopped / "checkpoints").glob("step-*"))[-1]
    last.unlink()
    assert main(["train", str(stopped / "recipe.json"), *where, str(stopped), "--resume"]) == 0
    ours, theirs = (load_file(folder / "checkpoints" / last.name) for folder in (stopped, tmp_path / "run"))
    assert ours.keys() == theirs.keys()
    assert not [key for key in ours if not torch.equal(ours[key].nan_to_num(), theirs[key].nan_to_num())]
