"""What the embedded models that hear share: without a voice they are those of faces; what the voice may say."""

import json
from pathlib import Path

import pytest
import torch

from over_time_heard import BOTH, SMALL, at_once, build, of_faces, video
from sentio.affect.batch import AffectBatch
from sentio.affect.evaluate import EvaluationConfig
from sentio.affect.heard import ANSWERS
from sentio.affect.models._audiovisual import tell_apart
from sentio.affect.training.hearing import HearingConfig
from sentio.core import export, registry, weights
from sentio.core.config import from_dict
from sentio.core.errors import RecipeError
from sentio.core.runs import start_from
from sentio.core.training import FitConfig


def batch_of(frames=40, steps=8):
    """A window with answers of a voice at every quarter second, none in the first two steps."""
    features, present, time_s, *_ = video(frames)
    random = torch.Generator().manual_seed(3)
    stamps = torch.arange(steps) / 4 + 0.01
    answers = torch.randn(1, steps, ANSWERS, generator=random)
    answers[..., -1] = 2.0
    return AffectBatch(
        face_feature=features[None], face_valid=present[None], time_s=time_s[None].float(),
        source=torch.zeros(1, dtype=torch.int64), audio_feature=answers, audio_time_s=stamps[None],
        audio_valid=torch.arange(steps)[None] >= 2,
    )  # fmt: skip


@BOTH
def test_without_a_voice_it_is_the_model_of_faces_to_the_last_bit(name):
    model = build(name)
    features, present, time_s, voice, heard = video()
    silent = at_once(model, features, present, time_s, torch.zeros_like(voice), torch.zeros_like(heard))
    assert torch.equal(silent, of_faces(model, features, present, time_s))
    assert not torch.allclose(at_once(model, features, present, time_s, voice, heard), silent)


@BOTH
def test_a_voice_that_is_not_of_this_person_has_no_influence(name):
    model = build(name)
    features, present, time_s, voice, heard = video()
    other = torch.where(heard[:, None], voice, 7.0)
    found, same = (at_once(model, features, present, time_s, said, heard) for said in (voice, other))
    assert torch.equal(found, same)


@BOTH
def test_valence_action_units_and_how_neutral_it_is_are_the_faces_to_say(name):
    model = build(name)
    clip = video()
    found, faces = at_once(model, *clip), of_faces(model, *clip[:3])
    assert torch.equal(found[:, 0], faces[:, 0]) and torch.equal(found[:, 10:], faces[:, 10:])
    torch.testing.assert_close(found[:, 2], faces[:, 2])
    torch.testing.assert_close(found[:, 2:10].sum(1), torch.ones(150))
    heard = clip[-1]
    assert not torch.isclose(found[heard, 1], faces[heard, 1]).any()
    assert not torch.isclose(found[heard, 3:10], faces[heard, 3:10]).all(1).any()


def test_what_is_not_neutral_is_told_apart_by_odds_alone():
    logits, which = torch.randn(5, 8).double(), torch.randn(5, 7).double()
    found = tell_apart(logits, which).softmax(-1)
    before = logits.softmax(-1)
    torch.testing.assert_close(found[:, 0], before[:, 0])
    torch.testing.assert_close(
        found[:, 1:] / found[:, 1:2], before[:, 1:] / before[:, 1:2] * (which - which[:, :1]).exp()
    )
    assert torch.equal(tell_apart(logits, torch.zeros(5, 7)), logits)


@BOTH
def test_it_begins_as_the_model_of_faces(name):
    model, clip = build(name, learnt=False), video()
    assert torch.equal(at_once(model, *clip), of_faces(model, *clip[:3]))


@BOTH
@pytest.mark.parametrize("faces", [True, False])
def test_nothing_seen_and_nothing_heard_is_finite(name, faces):
    model = build(name)
    features, present, time_s, voice, heard = video(30)
    heard[:] = False
    present &= faces
    assert at_once(model, features, present, time_s, voice * 0, heard).isfinite().all()
    heard[20] = True
    assert at_once(model, features, present, time_s, voice * 0 + 1, heard).isfinite().all()


@BOTH
def test_a_person_who_is_only_heard_is_answered_for(name):
    model, batch = build(name), batch_of()
    silent = model(AffectBatch(**{**vars(batch), "face_valid": torch.zeros_like(batch.face_valid)}))
    _, heard = model.heard(batch)
    first = int(heard[0].nonzero()[0])
    known = silent.expression[0].isfinite().all(1)
    assert known[first:].all() and known[:first].all() == (name == "offline-av")


def test_each_frame_hears_the_newest_answer_that_is_not_stale():
    model, batch = build("causal-av"), batch_of(frames=100)
    batch.audio_feature[0, 4, -1] = -1.0  # no speech
    voice, heard = model.heard(batch)
    for k, time_s in enumerate(batch.time_s[0].tolist()):
        said = [s for s in range(8) if batch.audio_time_s[0, s] <= time_s]
        newest = said[-1] if said else -1
        plain = newest >= 2 and newest != 4 and time_s - float(batch.audio_time_s[0, newest]) < 0.5
        assert bool(heard[0, k]) == plain
        expected = batch.audio_feature[0, newest] if plain else torch.zeros(ANSWERS)
        assert torch.equal(voice[0, k], expected)


@BOTH
def test_the_model_of_faces_is_frozen_and_the_rest_learns(name):
    model = build(name).train()
    terms = model.loss(model.example_batch(), 0.0)
    assert terms.keys() == {"valence_arousal", "expression"}
    before = {key: value.clone() for key, value in model.base.state_dict().items()}
    sum(terms.values()).backward()
    learnt = {key for key, value in model.named_parameters() if value.grad is not None and value.grad.any()}
    assert {key.split(".")[0] for key in learnt} == {"fusion", "carry"}
    parts = {key.split(".")[1] for key in learnt if key.startswith("fusion")}
    assert parts == {"face", "voice", "to_voice", "to_face", "gate", "head"}
    assert all(torch.equal(before[key], value) for key, value in model.base.state_dict().items())


def test_strange_voices_come_to_windows_with_a_face():
    torch.manual_seed(0)
    model = build("offline-av", strange=1.0)
    voice, heard = torch.randn(3, 5, ANSWERS), torch.rand(3, 5) > 0.5
    visible = torch.tensor([[True], [True], [False]]).expand(3, 5)
    other, others = model.estrange(voice, heard, visible)
    assert torch.equal(other, voice[[2, 0, 2]]) and torch.equal(others, heard[[2, 0, 2]])
    same, _ = build("offline-av").estrange(voice, heard, visible)
    assert torch.equal(same, voice)


@BOTH
def test_the_recipe_stands_on_the_weights_that_come_with_the_package(name, tmp_path):
    pytest.importorskip("onnx", reason="needs the dev extra")
    root, below = Path(__file__).parents[3], name.removesuffix("-av")
    recipe = json.loads((root / f"recipes/{name.replace('-', '_')}.json").read_text())
    from_dict(FitConfig, recipe["fit"])
    from_dict(EvaluationConfig, recipe.get("evaluation", {}))
    data = from_dict(HearingConfig, recipe["data"])
    model = registry.build(name, recipe["model"])
    assert model.config.base.length == data.windows.length
    assert data.sound_s >= data.windows.length / 25 + 0.5
    assert root / recipe["start"]["base"] == weights.EMBEDDED / f"{below}.safetensors"
    start_from(model, {"base": weights.EMBEDDED / f"{below}.safetensors"})
    weights.save(tmp_path / "best.safetensors", model)
    shared = {"base": below, "base.face": "face"}
    (card,) = export.export(tmp_path / "best.safetensors", tmp_path / "made", shared=shared)
    described = json.loads(card.read_text())
    told = described["details"]
    assert told["hears"] == "voice" and told["causal"] == (below == "causal")
    assert told["stands_on"] == {place: weights.promised(place) for place in ("voice", below, "face")}
    assert described["inputs"]["voice"][-1] == ANSWERS
    assert all(file["bytes"] < 1e6 for file in described["files"].values())


@pytest.mark.parametrize(("change", "said"), [({"heads": 3}, "multiple of the 3 heads"), ({"strange": 2}, "strange")])
def test_settings_that_do_not_fit_are_refused(change, said):
    with pytest.raises(RecipeError, match=said):
        registry.build("offline-av", SMALL | change)
