"""What a training takes, told without doing it, against the training itself."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

import transformers  # noqa: E402

import snapshots  # noqa: E402
from sentio.affect.backbones.encoders import open_encoder, open_text_encoder  # noqa: E402
from sentio.affect.backbones.frozen import without_weights  # noqa: E402
from sentio.affect.backbones.published import PUBLISHED  # noqa: E402
from sentio.cli import main  # noqa: E402
from sentio.core import needs, registry, runs  # noqa: E402
from sentio.core.fake_tensors import FakeTensors, count_operations  # noqa: E402
from sentio.core.optimization import make_optimizer  # noqa: E402

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SYSTEMS = {
    "crossattn": ["model.dim=16", "model.heads=2", "model.hidden=8", "data.windows.length=9", "fit.batch_size=3"],
    "softprompt": ["model.units=8", "model.heads=2", "model.context=3", "model.dropping.face=0",
                   "model.dropping.sound=0", "data.windows.length=9", "fit.batch_size=3"],
    "masked_va": ["model.layers=1", "model.length=5", "model.hidden=8", "model.head=4", "data.windows.length=5",
                  "fit.batch_size=3"],
}  # fmt: skip


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    snapshots.write_clip(folder / "clip", places=77, dim=16)
    snapshots.write_vit(folder / "vit")
    for kind in ("wav2vec2", "ast"):
        getattr(snapshots, f"write_{kind}")(folder / kind)
    return folder


def small(name, hub, *more):
    plan = runs.read(RECIPES / f"{name}.json")
    encoders = {
        "crossattn": [f"model.encoder=clip:{hub / 'clip'}", f"data.face_encoder=clip:{hub / 'clip'}",
                      f"model.guidance.text=clip:{hub / 'clip'}", "model.guidance.features=16",
                      f"data.sound_encoder=wav2vec2:{hub / 'wav2vec2'}", "model.sound_features=16"],
        "softprompt": [f"model.encoder=clip:{hub / 'clip'}", f"data.face_encoder=clip:{hub / 'clip'}",
                       f"data.sound_encoder=ast:{hub / 'ast'}", "model.sound_features=16"],
        "masked_va": [f"model.encoder=vit:{hub / 'vit'}", f"data.face_encoder=vit:{hub / 'vit'}"],
    }  # fmt: skip
    return runs.change(plan, [*encoders.get(name, []), *SYSTEMS[name], *more])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_bytes_and_arithmetic_are_those_of_a_real_step(name, precision, hub):
    plan = small(name, hub, f"fit.precision={precision}")
    told = needs.needs(plan)
    method = registry.build(plan.system, plan.model)
    values = list(method.parameters())
    learnt = [value for value in values if value.requires_grad]
    assert told.parameters == sum(value.numel() for value in values)
    assert told.weights == sum(value.nbytes for value in (*values, *method.buffers()))
    batch = method.training_batch(plan.data, plan.fit.batch_size)
    method.loss(batch, 0.5)  # CLIP reads the texts here
    kept, flops = needs.step(method, batch, plan.fit)
    assert (told.batch, told.step) == (3, flops) and kept > 0
    assert told.activations == pytest.approx(kept, rel=0 if precision == "32-true" else 2e-3)
    optimizer = make_optimizer(method.parameter_groups(), plan.fit)
    for value in learnt:
        value.grad = torch.ones_like(value)
    optimizer.step()
    assert told.gradients == sum(value.grad.nbytes for value in learnt)
    state = [tensor for held in optimizer.state.values() for key, tensor in held.items() if key != "step"]
    assert told.optimizer == sum(tensor.nbytes for tensor in state)


def test_a_frozen_face_network_is_counted_once_a_frame():
    section = {"windows": {"length": 4, "step": 5}}
    plan = runs.Recipe("capnet", {"encoder": "small", "seconds": 1}, section)
    stored, pictures = (needs.needs(runs.change(plan, [f"data.pictures={value}"])) for value in ("false", "true"))
    faces, system = stored.hour
    [anew] = pictures.hour
    assert faces.name == "faces: small" and faces.stored == 108_000 * (4 * 192 + 8)
    assert 2.9 < (anew.flops - system.flops) / faces.flops < 4.1  # three faces a window


def test_what_is_kept_grows_with_the_batch(hub):
    one, two = (needs.needs(small("crossattn", hub, f"fit.batch_size={size}")) for size in (4, 8))
    assert one.weights == two.weights and two.activations == pytest.approx(2 * one.activations, rel=0.01)


@pytest.mark.parametrize(
    ("name", "kind", "millions"),
    [
        ("openai/clip-vit-base-patch32", transformers.CLIPModel, 151.28),
        ("openai/clip-vit-large-patch14", transformers.CLIPModel, 427.62),
        ("facebook/wav2vec2-base-960h", transformers.Wav2Vec2Model, 94.37),
        ("MIT/ast-finetuned-audioset-10-10-0.4593", transformers.ASTModel, 86.19),
        ("google/vit-base-patch16-224-in21k", transformers.ViTModel, 86.39),
    ],
)
def test_published_sizes(name, kind, millions):
    """As their publishers count them."""
    config = kind.config_class.from_dict(PUBLISHED[name]["config.json"])
    with torch.device("meta"):
        model = kind(config)
    assert sum(value.numel() for value in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


def test_features_of_published_encoders_are_as_long_as_their_publishers_have_them():
    sizes = {"clip": 512, "clip:openai/clip-vit-large-patch14": 768, "vit": 768, "wav2vec2": 768, "ast": 768}
    with FakeTensors(), without_weights(PUBLISHED):
        found = {spec: open_encoder(spec).info.dim for spec in sizes}
        texts = {spec: open_text_encoder(spec).info.dim for spec in list(sizes)[:2]}
    assert found == sizes and texts == {spec: sizes[spec] for spec in texts}


def test_small_files_of_the_real_whisper_are_known_rightly(shared):
    """The encoder that is built without weights is the published one in size and input."""
    folder = shared / "data/affect/models/whisper-tiny-en"
    if not (folder / "model.safetensors").is_file():
        pytest.skip("needs the snapshot of whisper-tiny.en beside the checkout")
    with without_weights(PUBLISHED):
        built = open_encoder("whisper")
    real = open_encoder(str(folder))
    assert built.info.dim == real.info.dim and built.info.hop_s == real.info.hop_s
    assert {key: value.shape for key, value in built.state_dict().items()} == {
        key: value.shape for key, value in real.state_dict().items()
    }


def test_arithmetic_of_attention_has_its_closed_form():
    query, key = torch.rand(2, 3, 5, 8), torch.rand(2, 3, 7, 8)
    with count_operations() as counter:
        torch.nn.functional.scaled_dot_product_attention(query, key, key)
    assert counter.get_total_flops() == 2 * (2 * 3 * 5 * 7 * 8) * 2


def test_an_hour_of_video_is_counted(hub):
    told = {work.name: work for work in needs.needs(small("crossattn", hub)).hour}
    assert list(told) == ["faces: clip-image", "sound: wav2vec2", "the system"]
    frames, steps = 108_000, 180_000  # 30 and 50 a second
    assert told["faces: clip-image"].stored == frames * (16 * 4 + 8)
    assert told["sound: wav2vec2"].stored == steps * (16 * 4 + 8)
    encoder = open_encoder(f"clip:{hub / 'clip'}")
    with count_operations() as counter, torch.no_grad():
        encoder(torch.rand(1, 1, 3, 112, 112))
    assert told["faces: clip-image"].flops == frames * counter.get_total_flops()


@pytest.mark.parametrize("name", ["crossattn", "softprompt"])
def test_a_dry_run_needs_nothing_and_writes_nothing(name, tmp_path, monkeypatch, capsys):
    """Neither data nor weights are here."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(RECIPES / f"{name}.json"), "--dry-run"]) == 0
    told = capsys.readouterr().out
    for part in ("parameters", "activations, batch of 32", "faces: clip-image", "the system", "H200", "estimates"):
        assert part in told
    assert not list(tmp_path.iterdir())


def test_a_system_that_asks_for_content_says_what_it_can(capsys):
    assert main(["train", str(RECIPES / "byel.json"), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "cannot be told" in told and "the rest in memory" in told


def test_a_data_section_with_keys_of_its_own_is_measured(capsys):
    plan = runs.read(RECIPES / "offline_av.json")
    found, method = needs.needs(plan), registry.build(plan.system, plan.model)
    learnt = sum(value.numel() for value in method.parameters() if value.requires_grad)
    assert found.trained == learnt and found.step > 0
    assert f"trained {learnt:,}\n" in needs.text(plan, found)


def test_a_training_needs_data(tmp_path, capsys):
    assert main(["train", str(RECIPES / "byel.json"), "--out", str(tmp_path / "run")]) == 1
    assert "--data and --out" in capsys.readouterr().err
