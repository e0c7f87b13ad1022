"""CAPNet and FER-Tuned: what they see, what they must never see, and that streaming is the same as batch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sentio.affect.batch import AffectBatch
from sentio.affect.data.windows import Windows
from sentio.affect.evaluate import EvaluationConfig
from sentio.affect.losses import ccc_loss
from sentio.affect.training.published import DataConfig
from sentio.core import registry
from sentio.core.config import from_dict
from sentio.core.errors import InputError
from sentio.core.training import FitConfig

D = 192
"""Length of the small encoder's vectors."""
WINDOWS = Windows(length=10, step=10, search=9, padding="mask")


def capnet(**config):
    torch.manual_seed(5)
    return registry.build("capnet", {"encoder": "small", **config}).eval()


def video(frames=400, missing=0.15, seed=0):
    """Features, faces present (with gaps of up to two seconds) and time stamps at 30 frames per second."""
    generator = np.random.default_rng(seed)
    features = torch.from_numpy(generator.normal(size=(frames, D)).astype("float32"))
    present = generator.random(frames) > missing
    present[150:205] = False
    present[260:272] = False
    return features, torch.from_numpy(present), torch.arange(frames, dtype=torch.float64) / 30


def stream(model, features, valid, time_s, chunk):
    state, answers = model.start(), []
    for part in torch.arange(len(features)).split(chunk):
        answer, state = model.step(state, features[part], valid[part], time_s[part])
        answers.append(answer)
    return torch.cat(answers)


def track(model, features, valid, time_s):
    """The graph, frame by frame, only those with a face, as the track of a person does."""
    graph = model.graphs()[0].module.eval()
    state = [torch.zeros_like(value) for key, value in model.graphs()[0].inputs.items() if key.startswith("state_")]
    answers = torch.full((len(features), 2), float("nan"))
    for k in torch.nonzero(valid)[:, 0].tolist():
        with torch.no_grad():
            answers[k], *state = graph(features[k : k + 1], torch.ones(1) > 0, time_s[k : k + 1], *state)
    return answers


def by_the_rule(model, features, present):
    """The published sequence rule, frame by frame: (N, 2), NaN where there is no full sequence."""
    n, answers = model.config.faces, torch.full((len(features), 2), float("nan"))
    for i in range(len(features)):
        faces = []
        for entry in range(i - 10 * n, i, 10):
            earlier = [j for j in range(entry, entry - 10, -1) if j >= 0 and present[j]]
            faces += [features[earlier[0]]] if earlier else []
        if len(faces) == n:
            with torch.no_grad():
                answers[i] = model.predict(torch.stack(faces)[None])[0]
    return answers


@pytest.mark.parametrize("seconds", [1, 2, 3])
def test_streaming_follows_the_published_sequence_rule(seconds):
    model = capnet(seconds=seconds)
    features, present, time_s = video()
    expected = by_the_rule(model, features, present)
    full = ~expected[:, 0].isnan()
    assert 150 < int(full.sum()) < 380
    answers = stream(model, features, present, time_s, 64)
    torch.testing.assert_close(answers[full], expected[full], rtol=1e-5, atol=1e-6)


def test_where_no_sequence_is_full_fer_tuned_answers_from_the_newest_face_allowed():
    model = capnet(seconds=2)
    features, present, time_s = video()
    gaps = torch.nonzero(by_the_rule(model, features, present)[:, 0].isnan())[:, 0].tolist()
    answers = stream(model, features, present, time_s, 64)
    for i in gaps:
        earlier = [j for j in range(i - 10, -1, -1) if present[j]]
        expected = model.fer.predict(features[earlier[0]]) if earlier else torch.zeros(2)
        torch.testing.assert_close(answers[i], expected.detach(), rtol=1e-5, atol=1e-6)
    assert 0 in gaps and 200 in gaps


@pytest.mark.parametrize("fill", ["past", "current"])
@pytest.mark.parametrize("chunk", [1, 2, 7])
def test_streaming_in_chunks_equals_batch(chunk, fill):
    model = capnet(fill=fill)
    clip = video(300)
    torch.testing.assert_close(stream(model, *clip, chunk), stream(model, *clip, 300), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(stream(model, *clip, 64), stream(model, *clip, 300), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fill", ["past", "current"])
@pytest.mark.parametrize("seconds", [1, 3])
@pytest.mark.parametrize("rate", [30, 25, 12.5])
def test_the_graph_says_what_streaming_says_and_nothing_before_it_knows(rate, seconds, fill):
    model = capnet(seconds=seconds, fill=fill)
    features, present, _ = video(300)
    time_s = torch.arange(300, dtype=torch.float64) / rate
    expected = stream(model, features, present, time_s, 300)
    found = track(model, features, present, time_s)
    known = ~found[:, 0].isnan()
    first_s = time_s[present][0] + (1 / 3 - 1e-3 if fill == "past" else 0)
    assert torch.equal(known, present & (time_s >= first_s))
    torch.testing.assert_close(found[known], expected[known], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rate", [30, 25, 23.976, 60])
@pytest.mark.parametrize("t", [100, 180, 231])
def test_frames_later_than_a_third_of_a_second_before_t_change_no_bit_up_to_t(t, rate):
    model = capnet()
    features, present, _ = video(300)
    time_s = torch.arange(300, dtype=torch.float64) / rate
    before = stream(model, features, present, time_s, 300)
    late = time_s > time_s[t] - 1 / 3 + 1e-3
    other, other_present = features.clone(), present.clone()
    other[late] = torch.randn(int(late.sum()), D)
    other_present[late] = ~present[late]
    after = stream(model, other, other_present, time_s, 300)
    assert torch.equal(before[: t + 1], after[: t + 1])
    assert not torch.equal(before[t + 1 :], after[t + 1 :])
    last_seen = int(torch.nonzero(present & ~late)[-1])  # and the newest frame that may be seen is seen
    other = features.clone()
    other[last_seen] += 1
    assert not torch.equal(before[t], stream(model, other, present, time_s, 300)[t])


def test_pictures_later_than_a_third_of_a_second_before_t_change_no_bit_up_to_t():
    model = capnet(seconds=1)
    faces, time_s = torch.rand(70, 3, 80, 80), torch.arange(70, dtype=torch.float64) / 30
    present = torch.ones(70, dtype=torch.bool)
    before = stream(model, faces, present, time_s, 70)
    other = faces.clone()
    other[41:] = torch.rand(29, 3, 80, 80)  # frame 40 is a third of a second before frame 50
    after = stream(model, other, present, time_s, 70)
    assert torch.equal(before[:51], after[:51]) and not torch.equal(before[51], after[51])


def test_filling_from_the_current_face_sees_it():
    features, present, time_s = video(20)
    present[:] = True
    answers = stream(capnet(fill="current"), features, present, time_s, 20)
    torch.testing.assert_close(answers[3], capnet().fer.predict(features[3]).detach(), rtol=1e-5, atol=1e-6)


def test_the_state_stays_small_and_old_states_can_be_taken_up_again():
    model = capnet()
    features, present, time_s = video(2000)
    state = model.start()
    for part in torch.arange(2000).split(50):
        kept = state
        first, state = model.step(kept, features[part], present[part], time_s[part])
        again, _ = model.step(kept, features[part], present[part], time_s[part])
        assert torch.equal(first, again)
        assert len(state.features) <= 102


def test_a_stream_without_a_face_and_an_empty_chunk():
    model = capnet()
    features, _, time_s = video(90)
    nobody = torch.zeros(90, dtype=torch.bool)
    answer, state = model.step(model.start(), features, nobody, time_s)
    assert torch.equal(answer, torch.zeros(90, 2)) and len(state.features) == 0
    answer, _ = model.step(state, features[:0], nobody[:0], time_s[:0])
    assert answer.shape == (0, 2)


def test_time_that_goes_backwards_is_refused():
    model = capnet()
    features, present, time_s = video(20)
    _, state = model.step(model.start(), features, torch.ones(20, dtype=torch.bool), time_s)
    with pytest.raises(InputError, match="in the order of their time stamps"):
        model.step(state, features, present, time_s)


def windows_of(features, present, labels=None):
    """The batch that the windows of the data package make of a clip, entries one GAP apart."""
    anchors = np.arange(90, len(features))
    lookup = WINDOWS.lookup(present.numpy())
    sources = torch.from_numpy(WINDOWS.sources(WINDOWS.entries(anchors), lookup))
    valid = sources >= 0
    faces = torch.where(valid[..., None], features[sources.clamp(min=0)], 0.0)
    fields = {}
    if labels is not None:
        fields = {
            "valence_arousal": labels[anchors][:, None],
            "valence_arousal_valid": ~labels[anchors][:, None, 0].isnan(),
        }
    return AffectBatch(
        face_feature=faces,
        face_valid=valid,
        time_s=torch.from_numpy(WINDOWS.entries(anchors)).float() / 30,
        source=torch.zeros(len(anchors), dtype=torch.int64),
        **fields,
    )


@pytest.mark.parametrize("seconds", [1, 2, 3])
def test_windows_of_training_give_what_streaming_gives(seconds):
    model = capnet(seconds=seconds)
    features, present, time_s = video()
    with torch.no_grad():
        answers = model(windows_of(features, present)).valence_arousal[:, 0]
    full = ~by_the_rule(model, features, present)[90:, 0].isnan()
    torch.testing.assert_close(
        answers[full], stream(model, features, present, time_s, 64)[90:][full], rtol=1e-5, atol=1e-6
    )
    seen = windows_of(features, present).face_valid[:, -1 - 3 * seconds : -1].any(1)
    assert torch.equal(answers.isfinite().all(1), seen) and not full.all()


def test_the_current_face_of_a_window_is_not_seen():
    model = capnet(seconds=1)
    features, present, _ = video(missing=0.0)
    batch = windows_of(features, present)
    changed = windows_of(features, present)
    changed.face_feature[:, -1] = torch.randn(len(batch), D)
    with torch.no_grad():
        before = model(batch).valence_arousal
        torch.testing.assert_close(model(changed).valence_arousal, before, rtol=0, atol=0, equal_nan=True)
        changed.face_feature[:, -2] = torch.randn(len(batch), D)
        assert (model(changed).valence_arousal - before).abs().nan_to_num().max() > 0.01


def test_only_full_and_labelled_windows_enter_the_loss():
    model = capnet()
    features, present, _ = video()
    labels = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (400, 2)).astype("float32"))
    labels[300:330] = float("nan")
    batch = windows_of(features, present, labels)
    expected = by_the_rule(model, features, present)
    both = ~expected[:, 0].isnan() & ~labels[:, 0].isnan()
    both[:90] = False
    reference = ccc_loss(expected[None, both], labels[None, both], torch.ones(1, int(both.sum()), dtype=torch.bool))
    assert float(model.loss(batch, 0.0)["ccc"].detach()) == pytest.approx(float(reference), abs=1e-5)


def trained(model):
    return {name.split(".")[0] for name, value in model.named_parameters() if value.requires_grad}


def test_the_face_network_is_frozen_and_the_lstm_on_request():
    assert trained(capnet()) == {"lstm", "dense", "head"}
    assert trained(capnet(train_lstm=False)) == {"dense", "head"}
    assert trained(registry.build("fer-tuned", {"encoder": "small"})) == {"encoder", "head"}
    model = capnet().train()
    before = {name: value.clone() for name, value in model.fer.state_dict().items()}
    faces = torch.rand(4, 10, 3, 80, 80)
    batch = AffectBatch(
        face=faces, face_valid=torch.ones(4, 10, dtype=torch.bool), time_s=torch.zeros(4, 10),
        source=torch.zeros(4, dtype=torch.int64), valence_arousal=torch.rand(4, 1, 2),
        valence_arousal_valid=torch.ones(4, 1, dtype=torch.bool),
    )  # fmt: skip
    model.loss(batch, 0.0)["ccc"].backward()
    assert all(torch.equal(before[name], value) for name, value in model.fer.state_dict().items())
    assert model.lstm.weight_ih_l0.grad.abs().sum() > 0


def test_faces_and_their_stored_features_give_the_same():
    model = capnet(seconds=1)
    faces = torch.rand(2, 10, 3, 80, 80)
    common = {"face_valid": torch.ones(2, 10, dtype=torch.bool), "time_s": torch.zeros(2, 10),
              "source": torch.zeros(2, dtype=torch.int64)}  # fmt: skip
    with torch.no_grad():
        stored = model.encoder(faces)
        a = model(AffectBatch(face=faces, **common)).valence_arousal
        b = model(AffectBatch(face_feature=stored, **common)).valence_arousal
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        steps, _ = model.step(model.start(), faces[0], common["face_valid"][0], torch.arange(10) / 3)
        same, _ = model.step(model.start(), stored[0], common["face_valid"][0], torch.arange(10) / 3)
    torch.testing.assert_close(steps, same, rtol=1e-4, atol=1e-5)


def test_fer_tuned_answers_the_frames_that_have_labels():
    model = registry.build("fer-tuned", {"encoder": "small"}).eval()
    features, present, _ = video()
    batch = windows_of(features, present)
    assert model(batch).valence_arousal.shape == (310, 10, 2)
    labels = torch.zeros(400, 2)
    newest = model(windows_of(features, present, labels)).valence_arousal
    torch.testing.assert_close(newest, model(batch).valence_arousal[:, -1:], equal_nan=True)
    assert torch.equal(newest.isnan().all(2), ~batch.face_valid[:, -1:])


def test_unfit_batches_are_named():
    features, present, _ = video()
    batch = windows_of(features, present)
    with pytest.raises(InputError, match="no valence_arousal labels"):
        capnet().loss(batch, 0.0)
    with pytest.raises(InputError, match="192 numbers, resnext34 gives 512"):
        registry.build("capnet", {})(batch)


def test_dropout_of_the_input_is_one_mask_for_the_sequence():
    model = capnet(dropout=0.5).train()
    seen = []
    model.lstm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.predict(torch.ones(6, 9, D))
    zero = seen[0] == 0
    assert torch.equal(zero, zero[:, :1].expand_as(zero)) and 0.4 < zero.float().mean() < 0.6
    assert not torch.equal(zero[0], zero[1])


def test_keras_initial_values():
    lstm = capnet().lstm
    gates = lstm.bias_ih_l0.view(4, 256)  # torch's order: input, forget, cell, output
    assert torch.equal(gates[1], torch.ones(256)) and not gates[[0, 2, 3]].any() and not lstm.bias_hh_l0.any()
    identity = lstm.weight_hh_l0.T @ lstm.weight_hh_l0
    torch.testing.assert_close(identity, torch.eye(256), atol=1e-5, rtol=0)
    limit = (6 / (D + 4 * 256)) ** 0.5
    assert 0.99 * limit < float(lstm.weight_ih_l0.detach().abs().max()) <= limit


@pytest.mark.parametrize("name", ["capnet", "fer_tuned"])
def test_the_recipe_is_of_this_config(name):
    recipe = json.loads((Path(__file__).parents[3] / f"recipes/{name}.json").read_text())
    from_dict(FitConfig, recipe["fit"])
    from_dict(EvaluationConfig, recipe["evaluation"])
    data = from_dict(DataConfig, recipe["data"])
    assert data.windows == (Windows(length=10, step=10, search=9) if name == "capnet" else Windows())
    registry.build(recipe["system"], recipe["model"] | {"encoder": "small"})
