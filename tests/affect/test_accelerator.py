"""Stored features, submissions and streams on an accelerator: the same as on the CPU, and no tensor left behind."""

import json

import numpy as np
import pytest
from safetensors import safe_open

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("lightning", reason="needs the train extra")

import method_data  # noqa: E402
import snapshots  # noqa: E402
from accelerator import accelerator  # noqa: E402
from sentio.affect.data.extraction import device_of  # noqa: E402
from sentio.affect.trained import open_run  # noqa: E402
from sentio.cli import main  # noqa: E402
from sentio.core import registry, runs, weights  # noqa: E402


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Four videos of two seconds."""
    folder = tmp_path_factory.mktemp("small") / "data"
    method_data.drawn(folder)
    return folder


def files(folder):
    found = {}
    for path in sorted(folder.rglob("*.safetensors")):
        with safe_open(path, "np") as file:
            found[path.relative_to(folder)] = file.metadata()["precision"], file.get_tensor("values")
    return found


@pytest.mark.parametrize("sound", ["voice", "wav2vec2", "ast", "whisper"])
def test_features_of_faces_and_sound(sound, small, tmp_path):
    if sound != "voice":
        getattr(snapshots, f"write_{sound}")(tmp_path / sound)
        sound = f"{sound}:{tmp_path / sound}"
    command = ["features", str(small), "--audio", sound, *(["--visual", "face"] if sound == "voice" else [])]
    assert main([*command, "--device", "cpu", "--out", str(tmp_path / "here")]) == 0
    with accelerator():
        assert main([*command, "--out", str(tmp_path / "there")]) == 0
    here, there = files(tmp_path / "here"), files(tmp_path / "there")
    assert here.keys() == there.keys() and len(here) >= 4
    for path, (precision, values) in here.items():
        assert precision == "32-true" and there[path][0] == "16-mixed"  # as an older GPU would
        np.testing.assert_allclose(there[path][1], values, rtol=1e-3, atol=1e-4)


def write_run(folder, system, model, data):
    """A run as if it were trained, of random weights."""
    torch.manual_seed(0)
    folder.mkdir()
    weights.save(folder / "best.safetensors", registry.build(system, model))
    (folder / "recipe.json").write_text(json.dumps({"system": system, "model": model, "data": data}))
    return str(folder)


def test_a_submission_with_a_fallback(small, tmp_path):
    frame = write_run(tmp_path / "frame", "fer-tuned", {"encoder": "small"}, {"sets": ["va"]})
    windows = {"length": 4, "step": 5}
    model = {"encoder": "small", "seconds": 1}
    run = write_run(tmp_path / "run", "capnet", model, {"sets": ["va"], "windows": windows})
    command = ["evaluate", run, "--data", str(small), "--fallback", frame, "--split", "validation"]
    assert main([*command, "--device", "cpu", "--submit", str(tmp_path / "here")]) == 0
    with accelerator():
        assert main([*command, "--submit", str(tmp_path / "there")]) == 0
    here, there = (
        np.loadtxt(tmp_path / place / "va.txt", delimiter=",", skiprows=1, usecols=(1, 2))
        for place in ("here", "there")
    )
    assert len(here) > 50
    np.testing.assert_allclose(there, here, atol=2e-5)


def test_the_state_of_a_stream():
    """CAPNet over a stream in parts, of pictures and of stored features, with gaps."""
    torch.manual_seed(0)
    method = registry.build("capnet", {"encoder": "small", "seconds": 1}).eval()
    times = torch.arange(60, dtype=torch.float64) / 30
    faces, valid = torch.rand(60, 3, 64, 64), torch.rand(60) > 0.1
    features = method.encoder(faces[None])[0].detach()

    def answers(method, device):
        for seen in (faces, features):
            state = method.start()
            for part in torch.arange(60).split(20):
                found, state = method.step(state, *(x[part].to(device) for x in (seen, valid, times)))
                yield found.cpu()

    expected = torch.cat(list(answers(method, "cpu")))
    with accelerator() as device:
        found = torch.cat(list(answers(method.to(device), device)))
    assert torch.allclose(found, expected, atol=1e-5) and expected.any()


def test_a_run_that_files_are_read_with(small, tmp_path):
    """Its face network, its windows and the encoder of its sound."""
    data = {
        "sets": ["va"], "windows": {"length": 8, "hop": 4, "answers": "all", "padding": "mask"},
        "sound_encoder": "voice", "sound_s": 2.0,
    }  # fmt: skip
    dim = weights.load("voice").encoder.info.dim
    model = {"encoder": "small", "units": 8, "layers": 1, "heads": 2, "sound_features": dim}
    run = write_run(tmp_path / "run", "softprompt", model, data)
    film = next(small.rglob("*.mp4"))

    def answer():
        models = open_run(runs.Path(run))
        faces = [np.full((models.temporal.method.encoder.info.dim,), k / 10, np.float32) for k in range(8)]
        of_film = models.temporal.of_file(film)
        return models.temporal, of_film.answer([k / 30 for k in range(8)], faces)["valence_arousal"]

    temporal, expected = answer()
    assert device_of(temporal.encoder).type == "cpu"
    with accelerator() as device:
        temporal, found = answer()
        assert device_of(temporal.encoder) == device
    np.testing.assert_allclose(found, expected, atol=1e-5)
