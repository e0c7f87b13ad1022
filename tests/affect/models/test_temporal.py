"""The embedded models over time: bridging, padding, what is past stays as it is, streaming is the same as batch."""

import json
from dataclasses import replace
from math import exp
from pathlib import Path

import numpy as np
import pytest
import torch

import method_data
from sentio.affect.batch import AffectBatch
from sentio.affect.evaluate import EvaluationConfig
from sentio.affect.labels import TASKS
from sentio.affect.losses import focal_loss
from sentio.affect.models.temporal import SIZES, Smoother
from sentio.affect.training.published import DataConfig
from sentio.core import export, registry, runtime, weights
from sentio.core.config import from_dict
from sentio.core.errors import InputError, RecipeError
from sentio.core.training import FitConfig

D = 192
"""Length of the small encoder's vectors."""
SMALL = {"face": {"encoder": "small"}, "length": 20, "reach": 8, "dim": 16, "layers": 2, "heads": 2, "hidden": 24}


def build(name, *, learnt=True, **config):
    """A model with random weights; ``learnt``: also in the heads, which begin at zero."""
    torch.manual_seed(5)
    model = registry.build(name, SMALL | config).eval()
    if learnt:
        for head in model.heads.values():
            torch.nn.init.normal_(head.weight, std=0.4)
    return model


def video(frames=150, seed=0):
    """Features, faces present (single gaps and long ones) and time stamps at 30 frames per second."""
    random = np.random.default_rng(seed)
    present = random.random(frames) > 0.2
    present[40:46] = present[70:90] = False
    features = random.normal(size=(frames, D)).astype("float32") * present[:, None]
    return torch.from_numpy(features), torch.from_numpy(present), torch.arange(frames, dtype=torch.float64) / 30


def batch_of(features, present, time_s):
    return AffectBatch(
        face_feature=features[None], face_valid=present[None], time_s=time_s[None].float(),
        source=torch.zeros(1, dtype=torch.int64),
    )  # fmt: skip


def stream(model, features, valid, time_s, chunk):
    """(N, 22) in chunks of some frames."""
    state, answers = model.start(), []
    for part in torch.arange(len(features)).split(chunk):
        answer, state = model.step(state, features[part], valid[part], time_s[part])
        answers.append(torch.cat(answer, -1))
    return torch.cat(answers)


# --- what they begin as


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


# --- missing faces


@pytest.mark.parametrize("name", ["offline", "causal"])
def test_what_lies_in_a_missing_frame_has_no_influence(name):
    model = build(name)
    features, present, time_s = video(60)
    other = torch.where(present[:, None], features, 50.0)
    one, two = (model(batch_of(value, present, time_s)) for value in (features, other))
    assert torch.equal(one.valence_arousal.nan_to_num(), two.valence_arousal.nan_to_num())
    assert torch.equal(one.expression.nan_to_num(), two.expression.nan_to_num())


def test_offline_bridges_a_gap_from_both_of_its_sides():
    model = build("offline")
    features, present, time_s = video(20)
    present[:] = True
    present[8:12] = False
    found = model(batch_of(features, present, time_s)).expression
    assert found.isfinite().all()
    for frame in (7, 12):
        other = features.clone()
        other[frame] += 1
        changed = model(batch_of(other, present, time_s)).expression
        assert float((changed - found).detach()[0, 8:12].abs().max()) > 1e-4


def test_padding_of_a_window_has_no_influence():
    model = build("offline")
    features, present, time_s = video(60)
    whole = model(batch_of(features[:20], present[:20], time_s[:20]))
    present[20:] = False
    padded = model(batch_of(features, present, time_s))
    for name in TASKS:
        torch.testing.assert_close(getattr(padded, name)[:, :20], getattr(whole, name), atol=1e-5, rtol=1e-5)


def test_nothing_seen_no_answer():
    features, present, time_s = video(20)
    present[:] = False
    assert build("offline")(batch_of(features, present, time_s)).expression.isnan().all()
    present[5] = True
    found = build("causal")(batch_of(features, present, time_s)).expression[0]
    assert found[:5].isnan().all() and found[5:].isfinite().all()
    assert build("offline")(batch_of(features, present, time_s)).expression.isfinite().all()


# --- the causal one


@pytest.mark.parametrize("t", [0, 39, 75, 120])
def test_later_frames_change_no_bit_up_to_t(t):
    model = build("causal")
    features, present, time_s = video()
    before, whole = stream(model, features, present, time_s, 150), model(batch_of(features, present, time_s))
    other, other_present = features.clone(), present.clone()
    other[t + 1 :] = torch.randn(149 - t, D) * 20
    other_present[t + 1 :] = ~present[t + 1 :]
    after = stream(model, other, other_present, time_s, 150)
    assert torch.equal(before[: t + 1], after[: t + 1]) and not torch.equal(before[t + 1 :], after[t + 1 :])
    changed = model(batch_of(other, other_present, time_s))
    assert torch.equal(whole.expression[:, : t + 1].nan_to_num(), changed.expression[:, : t + 1].nan_to_num())


def test_the_current_frame_is_seen_and_the_distant_past_is_not():
    model = build("causal")
    features, present, time_s = video()
    present[:] = True
    found = stream(model, features, present, time_s, 150)
    other = features.clone()
    other[100] += 1
    changed = stream(model, other, present, time_s, 150)
    reach = 2 * 8  # layers times frames
    different = (changed != found).any(1).nonzero()[:, 0].tolist()
    assert different[0] == 100 and 100 + 8 < different[-1] <= 100 + reach


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
def test_streaming_in_chunks_is_batch(chunk):
    model = build("causal")
    features, present, time_s = video()
    whole = model(batch_of(features, present, time_s))
    first = int(present.nonzero()[0])
    found = stream(model, features, present, time_s, chunk)
    assert found.isfinite().all()
    expected = torch.cat(
        [whole.valence_arousal, whole.expression.softmax(-1), whole.action_units.sigmoid()], -1
    )[0]  # fmt: skip
    torch.testing.assert_close(found[first:], expected[first:].detach(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
@pytest.mark.parametrize("start_s", [0.0, 90_000.0])
def test_the_graph_in_chunks_is_torch_at_once(chunk, start_s, tmp_path):
    pytest.importorskip("onnx", reason="needs the dev extra")
    model = build("causal")
    (graph,) = model.graphs()
    export.write_onnx(graph, tmp_path / "causal.onnx")
    session = runtime.onnx_session(tmp_path / "causal.onnx")
    features, present, time_s = video()
    time_s = time_s + start_s
    state = {
        node.name: np.zeros(node.shape, {"tensor(bool)": bool, "tensor(double)": "float64"}.get(node.type, "float32"))
        for node in session.get_inputs()
        if node.name.startswith("state_")
    }
    answers = []
    for part in torch.arange(150).split(chunk):
        given = {"features": features[part].numpy(), "valid": present[part].numpy(), "time_s": time_s[part].numpy()}
        found = dict(zip(graph.outputs, session.run(list(graph.outputs), given | state), strict=True))
        state = {name: found[name.replace("state_", "next_")] for name in state}
        answers.append(np.concatenate([found[task] for task in TASKS], 1))
    np.testing.assert_allclose(
        np.concatenate(answers), stream(model, features, present, time_s, 150), atol=2e-4, rtol=1e-3
    )


def test_a_missing_frame_may_also_be_left_out():
    model = build("causal")
    features, present, time_s = video()
    whole = stream(model, features, present, time_s, 150)
    short = stream(model, features[present], present[present], time_s[present], 5)
    torch.testing.assert_close(whole[present], short, atol=1e-4, rtol=1e-4)


def test_the_state_is_of_one_size_and_can_be_taken_up_again():
    model = build("causal")
    features, present, time_s = video()
    state = model.start()
    assert not any(value.any() for value in state.tensors())
    shapes = [value.shape for value in state.tensors()]
    for part in torch.arange(150).split(40):
        kept = state
        first, state = model.step(kept, features[part], present[part], time_s[part])
        again, _ = model.step(kept, features[part], present[part], time_s[part])
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert [value.shape for value in state.tensors()] == shapes


def test_time_that_goes_backwards_is_refused():
    model = build("causal")
    features, present, time_s = video(20)
    _, state = model.step(model.start(), features, present, time_s)
    with pytest.raises(InputError, match="in the order of their time stamps"):
        model.step(state, features, present, time_s)


# --- export, data, recipes


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


def test_the_offline_graph_takes_windows_of_any_length_and_number(tmp_path):
    pytest.importorskip("onnx", reason="needs the dev extra")
    model = build("offline")
    (graph,) = model.graphs()
    export.write_onnx(graph, tmp_path / "offline.onnx")
    session = runtime.onnx_session(tmp_path / "offline.onnx")
    for count, frames in ((1, 1), (1, 20), (3, 33)):
        features, present, time_s = video(count * frames)
        given = [value.view(count, frames, *value.shape[1:]) for value in (features, present, time_s)]
        names = dict(zip(graph.inputs, (value.numpy() for value in given), strict=True))
        with torch.no_grad():
            expected = graph.module(*given)
        for a, b in zip(session.run(list(graph.outputs), names), expected, strict=True):
            np.testing.assert_allclose(a, b.numpy(), atol=2e-4, rtol=1e-3)


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
