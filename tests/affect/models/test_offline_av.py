"""The embedded model that hears, with past and future: its graph."""

import numpy as np
import pytest
import torch

from over_time_heard import build, video
from sentio.core import export, runtime


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """The model, its graph and a session of it."""
    pytest.importorskip("onnx", reason="needs the dev extra")
    model, path = build("offline-av"), tmp_path_factory.mktemp("graph") / "offline-av.onnx"
    (made,) = model.graphs()
    export.write_onnx(made, path)
    return model, made, runtime.onnx_session(path)


def test_the_offline_graph_takes_windows_of_any_length_and_number(graph):
    _, made, session = graph
    for count, frames in ((1, 1), (1, 20), (3, 33)):
        given = [value.view(count, frames, *value.shape[1:]) for value in video(count * frames)]
        with torch.no_grad():
            expected = made.module(*given)
        named = {name: value.numpy() for name, value in zip(made.inputs, given, strict=True)}
        for a, b in zip(session.run(list(made.outputs), named), expected, strict=True):
            np.testing.assert_allclose(a, b.numpy(), atol=2e-4, rtol=1e-3)
