"""Weights: round trips, and a refusal with a reason for everything that is not what it should be."""

import hashlib
import json
import os
import pickle
import struct
from dataclasses import dataclass

import numpy as np
import pytest

from sentio.core import registry, weights
from sentio.core.errors import RecipeError, WeightsError

torch = pytest.importorskip("torch", reason="needs the train extra")
onnx = pytest.importorskip("onnx", reason="needs the dev extra")


@dataclass(frozen=True)
class TinyConfig:
    width: int = 3


class Tiny(torch.nn.Module):
    """A model of one layer, registered for these tests only."""

    Config = TinyConfig
    name = "tiny"

    def __init__(self, config: TinyConfig) -> None:
        super().__init__()
        self.config = config
        self.layer = torch.nn.Linear(config.width, 2)
        self.register_buffer("steps", torch.tensor(5))

    def description(self):
        return {}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    entry = registry.Entry("tiny", __name__, "One layer.")
    monkeypatch.setattr(registry, "entries", lambda: {"tiny": entry})
    monkeypatch.setitem(registry._classes, "tiny", Tiny)


@pytest.fixture
def saved(tmp_path):
    model = Tiny(TinyConfig(width=4))
    weights.save(tmp_path / "tiny.safetensors", model)
    return model, tmp_path / "tiny.safetensors"


def test_a_file_describes_itself(saved) -> None:
    model, path = saved
    again = weights.load(path)
    assert again.config == model.config
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def test_other_shapes_names_and_types_are_refused(saved, tmp_path) -> None:
    _, path = saved
    with pytest.raises(WeightsError, match=r"'layer.weight' is \(2, 4\)"):
        weights.load_into(Tiny(TinyConfig(width=5)), path)
    with pytest.raises(WeightsError, match="float64"):
        weights.load_into(Tiny(TinyConfig(width=4)).double(), path)
    more = Tiny(TinyConfig(width=4))
    more.extra = torch.nn.Linear(1, 1)
    with pytest.raises(WeightsError, match="no tensor 'extra.bias'"):
        weights.load_into(more, path)
    weights.save(tmp_path / "more.safetensors", more)
    with pytest.raises(WeightsError, match="an unknown tensor 'extra.bias'"):
        weights.load(tmp_path / "more.safetensors")


class Bomb:
    """Unpickling this would make a file."""

    def __init__(self, marker) -> None:
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_are_refused_and_never_run(tmp_path, protocol) -> None:
    path, marker = tmp_path / "evil.safetensors", tmp_path / "ran"
    path.write_bytes(pickle.dumps(Bomb(marker), protocol=protocol))
    with pytest.raises(WeightsError, match="is a pickle"):
        weights.load(path)
    torch.save({"w": Bomb(marker)}, path)
    with pytest.raises(WeightsError, match="is a pickle"):
        weights.load(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", struct.pack("<Q", 1 << 60) + b"{}", struct.pack("<Q", 2) + b"[]", os.urandom(64)],
    ids=["empty", "short", "huge header", "wrong header", "noise"],
)
def test_damaged_files_are_refused(tmp_path, content) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="broken"):
        weights.load(path)


def test_cut_file_is_refused(saved) -> None:
    _, path = saved
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(WeightsError, match="damaged"):
        weights.load(path)


def test_a_file_of_another_program_is_refused(tmp_path) -> None:
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(WeightsError, match="does not say which model"):
        weights.load(tmp_path / "foreign.safetensors")
    save_file({"w": torch.zeros(1)}, tmp_path / "odd.safetensors", {"system": "tiny", "config": '{"depth": 1}'})
    with pytest.raises(RecipeError, match="unknown key 'depth'"):
        weights.load(tmp_path / "odd.safetensors")
    save_file({"w": torch.zeros(1)}, tmp_path / "no_json.safetensors", {"system": "tiny", "config": "{"})
    with pytest.raises(WeightsError, match="not valid JSON"):
        weights.load(tmp_path / "no_json.safetensors")


def make_onnx(path, output="y") -> None:
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Add", ["x", "x"], [output])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])
    y = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "double", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def embedded(tmp_path, monkeypatch):
    """A folder of cards with the ONNX model ``double``; returns a function that writes its card."""
    make_onnx(tmp_path / "double.onnx")
    monkeypatch.setattr(weights, "EMBEDDED", tmp_path)
    monkeypatch.setenv("SENTIO_CACHE", str(tmp_path / "cache"))

    def write_card(**changes) -> None:
        content = (tmp_path / "double.onnx").read_bytes()
        file = {"file": "double.onnx", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        card = {
            "name": "double",
            "summary": "Doubles.",
            "licence": "Apache-2.0",
            "source": "these tests",
            "files": {"onnx": file | changes.pop("file", {})},
            "inputs": {"x": ["batch", 3]},
            "outputs": {"y": ["batch", 3]},
        }
        (tmp_path / "double.json").write_text(json.dumps(card | changes))
        weights.cards.cache_clear()

    yield write_card
    weights.cards.cache_clear()


def test_session_runs_the_model_of_the_card(embedded) -> None:
    embedded()
    x = np.ones((2, 3), np.float32)
    assert np.array_equal(weights.session("double").run(None, {"x": x})[0], 2 * x)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file": {"sha256": "0" * 64}}, "is damaged"),
        ({"inputs": {"x": ["batch", 4]}}, "its card promises"),
        ({"inputs": {"x": [3]}}, "its card promises"),
        ({"outputs": {"z": ["batch", 3]}}, "its card promises"),
        ({"file": {"url": "http://127.0.0.1:9/double.onnx"}}, "Run: sentio models fetch double"),
    ],
)
def test_session_refuses_what_the_card_does_not_describe(embedded, changes, message) -> None:
    embedded(**changes)
    with pytest.raises(WeightsError, match=message):
        weights.session("double")


def test_cards_cannot_name_files_elsewhere(embedded) -> None:
    embedded(file={"file": "../double.onnx"})
    with pytest.raises(RecipeError, match="bad file name"):
        weights.cards()


def test_unknown_names_list_the_known(embedded) -> None:
    embedded()
    with pytest.raises(WeightsError, match="There are: double"):
        weights.session("triple")


def test_no_onnx_at_all(embedded, tmp_path) -> None:
    (tmp_path / "double.onnx").write_bytes(b"nonsense")
    embedded()
    with pytest.raises(WeightsError, match="cannot be opened"):
        weights.session("double")
