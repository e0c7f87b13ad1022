"""The embedded model with past and future: bridging, padding, windows of any length."""

import numpy as np
import pytest
import torch

from over_time import batch_of, build, video
from sentio.affect.labels import TASKS
from sentio.core import export, runtime


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
