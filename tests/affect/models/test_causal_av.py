"""The embedded model that hears, from the past alone: what is past stays as it is, streaming is the same as batch."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from over_time_heard import at_once, build, of_faces, video
from sentio.affect.labels import TASKS
from sentio.affect.models.causal_av import CausalAVState
from sentio.core import export, runtime


def stream(model, clip, chunk):
    """As :func:`at_once` in chunks of some frames."""
    state, answers = model.start(), []
    for part in torch.arange(len(clip[0])).split(chunk):
        with torch.no_grad():
            answer, state = model.continued(state, *(value[part] for value in clip))
        answers.append(torch.cat(answer, -1))
    return torch.cat(answers)


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """The model, its graph and a session of it."""
    pytest.importorskip("onnx", reason="needs the dev extra")
    model, path = build("causal-av"), tmp_path_factory.mktemp("graph") / "causal-av.onnx"
    (made,) = model.graphs()
    export.write_onnx(made, path)
    return model, made, runtime.onnx_session(path)


def test_a_second_after_the_voice_the_causal_one_rests_on_the_face():
    model = build("causal-av")
    features, present, time_s, voice, heard = video()
    heard[60:] = False
    found, faces = at_once(model, features, present, time_s, voice, heard), of_faces(model, features, present, time_s)
    added = found != faces
    reach = model.config.base.reach
    assert added[60 : 60 + reach].any() and not added[60 + reach :].any()


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
def test_streaming_in_chunks_is_batch(chunk):
    model, clip = build("causal-av"), video()
    torch.testing.assert_close(stream(model, clip, chunk), at_once(model, *clip), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
def test_the_graph_in_chunks_is_torch_at_once(chunk, graph):
    model, made, session = graph
    clip = video()
    now = [name for name in made.inputs if not name.startswith("state_")]
    state = {key: np.zeros_like(value.numpy()) for key, value in made.inputs.items() if key not in now}
    answers = []
    for part in torch.arange(len(clip[0])).split(chunk):
        given = {name: value[part].numpy() for name, value in zip(now, clip, strict=True)}
        found = dict(zip(made.outputs, session.run(list(made.outputs), given | state), strict=True))
        state = {name: found[name.replace("state_", "next_")] for name in state}
        answers.append(np.concatenate([found[task] for task in TASKS], 1))
    np.testing.assert_allclose(np.concatenate(answers), at_once(model, *clip).numpy(), atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("t", [0, 39, 120])
def test_later_frames_and_words_change_no_bit_up_to_t(t):
    model, clip = build("causal-av"), video()
    before = stream(model, clip, 150)
    features, present, time_s, voice, heard = (value.clone() for value in clip)
    features[t + 1 :] += 3
    voice[t + 1 :] -= 3
    heard[t + 1 :] = ~heard[t + 1 :]
    after = stream(model, (features, present, time_s, voice, heard), 150)
    assert torch.equal(before[: t + 1], after[: t + 1]) and not torch.equal(before[t + 1 :], after[t + 1 :])


def test_the_state_is_of_one_size_and_begins_empty():
    model, clip = build("causal-av"), video(40)
    state = model.start()
    assert not any(value.any() for value in state.tensors())
    _, following = model.continued(state, *clip)
    for item in fields(CausalAVState):
        assert getattr(state, item.name).shape == getattr(following, item.name).shape
