"""From a folder in the layout of Aff-Wild2 to a valid submission, by CAPNet and by FER-Tuned."""

import numpy as np
import pytest
import torch

from sentio.affect import submission
from sentio.affect.data.check import check
from sentio.affect.data.dataset import AffectData, DataConfig
from sentio.affect.data.extraction import extract_faces
from sentio.affect.data.features import FeatureStore
from sentio.affect.data.windows import Windows
from sentio.affect.evaluation import EvaluationConfig, evaluate, submit
from sentio.affect.synth.moving_picture import MovingPicture, generate
from sentio.core import weights
from sentio.core.optimization import FitConfig
from sentio.core.registry import build
from sentio.core.training import fit

CAPNET = Windows(length=10, step=10, search=9)
QUICK = EvaluationConfig(fill="previous", resamples=0)


def test_check_features_train_evaluate_submit_validate(tmp_path):
    torch.manual_seed(0)
    root = tmp_path / "set"
    generate(root, MovingPicture(videos=8, seconds=5, seed=2))
    assert check(root).usable()

    frames = AffectData(root, DataConfig(windows=Windows(hop=3), validation_hop=5))
    fer = build("fer-tuned", {"encoder": "small"})
    untrained = frames.validate(fer.eval())["p_va"]
    best = fit(fer, frames, FitConfig(steps=40, batch_size=32, lr=2e-3, seed=0), tmp_path / "fer")
    fer = weights.load(best).eval()
    assert frames.validate(fer)["p_va"] > untrained + 0.2

    store = FeatureStore(tmp_path / "features", fer.encoder)
    assert extract_faces(store, frames.tree.crops) == []
    capnet = build("capnet", {"encoder": "small", "seconds": 1})
    capnet.fer.load_state_dict(fer.state_dict())
    windows = AffectData(root, DataConfig(windows=CAPNET), faces=store)
    best = fit(capnet, windows, FitConfig(steps=60, batch_size=64, lr=2e-3, seed=0), tmp_path / "capnet")
    capnet = weights.load(best).eval()

    result = evaluate(capnet, windows, QUICK)
    assert result.scores["p_va"] > 0.2  # a constant scores 0
    pixels = evaluate(capnet, AffectData(root, DataConfig(windows=CAPNET)), QUICK)
    for stored, seen in zip(result.predictions, pixels.predictions, strict=True):
        np.testing.assert_allclose(stored.valence_arousal, seen.valence_arousal, atol=1e-4)

    [file] = submit(tmp_path / "submission", "va", 6, result.clips, result.predictions)
    expected = {clip.name: np.arange(1, clip.frames + 1) for clip in result.clips}
    assert submission.validate(file, "va", 6, expected) == []
    answers = np.loadtxt(file, delimiter=",", skiprows=1, usecols=(1, 2))
    written = np.concatenate([prediction.valence_arousal for prediction in result.predictions])
    np.testing.assert_allclose(answers, written, atol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.3])
def test_a_constant_scores_nothing(tmp_path, constant):
    generate(tmp_path / "set", MovingPicture(videos=4, seconds=2))
    fer = build("fer-tuned", {"encoder": "small"}).eval()
    fer.head.weight.data.zero_()
    fer.head.bias.data.fill_(constant)
    assert evaluate(fer, AffectData(tmp_path / "set"), QUICK).scores["p_va"] == pytest.approx(0, abs=1e-6)
