"""From a folder in the layout of Aff-Wild2 to a valid submission, by CAPNet and by FER-Tuned."""

import json

import numpy as np
import pytest

from logged import logged
from sentio.affect.data.check import check
from sentio.affect.data.extraction import extract
from sentio.affect.evaluate import EvaluationConfig, evaluate
from sentio.affect.protocol.readback import validate
from sentio.affect.synth.moving_picture import MovingPicture, generate
from sentio.affect.training.published import AffectData, DataConfig, open_store
from sentio.core import runs
from sentio.core.config import from_dict
from sentio.core.errors import InputError, RecipeError
from sentio.core.registry import build
from sentio.core.runs import Recipe

WINDOWS = {"length": 10, "step": 10, "search": 9}
EVALUATION = {"fill": "previous", "resamples": 20}


@pytest.mark.slow
def test_check_features_train_evaluate_submit_validate(tmp_path):
    root, fer_run, run = tmp_path / "set", tmp_path / "fer", tmp_path / "capnet"
    generate(root, MovingPicture(videos=4, seconds=5, seed=2))
    assert check(root).usable()

    fit = {"steps": 16, "batch_size": 32, "lr": 0.002, "log_every": 1}
    plan = {"data": {"windows": {"hop": 3}, "validation_hop": 5}, "fit": fit, "evaluation": EVALUATION}
    plan |= {"system": "fer-tuned", "model": {"encoder": "small"}}
    fer = runs.train(from_dict(Recipe, plan), root, fer_run)

    section = {"windows": WINDOWS, "face_encoder": str(fer), "features": str(tmp_path / "features")}
    store = open_store(root, str(fer), from_dict(DataConfig, section))
    assert extract(root, store) == []
    plan = {"system": "capnet", "model": {"encoder": "small", "seconds": 1}, "data": section}
    plan |= {"fit": {"steps": 16, "batch_size": 64, "lr": 0.002, "log_every": 1}, "evaluation": EVALUATION}
    with pytest.raises(RecipeError, match="another face network"):
        runs.train(from_dict(Recipe, plan), root, run)
    runs.train(from_dict(Recipe, plan | {"start": {"fer": str(fer)}}), root, run)

    result = runs.evaluate(run, root)
    for folder in (fer_run, run):
        assert logged(folder, "train/ccc")[-5:].mean() < 0.8, "a constant has a loss of 1"
    capnet = runs.read_run(run)[1]
    pixels = AffectData(root, from_dict(DataConfig, {"windows": WINDOWS}))
    seen = evaluate(capnet, pixels, from_dict(EvaluationConfig, EVALUATION))
    for stored, direct in zip(result.predictions, seen.predictions, strict=True):
        np.testing.assert_allclose(stored.valence_arousal, direct.valence_arousal, atol=1e-4)

    [file] = runs.submit(
        run,
        root,
        tmp_path / "all",
        {"track": "va", "edition": 6},
        ["evaluation.split=validation", f"evaluation.fallback={fer_run}"],
    )
    expected = {clip.name: np.arange(1, clip.frames + 1) for clip in result.clips}
    assert not list(validate(file, "va", 6, expected))
    answers = np.loadtxt(file, delimiter=",", skiprows=1, usecols=(1, 2))
    written = np.concatenate([prediction.valence_arousal for prediction in result.predictions])
    assert (np.abs(answers - written).max(axis=1) < 1e-5).mean() > 0.8  # FER-Tuned answers the rest

    images = tmp_path / "images.txt"
    images.write_text("image_location\nvideo1/00100.jpg,\nvideo1/00120.jpg,\nvideo3/00001.jpg,\n")
    [file] = runs.submit(run, root, tmp_path / "listed", {"track": "va", "edition": 6, "images": images})
    assert [line.split(",")[0] for line in file.read_text().splitlines()[1:]] == [
        "video1/00100.jpg",
        "video1/00120.jpg",
        "video3/00001.jpg",
    ]
    with pytest.raises(InputError, match="no test clip"):
        runs.submit(run, root, tmp_path / "none", {"track": "va", "edition": 6})
    with pytest.raises(InputError, match="give no list"):
        runs.submit(run, root, tmp_path / "none", {"track": "lsd", "edition": 4, "images": images})
    begun = json.loads((run / "recipe.json").read_text())
    begun["evaluation"]["search_thresholds"] = True
    (run / "recipe.json").write_text(json.dumps(begun))
    with pytest.raises(InputError, match="does not search thresholds") as refused:
        runs.submit(run, root, tmp_path / "none", {"track": "mtl", "edition": 4, "images": images})
    assert "--set evaluation.thresholds" in refused.value.fix


@pytest.mark.parametrize("constant", [0.0, 0.3])
def test_a_constant_scores_nothing(tmp_path, constant):
    generate(tmp_path / "set", MovingPicture(videos=4, seconds=2))
    fer = build("fer-tuned", {"encoder": "small"}).eval()
    fer.head.weight.data.zero_()
    fer.head.bias.data.fill_(constant)
    assert evaluate(fer, AffectData(tmp_path / "set"), EvaluationConfig(resamples=0)).scores["p_va"] == pytest.approx(
        0, abs=1e-6
    )
