"""Cross-attention of face and voice: reach in time, guidance, missing modalities, and the published form from files."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import snapshots
from sentio.affect.backbones.encoders import open_encoder, open_text_encoder
from sentio.affect.batch import AffectBatch
from sentio.affect.data.extraction import extract
from sentio.affect.data.windows import Windows
from sentio.affect.evaluate import EvaluationConfig, predict_clips
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.models.crossattn import PROMPTS, align, contrast, root_weights, weighted_cross_entropy
from sentio.affect.training.published import DataConfig, open_store
from sentio.core import registry, runs, weights
from sentio.core.config import from_dict
from sentio.core.errors import InputError, RecipeError, WeightsError
from sentio.core.training import FitConfig
from trained_runs import assert_analyzes, assert_reads_as_it_is_evaluated

D, DA = 192, 6
"""Lengths of the face and sound vectors."""
TINY = {"encoder": "small", "sound_features": DA, "dim": 16, "heads": 2, "hidden": 8, "head": 8}
RECIPES = Path(__file__).parents[3] / "recipes"


def crossattn(**config):
    torch.manual_seed(5)
    return registry.build("crossattn", TINY | config).eval()


def windows(B=3, T=12, Ta=22, seed=0, **fields):
    """Windows at 30 frames a second with sound at 50 vectors a second, every label there."""
    random = torch.Generator().manual_seed(seed)
    known = {
        "face_feature": torch.randn(B, T, D, generator=random),
        "face_valid": torch.ones(B, T, dtype=torch.bool),
        "time_s": (torch.arange(T) / 30 + 3).expand(B, T),
        "source": torch.ones(B, dtype=torch.int64),
        "audio_feature": torch.randn(B, Ta, DA, generator=random),
        "audio_valid": torch.ones(B, Ta, dtype=torch.bool),
        "audio_time_s": (torch.arange(Ta) / 50 + 2.98).expand(B, Ta),
        "expression": torch.arange(B * T).view(B, T) % 8,
        "expression_valid": torch.ones(B, T, dtype=torch.bool),
    }
    return AffectBatch(**known | fields)


# --- time


@pytest.mark.parametrize(("dilations", "reach"), [((1,), 2), ((1, 2), 6), ((1, 2, 4, 8), 30)])
def test_a_frame_sees_as_far_as_the_dilations_say(dilations, reach):
    """Where the gradient of one frame's output ends: 30 frames to both sides in the published form, 61 in all."""
    model = crossattn(dilations=dilations)
    for block in model.temporal:
        for convolution in block.convolutions:
            torch.nn.init.constant_(convolution.weight, 0.01)
            torch.nn.init.constant_(convolution.bias, 0.1)
    x = torch.ones(1, 16, 101, requires_grad=True)
    model.temporal(x)[0, :, 50].sum().backward()
    touched = torch.nonzero(x.grad.abs().sum((0, 1)))[:, 0]
    assert (int(touched.min()), int(touched.max())) == (50 - reach, 50 + reach)
    assert len(touched) == 2 * reach + 1


def naive_align(values, known, times, at, reach):
    result, found = torch.zeros(len(at), values.shape[1]), []
    for row, moment in enumerate(at):
        steps = [k for k in range(len(times)) if known[k]]
        best = min(steps, key=lambda k: abs(times[k] - moment), default=None)
        found.append(best is not None and abs(times[best] - moment) <= reach)
        if found[-1]:
            result[row] = values[best]
    return result, torch.tensor(found)


def test_each_frame_gets_the_nearest_step_on_a_clock_that_stumbles():
    random = torch.Generator().manual_seed(0)
    B, T, Ta = 3, 17, 60
    at = (torch.rand(B, T, generator=random) * 0.08).cumsum(1) + 0.4  # pictures 0 to 80 ms apart
    times = torch.arange(Ta).expand(B, Ta) * 0.02 + torch.tensor([[0.0], [0.337], [-0.2]])  # the sound is offset
    values = torch.randn(B, Ta, 4, generator=random)
    known = torch.rand(B, Ta, generator=random) > 0.3
    known[2] = False
    found, there = align(values, known, times, at, 0.025)
    for row in range(B):
        expected, present = naive_align(values[row], known[row], times[row], at[row], 0.025)
        assert torch.equal(found[row], expected) and torch.equal(there[row], present)
    assert there[0].any() and not there[0].all() and not there[2].any()


def test_a_step_carries_the_time_of_its_frame():
    """Sound vectors that are their own time come back as the time of the picture, whatever its rate."""
    times = torch.arange(0, 5, 0.02)[None]
    for rate in (12.5, 24, 29.97, 60):
        at = torch.arange(0.5, 4.5, 1 / rate)[None]
        found, there = align(times[..., None], torch.ones_like(times) > 0, times, at, 0.05)
        assert there.all() and (found[..., 0] - at).abs().max() <= 0.0101


def test_sound_is_that_of_the_frames_own_time():
    """Sound vectors that grow with time reach the frames in the order and at the place of their times."""
    model = crossattn(reach_s=0.02)
    stumbling = torch.tensor([3.0, 3.04, 3.05, 3.11, 3.2, 3.21, 3.3, 3.36, 3.37, 3.375, 3.4, 3.5])
    times = torch.arange(2.6, 3.45, 0.02)
    batch = windows(1, 12, len(times), time_s=stumbling[None], audio_time_s=times[None],
                    audio_feature=times[None, :, None].expand(1, -1, DA).clone())  # fmt: skip
    torch.nn.init.ones_(model.sound.weight)
    torch.nn.init.zeros_(model.sound.bias)
    _, sounds, heard = model.streams(batch, *model.known(batch))
    assert heard.tolist() == [[True] * 11 + [False]]  # at 3.5 s there is no sound any more
    torch.testing.assert_close(sounds[0, :11, 0] / DA, stumbling[:11], atol=0.0101, rtol=0)


def test_a_shift_of_both_clocks_changes_nothing_and_a_shift_of_one_does():
    model = crossattn()
    batch = windows()
    later = replace(batch, time_s=batch.time_s + 8, audio_time_s=batch.audio_time_s + 8)
    torch.testing.assert_close(model(batch).expression, model(later).expression, atol=1e-4, rtol=1e-3)
    offset = replace(batch, audio_time_s=batch.audio_time_s + 0.1)
    assert (model(batch).expression - model(offset).expression).abs().max() > 1e-3


# --- attention


@torch.no_grad()
def naive_exchange(module, x, other, known):
    """One query, one head, one key at a time, then the dense block."""
    attention, dim = module.attention, x.shape[1]
    C = dim // attention.heads
    queries, (keys, values) = attention.query(x), attention.key_value(other).chunk(2, -1)
    seen = torch.zeros_like(x)
    steps = [m for m in range(len(other)) if known[m]]
    for n in range(len(x)):
        for head in range(attention.heads):
            part = slice(head * C, (head + 1) * C)
            shares = [math.exp(float(queries[n, part] @ keys[m, part]) / math.sqrt(C)) for m in steps]
            for m, share in zip(steps, shares, strict=True):
                seen[n, part] += share / sum(shares) * values[m, part]
    x = attention.norm(x + attention.join(seen)) if steps else attention.norm(x)
    inner = (module.dense[0].weight @ x.T).T + module.dense[0].bias
    return module.norm(x + (module.dense[3].weight @ inner.clamp(min=0).T).T + module.dense[3].bias)


def test_each_stream_asks_the_other_as_a_loop_computes():
    model = crossattn()
    for value in (*model.to_sound.parameters(), *model.to_face.parameters()):
        torch.nn.init.normal_(value, std=0.3)
    faces, sounds = torch.randn(2, 7, 16), torch.randn(2, 7, 16)
    known = torch.tensor([[True, True, False, True, True, False, True], [False] * 7])
    for exchange, x, other in ((model.to_sound, faces, sounds), (model.to_face, sounds, faces)):
        found = exchange(x, other, known)
        for row in range(2):
            expected = naive_exchange(exchange, x[row], other[row], known[row])
            torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=1e-4)


# --- what is missing


def test_a_missing_modality_has_no_influence():
    model = crossattn()
    batch = windows()
    for name, valid in (("face_feature", "face_valid"), ("audio_feature", "audio_valid")):
        there = torch.rand(getattr(batch, valid).shape) > 0.4
        there[0] = False
        values = getattr(batch, name)
        zeroed = replace(batch, **{name: values * there[..., None], valid: there})
        noise = replace(batch, **{name: torch.where(there[..., None], values, 50.0), valid: there})
        assert torch.equal(model(zeroed).expression, model(noise).expression)
        assert model(zeroed).expression.isfinite().all()
        assert not torch.equal(model(zeroed).expression, model(batch).expression)


def test_without_face_and_sound_nothing_is_said():
    model = crossattn()
    batch = windows()
    nobody = replace(
        batch, face_valid=batch.face_valid & torch.tensor([[False], [True], [False]]),
        audio_valid=batch.audio_valid & torch.tensor([[False], [False], [True]]),
    )  # fmt: skip
    assert model(nobody).expression.isnan().flatten(1).all(1).tolist() == [True, False, False]


def test_a_window_of_which_nothing_is_known_teaches_nothing():
    model = crossattn(inputs="sound")
    batch = windows()
    silent = replace(batch, audio_valid=batch.audio_valid & torch.tensor([[True], [False], [True]]))
    unlabelled = torch.tensor([[True], [False], [True]]).expand(3, 12)
    left_out = replace(silent, expression=batch.expression.masked_fill(~unlabelled, -1), expression_valid=unlabelled)
    assert torch.equal(model.loss(silent, 0.0)["expression"], model.loss(left_out, 0.0)["expression"])


def test_a_batch_without_sound_is_one_whose_sound_is_missing():
    model = crossattn()
    batch = windows()
    silent = replace(batch, audio_valid=torch.zeros_like(batch.audio_valid))
    none = replace(batch, audio_feature=None, audio_valid=None, audio_time_s=None)
    assert torch.equal(model(silent).expression, model(none).expression)
    for inputs, kept in (("face", silent), ("sound", replace(batch, face_valid=torch.zeros_like(batch.face_valid)))):
        assert torch.equal(crossattn(inputs=inputs)(batch).expression, model(kept).expression)


def test_hidden_faces_have_no_influence_on_the_loss():
    always, batch = crossattn(dropping={"face": 1.0}), windows()
    terms = always.loss(batch, 0.0), always.loss(replace(batch, face_feature=-batch.face_feature), 0.0)
    assert torch.equal(terms[0]["expression"], terms[1]["expression"])


# --- losses


def test_one_answer_for_a_window_is_read_off_the_mean_of_its_frames():
    """Of those of which something is known; it learns the label of the middle, and so do all of its faces."""
    guidance = {"text": "learnt", "features": 5}
    model, framewise = crossattn(answers="middle", guidance=guidance), crossattn(guidance=guidance)
    batch = windows(face_valid=torch.rand(3, 12) > 0.5, audio_valid=torch.rand(3, 22) > 0.9)
    seen, heard = model.known(batch)
    faces, _, heard = model.streams(batch, seen, heard)
    assert not (seen | heard).all()
    inner = []
    hook = framewise.classify.register_forward_pre_hook(lambda _, given: inner.append(given[0]))
    framewise(batch)
    hook.remove()
    means = torch.stack([row[known].mean(0) for row, known in zip(inner[0], seen | heard, strict=True)])
    torch.testing.assert_close(model(batch).expression[:, 0], model.classify(means))
    label = torch.tensor([[2], [-1], [7]])
    terms = model.loss(replace(batch, expression=label, expression_valid=label >= 0), 0.0)
    expected = weighted_cross_entropy(model.classify(means)[[0, 2]], label[[0, 2], 0], None)
    torch.testing.assert_close(terms["expression"], expected)
    shown = seen & (label >= 0)
    guided = contrast(model.to_text(faces[shown]), model.texts, label.expand(3, 12)[shown], 0.07)
    torch.testing.assert_close(terms["guidance"], 0.1 * guided)


def test_a_window_answers_for_its_middle(drawn):
    rule = {"length": 9, "hop": 9, "answers": "middle", "padding": "mask"}
    model = crossattn(inputs="face", answers="middle")
    data = model.open_data(drawn, {"sets": ["expr"], "windows": rule})
    clip = data.scored("validation")[0]
    [prediction] = predict_clips(model, data, [clip])
    batch = data.collate([data.windows([clip], replace(data.config.windows, hop=1), labelled=False)[40]])
    assert not prediction.missing().any()
    np.testing.assert_allclose(prediction.expression[40], model(batch).expression[0, 0].softmax(-1).detach(), atol=1e-5)
    with pytest.raises(RecipeError, match=r"Set data\.windows\.answers to middle"):
        model.open_data(drawn, {"sets": ["expr"], "windows": rule | {"answers": "all"}})


def test_the_contrastive_loss_in_closed_form():
    """Orthogonal texts: the cosine is 1 with one's own and 0 with the others."""
    texts = 7 * torch.eye(8)
    label = torch.tensor([0, 3, 7])
    own = math.log(1 + 7 * math.exp(-1 / 0.07))
    assert float(contrast(0.2 * texts[label], texts, label, 0.07)) == pytest.approx(own, abs=1e-6)
    wrong = math.log(math.exp(1 / 0.5) + 7) - 0.0
    assert float(contrast(texts[[1]], texts, torch.tensor([4]), 0.5)) == pytest.approx(wrong, abs=1e-5)
    even = contrast(torch.ones(1, 8), texts, torch.tensor([2]), 0.07)
    assert float(even) == pytest.approx(math.log(8), abs=1e-5)


def test_the_contrastive_loss_against_a_plain_loop():
    features, texts, label = torch.randn(5, 6), torch.randn(8, 6), torch.tensor([0, 1, 7, 3, 3])
    total = 0.0
    for row in range(5):
        cosines = [float(features[row] @ text) / float(features[row].norm() * text.norm()) / 0.07 for text in texts]
        total -= cosines[label[row]] - math.log(sum(math.exp(value) for value in cosines))
    assert float(contrast(features, texts, label, 0.07)) == pytest.approx(total / 5, rel=1e-4)
    nothing = torch.zeros(0, 6, requires_grad=True)
    contrast(nothing, texts, label[:0], 0.07).backward()
    assert not nothing.grad.any()


def test_classes_weigh_by_the_root_of_how_rare_they_are():
    found = root_weights((100, 25, 400, 100, 100, 100, 100, 100))
    assert sum(found) / 8 == pytest.approx(1) and found[1] == pytest.approx(2 * found[0])
    assert found[2] == pytest.approx(found[0] / 2)
    logits, label, weighed = torch.randn(6, 8), torch.tensor([0, 1, 2, 1, 1, 7]), torch.tensor(found)
    each = -logits.log_softmax(-1)[torch.arange(6), label] * weighed[label]
    expected = float(each.sum() / weighed[label].sum())
    assert float(weighted_cross_entropy(logits, label, weighed)) == pytest.approx(expected, rel=1e-5)


def test_the_loss_leaves_out_what_has_no_label_and_the_guidance_what_has_no_face():
    model = crossattn(guidance={"text": "learnt", "features": 5, "weight": 0.3}, counts=[1, 2, 3, 4, 5, 6, 7, 8])
    batch = windows()
    there, face = torch.rand(3, 12) > 0.4, torch.rand(3, 12) > 0.4
    batch = replace(batch, expression=batch.expression.masked_fill(~there, -1), expression_valid=there, face_valid=face)
    terms = model.loss(batch, 0.0)
    logits = model(batch).expression
    weighed = torch.tensor(root_weights(model.config.counts))
    expected = weighted_cross_entropy(logits[there], batch.expression[there], weighed)
    torch.testing.assert_close(terms["expression"], expected)
    faces = model.streams(batch, *model.known(batch))[0]
    shown = there & face
    guided = contrast(model.to_text(faces[shown]), model.texts, batch.expression[shown], 0.07)
    torch.testing.assert_close(terms["guidance"], 0.3 * guided)
    sum(terms.values()).backward()
    assert model.texts.grad.any() and model.to_text.weight.grad.any()
    assert set(crossattn().loss(batch, 0.0)) == {"expression"}
    unlabelled = replace(batch, expression=torch.full((3, 12), -1), expression_valid=torch.zeros(3, 12) > 0)
    assert not any(term for term in model.loss(unlabelled, 0.0).values())


# --- text features


def test_text_features_are_read_once_and_kept_with_the_run(tmp_path):
    snapshots.write_clip(tmp_path / "clip")
    guidance = {"text": f"clip:{tmp_path / 'clip'}", "features": 12}
    model = crossattn(guidance=guidance)
    assert model.texts.isnan().all()
    model.loss(windows(), 0.0)
    with torch.no_grad():
        expected = open_text_encoder(guidance["text"])(list(PROMPTS))
    assert torch.equal(model.texts, expected) and not model.texts.requires_grad
    weights.save(tmp_path / "run.safetensors", model)
    (tmp_path / "clip/model.safetensors").unlink()
    again = weights.load(tmp_path / "run.safetensors").eval()
    assert torch.equal(again.loss(windows(), 0.0)["guidance"], model.loss(windows(), 0.0)["guidance"])
    with pytest.raises(WeightsError, match="no safetensors"):
        crossattn(guidance=guidance).loss(windows(), 0.0)


def test_text_features_of_another_length_are_refused(tmp_path):
    snapshots.write_clip(tmp_path)
    with pytest.raises(RecipeError, match="have 12 numbers, not 512"):
        crossattn(guidance={"text": f"clip:{tmp_path}"}).loss(windows(), 0.0)
    with pytest.raises(RecipeError, match="no text encoder 'vit'"):
        crossattn(guidance={"text": "vit"}).loss(windows(), 0.0)


def test_a_prompt_for_each_expression():
    assert len(PROMPTS) == len(EXPRESSIONS) and len(set(PROMPTS)) == 8
    for prompt, word in zip(
        PROMPTS, ("neutral", "angry", "disgust", "fear", "happy", "sad", "surpris", "other"), strict=True
    ):
        assert word in prompt


# --- refusals


@pytest.mark.parametrize(
    "wrong",
    [
        {"encoder": "vgg"}, {"dim": 12, "heads": 8}, {"kernel": 4}, {"counts": [1, 2]}, {"inputs": "text"},
        {"dropping": {"face": 0.7, "sound": 0.5}}, {"guidance": {"prompts": ["happy"]}},
    ],
)  # fmt: skip
def test_wrong_configs_are_refused(wrong):
    with pytest.raises(RecipeError):
        crossattn(**wrong)


def test_batches_that_do_not_fit_are_refused():
    batch = windows()
    with pytest.raises(InputError, match="have 6 numbers, not 9"):
        crossattn(sound_features=9)(batch)
    with pytest.raises(InputError, match="have no times"):
        crossattn()(replace(batch, audio_time_s=None))
    crossattn(sound_features=9, inputs="face")(replace(batch, audio_time_s=None))
    samples = {"audio": torch.zeros(3, 100), "audio_valid": torch.ones(3, 100) > 0}
    with pytest.raises(InputError, match="stored sound vectors"):
        crossattn()(replace(batch, audio_feature=None, audio_time_s=None, **samples))


def test_data_that_do_not_fit_are_refused(drawn):
    rule = {"length": 12, "answers": "all"}
    with pytest.raises(RecipeError, match="the data name no sound"):
        crossattn().open_data(drawn, {"sets": ["expr"], "windows": rule})
    with pytest.raises(RecipeError, match=r"Set data\.windows\.answers to all"):
        crossattn(inputs="face").open_data(drawn, {"sets": ["expr"], "windows": {"length": 12}})


# --- the published form, and the small one


@pytest.mark.slow
@pytest.mark.parametrize("sound", ["wav2vec2", "whisper"])
def test_the_published_form_from_files(sound, drawn, clips, silent_clip, tmp_path):
    """CLIP and wav2vec 2.0 as the hub has them: features of both, two steps of training, an evaluation, an analysis."""
    for kind in ("clip", sound):
        getattr(snapshots, f"write_{kind}")(tmp_path / kind)
    face, voice = f"clip:{tmp_path / 'clip'}", f"{sound}:{tmp_path / sound}"
    plan = json.loads((RECIPES / "crossattn.json").read_text())
    plan["model"] |= {"encoder": face, "sound_features": 16, "dim": 16, "heads": 2, "hidden": 8, "head": 8}
    plan["model"]["guidance"] = {"text": face, "features": 12}
    plan["data"] |= {"face_encoder": face, "sound_encoder": voice, "features": str(tmp_path / "features")}
    plan["fit"] |= {"steps": 2, "batch_size": 4, "device": "cpu"}
    plan["evaluation"] = plan.get("evaluation", {}) | {"resamples": 10}
    data = from_dict(DataConfig, plan["data"])
    for spec in (face, voice):
        assert extract(drawn, open_store(drawn, spec, data)) == []
    runs.train(from_dict(runs.Recipe, plan), drawn, tmp_path / "run")
    assert 0 <= runs.evaluate(tmp_path / "run", drawn).scores["p_expr"] <= 1
    model = weights.load(tmp_path / "run/best.safetensors")
    assert model.texts.isfinite().all() and not model.encoder.training
    assert torch.equal(model.encoder.state_dict()["model.visual_projection.weight"],
                       open_encoder(face).state_dict()["model.visual_projection.weight"])  # fmt: skip
    item = model.open_data(drawn, plan["data"]).train_dataset()[0]
    assert item["face_feature"].shape == (60, 12) and item["audio_feature"].shape[1] == 16
    assert item["audio_valid"].any() and np.ptp(item["time_s"]) == pytest.approx(59 / 30, abs=1e-3)
    assert_reads_as_it_is_evaluated(tmp_path / "run", drawn)
    assert_analyzes(tmp_path / "run", clips / "talking.mp4", silent_clip)


@pytest.mark.slow
def test_the_small_form_from_embedded_weights(drawn, tmp_path):
    plan = json.loads((RECIPES / "crossattn_small.json").read_text())
    plan["data"]["features"] = str(tmp_path / "features")
    plan["fit"] |= {"steps": 2, "batch_size": 4, "device": "cpu"}
    data = from_dict(DataConfig, plan["data"])
    for key in ("face_encoder", "sound_encoder"):
        assert extract(drawn, open_store(drawn, plan["data"][key], data)) == []
    runs.train(from_dict(runs.Recipe, plan), drawn, tmp_path / "run")
    assert 0 <= runs.evaluate(tmp_path / "run", drawn, ["evaluation.resamples=10"]).scores["p_expr"] <= 1


def test_the_published_size():
    recipe = json.loads((RECIPES / "crossattn.json").read_text())
    from_dict(FitConfig, recipe["fit"])
    from_dict(EvaluationConfig, recipe.get("evaluation", {}))
    data = from_dict(DataConfig, recipe["data"])
    assert data.windows == Windows(length=60, hop=30, answers="all", padding="mask") and data.sets == ("expr",)
    assert recipe["model"]["encoder"] == data.face_encoder == recipe["model"]["guidance"]["text"] == "clip"
    assert data.sound_encoder == "wav2vec2" and data.sound_s >= 60 / 23.9
    model = registry.build("crossattn", recipe["model"] | {"encoder": "small"})
    assert model.to_text.weight.shape == (512, 512) and model.config.guidance.temperature == 0.07
    assert [block.convolutions[0].dilation for block in model.temporal] == [(1,), (2,), (4,), (8,)]
    assert model.classify[0].weight.shape == (256, 1024) and model.to_face.attention.heads == 8
    assert model.sound.in_features == 768 and model.config.guidance.weight == 0.1


def test_streams_may_stand_side_by_side_without_attention():
    """Nothing of one stream then reaches the other's half, and the answer is the classifier's of both."""
    model = crossattn(fusion="concatenation")
    assert not any("attention" in name for name, _ in model.named_parameters())
    batch = windows()
    seen, heard = model.known(batch)
    faces, sounds, heard = model.streams(batch, seen, heard)
    assert torch.equal(model(batch).expression, model.classify(torch.cat([faces, sounds], -1)))
