"""Soft prompts: region labels, gate, attention both ways, what is missing, the causal form, CLIP and AST from files."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy, norm

import snapshots
from sentio.affect.backbones.encoders import open_text_encoder
from sentio.affect.batch import AffectBatch
from sentio.affect.data.extraction import extract
from sentio.affect.data.windows import Windows
from sentio.affect.evaluate import EvaluationConfig
from sentio.affect.losses import ccc_loss
from sentio.affect.models import softprompt
from sentio.affect.models.softprompt import (
    CENTRES,
    TEXTS,
    Gate,
    at_frames,
    divergence,
    hard_labels,
    soft_labels,
)
from sentio.affect.synth.moving_picture import MovingPicture, generate
from sentio.affect.training.published import AffectData, DataConfig, open_store
from sentio.core import registry, runs, weights
from sentio.core.config import from_dict
from sentio.core.errors import InputError, RecipeError
from sentio.core.training import FitConfig
from trained_runs import assert_analyzes, assert_reads_as_it_is_evaluated

D, SOUND = 192, 6
TINY = {
    "encoder": "small",
    "sound_features": SOUND,
    "units": 8,
    "heads": 2,
    "dropout": 0.0,
    "dropping": {"face": 0.0, "sound": 0.0},
}
RECIPES = Path(__file__).parents[3] / "recipes"


def build(**config):
    torch.manual_seed(5)
    return registry.build("softprompt", TINY | config).eval()


def windows(B=3, T=10, faces=0.25, sound=0.25, seed=0):
    """Windows in which that share of the faces, of the sound steps and of the labels is missing."""
    random = torch.Generator().manual_seed(seed)
    seen, heard = torch.rand(B, T, generator=random) >= faces, torch.rand(B, T // 2, generator=random) >= sound
    known = torch.rand(B, T, generator=random) >= 0.3
    label = torch.rand(B, T, 2, generator=random) * 2 - 1
    return AffectBatch(
        face_feature=torch.randn(B, T, D, generator=random) * seen[..., None],
        face_valid=seen,
        audio_feature=torch.randn(B, T // 2, SOUND, generator=random) * heard[..., None],
        audio_valid=heard,
        audio_time_s=(torch.arange(T // 2) / 15).expand(B, T // 2),
        time_s=(torch.arange(T) / 30).expand(B, T),
        source=torch.zeros(B, dtype=torch.int64),
        valence_arousal=label.masked_fill(~known[..., None], torch.nan),
        valence_arousal_valid=known,
    )


def answers(model, batch):
    with torch.no_grad():
        return model(batch).valence_arousal


# --- the regions


def test_soft_labels_sum_to_one_and_fall_with_the_distance():
    place = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = soft_labels(place, 1 / 3)
    assert found.shape == (200, 9) and (found > 0).all()
    torch.testing.assert_close(found.sum(-1), torch.ones(200))
    distance = torch.cdist(place, torch.tensor(CENTRES))
    assert torch.equal(found.argsort(-1, descending=True), distance.argsort(-1))


@pytest.mark.parametrize("sigma", [0.2, 1 / 3, 0.5])
@pytest.mark.parametrize("place", [(0.0, 0.0), (-2 / 3, 2 / 3), (0.4, -0.9)])
def test_soft_labels_are_gaussians_of_the_distance(place, sigma):
    densities = [norm.pdf(math.dist(place, centre), scale=sigma) for centre in CENTRES]
    expected = np.array(densities) / sum(densities)
    np.testing.assert_allclose(soft_labels(torch.tensor(place), sigma).numpy(), expected, rtol=1e-4, atol=1e-7)


def test_soft_labels_in_the_middle_of_the_plane_have_a_closed_form():
    side, corner = math.exp(-2), math.exp(-4)  # two thirds away, and its diagonal, with sigma of a third
    total = 1 + 4 * side + 4 * corner
    expected = torch.tensor([corner, side, corner, side, 1.0, side, corner, side, corner]) / total
    torch.testing.assert_close(soft_labels(torch.zeros(2), 1 / 3), expected)


@pytest.mark.parametrize("labels", [lambda place: soft_labels(place, 1 / 3), hard_labels])
def test_region_labels_are_mirrored_with_the_plane(labels):
    place = torch.rand(50, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1
    grid = labels(place).view(-1, 3, 3)  # (N, valence, arousal)
    torch.testing.assert_close(labels(place * torch.tensor([-1.0, 1.0])).view(-1, 3, 3), grid.flip(1))
    torch.testing.assert_close(labels(place * torch.tensor([1.0, -1.0])).view(-1, 3, 3), grid.flip(2))
    torch.testing.assert_close(labels(place.flip(-1)).view(-1, 3, 3), grid.transpose(1, 2))


def test_hard_labels_are_the_cell_of_the_grid():
    place = torch.rand(300, 2, generator=torch.Generator().manual_seed(2)) * 2 - 1
    cells = np.clip(np.floor((place.numpy() + 1) / (2 / 3)), 0, 2).astype(int)  # (N, 2)
    found = hard_labels(place)
    assert torch.equal(found.sum(-1), torch.ones(300))
    assert found.argmax(-1).tolist() == (3 * cells[:, 0] + cells[:, 1]).tolist()


def test_each_region_has_the_text_of_its_place():
    text = dict(zip(((round(1.5 * v), round(1.5 * a)) for v, a in CENTRES), TEXTS, strict=True))
    words = {(-1, 1): "angry", (-1, 0): "sad", (-1, -1): "depressed", (0, 1): "surprised", (0, 0): "neutral",
             (0, -1): "sleepy", (1, 1): "excited", (1, 0): "happy", (1, -1): "relaxed"}  # fmt: skip
    assert len(text) == 9 and all(word in text[place] for place, word in words.items())


@pytest.mark.parametrize("labels", ["soft", "hard"])
def test_the_divergence_is_scipys(labels):
    random = torch.Generator().manual_seed(3)
    place, logits = torch.rand(40, 2, generator=random) * 2 - 1, torch.randn(40, 9, generator=random) * 3
    target = soft_labels(place, 1 / 3) if labels == "soft" else hard_labels(place)
    expected = entropy(target.double().numpy(), softmax(logits.double().numpy(), axis=1), axis=1).mean()
    assert float(divergence(target, logits)) == pytest.approx(expected, rel=1e-5)
    assert float(divergence(target, target.clamp(min=1e-30).log())) == pytest.approx(0, abs=1e-6)


def test_the_loss_is_that_of_labelled_frames_and_of_regions_where_there_is_a_face():
    model, batch = build(), windows()
    terms = model.loss(batch, 0.0)
    valid = batch.valence_arousal_valid
    torch.testing.assert_close(
        terms["valence_arousal"], ccc_loss(model(batch).valence_arousal, batch.valence_arousal, valid)
    )
    sound, heard = model.heard(batch)
    visual = model.fuse(batch.face_feature, batch.face_valid, sound, heard)[1]
    vectors, losses = model.project(visual), []
    for b, t in (valid & batch.face_valid).nonzero().tolist():
        cosines = torch.nn.functional.cosine_similarity(vectors[b, t][None], model.regions.vectors)
        q = soft_labels(batch.valence_arousal[b, t], 1 / 3)
        losses.append((q * (q.log() - (cosines / 0.07).log_softmax(0))).sum())
    torch.testing.assert_close(terms["regions"], 0.3 * torch.stack(losses).mean())


def test_labels_of_regions_are_an_option():
    batch = windows()
    with torch.no_grad():
        losses = {kind: build(region_labels=kind).loss(batch, 0.0) for kind in ("soft", "hard", "none")}
    assert set(losses["none"]) == {"valence_arousal"} and build(region_labels="none").regions is None
    assert float(losses["soft"]["regions"]) != float(losses["hard"]["regions"])
    narrow = build(sigma=0.01).loss(batch, 0.0)["regions"].detach()
    torch.testing.assert_close(narrow, losses["hard"]["regions"], rtol=1e-3, atol=1e-3)


def test_a_batch_without_a_label_teaches_nothing():
    batch = windows()
    none = torch.zeros_like(batch.valence_arousal_valid)
    model = build().train()
    total = sum(model.loss(replace(batch, valence_arousal_valid=none), 0.0).values())
    total.backward()
    assert float(total.detach()) == 0
    assert not any(value.grad.any() for value in model.parameters() if value.grad is not None)


# --- fusion


def test_the_gate_is_its_closed_form():
    torch.manual_seed(0)
    gate, v, a = Gate(4), torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    here, gone = torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 3, dtype=torch.bool)
    found, W, bias = gate(v, a, here, here), gate.weigh.weight, gate.weigh.bias
    for b, t in np.ndindex(2, 3):
        g = 1 / (1 + torch.exp(-(W @ torch.cat([v[b, t], a[b, t]]) + bias)))
        torch.testing.assert_close(found[b, t], g * v[b, t] + (1 - g) * a[b, t])
    assert torch.equal(gate(v, a, here, gone), v) and torch.equal(gate(v, a, gone, here), a)


def test_sound_of_a_frame_is_the_newest_step_that_is_not_later():
    values = torch.arange(1.0, 5.0).view(1, 4, 1)
    valid = torch.tensor([[True, True, False, True]])
    steps, frames = torch.tensor([[0.2, 0.7, 1.2, 1.7]]), torch.tensor([[0.1, 0.2, 0.69, 0.7, 1.3, 5.0]])
    found, heard = at_frames(values, valid, steps, frames)
    assert heard.tolist() == [[False, True, True, True, False, True]]
    assert found[heard].flatten().tolist() == [1, 1, 2, 4]


def test_attention_goes_both_ways_and_from_what_was_there_before():
    model, batch = build(), windows(faces=0, sound=0)
    sound, heard = model.heard(batch)
    v, a = model.face(batch.face_feature, batch.face_valid), model.sound(sound, heard)
    one, other = model.to_sound(v, a), model.to_face(a, v)
    expected = model.gate(one, other, batch.face_valid, heard)
    torch.testing.assert_close(model.fuse(batch.face_feature, batch.face_valid, sound, heard)[0], expected)
    assert heard.all()


# --- what is missing


@pytest.mark.parametrize("causal", [False, True])
def test_what_lies_where_nothing_is_has_no_influence(causal):
    model, batch = build(causal=causal), windows()
    faces, sound = batch.face_feature.clone(), batch.audio_feature.clone()
    faces[~batch.face_valid] = 9 * torch.randn(int((~batch.face_valid).sum()), D)
    sound[~batch.audio_valid] = 9 * torch.randn(int((~batch.audio_valid).sum()), SOUND)
    other = replace(batch, face_feature=faces, audio_feature=sound)
    assert torch.equal(answers(model, batch).nan_to_num(9), answers(model, other).nan_to_num(9))


@pytest.mark.parametrize("causal", [False, True])
def test_without_sound_the_face_alone_answers_and_the_other_way_round(causal):
    model, batch = build(causal=causal), windows(faces=0, sound=0)
    silent = replace(batch, audio_valid=torch.zeros_like(batch.audio_valid))
    bare = replace(batch, audio_feature=None, audio_valid=None, audio_time_s=None)
    alone = answers(model, bare)
    assert torch.isfinite(alone).all() and torch.equal(answers(model, silent), alone)
    assert not torch.equal(answers(model, batch), alone)
    with torch.no_grad():
        expected = model.head(model.to_sound.norm(model.face(batch.face_feature, batch.face_valid)))
        torch.testing.assert_close(alone, expected)
        faceless = replace(batch, face_valid=torch.zeros_like(batch.face_valid))
        expected = model.head(model.to_face.norm(model.sound(*model.heard(batch))))
        torch.testing.assert_close(answers(model, faceless), expected)
    for inputs, changed in (("face", bare), ("sound", faceless)):
        one = build(causal=causal, inputs=inputs)
        assert torch.equal(answers(one, batch), answers(model, changed))


def test_where_nothing_is_known_there_is_no_answer():
    batch = windows(faces=0, sound=0)
    nothing = replace(batch, face_valid=batch.face_valid.clone(), audio_valid=batch.audio_valid.clone())
    nothing.face_valid[0], nothing.audio_valid[0] = False, False
    nothing.face_valid[1, :4], nothing.audio_valid[1, :2] = False, False
    found = answers(build(), nothing).isnan().any(-1)
    assert found[0].all() and not found[1:].any()
    found = answers(build(causal=True), nothing).isnan().any(-1)
    assert found[0].all() and found[1].tolist() == [True] * 4 + [False] * 6


def test_modalities_are_dropped_in_training_alone():
    model, batch = build(dropping={"face": 0.5, "sound": 0.5}), windows(B=8)
    losses = {float(model.loss(batch, 0.0)["valence_arousal"].detach()) for _ in range(4)}
    assert len(losses) > 1 and torch.equal(answers(model, batch), answers(model, batch))
    silent = build(dropping={"face": 0.0, "sound": 1.0})
    deaf = replace(batch, audio_feature=-batch.audio_feature)
    for name, value in silent.loss(batch, 0.0).items():
        assert torch.equal(value, silent.loss(deaf, 0.0)[name])


# --- the causal form


def test_no_bit_of_a_causal_answer_changes_with_what_comes_later():
    model, batch = build(causal=True), windows()
    before = answers(model, batch)
    for now in (0, 3, 8):
        random = torch.Generator().manual_seed(now)
        faces, sound = batch.face_feature.clone(), batch.audio_feature.clone()
        seen, heard = batch.face_valid.clone(), batch.audio_valid.clone()
        faces[:, now + 1 :] = 50 * torch.randn(faces[:, now + 1 :].shape, generator=random)
        seen[:, now + 1 :] = torch.rand(seen[:, now + 1 :].shape, generator=random) > 0.5
        later = batch.audio_time_s[0] > batch.time_s[0, now]
        sound[:, later] = 50 * torch.randn(sound[:, later].shape, generator=random)
        heard[:, later] = ~heard[:, later]
        after = answers(
            model, replace(batch, face_feature=faces, face_valid=seen, audio_feature=sound, audio_valid=heard)
        )
        assert torch.equal(after[:, : now + 1].nan_to_num(9), before[:, : now + 1].nan_to_num(9))
        assert not torch.equal(after.nan_to_num(9), before.nan_to_num(9))
    assert not torch.equal(answers(build(), batch)[:, 0], answers(build(), replace(batch, face_feature=faces))[:, 0])


@pytest.mark.parametrize("frames", [1, 4, 9])
def test_a_causal_answer_is_the_same_in_a_shorter_window(frames):
    model, batch = build(causal=True), windows()
    begun = replace(
        batch, face_feature=batch.face_feature[:, :frames], face_valid=batch.face_valid[:, :frames],
        time_s=batch.time_s[:, :frames], valence_arousal=None, valence_arousal_valid=None,
    )  # fmt: skip
    torch.testing.assert_close(answers(model, begun), answers(model, batch)[:, :frames], equal_nan=True)


def test_both_forms_have_as_many_numbers_a_frame():
    one, other = build(), build(causal=True)
    assert one.head[0].in_features == other.head[0].in_features == 16
    assert one.face.gru.bidirectional and not other.face.gru.bidirectional


# --- the texts


@pytest.fixture
def clip(tmp_path):
    snapshots.write_clip(tmp_path / "clip", places=77)
    return f"clip:{tmp_path / 'clip'}"


def clip_windows(**changes):
    return replace(windows(**changes), face_feature=torch.randn(3, 10, 12))


def test_fixed_prompts_are_clips_vectors_of_the_texts(clip):
    model = build(encoder=clip, prompts="fixed")
    model.loss(clip_windows(), 0.0)
    encoder = open_text_encoder(clip)
    torch.testing.assert_close(model.regions(), encoder(list(TEXTS)))
    assert "regions.vectors" in model.state_dict() and not any("text" in name for name in model.state_dict())
    assert not model.regions().requires_grad


def test_context_vectors_learn_and_the_encoders_do_not(clip):
    model = build(encoder=clip, prompts="learnt", context=4).train()
    assert model.regions.context.shape == (4, model.regions.text.width)
    parts = [model.part(name).state_dict() for name in ("encoder", "regions.text")]
    frozen = [{name: value.clone() for name, value in part.items()} for part in parts]
    optimizer = torch.optim.AdamW(model.parameter_groups(), lr=0.1)
    first, before = model.regions.context.detach().clone(), model.regions().detach().clone()
    batch = clip_windows()
    for _ in range(2):
        optimizer.zero_grad()
        sum(model.loss(batch, 0.0).values()).backward()
        optimizer.step()
    assert (model.regions.context != first).all() and not torch.equal(model.regions(), before)
    assert not model.regions.text.training and not model.encoder.training
    for part, kept in zip(parts, frozen, strict=True):
        assert kept and all(torch.equal(part[name], value) for name, value in kept.items())


def test_context_stands_before_the_words(clip):
    model = build(encoder=clip, prompts="learnt", context=3)
    text = model.regions.text
    words, end = text.tokenize(["a b c"])
    with torch.no_grad():
        assert int(end[0]) == 4
        model.regions.context.copy_(text.embed(words)[0, 1:4])
    torch.testing.assert_close(model.regions(), text([f"a b c {sentence}" for sentence in TEXTS]))


def test_windows_must_ask_for_every_frame_and_silence_is_told(tmp_path, caplog):
    generate(tmp_path / "set", MovingPicture(videos=2, seconds=1, seed=3))
    with pytest.raises(RecipeError, match="windows.answers to all"):
        build().open_data(tmp_path / "set", {"windows": {"length": 8}})
    section = {"windows": {"length": 8, "answers": "all"}}
    build(inputs="face").open_data(tmp_path / "set", section)
    assert not caplog.text
    build().open_data(tmp_path / "set", section)
    assert "no sound" in caplog.text


def test_what_does_not_go_together_is_refused(clip):
    with pytest.raises(InputError, match="have 6 numbers, not 7"):
        build(sound_features=7)(windows())
    assert torch.isfinite(build(sound_features=7, inputs="face")(windows(faces=0)).valence_arousal).all()
    with pytest.raises(InputError, match="have no times"):
        build()(replace(windows(), audio_time_s=None))
    samples = {"audio": torch.zeros(3, 800), "audio_valid": torch.ones(3, 800, dtype=torch.bool)}
    with pytest.raises(InputError, match="not samples"):
        build()(replace(windows(), audio_feature=None, audio_time_s=None, **samples))
    wrongs = (
        {"prompts": "fixed"}, {"prompts": "learnt"}, {"encoder": "vgg"}, {"region_labels": "gaze"}, {"heads": 3},
        {"sigma": 0.0}, {"dropping": {"face": 1.5}}, {"temperature": 0.0}, {"encoder": clip, "context": 0},
    )  # fmt: skip
    for wrong in wrongs:
        with pytest.raises(RecipeError):
            build(**wrong)


# --- from files


PUBLISHED = {"units": 8, "heads": 2, "layers": 1, "sound_features": 16, "prompts": "learnt", "context": 4}


@pytest.mark.slow
def test_the_published_form_from_files(clips, silent_clip, tmp_path):
    generate(tmp_path / "set", MovingPicture(videos=4, seconds=2, seed=3))
    snapshots.write_clip(tmp_path / "clip", places=77)
    snapshots.write_ast(tmp_path / "ast")
    faces, sound = f"clip:{tmp_path / 'clip'}", f"ast:{tmp_path / 'ast'}"
    recipe = json.loads((RECIPES / "softprompt.json").read_text())
    recipe["model"] |= PUBLISHED | {"encoder": faces}
    recipe["data"] |= {"face_encoder": faces, "sound_encoder": sound}
    recipe["fit"] |= {"steps": 2, "batch_size": 2, "device": "cpu"}
    recipe["evaluation"] |= {"resamples": 10}
    config = from_dict(DataConfig, recipe["data"])
    for spec in (faces, sound):
        assert extract(tmp_path / "set", open_store(tmp_path / "set", spec, config)) == []
    batch = AffectData(tmp_path / "set", config).collate([AffectData(tmp_path / "set", config).train_dataset()[0]])
    assert batch.face_feature.shape == (1, 64, 12) and batch.audio_feature.shape[2] == 16
    assert batch.audio_valid.any() and batch.face_valid.any()

    best = runs.train(from_dict(runs.Recipe, recipe), tmp_path / "set", tmp_path / "run")
    method = weights.load(best).eval()
    sounds, heard = method.heard(batch)
    assert heard[0, 20:60].all() and sounds[heard].any()
    silent = replace(batch, audio_valid=torch.zeros_like(batch.audio_valid))
    assert not torch.equal(answers(method, batch), answers(method, silent))
    start = registry.build("softprompt", recipe["model"])
    for part in ("encoder", "regions.text"):
        ours, theirs = method.part(part).state_dict(), start.part(part).state_dict()
        assert ours and all(torch.equal(ours[name], value) for name, value in theirs.items())

    result = runs.evaluate(tmp_path / "run", tmp_path / "set")
    assert math.isfinite(result.scores["p_va"]) and result.header["frames_filled"] == 0
    for prediction in result.predictions:
        assert np.isfinite(prediction.valence_arousal).all() and np.abs(prediction.valence_arousal).max() <= 1
    assert_reads_as_it_is_evaluated(tmp_path / "run", tmp_path / "set")
    assert_analyzes(tmp_path / "run", clips / "talking.mp4", silent_clip)


@pytest.mark.parametrize("name", ["softprompt", "softprompt_small"])
def test_the_recipe_is_of_this_config(name):
    recipe = json.loads((RECIPES / f"{name}.json").read_text())
    fit, data = from_dict(FitConfig, recipe["fit"]), from_dict(DataConfig, recipe["data"])
    from_dict(EvaluationConfig, recipe["evaluation"])
    assert data.windows == Windows(length=64, hop=32, answers="all", padding="mask") and data.sets == ("va",)
    assert recipe["model"]["dropping"] == {"face": 0.1, "sound": 0.1}
    assert data.sound_s >= data.windows.span / 30 and fit.schedule == "cosine"
    published = name == "softprompt"
    config = from_dict(softprompt.SoftPromptConfig, recipe["model"])
    assert (config.encoder, config.prompts) == (("clip", "learnt") if published else ("aligned", "vectors"))
    assert (data.face_encoder == "clip") == (data.sound_encoder == "ast") == published
    model = registry.build("softprompt", recipe["model"] | {"encoder": "small", "prompts": "vectors"})
    if published:
        assert model.head[0].weight.shape == (256, 512) and model.head[3].weight.shape == (2, 256)
        assert model.face.gru.hidden_size == 256 and model.face.gru.num_layers == 2 and model.to_face.heads == 8
        assert model.sound.gru.input_size == 768
        assert (config.sigma, config.weight, config.temperature) == (1 / 3, 0.3, 0.07)
    else:
        assert model.sound.gru.input_size == weights.load(data.sound_encoder).encoder.info.dim
