"""Features of frozen encoders, made before a training that stands on them."""

import json
import shutil

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("lightning", reason="needs the train extra")

import method_data  # noqa: E402
from sentio.affect.training import stored  # noqa: E402
from sentio.core import registry, runs, weights  # noqa: E402
from sentio.core.config import from_dict  # noqa: E402
from sentio.core.errors import OutputError, RecipeError  # noqa: E402

WINDOWS = {"length": 4, "step": 5}
DATA = {"sets": ["va"], "windows": WINDOWS, "validation_hop": 10}
CAPNET = {"encoder": "small", "seconds": 1}


@pytest.fixture(scope="module")
def drawn_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored") / "data"
    method_data.drawn(folder)
    return folder


@pytest.fixture
def root(drawn_once, tmp_path):
    return shutil.copytree(drawn_once, tmp_path / "data")


def recipe(steps=20, system="capnet", model=CAPNET, **data):
    fit = {"steps": steps, "batch_size": 8, "lr": 1e-3, "device": "cpu", "workers": 0}
    return from_dict(runs.Recipe, {"system": system, "model": model, "data": DATA | data, "fit": fit})


def test_a_frozen_face_network_is_run_once_and_says_the_same(root, tmp_path, capsys):
    best = []
    for pictures in (True, False):
        runs.train(recipe(pictures=pictures), root, tmp_path / str(pictures))
        told = capsys.readouterr().err
        assert ("crops are encoded once, by small, which is frozen: about" in told) == (not pictures)
        assert (root / "features").exists() == (not pictures)
        best.append(json.loads((tmp_path / str(pictures) / "metrics.json").read_text())["best"]["p_va"])
    crops = len(list(root.glob("cropped_aligned/*/*.jpg")))
    assert f"First {crops} crops" in told and " GB in " in told and "the training would encode 640: " in told
    assert best[0] == pytest.approx(best[1], abs=1e-3)
    kinds = {}
    for pictures in (True, False):
        method = weights.load(tmp_path / "False/best.safetensors")
        data = method.open_data(root, DATA | {"pictures": pictures})
        for name in ("train_dataset", "validation"):
            found = getattr(data, name)
            kinds[pictures, name] = "face_feature" in (found() if callable(found) else found)[0]
    assert kinds == {(pictures, name): not pictures for pictures, name in kinds}
    runs.evaluate(tmp_path / "False", root, ["evaluation.resamples=0"], device="cpu")  # on features, at every frame
    runs.train(recipe(), root, tmp_path / "again")
    assert "are encoded once" not in capsys.readouterr().err


def test_a_trial_of_a_few_steps_stays_with_the_pictures(root, tmp_path, capsys):
    runs.train(recipe(steps=2), root, tmp_path / "run")
    assert "encoded once" not in capsys.readouterr().err and not (root / "features").exists()


def test_a_face_network_that_learns_sees_pictures_and_one_that_has_learnt_its_features(root, tmp_path):
    """Those of CAPNet are FER-Tuned's, whose frame it takes where CAPNet has none."""
    torch.manual_seed(0)
    capnet, tuned = registry.build("capnet", CAPNET), registry.build("fer-tuned", {"encoder": "small"})
    tuned.load_state_dict(capnet.fer.state_dict())
    capnet.prepare(root, DATA, recipe().fit)
    section = {"sets": ["va"]}
    assert "face" in tuned.open_data(root, section).train_dataset()[0]
    assert "face_feature" in tuned.eval().open_data(root, section).train_dataset()[0]
    shutil.rmtree(next((root / "cropped_aligned").iterdir()))
    assert "face_feature" in tuned.open_data(root, section).validation[0]


def test_named_encoders_are_run_as_well(root, tmp_path, capsys):
    model = {"encoder": "small", "units": 8, "layers": 1, "heads": 2}
    model["sound_features"] = weights.load("voice").encoder.info.dim
    windows = {"length": 8, "hop": 4, "answers": "all", "padding": "mask"}
    plan = recipe(2, "softprompt", model, windows=windows, sound_encoder="voice", sound_s=1.0)
    runs.train(plan, root, tmp_path / "run")
    told = capsys.readouterr().err
    assert "of sound are encoded once, by voice" in told and "crops are encoded" not in told
    assert next((root / "features").iterdir()).name.startswith("voice-")


def test_what_cannot_be_stored_is_refused_before_work_begins(root, tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "fill", lambda *_: pytest.fail("work began"))
    with monkeypatch.context() as patch:
        usage = shutil.disk_usage(root)._replace(free=1 << 16)
        patch.setattr(stored, "try_folder", lambda folder: folder.mkdir(parents=True))
        patch.setattr(stored.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(OutputError, match=r"(?s)The features take .* GB, and .*data.features=FOLDER"):
            runs.train(recipe(), root, tmp_path / "run")
    shutil.rmtree(root / "features")
    (root / "features").write_text("a file")
    with pytest.raises(OutputError, match="Features cannot be stored"):
        runs.train(recipe(), root, tmp_path / "run")
    (root / "features").unlink()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="One process makes them"):
        runs.train(recipe(), root, tmp_path / "run")
