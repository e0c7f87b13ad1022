"""The embedded model of the past alone: what is past stays as it is, streaming is the same as batch."""

import numpy as np
import pytest
import torch

from over_time import D, batch_of, build, video
from sentio.affect.labels import TASKS
from sentio.core import export, runtime
from sentio.core.errors import InputError


def stream(model, features, valid, time_s, chunk):
    """(N, 22) in chunks of some frames."""
    state, answers = model.start(), []
    for part in torch.arange(len(features)).split(chunk):
        answer, state = model.step(state, features[part], valid[part], time_s[part])
        answers.append(torch.cat(answer, -1))
    return torch.cat(answers)


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
