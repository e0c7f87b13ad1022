"""The embedded face model: what it answers, learns, and leaves behind for inference."""

import json

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional

import drawn_faces
from logged import logged
from sentio.affect.batch import AffectBatch
from sentio.affect.models import face
from sentio.affect.synth import appearance
from sentio.affect.training import refit, renders
from sentio.core import export, registry, runs, runtime, weights
from sentio.core.config import from_dict
from sentio.core.errors import OutputError, RecipeError


def build(**config):
    torch.manual_seed(0)
    return registry.build("face", config)


def batch_of(faces, valid=None):
    B, T = faces.shape[:2]
    return AffectBatch(
        face=faces,
        face_valid=torch.ones(B, T, dtype=torch.bool) if valid is None else valid,
        time_s=torch.zeros(B, T),
        source=torch.zeros(B, dtype=torch.int64),
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("renders")
    drawn_faces.draw(folder, people=18, pictures=6)
    return folder


def test_every_frame_is_answered_alone():
    method = build().eval()
    faces = torch.rand(2, 3, 3, 112, 112)
    valid = torch.tensor([[True, True, False], [True, True, True]])
    output = method(batch_of(faces, valid))
    assert output.valence_arousal.shape == (2, 3, 2) and output.expression.shape == (2, 3, 8)
    assert output.action_units.shape == (2, 3, 12) and output.features.shape == (2, 3, 256)
    for values in (output.valence_arousal, output.expression, output.action_units):
        assert torch.isnan(values[0, 2]).all() and torch.isfinite(values[valid]).all()
    alone = method(AffectBatch.of_faces(faces[1:, 1]))
    torch.testing.assert_close(alone.expression[0, 0], output.expression[1, 1])


def test_the_terms_are_what_they_are_called(pictures, monkeypatch):
    method = build(weights=(1, 1, 1, 1), smoothing=0.0, dropout=0.0)
    batch = renders.load(renders.read_listing(pictures)).batch(list(range(16)))
    monkeypatch.setattr(
        face, "distort", lambda faces, marks, size, strength: (faces, marks, torch.zeros(len(faces), dtype=torch.bool))
    )
    terms = method.loss(batch, 0.5)
    features = method.encoder(batch.face)[:, 0]
    found = {name: value.detach().numpy() for name, value in method.heads(features).items()}
    assert terms["movements"].item() == pytest.approx(
        np.mean((found["movements"] - batch.movements.numpy()) ** 2), rel=2e-3
    )
    p = 1 / (1 + np.exp(-found["action_units"].astype(np.float64)))
    label = np.concatenate([batch.action_units[:, 0].numpy(), batch.further_units.numpy()], 1)
    naive = -np.mean(label * np.log(p) + (1 - label) * np.log(1 - p))
    assert terms["action_units"].item() == pytest.approx(naive, rel=2e-3)
    logits = found["rule"].astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert terms["rule"].item() == pytest.approx(-log_p[np.arange(16), batch.expression[:, 0]].mean(), rel=2e-3)


def test_the_rule_teaches_its_layer_only(pictures):
    method = build()
    batch = renders.load(renders.read_listing(pictures)).batch(list(range(8)))
    method.loss(batch, 0.5)["rule"].backward()
    moved = {name.split(".")[0] for name, value in method.named_parameters() if value.grad is not None}
    assert moved == {"rule"}


def test_distortions_begin_gently(pictures, monkeypatch):
    method, seen = build(gentle=0.2), []
    batch = renders.load(renders.read_listing(pictures)).batch([0, 1])

    def remember(faces, marks, size, strength):
        seen.append(strength)
        return faces, marks, torch.zeros(len(faces), dtype=torch.bool)

    monkeypatch.setattr(face, "distort", remember)
    for progress in (0.0, 0.1, 0.5):
        method.loss(batch, progress)
    assert seen == pytest.approx([0.2, 0.7, 1.0])


@pytest.mark.parametrize("counts", [{"Joy": 2.0}, {"Fear": 0.0}])
def test_counts_are_of_classes_and_positive(counts):
    with pytest.raises(RecipeError, match="counts"):
        build(counts=counts)


def test_a_mirrored_head_turns_the_other_way(pictures, monkeypatch):
    method = build().eval()
    batch = renders.load(renders.read_listing(pictures)).batch(list(range(6)))
    flipped = torch.arange(6) % 2 == 0
    monkeypatch.setattr(face, "distort", lambda faces, marks, size, strength: (faces, marks, flipped))
    _, labels = method.view(batch, 1.0)
    sign = np.where(flipped, -1, 1)
    np.testing.assert_allclose(labels["turn"], batch.turn.numpy() * np.stack([sign, np.ones(6)], 1))
    assert labels["action_units"].shape == (6, 18)


def test_further_units_are_what_the_studio_moved_visibly(pictures):
    rows = renders.read_listing(pictures)[:2]
    rows[0]["movements"] = {"AU5_L": 0.31, "AU9_L": 0.29, "AU14_R": 0.5, "blink": 0.3}
    rows[1]["movements"] = {"AU17": 1.1, "AU20_L": 0.1, "AU20_R": 0.4}
    assert renders.load(rows).batch([0, 1]).further_units.tolist() == [[1, 0, 1, 0, 0, 1], [0, 0, 0, 1, 1, 0]]


def test_pose_strengths_and_landmarks_are_read_off_the_heads():
    method = build().eval()
    with torch.no_grad():
        features = torch.randn(5, 256)
        probability, strength, pose, marks = method.further(features)
        logits, movements = method.units(features).numpy().astype(float), method.movements(features).numpy()
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-logits[:, 12:])), rtol=1e-4)
    assert strength[:, 3].tolist() == pytest.approx(np.clip(movements[:, renders.MOVEMENTS.index("AU6")], 0, 1))
    assert strength[:, 17].tolist() == pytest.approx(np.clip(movements[:, renders.MOVEMENTS.index("blink")], 0, 1))
    for k in range(5):
        left, right = marks[k, 36:42].mean(0).tolist(), marks[k, 42:48].mean(0).tolist()
        leaning = np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0]))
        assert pose[k, 2].item() == pytest.approx(leaning, abs=1e-3)


@pytest.mark.parametrize("turn", [(0.4, 0.2, 0.3), (-0.5, -0.3, -0.2)])
def test_the_line_of_the_eyes_leans_by_the_roll_alone(turn):
    across = appearance.rotation(*turn) @ np.array([1.0, 0, 0])
    assert np.arctan2(across[1], across[0]) == pytest.approx(turn[2], abs=1e-6)


@pytest.mark.slow
def test_refitting_changes_the_heads_alone(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(refit, "STEPS", 20)
    method = build()
    weights.save(tmp_path / "face.safetensors", method)
    monkeypatch.setattr(
        "sys.argv",
        [
            "refit",
            *map(str, (tmp_path / "face.safetensors", pictures, tmp_path / "new.safetensors")),
            "--set",
            "model.counts.Neutral=2",
        ],
    )
    refit.main()
    new = weights.load(tmp_path / "new.safetensors")
    assert new.config.counts["Neutral"] == 2
    changed = {
        name.split(".")[0]
        for name, value in new.state_dict().items()
        if not torch.equal(value, method.state_dict()[name])
    }
    assert {"movements", "units", "affect", "rule", "direct", "landmarks", "turn"} <= changed
    assert "encoder" not in changed
    with pytest.raises(OutputError, match="exists"):
        refit.main()


def test_the_temperature_is_the_best_one():
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(0, 3, (400, 8)))
    label = torch.distributions.Categorical(logits=logits / 2.5).sample()
    expected = minimize_scalar(lambda t: functional.cross_entropy(logits / t, label).item(), (0.5, 5)).x
    assert face.best_temperature(logits, label) == pytest.approx(expected, rel=0.02)


@pytest.mark.slow
def test_calibrating_twice_changes_nothing(pictures):
    method = build().eval()
    data = renders.RenderedFaces(pictures, renders.RendersConfig())
    with torch.no_grad():
        method.direct.weight.mul_(20)  # too sure of itself
    data.validate(method)
    first = method.temperature.item(), method.thresholds.tolist()
    assert first[0] != 1
    data.validate(method)
    assert method.temperature.item() == pytest.approx(first[0], rel=0.03)
    assert method.thresholds.tolist() == pytest.approx(first[1], abs=1e-4)


@pytest.mark.slow
def test_a_recipe_trains_it_and_the_export_says_the_same(pictures, tmp_path):
    plan = from_dict(
        runs.Recipe,
        {
            "system": "face",
            "model": {"gentle": 10.0},
            "fit": {"steps": 15, "batch_size": 24, "lr": 2e-3, "ema_decay": 0.5, "log_every": 1, "validate_every": 15},
        },
        where="test",
    )
    best = runs.train(plan, pictures, tmp_path / "run")
    movements, direct = (logged(tmp_path / "run", f"train/{name}") for name in ("movements", "direct"))
    assert movements[-4:].mean() < 0.6 * movements[:2].mean()
    assert direct[-6:].mean() < 0.9 * np.log(2), "half of the pictures smile: no constant comes below log 2"
    cards = export.export(best, tmp_path / "weights", command="test", scores=["none"])
    card = json.loads(cards[0].read_text())
    assert card["name"] == "face" and len(card["details"]["thresholds"]) == 12
    method = weights.load(best).eval()
    crops = torch.rand(3, 3, 80, 80)
    session = runtime.onnx_session(tmp_path / "weights" / "face.onnx")
    found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"face": crops.numpy()}), strict=True))
    output = method(batch_of(crops[:, None]))
    np.testing.assert_allclose(found["valence_arousal"], output.valence_arousal[:, 0].detach(), atol=1e-4)
    np.testing.assert_allclose(found["expression"], output.expression[:, 0].softmax(-1).detach(), atol=1e-4)
    np.testing.assert_allclose(found["action_units"], output.action_units[:, 0].sigmoid().detach(), atol=1e-4)
    np.testing.assert_allclose(found["expression"].sum(1), 1, atol=1e-5)
    with torch.no_grad():
        further = method.further(output.features[:, 0])
    for name, value in zip(("further_units", "intensities", "pose", "landmarks"), further, strict=True):
        np.testing.assert_allclose(found[name], value, atol=2e-3)


def test_a_frequent_neutral_moves_the_answers_by_bayes_rule():
    method = build(counts={"Neutral": 3.0, "Fear": 0.5}).eval()
    with torch.no_grad():
        method.direct.weight.mul_(10)
        features = torch.randn(50, 256)
        found = {name: value.numpy().astype(np.float64) for name, value in method.heads(features).items()}
        affect, expression, units = method.predict(features)
    even = np.exp(found["expression"]) / np.exp(found["expression"]).sum(1, keepdims=True)
    for k in range(50):
        weighed = even[k] * [3, 1, 1, 0.5, 1, 1, 1, 1]
        expected = weighed / weighed.sum()
        np.testing.assert_allclose(expression[k], expected, rtol=1e-4)
        odds = even[k, 0] / (1 - even[k, 0])
        np.testing.assert_allclose(
            affect[k], found["valence_arousal"][k] * (1 + odds) / (1 + 3 * odds), rtol=1e-3, atol=1e-6
        )
    np.testing.assert_allclose(units, 1 / (1 + np.exp(-found["action_units"][:, :12])), rtol=1e-4)
