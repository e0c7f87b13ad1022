"""What the embedded models over time share: what they begin as, missing faces, their thresholds, cards and recipes."""

import json
from dataclasses import replace
from math import exp
from pathlib import Path

import numpy as np
import pytest
import torch

import method_data
from over_time import SMALL, batch_of, build, video
from sentio.affect.evaluate import EvaluationConfig
from sentio.affect.labels import TASKS
from sentio.affect.losses import focal_loss
from sentio.affect.models._temporal import SIZES, Smoother
from sentio.affect.training.published import DataConfig
from sentio.core import export, registry, weights
from sentio.core.config import from_dict
from sentio.core.errors import InputError, RecipeError
from sentio.core.training import FitConfig


@pytest.mark.parametrize("name", ["offline", "causal"])
def test_without_training_they_are_the_face_model_smoothed(name):
    model = build(name, learnt=False, smoothing_s=1e-4)
    features, present, time_s = video(20)
    present[:] = True
    found = model(batch_of(features, present, time_s))
    expected = model.face(batch_of(features, present, time_s))
    torch.testing.assert_close(found.valence_arousal, expected.valence_arousal, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found.expression, expected.expression, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found.action_units, expected.action_units, atol=1e-3, rtol=1e-3)


def test_smoothing_is_the_plain_weighted_mean():
    torch.manual_seed(0)
    smoother = Smoother(0.1)
    smoother.log_tau.data += torch.tensor([0.0, 0.5, -0.5])
    logits, time_s, seen = torch.randn(1, 6, 22), torch.arange(6) / 30, torch.rand(6, 6) > 0.4
    seen[3] = False
    dt = (time_s[:, None] - time_s)[None]
    found = smoother(logits, dt, seen[None])[0].detach()
    assert not found[3].any()
    taus, start = [0.1, 0.1 * exp(0.5), 0.1 * exp(-0.5)], 0
    for tau, size in zip(taus, SIZES, strict=True):
        for k in range(6):
            share = [exp(-abs(k - j) / 30 / tau) * bool(seen[k, j]) for j in range(6)]
            for column in range(start, start + size):
                plain = sum(w * float(logits[0, j, column]) for j, w in enumerate(share)) / (sum(share) or 1)
                assert float(found[k, column]) == pytest.approx(plain, abs=1e-5)
        start += size


@pytest.mark.parametrize("name", ["offline", "causal"])
def test_the_face_model_is_frozen_and_the_rest_learns(name):
    model = build(name).train()
    terms = model.loss(model.example_batch(), 0.0)
    assert terms.keys() == TASKS.keys()
    before = {key: value.clone() for key, value in model.face.state_dict().items()}
    sum(terms.values()).backward()
    learnt = {key.split(".")[0] for key, value in model.named_parameters() if value.grad is not None}
    assert learnt == {"smoother", "heads"} | ({"transformer"} if name == "offline" else {"inputs", "layers"})
    assert all(torch.equal(before[key], value) for key, value in model.face.state_dict().items())
    assert not model.face.training and model.encoder is model.face.encoder


def test_training_hides_frames_and_use_does_not():
    model, batch = build("offline", dropout=0.0), build("offline").example_batch()
    torch.manual_seed(0)
    one, two = (float(model.loss(batch, 0.0)["expression"].detach()) for _ in range(2))
    assert one != two
    plain = build("offline", dropout=0.0, masking={"share": 0.0})
    assert torch.equal(plain.loss(batch, 0.0)["expression"], plain.loss(batch, 0.0)["expression"])


@pytest.mark.slow
def test_how_often_classes_are_shown_in_training_is_no_part_of_the_answers(tmp_path):
    folder = tmp_path / "data"
    method_data.drawn(folder)
    windows = {"length": 16, "hop": 8, "answers": "all", "padding": "mask"}
    model = build("offline", length=16, dropout=0.0, masking={"share": 0.0})
    data = model.open_data(folder, {"sets": ["va", "expr", "au"], "windows": windows})
    labels = np.concatenate([clip.expression for clip in data.split("train")])
    counts = np.array([(labels == k).sum() for k in range(8)]) + 1
    np.testing.assert_allclose(model.log_share.exp(), counts / counts.sum(), rtol=1e-5)
    same, batch = build("offline", length=16, dropout=0.0, masking={"share": 0.0}), model.example_batch()
    assert torch.equal(same(batch).expression, model(batch).expression)
    raw = model.raw(model.encoder(batch.face), batch.face_valid, batch.time_s, trust=1.0)
    shown = torch.split(raw, SIZES, -1)[1] + torch.from_numpy(np.log(counts / counts.sum())).float()
    expected = focal_loss(shown, batch.expression, batch.expression_valid)
    torch.testing.assert_close(model.loss(batch, 0.0)["expression"], expected)


@pytest.mark.parametrize("name", ["offline", "causal"])
def test_of_the_correction_as_much_is_added_as_it_is_trusted(name):
    features, present, time_s = video()
    clip = (features[None], present[None], time_s[None])
    none, half, whole = (build(name).raw(*clip, trust=trust) for trust in (0.0, 0.5, 1.0))
    torch.testing.assert_close(half, (none + whole) / 2, rtol=1e-4, atol=1e-5)
    model = build(name, trust=0.5)
    expected = model.decide(half)[0].masked_fill(~model.answered(present[None])[..., None], float("nan"))
    torch.testing.assert_close(
        model(batch_of(*video())).valence_arousal, expected, equal_nan=True, rtol=1e-3, atol=1e-4
    )
    assert not torch.allclose(half, whole)


@pytest.mark.parametrize("name", ["offline", "causal"])
def test_what_lies_in_a_missing_frame_has_no_influence(name):
    model = build(name)
    features, present, time_s = video(60)
    other = torch.where(present[:, None], features, 50.0)
    one, two = (model(batch_of(value, present, time_s)) for value in (features, other))
    assert torch.equal(one.valence_arousal.nan_to_num(), two.valence_arousal.nan_to_num())
    assert torch.equal(one.expression.nan_to_num(), two.expression.nan_to_num())


def test_nothing_seen_no_answer():
    features, present, time_s = video(20)
    present[:] = False
    assert build("offline")(batch_of(features, present, time_s)).expression.isnan().all()
    present[5] = True
    found = build("causal")(batch_of(features, present, time_s)).expression[0]
    assert found[:5].isnan().all() and found[5:].isfinite().all()
    assert build("offline")(batch_of(features, present, time_s)).expression.isfinite().all()


@pytest.mark.parametrize("name", ["offline", "causal"])
def test_the_embedded_size_is_small_and_the_card_tells_the_clock(name, tmp_path):
    pytest.importorskip("onnx", reason="needs the dev extra")
    torch.manual_seed(0)
    model = registry.build(name, {})
    model.face.thresholds.fill_(0.25)
    weights.save(tmp_path / "best.safetensors", model)
    (card,) = export.export(tmp_path / "best.safetensors", tmp_path / "made")
    assert (tmp_path / f"made/{name}.onnx").stat().st_size < 5e6
    assert (tmp_path / f"made/{name}.safetensors").stat().st_size < 10e6
    described = json.loads(card.read_text())
    details = described["details"]
    assert details["causal"] == (name == "causal") and details["thresholds"] == [0.25] * 12
    assert details["rate"] == 30 and details["features_of"] == "face" and details["bridge_s"] == model.config.bridge_s
    assert (details.get("length"), details.get("hop")) == ((100, 50) if name == "offline" else (None, None))
    assert described["inputs"]["features"][-1] == 256
    session = weights.session(str(card))
    assert session.get_outputs()[0].name == "valence_arousal"


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(RecipeError, match="multiple of twice the 3 heads"):
        registry.build("offline", SMALL | {"heads": 3})


def test_labels_of_one_kind_missing_from_the_batch_are_named():
    model, batch = build("offline"), build("offline").example_batch()
    with pytest.raises(InputError, match="no expression labels"):
        model.loss(replace(batch, expression=None, expression_valid=None), 0.0)


@pytest.mark.parametrize("name", ["offline", "causal"])
def test_the_recipe_is_of_this_config(name):
    recipe = json.loads((Path(__file__).parents[3] / f"recipes/{name}.json").read_text())
    from_dict(FitConfig, recipe["fit"])
    from_dict(EvaluationConfig, recipe.get("evaluation", {}))
    data = from_dict(DataConfig, recipe["data"])
    assert data.windows.answers == "all" and data.windows.padding == "mask" and data.sets == ("va", "expr", "au")
    assert recipe["start"]["face"] == data.face_encoder
    model = registry.build(name, recipe.get("model", {}))
    assert model.config.length == data.windows.length
