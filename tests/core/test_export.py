"""Parts that other weights have are written once, and only found again where these are the same."""

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from sentio.core import export, registry, weights  # noqa: E402
from sentio.core.errors import WeightsError  # noqa: E402


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of weights that holds a face model, and a model over time of the same parts as a run leaves it."""
    pytest.importorskip("onnx", reason="needs the dev extra")
    made = tmp_path / "made"
    monkeypatch.setattr(weights, "EMBEDDED", made)
    weights.cards.cache_clear()
    torch.manual_seed(0)
    face = registry.build("face", {"encoder": "small"})
    weights.save(tmp_path / "face.safetensors", face)
    export.export(tmp_path / "face.safetensors", made)
    weights.cards.cache_clear()
    causal = registry.build("causal", {"face": {"encoder": "small"}, "layers": 1, "dim": 32, "hidden": 32})
    causal.face.load_state_dict(face.state_dict())
    weights.save(tmp_path / "causal.safetensors", causal)
    yield made
    weights.cards.cache_clear()


def size(folder, name):
    return (folder / f"{name}.safetensors").stat().st_size


def test_what_is_shared_is_left_out_and_found_again(folder, tmp_path):
    export.export(tmp_path / "causal.safetensors", folder, shared={"face": "face"})
    weights.cards.cache_clear()
    assert size(folder, "causal") < size(tmp_path, "causal") - 0.9 * size(folder, "face")
    found, expected = weights.load("causal").state_dict(), weights.load(tmp_path / "causal.safetensors").state_dict()
    assert found.keys() == expected.keys() and all(found[name].equal(expected[name]) for name in found)
    assert weights.card("causal").details["stands_on"] == {"face": weights.card("face").files["safetensors"].sha256}


def test_a_part_of_other_weights_may_be_shared(folder, tmp_path):
    net = registry.build("capnet", {"encoder": "small"})
    net.encoder.load_state_dict(weights.load("face").encoder.state_dict())
    weights.save(tmp_path / "capnet.safetensors", net, shared={"fer.encoder": "face.encoder"})
    assert weights.load(tmp_path / "capnet.safetensors").state_dict().keys() == net.state_dict().keys()
    with pytest.raises(WeightsError, match="no part 'body'"):
        weights.save(tmp_path / "capnet.safetensors", net, shared={"fer.encoder": "face.body"})


def test_what_is_not_the_same_is_not_shared(folder, tmp_path):
    net = registry.build("causal", {"face": {"encoder": "small"}, "layers": 1, "dim": 32, "hidden": 32})
    with pytest.raises(WeightsError, match=r"'face\..*' of causal is another one"):
        weights.save(tmp_path / "other.safetensors", net, shared={"face": "face"})
    assert not (tmp_path / "other.safetensors").exists()


def test_other_weights_of_that_name_are_refused(folder, tmp_path):
    export.export(tmp_path / "causal.safetensors", folder, shared={"face": "face"})
    face = weights.load("face")
    with torch.no_grad():
        next(face.parameters()).add_(1)
    weights.save(tmp_path / "face.safetensors", face)
    weights.cards.cache_clear()
    export.export(tmp_path / "face.safetensors", folder)
    weights.cards.cache_clear()
    with pytest.raises(WeightsError, match="other weights 'face'"):
        weights.load("causal")


@pytest.mark.parametrize("text", ["no json", "[]", '{"face": "face"}', '{"face": [1, 2]}'])
def test_a_header_of_another_form_is_refused(folder, tmp_path, text):
    from safetensors.torch import load_file, save_file

    path = tmp_path / "causal.safetensors"
    with weights._open(path) as file:
        told = file.metadata()
    save_file(load_file(path), path, told | {"shared": text})
    with pytest.raises(WeightsError):
        weights.load(path)


def test_the_mean_with_other_weights_is_exported(folder, tmp_path):
    other = weights.load("face")
    with torch.no_grad():
        for value in other.parameters():
            value.add_(torch.randn_like(value))
    weights.save(tmp_path / "other.safetensors", other)
    start = {name: value.clone() for name, value in weights.load("face").state_dict().items()}
    export.export(tmp_path / "other.safetensors", folder, average="face", share=0.25)
    weights.cards.cache_clear()
    found, moved = weights.load("face").state_dict(), other.state_dict()
    names = [name for name, _ in other.named_parameters()]
    assert all(torch.allclose(found[name], (start[name] + 3 * moved[name]) / 4, atol=1e-6) for name in names)
    assert not any(found[name].equal(moved[name]) for name in names)
