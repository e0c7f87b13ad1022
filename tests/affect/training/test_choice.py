"""Recipes on other encoders: every place that names one agrees, and a run needs none of them afterwards."""

import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from safetensors.torch import load_file  # noqa: E402

import snapshots  # noqa: E402
from sentio.affect.backbones.frozen import CONFIG, PREPROCESSOR  # noqa: E402
from sentio.affect.data.extraction import extract  # noqa: E402
from sentio.affect.data.features import SoundSteps  # noqa: E402
from sentio.affect.training import choice  # noqa: E402
from sentio.affect.training.choice import choose  # noqa: E402
from sentio.affect.training.published import DataConfig, open_store  # noqa: E402
from sentio.cli import main  # noqa: E402
from sentio.core import registry, runs, weights  # noqa: E402
from sentio.core.errors import RecipeError, WeightsError  # noqa: E402

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
SMALL = {
    "crossattn": {"dim": 16, "heads": 2, "hidden": 8, "head": 8},
    "softprompt": {"units": 8, "heads": 2, "layers": 1, "context": 4},
}


def recipe(name: str) -> runs.Recipe:
    return runs.read(RECIPES / f"{name}.json")


@pytest.fixture
def hub(tmp_path):
    """Folders that hold a snapshot of each kind, called as their publishers do."""
    for kind in ("clip", "vit", "wav2vec2", "ast", "whisper"):
        writer = getattr(snapshots, f"write_{kind}")
        writer(tmp_path / kind, **({"places": 77} if kind == "clip" else {}))
    return tmp_path


@pytest.mark.parametrize("sound", ["wav2vec2", "whisper", "ast"])
def test_every_place_that_names_an_encoder_agrees(sound, hub):
    plan = choose(recipe("crossattn"), str(hub / "clip"), str(hub / sound))
    clip = f"clip:{hub / 'clip'}"
    assert plan.model["encoder"] == plan.data["face_encoder"] == plan.model["guidance"]["text"] == clip
    assert plan.data["sound_encoder"] == f"{sound}:{hub / sound}"
    assert (plan.model["guidance"]["features"], plan.model["sound_features"]) == (12, 16)
    assert plan.model["reach_s"] == (0.55 if sound == "ast" else 0.1)  # the recipe's own two, for such steps
    assert plan.model["counts"] == recipe("crossattn").model["counts"]
    model = registry.build("crossattn", plan.model)
    assert model.encoder.info.dim == 12 and model.sound.in_features == 16


def test_the_packages_own_by_name():
    plan = choose(recipe("crossattn"), "face", "voice")
    assert (plan.model["encoder"], plan.start["encoder"], plan.data["face_encoder"]) == ("aligned", "face", "face")
    assert (plan.data["sound_encoder"], plan.model["sound_features"], plan.model["reach_s"]) == ("voice", 256, 0.55)
    assert plan.model["guidance"] == {"text": "clip"}


def test_a_size_that_fits_no_machine_is_chosen_without_weights(hub, monkeypatch):
    """The texts follow from one CLIP to the other."""
    small = {file: json.loads((hub / "clip" / file).read_text()) for file in (CONFIG, PREPROCESSOR)}
    wide = {"hidden_size": 10**6, "intermediate_size": 10**7, "num_attention_heads": 2, "projection_dim": 10**6}
    large = {**small, CONFIG: small[CONFIG] | {"vision_config": small[CONFIG]["vision_config"] | wide}}
    monkeypatch.setattr(choice, "PUBLISHED", {"some/large": large, "openai/clip-vit-base-patch32": small})
    plan = choice.choose_unread(recipe("crossattn"), "clip:some/large", "voice")
    assert plan.model["guidance"] == {"text": "clip:some/large", "features": 10**6}
    assert choice.choose_unread(plan, "clip").model["guidance"] == {"text": "clip", "features": 12}


def test_a_snapshot_takes_the_place_of_what_was_trained(hub):
    plan = choose(recipe("crossattn_small"), str(hub / "vit"))
    assert plan.start == {} and plan.model["encoder"] == plan.data["face_encoder"] == f"vit:{hub / 'vit'}"
    assert plan.model["guidance"]["text"] == "learnt" and plan.data["sound_encoder"] == "voice"


def test_what_cannot_be_chosen_is_refused(hub):
    with pytest.raises(RecipeError, match="takes sound, and not faces"):
        choose(recipe("crossattn"), str(hub / "ast"))
    with pytest.raises(RecipeError, match="takes faces, and not sound"):
        choose(recipe("crossattn"), audio=str(hub / "clip"))
    with pytest.raises(RecipeError, match="masked has no encoder of sound"):
        choose(recipe("masked_va"), audio=str(hub / "ast"))
    with pytest.raises(RecipeError, match="pu-mfa has no encoder of faces"):
        choose(recipe("pu_mfa"), str(hub / "clip"))


def test_what_is_not_here_says_how_to_get_it(hub, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_CACHE", str(hub / "cache"))
    command = ["train", str(RECIPES / "crossattn.json"), "--data", str(hub), "--out", str(hub / "run")]
    for flag, name in (("--visual", "openai/clip-vit-base-patch32"), ("--audio", "facebook/wav2vec2-base-960h")):
        assert main([*command, flag, name]) == 1
        told = capsys.readouterr().err
        assert f"hf download {name}" in told and "--fetch" in told and "folder of a snapshot" in told
    assert not (hub / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sound", "prompts"),
    [("crossattn", "wav2vec2", None), ("softprompt", "ast", "fixed"), ("softprompt", "ast", "learnt")],
)
def test_a_run_needs_no_snapshot_afterwards(name, sound, prompts, hub, drawn, monkeypatch):
    """Features and training, then the snapshots go: it is read, evaluated, and gone on with bit for bit."""
    visual, audio, store = str(hub / "clip"), str(hub / sound), str(hub / "features")
    assert main(["features", str(drawn), "--visual", visual, "--audio", audio, "--out", store]) == 0
    changes = {f"model.{key}": value for key, value in SMALL[name].items()} | {"data.features": store}
    changes |= {"fit.steps": 4, "fit.batch_size": 2, "fit.device": "cpu", "fit.checkpoint_every": 2}
    changes |= {"model.prompts": prompts} if prompts else {}
    settings = [word for key, value in changes.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    run, where = hub / "run", ["--data", str(drawn), "--out"]
    command = ["train", str(RECIPES / f"{name}.json"), "--visual", visual, "--audio", audio, *settings]
    assert main([*command, *where, str(run)]) == 0
    before = weights.load(run / "best.safetensors").eval()
    for kind in ("clip", sound):
        shutil.rmtree(hub / kind)
    monkeypatch.setenv("HF_HUB_CACHE", str(hub / "cache"))
    with pytest.raises(WeightsError, match="neither a folder"):
        registry.build(name, runs.read(run / "recipe.json").model)

    after = weights.load(run / "best.safetensors").eval()
    batch = after.example_batch()
    one, two = (model(batch) for model in (before, after))
    for field in ("expression", "valence_arousal"):
        assert getattr(one, field) is None or torch.equal(getattr(one, field), getattr(two, field))
    assert after.loss(batch, 0.0).keys() == before.loss(batch, 0.0).keys()
    assert runs.evaluate(run, drawn, ["evaluation.resamples=10"]).scores

    stopped = shutil.copytree(run, hub / "stopped")
    last = sorted((stopped / "checkpoints").glob("step-*"))[-1]
    last.unlink()
    assert main(["train", str(stopped / "recipe.json"), *where, str(stopped), "--resume"]) == 0
    ours, theirs = (load_file(folder / "checkpoints" / last.name) for folder in (stopped, run))
    assert ours.keys() == theirs.keys()
    assert not [key for key in ours if not torch.equal(ours[key].nan_to_num(), theirs[key].nan_to_num())]


@pytest.mark.slow
def test_stored_features_of_an_absent_encoder_are_told_apart(hub, drawn, monkeypatch):
    """Two ways of leading a sound encoder are two stores; new videos ask for the encoder itself."""
    spec, store = f"ast:{hub / 'ast'}", str(hub / "features")
    two, four = (DataConfig(features=store, sound_steps=SoundSteps(stretch_s=seconds)) for seconds in (2.0, 4.0))
    made = open_store(drawn, spec, four)
    assert extract(drawn, made) == []
    shutil.rmtree(hub / "ast")
    monkeypatch.setenv("HF_HUB_CACHE", str(hub / "cache"))
    found = open_store(drawn, spec, four)
    assert (found.key, found.folder, found.encoder.info) == (made.key, made.folder, made.encoder.info)
    name = next(found.folder.glob("*.safetensors")).stem
    assert (found.open(name).values == made.open(name).values).all()
    for wrong in (lambda: open_store(drawn, spec, two), lambda: extract(drawn, found)):
        with pytest.raises(WeightsError, match="neither a folder"):
            wrong()
