"""BYEL against naive references: every formula, the gradients, the moving target, and both stages end to end."""

import dataclasses
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sentio.affect.backbones.resnet import ResNet50
from sentio.affect.batch import AffectBatch
from sentio.affect.evaluate import EvaluationConfig
from sentio.affect.labels import EXPRESSIONS_LSD
from sentio.affect.models import byel
from sentio.affect.training.augmentation import RandomView
from sentio.affect.training.published import AffectData, DataConfig
from sentio.core import registry, runs, weights
from sentio.core.config import from_dict
from sentio.core.errors import InputError, RecipeError
from sentio.core.runs import start_from
from sentio.core.training import FitConfig, fit

TINY = {"projection": 12, "units": 16}


def build(name="byel", **config):
    torch.manual_seed(2)
    return registry.build(name, (TINY if name == "byel" else {}) | config)


def faces_of(count=6, size=80, seed=0, **changes):
    """A batch as the LSD reader makes it: one face a window, classes 1 to 6 of the eight."""
    generator = torch.Generator().manual_seed(seed)
    fields = {
        "face": torch.rand(count, 1, 3, size, size, generator=generator),
        "face_valid": torch.ones(count, 1, dtype=torch.bool),
        "time_s": torch.zeros(count, 1),
        "source": torch.full((count,), 4),
        "expression": 1 + torch.arange(count)[:, None] % 6,
        "expression_valid": torch.ones(count, 1, dtype=torch.bool),
    }
    return AffectBatch(**(fields | changes))


def naive_terms(p1, p2, z1, z2, w, y):
    """The published loss but for the cross-entropies, number by number."""
    n, total = len(y), 0.0
    for p, z in ((p1, z2), (p2, z1)):
        for i in range(n):
            length = math.sqrt(sum(float(x) ** 2 for x in p[i]))
            rest = [float(p[i, k]) - length * float(w[k, y[i]]) for k in range(p.shape[1])]
            dot = sum(a * float(b) for a, b in zip(rest, z[i], strict=True))
            norms = math.sqrt(sum(a * a for a in rest)) * math.sqrt(sum(float(b) ** 2 for b in z[i]))
            total += (2 - 2 * dot / norms) / n
    distance = 0.0
    for i in range(6):
        for j in range(6):
            distance += abs((i == j) - sum(float(w[k, i]) * float(w[k, j]) for k in range(w.shape[0])))
    return total, distance


def naive_entropy(p, w, y):
    """Cross-entropy of batch-normalised products, number by number."""
    logits = (p.double() @ w.double()).numpy()
    logits = (logits - logits.mean(0)) / np.sqrt(logits.var(0) + 1e-5)
    return float(np.mean([np.log(np.exp(row).sum()) - row[label] for row, label in zip(logits, y, strict=True)]))


def test_the_loss_is_the_published_one():
    model = build().train()
    with torch.no_grad():
        model.emotions += 0.1 * torch.randn_like(model.emotions)
        for value in model.target.parameters():
            value += 0.05 * torch.randn_like(value)
    seen, views = {"online": [], "target": [], "predictor": []}, []
    model.view.register_forward_hook(lambda _, inputs, out: views.append(out))
    for name, kept in seen.items():
        hook = lambda _, inputs, out, kept=kept: kept.append((inputs[0], out.detach()))  # noqa: E731
        getattr(model, name).register_forward_hook(hook)
    batch = faces_of()
    terms = {name: value.detach() for name, value in model.loss(batch, 0.0).items()}
    for name in ("online", "target"):  # both branches see both views, in turn
        assert all(torch.equal(call[0], view) for call, view in zip(seen[name], views, strict=True))
    assert not torch.equal(*views)
    (p1, p2), (z1, z2) = ([out for _, out in seen[name]] for name in ("predictor", "target"))
    y = [0, 1, 2, 3, 4, 5]  # the official ids of LSD
    byol, orthogonality = naive_terms(p1, p2, z1, z2, model.emotions.detach(), y)
    assert float(terms["byol"]) == pytest.approx(byol, rel=1e-5)
    assert float(terms["orthogonality"]) == pytest.approx(orthogonality, rel=1e-5)
    entropy = naive_entropy(p1, model.emotions.detach(), y) + naive_entropy(p2, model.emotions.detach(), y)
    assert float(terms["emotion"]) == pytest.approx(entropy, rel=1e-4)


@pytest.mark.parametrize("left_out", [{"subtraction": False}, {"subtraction": False, "classifier": False}])
def test_parts_can_be_left_out(left_out):
    model, seen = build(**left_out).train(), {"target": [], "predictor": []}
    for name, kept in seen.items():
        getattr(model, name).register_forward_hook(lambda _, inputs, out, kept=kept: kept.append(out.detach()))
    terms = model.loss(faces_of(), 0.0)
    nothing = torch.zeros_like(model.emotions)
    wanted, _ = naive_terms(*seen["predictor"], *seen["target"], nothing, [0, 1, 2, 3, 4, 5])
    assert float(terms["byol"]) == pytest.approx(wanted, rel=1e-5)
    assert set(terms) == ({"byol"} if "classifier" in left_out else {"byol", "orthogonality", "emotion"})


def test_nothing_is_subtracted_without_a_classifier():
    with pytest.raises(RecipeError, match="subtraction must be false, too"):
        build(classifier=False)


def test_the_subtraction_lets_gradients_through_prediction_norm_and_vectors():
    torch.manual_seed(0)
    p = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    w = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([5, 0, 3, 3])
    assert torch.autograd.gradcheck(lambda p, w: byel.subtract(p, w, y), (p, w))
    g = torch.randn(4, 5, dtype=torch.float64)
    byel.subtract(p, w, y).backward(g)
    for i in range(4):  # d/dp (p - |p| v) = I - v (p / |p|)^T
        v, u = w[:, y[i]].detach(), p[i].detach() / p[i].detach().norm()
        torch.testing.assert_close(p.grad[i], g[i] - u * (v @ g[i]))
    expected = torch.zeros_like(w)
    for i in range(4):
        expected[:, y[i]] -= p[i].detach().norm() * g[i]
    torch.testing.assert_close(w.grad, expected)


def test_with_orthogonal_vectors_the_subtraction_takes_away_the_emotion():
    model = build()
    torch.testing.assert_close(model.emotions.T @ model.emotions, torch.eye(6), atol=1e-6, rtol=0)
    assert byel.orthogonality(model.emotions) < 1e-4
    y = torch.arange(6)
    pure = 3 * model.emotions.T[y]
    assert byel.subtract(pure, model.emotions, y).norm() < 1e-5


def test_gradients_reach_the_online_branch_only():
    model = build().train()
    sum(model.loss(faces_of(), 0.0).values()).backward()
    assert all(value.grad is None for value in model.target.parameters())
    named = dict(model.named_parameters())
    trained = {name.split(".")[0] for name, value in named.items() if value.requires_grad}
    assert trained == {"online", "predictor", "emotions", "norm"}
    assert all(value.grad is not None for value in named.values() if value.requires_grad)
    assert model.online.encoder.stem[0].weight.grad.abs().sum() > 0


def test_the_target_follows_in_its_parameters_and_keeps_its_own_statistics():
    model = build(decay=0.9).train()
    before = {name: value.clone() for name, value in model.target.state_dict().items()}
    with torch.no_grad():
        for value in model.online.parameters():
            value += torch.randn_like(value)
        for value in model.online.buffers():
            value.fill_(77 if value.is_floating_point() else 7)
    for _ in range(3):
        model.after_step()
    online, after = model.online.state_dict(), model.target.state_dict()
    parameters = dict(model.target.named_parameters())
    for name, value in after.items():
        if name in parameters:
            expected = before[name]
            for _ in range(3):
                expected = 0.9 * expected + 0.1 * online[name]
            torch.testing.assert_close(value, expected)
        else:
            assert torch.equal(value, before[name])
    model.loss(faces_of(), 0.0)  # the target is in train mode: its statistics move by what it sees itself
    assert not torch.equal(model.target.encoder.stem[1].running_mean, before["encoder.stem.1.running_mean"])
    assert model.target.encoder.stem[1].running_mean.abs().max() < 7


def test_answers_are_the_six_classes_in_their_places():
    for name in ("byel", "byel-transfer"):
        model = build(name).eval()
        batch = faces_of(face_valid=torch.tensor([[True]] * 5 + [[False]]))
        with torch.no_grad():
            logits = model(batch).expression
        assert logits.shape == (6, 1, 8) and logits[5].isnan().all()
        chance = logits[:5].softmax(-1)
        assert not chance[..., [0, 7]].any() and (chance[..., 1:7] > 0).all()
        assert logits[:5, :, 1:7].isfinite().all()
    with torch.no_grad():  # the same numbers as from the head itself
        features = model.encoder(batch.face[:5])[:, 0]
        torch.testing.assert_close(logits[:5, 0, 1:7], model.head(features))


def test_faces_of_other_classes_or_without_label_are_left_out_of_the_loss():
    model = build("byel-transfer", dropout=0.0).eval()
    model.view = nn.Identity()
    label = torch.tensor([[3], [0], [7], [5], [2], [4]])
    valid = torch.tensor([[True], [True], [True], [True], [False], [True]])
    present = torch.tensor([[True]] * 5 + [[False]])
    batch = faces_of(expression=label, expression_valid=valid, face_valid=present)
    with torch.no_grad():
        logits = model.head(model.encoder(batch.face[[0, 3]])[:, 0])
        expected = functional.cross_entropy(logits, torch.tensor([2, 4]))
        assert float(model.loss(batch, 0.0)["emotion"]) == pytest.approx(float(expected), rel=1e-5)
    assert EXPRESSIONS_LSD[2] == "Fear" and EXPRESSIONS_LSD[4] == "Sadness"
    with pytest.raises(InputError, match="0 faces"):
        model.loss(faces_of(expression=torch.zeros(6, 1, dtype=torch.int64)), 0.0)
    with pytest.raises(InputError, match="trains on face images"):
        model.loss(faces_of(face=None, face_feature=torch.zeros(6, 1, 192)), 0.0)


def gradient(draws, steps=64, **options):
    """Views of one picture whose red tells the column, green the row."""
    torch.manual_seed(0)
    line = torch.linspace(0.2, 0.8, 96)
    picture = torch.stack([line.expand(96, 96), line[:, None].expand(96, 96), torch.full((96, 96), 0.5)])
    return RandomView(32, draws, **options)(picture.expand(steps, 3, 96, 96).clone())


def test_views_are_drawn_for_each_picture_or_once_for_the_batch():
    views = gradient("sample")
    assert views.shape == (64, 3, 32, 32) and views.min() >= 0 and views.max() <= 1
    assert len({view.numpy().tobytes() for view in views}) == 64
    same = gradient("batch", 8)
    torch.testing.assert_close(same, same[:1].expand_as(same), atol=1e-6, rtol=0)
    assert not torch.equal(gradient("batch", 8), RandomView(32, "batch")(torch.rand(8, 3, 96, 96)))
    torch.testing.assert_close(gradient("sample"), views, atol=0, rtol=0)  # the seed repeats them


@pytest.mark.slow
def test_views_keep_the_asked_for_share_of_the_picture():
    views = gradient("sample", 500, smallest=0.8)
    plain = views[(views[:, 2] - 0.5).abs().amax((1, 2)) < 1e-3]
    width, height = ((plain[:, k].amax((1, 2)) - plain[:, k].amin((1, 2))) / 0.6 for k in (0, 1))
    assert 0.75 < (width * height).min() < 0.9  # half a pixel is lost at every side


@pytest.mark.slow
def test_the_draws_have_the_published_frequencies():
    views = gradient("sample", 1000)
    grey = ((views[:, 0] - views[:, 2]).abs().amax((1, 2)) < 1e-3).float().mean()
    assert 0.15 < grey < 0.25
    plain = views[(views[:, 2] - 0.5).abs().amax((1, 2)) < 1e-3]  # neither jitter nor grey: blue is as it was
    assert 0.45 < len(plain) / 1000 < 0.67  # 0.7 * 0.8
    mirrored = (plain[:, 0, :, 0] > plain[:, 0, :, -1]).float().mean()
    assert 0.43 < mirrored < 0.57
    width = (plain[:, 0].amax((1, 2)) - plain[:, 0].amin((1, 2))) / 0.6
    height = (plain[:, 1].amax((1, 2)) - plain[:, 1].amin((1, 2))) / 0.6
    area = width * height
    assert 0.06 < area.min() < 0.2 and area.max() > 0.9 and 0.45 < area.mean() < 0.6
    ratio = width / height
    assert 0.7 < ratio.min() < 0.8 and 1.25 < ratio.max() < 1.42


@pytest.mark.slow
def test_resnet_50_is_the_reference_implementation_of_another_library():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    reference = transformers.ResNetModel(transformers.ResNetConfig()).eval()  # ResNet-50 is its default
    ours = ResNet50().eval()
    theirs = reference.state_dict()
    copied = {}
    for name in ours.state_dict():
        copied[name] = theirs[_their_name(name)]
    assert len(copied) == len(theirs)
    ours.load_state_dict(copied)
    pictures = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        for module in (*ours.modules(), *reference.modules()):
            if isinstance(module, nn.BatchNorm2d):
                module.train()  # statistics of the batch keep the numbers in range at random weights
        expected = reference(pictures).pooler_output[..., 0, 0]
        torch.testing.assert_close(ours.network(pictures), expected, rtol=1e-3, atol=1e-3)
        assert ours(torch.rand(1, 2, 3, 112, 112)).shape == (1, 2, 2048)


def _their_name(name):
    """``blocks.3.body.0.weight`` -> its name in transformers."""
    part, *rest = name.split(".")
    kind = {"0": "convolution", "1": "normalization"}
    if part == "stem":
        return f"embedder.embedder.{kind[rest[0]]}.{rest[1]}"
    number, branch, layer, leaf = int(rest[0]), *rest[1:]
    stage = next(s for s, end in enumerate((3, 7, 13, 16)) if number < end)
    place = f"encoder.stages.{stage}.layers.{number - (0, 3, 7, 13)[stage]}"
    if branch == "shortcut":
        return f"{place}.shortcut.{kind[layer]}.{leaf}"
    return f"{place}.layer.{int(layer) // 3}.{kind[str(int(layer) % 3)]}.{leaf}"


@pytest.fixture(scope="module")
def lsd(tmp_path_factory):
    """LSD's layout with drawn faces: the mouth's bend and the eyes' height tell the class."""
    root, random = tmp_path_factory.mktemp("lsd"), np.random.default_rng(0)
    names = ("ANGRER", "DISGUST", "FEAR", "HAPPINESS", "SADNESS", "SURPRISE")
    for split, count in (("training_set_synthetic_images", 6), ("validation_set_real_images", 2)):
        for number, name in enumerate(names):
            folder = root / split / name
            folder.mkdir(parents=True)
            for k in range(count):
                picture = random.integers(0, 60, (96, 96, 3), dtype=np.uint8)
                cv2.circle(picture, (48, 48), 30, (40 * number, 200, 255 - 40 * number), -1)
                cv2.imwrite(str(folder / f"{k}.jpg"), picture)
    return root


SHORT = FitConfig(steps=2, batch_size=6, optimizer="lars", lr=0.2, weight_decay=1.5e-6, momentum=0.0, log_every=1)


@pytest.mark.slow
def test_both_stages_run_from_their_recipes(lsd, tmp_path):
    first, second = (runs.read(Path(__file__).parents[3] / f"recipes/{name}.json") for name in
                     ("byel", "byel_transfer"))  # fmt: skip
    assert first.fit.optimizer == "lars" and first.fit.weight_decay == 1.5e-6 and second.fit.optimizer == "adam"
    model = registry.build(first.system, first.model | TINY)
    drawn = model.emotions.detach().clone()
    data = AffectData(lsd, from_dict(DataConfig, first.data))
    assert data.monitor == "p_lsd" and len(data.train_dataset()) == 36
    best = fit(model, data, SHORT, tmp_path / "byel")
    assert not torch.equal(model.emotions, drawn)
    metrics = json.loads((tmp_path / "byel/metrics.json").read_text())
    assert 0 <= metrics["best"]["p_lsd"] <= 1

    assert second.start == {"encoder": "runs/byel/best.safetensors"}
    transfer = registry.build(second.system, second.model)
    start_from(transfer, {"encoder": best})
    trained = weights.load(best)
    pairs = zip(transfer.encoder.state_dict().values(), trained.online.encoder.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    settings = dataclasses.replace(SHORT, optimizer="adam", lr=1e-4)
    data = AffectData(lsd, from_dict(DataConfig, second.data))
    best = fit(transfer, data, settings, tmp_path / "transfer")
    assert weights.load(best).config == transfer.config
    from_dict(EvaluationConfig, second.evaluation)


def test_a_face_network_of_another_kind_is_refused(tmp_path):
    weights.save(tmp_path / "byel.safetensors", build())
    large = registry.build("byel-transfer", {"encoder": "resnext34"})
    with pytest.raises(RecipeError, match="is of another kind"):
        start_from(large, {"encoder": tmp_path / "byel.safetensors"})
    with pytest.raises(RecipeError, match="byel has no part 'head'"):
        start_from(large, {"head": tmp_path / "byel.safetensors"})


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_weights(lsd, tmp_path):
    def run(out, steps, resume=False):
        model = build()
        data = AffectData(lsd, DataConfig(sets=("lsd",), face_size=80))
        config = dataclasses.replace(SHORT, steps=3, checkpoint_every=1, device="cpu")
        if steps < 3:  # stop after this step, as Ctrl-C does
            after, done = model.after_step, []

            def stop():
                after()
                done.append(1)
                if len(done) == steps:
                    raise KeyboardInterrupt

            model.after_step = stop
        try:
            fit(model, data, config, out, resume=resume)
        except KeyboardInterrupt:
            assert steps < 3
        return model

    whole = run(tmp_path / "whole", 3)
    run(tmp_path / "parts", 2)
    again = run(tmp_path / "parts", 3, resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
