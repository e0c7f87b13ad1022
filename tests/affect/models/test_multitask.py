"""The multi-task teacher and student against naive references: every loss, mask and weight, and both end to end."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sentio.affect.backbones import EncoderInfo
from sentio.affect.batch import AffectBatch
from sentio.affect.data.extraction import extract_faces, extract_sound
from sentio.affect.data.features import FeatureStore
from sentio.affect.data.windows import Windows
from sentio.affect.labels import SOURCES
from sentio.affect.models import multitask
from sentio.affect.models._label_sets import task_loss
from sentio.affect.synth.moving_picture import MovingPicture, generate
from sentio.affect.training.published import AffectData, DataConfig
from sentio.core import registry, runs, weights
from sentio.core.config import from_dict
from sentio.core.errors import InputError
from sentio.core.runs import start_from
from sentio.core.training import FitConfig, fit

D, SOUND = 192, 5
"""Length of the small encoder's vectors, and of the sound's."""
TINY = {"sound_features": SOUND, "lstm": 12, "sound": 10, "shared": (16, 14), "heads": (8,), "discriminator": (6,)}
VA, EXPR, AU, MTL = range(4)


def teacher(**config):
    torch.manual_seed(4)
    return registry.build("multitask", TINY | config)


def student(**config):
    torch.manual_seed(6)
    network = TINY | config.pop("network", {})
    return registry.build("multitask-student", {"network": network} | config)


def batch_of(sources, seed=0, **changes):
    """Windows of six faces with ten sound vectors; each has the labels of its set, all others are missing."""
    random = np.random.default_rng(seed)
    source = np.array(sources)
    B = len(source)
    known = {"valence_arousal": VA, "expression": EXPR, "action_units": AU}
    valid = {name: ((source == number) | (source == MTL))[:, None] for name, number in known.items()}
    values = {
        "valence_arousal": random.uniform(-1, 1, (B, 1, 2)).astype("float32"),
        "expression": random.integers(0, 8, (B, 1)),
        "action_units": random.integers(0, 2, (B, 1, 12)).astype("float32"),
    }
    fields = {
        "face_feature": random.normal(size=(B, 6, D)).astype("float32"),
        "face_valid": np.ones((B, 6), bool),
        "audio_feature": random.normal(size=(B, 10, SOUND)).astype("float32"),
        "audio_valid": np.ones((B, 10), bool),
        "time_s": np.zeros((B, 6), "float32"),
        "source": source,
    }
    for name, value in values.items():
        mask = np.broadcast_to(valid[name].reshape(B, 1, *[1] * (value.ndim - 2)), value.shape).copy()
        value[~mask] = -1 if name == "expression" else np.nan
        fields |= {name: value, f"{name}_valid": mask if name == "action_units" else valid[name]}
    return AffectBatch(**{name: torch.as_tensor(value) for name, value in (fields | changes).items()})


def part(batch, rows):
    fields = {name: value for name, value in vars(batch).items() if value is not None}
    return AffectBatch(**{name: value[rows] for name, value in fields.items()})


def number(value):
    return float(value.detach())


def total(terms):
    return sum(map(number, terms.values()))


def answers_of(model, batch):
    """(N, 2), (N, 8), (N, 12) as NumPy, without temperature."""
    methods = model.teacher if hasattr(model, "teacher") else model
    with torch.no_grad():
        inputs, _ = methods.inputs(batch)
        return {name: value.double().numpy() for name, value in model.network(*inputs).items()}


# --- naive references


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def naive_ccc_loss(p, y):
    values = []
    for k in range(2):
        a, b = p[:, k], y[:, k]
        covariance = ((a - a.mean()) * (b - b.mean())).mean()
        values.append(2 * covariance / (a.var() + b.var() + (a.mean() - b.mean()) ** 2))
    return 1 - sum(values) / 2


def naive_expr_loss(p, q):
    """Softmax cross-entropy of logits p with target probabilities q."""
    return np.mean([-sum(q[i, k] * math.log(softmax(p)[i, k]) for k in range(8)) for i in range(len(p))])


def naive_au_loss(p, q):
    s = sigmoid(p)
    return np.mean(-(q * np.log(s) + (1 - q) * np.log(1 - s)))


NAIVE = {"valence_arousal": naive_ccc_loss, "expression": naive_expr_loss, "action_units": naive_au_loss}
TASKS = list(NAIVE)


def targets_of(batch):
    return {
        "valence_arousal": batch.valence_arousal[:, 0].double().numpy(),
        "expression": np.eye(8)[batch.expression[:, 0].numpy()],
        "action_units": batch.action_units[:, 0].double().numpy(),
    }


@pytest.mark.parametrize("stream", [VA, EXPR, AU])
def test_the_students_loss_on_a_set_of_one_task_is_the_published_sum(stream):
    model = student().eval()
    model.stale.copy_(torch.tensor([0, 3, 1]))
    batch = batch_of([stream] * 7)
    s, t = answers_of(model, batch), answers_of(model.teacher, batch)
    for answers in (s, t):
        answers["expression"] /= 2.5
    taught = {"valence_arousal": t["valence_arousal"], "expression": softmax(t["expression"]),
              "action_units": sigmoid(t["action_units"])}  # fmt: skip
    w = [1, math.exp(1.5), math.exp(0.5)]
    own = TASKS[stream]
    expected = 10 * w[stream] * NAIVE[own](s[own], targets_of(batch)[own])
    expected += w[stream] * NAIVE[own](s[own], taught[own])
    for k, task in enumerate(TASKS):
        if k != stream:
            expected += 0.9 * w[k] * NAIVE[task](s[task], taught[task])
    with torch.no_grad():
        guess = model.network.discriminator(torch.as_tensor(s["shared"], dtype=torch.float32)).double().numpy()
    expected += 0.7 * -np.log(softmax(guess)[:, stream]).mean()
    assert total(model.loss(batch, 0.7)) == pytest.approx(expected, rel=1e-5)


def test_on_the_multi_task_set_the_student_learns_from_labels_alone():
    model = student().eval()
    model.stale.copy_(torch.tensor([2, 0, 0]))
    batch = batch_of([MTL] * 6)
    s = answers_of(model, batch)
    s["expression"] /= 2.5
    y = targets_of(batch)
    expected = sum((math.e if k == 0 else 1) * NAIVE[task](s[task], y[task]) for k, task in enumerate(TASKS))
    terms = model.loss(batch, 1.0)
    assert set(terms) == set(TASKS) and total(terms) == pytest.approx(expected, rel=1e-5)


def test_the_teacher_learns_the_labels_of_each_set():
    model = teacher().eval()
    for stream in (VA, EXPR, AU):
        batch = batch_of([stream] * 6)
        task = TASKS[stream]
        terms = model.loss(batch, 0.0)
        assert set(terms) == {task, "adversary"} and number(terms["adversary"]) == 0
        expected = NAIVE[task](answers_of(model, batch)[task], targets_of(batch)[task])
        assert number(terms[task]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("make", [teacher, student])
def test_a_batch_of_several_sets_is_the_sum_of_its_sets(make):
    model = make(**({"adversary": False} if make is teacher else {"network": {"adversary": False}})).eval()
    sources = np.array([VA, MTL, AU, VA, EXPR, MTL, AU, EXPR, VA])
    batch = batch_of(sources)
    alone = [total(model.loss(part(batch, torch.as_tensor(sources == number)), 0.5)) for number in range(4)]
    assert total(model.loss(batch, 0.5)) == pytest.approx(sum(alone), rel=1e-5)


def test_missing_labels_and_faces_leave_no_trace():
    model = teacher(adversary=False).eval()
    batch = batch_of([MTL] * 8)
    valid = batch.action_units_valid.clone()
    valid[2, 0, 3:9] = False
    units = batch.action_units.clone()
    units[~valid] = float("nan")
    present = batch.face_valid.clone()
    present[5, 1] = False
    expression, known = batch.expression.clone(), torch.ones(8, 1, dtype=torch.bool)
    expression[0], known[0] = -1, False
    changes = {"action_units": units, "action_units_valid": valid, "face_valid": present, "expression": expression,
               "expression_valid": known}  # fmt: skip
    terms = model.train().loss(batch_of([MTL] * 8, **changes), 0.0)
    sum(terms.values()).backward()
    assert all(value.grad.isfinite().all() for value in model.network.heads.parameters())
    terms = model.eval().loss(batch_of([MTL] * 8, **changes), 0.0)
    s, y = answers_of(model, batch), targets_of(batch)
    rows = [0, 1, 2, 3, 4, 6, 7]
    assert number(terms["expression"]) == pytest.approx(
        naive_expr_loss(s["expression"][rows[1:]], y["expression"][rows[1:]]), rel=1e-5
    )
    mask = valid[rows, 0].numpy()
    picked = [side["action_units"][rows][mask] for side in (s, y)]
    assert number(terms["action_units"]) == pytest.approx(naive_au_loss(*picked), rel=1e-5)
    answer = model(batch_of([MTL] * 8, **changes))
    assert answer.expression[5].isnan().all() and answer.expression[rows].isfinite().all()


def test_complete_rows_are_those_with_every_label():
    batch = batch_of([MTL] * 6 + [VA] * 4)
    valid = batch.action_units_valid.clone()
    valid[1, 0, 7] = False
    batch = batch_of([MTL] * 6 + [VA] * 4, action_units_valid=valid)
    some, every = teacher(adversary=False).eval(), teacher(adversary=False, complete_rows=True).eval()
    kept = [0, *range(2, 10)]
    assert total(every.loss(batch, 0.0)) == pytest.approx(total(every.loss(part(batch, kept), 0.0)), rel=1e-5)
    assert total(every.loss(batch, 0.0)) != pytest.approx(total(some.loss(batch, 0.0)), rel=1e-5)


@pytest.mark.parametrize("soft", [False, True])
def test_swapped_losses_take_the_logarithm_of_the_label(soft):
    random = np.random.default_rng(0)
    logits, units = random.normal(size=(5, 8)), random.normal(size=(5, 12))
    q = softmax(random.normal(size=(5, 8))) if soft else np.eye(8)[[0, 7, 3, 3, 1]]
    r = random.uniform(size=(5, 12)) if soft else random.integers(0, 2, (5, 12)).astype(float)
    clip = lambda x: np.clip(x, 1e-7, 1 - 1e-7)  # noqa: E731
    expected = -(softmax(logits) * np.log(clip(q))).sum(1).mean()
    found = task_loss("expression", torch.tensor(logits), torch.tensor(q), "swapped")
    assert float(found) == pytest.approx(expected, rel=1e-5)
    s = sigmoid(units)
    expected = -(s * np.log(clip(r)) + (1 - s) * np.log(1 - clip(r))).mean()
    found = task_loss("action_units", torch.tensor(units), torch.tensor(r), "swapped")
    assert float(found) == pytest.approx(expected, rel=1e-5)
    textbook = task_loss("expression", torch.tensor(logits), torch.tensor(q))
    assert float(textbook) == pytest.approx(naive_expr_loss(logits, q), rel=1e-5)


# --- the adversary


def test_the_reversal_changes_nothing_but_the_sign_of_the_gradient():
    x = torch.randn(3, 4, requires_grad=True)
    g = torch.randn(3, 4)
    assert torch.equal(multitask.reverse(x), x)
    multitask.reverse(x).backward(g)
    assert torch.equal(x.grad, -g)


def test_the_discriminator_learns_what_the_shared_features_unlearn():
    model = teacher(dropout=0.0).eval()
    batch = batch_of([VA, EXPR, AU, AU, VA, EXPR])
    inputs, _ = model.inputs(batch)
    shared = model.network(*inputs)["shared"].detach().requires_grad_()
    loss = multitask.adversary_loss(model.network, {"shared": shared}, batch.source, 0.25, model.config)["adversary"]
    loss.backward()
    reversed_gradient = shared.grad.clone()
    plain = shared.detach().clone().requires_grad_()
    (0.25 * nn.functional.cross_entropy(model.network.discriminator(plain), batch.source)).backward()
    torch.testing.assert_close(reversed_gradient, -plain.grad)
    before = number(loss)
    with torch.no_grad():  # a step down the gradients: the discriminator gets better ...
        for value in model.network.discriminator.parameters():
            value -= 0.1 * value.grad / 2  # grown by both passes, which agree in the discriminator's own parameters
    value = multitask.adversary_loss(model.network, {"shared": shared}, batch.source, 0.25, model.config)["adversary"]
    assert number(value) < before
    with torch.no_grad():  # ... and worse by the shared features' own step
        moved = shared - 0.5 * reversed_gradient
    worse = multitask.adversary_loss(model.network, {"shared": moved}, batch.source, 0.25, model.config)["adversary"]
    assert number(worse) > number(value)


def test_rows_of_the_multi_task_set_are_not_guessed():
    model = teacher().eval()
    batch = batch_of([VA, MTL, AU, MTL, EXPR, VA])
    single = part(batch, [0, 2, 4, 5])
    terms = [number(model.loss(rows, 1.0)["adversary"]) for rows in (batch, single)]
    assert terms[0] == pytest.approx(terms[1], rel=1e-5)
    assert "adversary" not in model.loss(batch_of([MTL] * 4), 1.0)
    assert "adversary" not in teacher(adversary=False).eval().loss(single, 1.0)


# --- the network


def test_the_lstm_is_the_naive_recursion():
    torch.manual_seed(0)
    lstm = multitask.ReluLstm(5, 3)
    w, b = lstm.input.weight.detach().double().numpy(), lstm.input.bias.detach().double().numpy()
    u = lstm.recurrent.weight.detach().double().numpy()
    x = np.random.default_rng(0).normal(size=(4, 6, 5))
    h, c = np.zeros((4, 3)), np.zeros((4, 3))
    for t in range(6):
        z = x[:, t] @ w.T + b + h @ u.T
        i, f, g, o = z[:, :3], z[:, 3:6], z[:, 6:9], z[:, 9:]
        c = sigmoid(f) * c + sigmoid(i) * np.maximum(g, 0)
        h = sigmoid(o) * np.maximum(c, 0)
    np.testing.assert_allclose(lstm(torch.as_tensor(x).float()).detach(), h, rtol=1e-5, atol=1e-6)
    assert np.array_equal(b, [0] * 3 + [1] * 3 + [0] * 6)


def test_ablations_see_or_hear_nothing():
    batch = batch_of([MTL] * 4)
    other_faces = batch_of([MTL] * 4, face_feature=torch.randn(4, 6, D))
    other_sound = batch_of([MTL] * 4, audio_feature=torch.randn(4, 10, SOUND))
    for inputs, sees, hears in (("both", True, True), ("image", True, False), ("audio", False, True)):
        model = teacher(inputs=inputs).eval()
        answers = [model(given).expression for given in (batch, other_faces, other_sound)]
        assert torch.equal(answers[0], answers[1]) != sees and torch.equal(answers[0], answers[2]) != hears
    silent = batch_of([MTL] * 4, audio_valid=torch.zeros(4, 10, dtype=torch.bool))
    assert teacher(inputs="audio").eval()(silent).expression.isnan().all()
    assert teacher().eval()(silent).expression.isfinite().all()
    assert teacher(inputs="image").eval()(part_without_sound(batch)).expression.isfinite().all()
    with pytest.raises(InputError, match="no stored sound"):
        teacher()(part_without_sound(batch))


def part_without_sound(batch):
    fields = {name: value for name, value in vars(batch).items() if value is not None and "audio" not in name}
    return AffectBatch(**fields)


def test_sound_that_is_padding_is_not_heard():
    model = teacher(inputs="audio").eval()
    batch = batch_of([MTL] * 3)
    valid = batch.audio_valid.clone()
    valid[:, 6:] = False
    spoilt = batch.audio_feature.clone()
    spoilt[:, 6:] = 99
    first = batch_of(
        [MTL] * 3, audio_feature=batch.audio_feature[:, :6], audio_valid=torch.ones(3, 6, dtype=torch.bool)
    )
    heard = model(batch_of([MTL] * 3, audio_feature=spoilt, audio_valid=valid)).valence_arousal
    torch.testing.assert_close(heard, model(first).valence_arousal)


# --- the student


def test_a_tasks_weight_grows_while_its_score_does_not():
    model = student()
    for va, expr, au in ((0.1, 0.3, 0.2), (0.2, 0.2, 0.2), (0.1, 0.4, 0.1)):
        model.after_validation({"p_va": va, "p_expr": expr, "p_au": au, "p_mtl": va + expr + au})
    assert model.stale.tolist() == [1, 0, 2]
    torch.testing.assert_close(model.best, torch.tensor([0.2, 0.4, 0.2]))
    model.after_validation({"p_va": 0.3})
    assert model.stale.tolist() == [0, 0, 2]


def test_the_teacher_stays_as_it_is():
    model = student().train()
    assert not model.teacher.training and model.network.training
    before = {name: value.clone() for name, value in model.teacher.state_dict().items()}
    optimizer = torch.optim.SGD([value for value in model.parameters() if value.requires_grad], lr=0.1)
    sum(model.loss(batch_of([VA, VA, EXPR, AU, AU, MTL, MTL]), 1.0).values()).backward()
    assert all(value.grad is None for value in model.teacher.parameters())
    optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in model.teacher.state_dict().items())


def test_logits_are_those_at_the_temperature():
    hot, cold = student(temperature=2.5).eval(), student(temperature=1.0).eval()
    batch = batch_of([MTL] * 3)
    torch.testing.assert_close(2.5 * hot(batch).expression, cold(batch).expression)
    torch.testing.assert_close(hot(batch).action_units, cold(batch).action_units)


def test_unfit_batches_are_named():
    with pytest.raises(InputError, match="other sets than va, expr, au, mtl"):
        teacher().loss(batch_of([SOURCES.index("lsd")] * 3), 0.0)
    faceless = batch_of([VA] * 3, face_valid=torch.zeros(3, 6, dtype=torch.bool))
    with pytest.raises(InputError, match="0 windows with all faces"):
        teacher().loss(faceless, 0.0)


# --- end to end


class Thumbnail(nn.Module):
    """Face -> its 12 x 16 grey picture, as long as a vector of the small encoder."""

    info = EncoderInfo(name="thumbnail", dim=D, licence="none", provenance="test")

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, faces):
        return nn.functional.adaptive_avg_pool2d(faces.mean(2), (12, 16)).flatten(2) * self.weight


class Loudness(nn.Module):
    """Sound -> five statistics of every tenth of a second."""

    info = EncoderInfo(name="loudness", dim=SOUND, licence="none", provenance="test", rate=16_000, hop_s=0.1,
                       offset_s=0.05)  # fmt: skip

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, sound):
        parts = sound[:, : sound.shape[1] // 1600 * 1600].reshape(len(sound), -1, 1600)
        crossings = (parts.diff(dim=-1).sign() != 0).float().mean(-1)
        return torch.stack([parts.std(-1), parts.abs().mean(-1), parts.amax(-1), parts.amin(-1), crossings], -1)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A drawn set with stored features."""
    root = tmp_path_factory.mktemp("drawn")
    generate(root / "data", MovingPicture(videos=4, seconds=4, seed=1))
    faces, sound = FeatureStore(root / "store", Thumbnail()), FeatureStore(root / "store", Loudness())
    tree = AffectData(root / "data").tree
    extract_faces(faces, tree.crops)
    extract_sound(sound, tree.media)
    return root / "data", {"faces": faces, "sound": sound}


@pytest.mark.slow
def test_teacher_and_student_run_from_their_recipes(stores, tmp_path):
    root, features = stores
    first, second = (runs.read(Path(__file__).parents[3] / f"recipes/{name}.json")
                     for name in ("multitask", "multitask_student"))  # fmt: skip
    section = from_dict(DataConfig, first.data)
    assert section.windows == Windows(length=6, step=10) and section.stream_batch == 256
    assert first.data == second.data and second.start == {"teacher": "runs/multitask/best.safetensors"}
    assert first.fit.batch_size == 1 and first.fit.lr == 1e-4 and first.fit.patience == 5
    published = registry.build(first.system, first.model)
    assert registry.build(second.system, second.model).config.network == published.config

    config = DataConfig(sets=section.sets, validation_sets=("mtl",), windows=section.windows, sound_s=2,
                        stream_batch=40)  # fmt: skip
    data = AffectData(root, config, **features)
    assert data.monitor == "p_mtl" and len(data.train_dataset()) >= 12
    plan = FitConfig(epochs=2, batch_size=1, optimizer="adam", lr=1e-3, log_every=1)
    best = fit(teacher(), data, plan, tmp_path / "teacher")
    learner = student()
    start_from(learner, {"teacher": best})
    trained = weights.load(best).state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in learner.teacher.state_dict().items())
    fit(learner, data, plan, tmp_path / "student")
    history = json.loads((tmp_path / "student/metrics.json").read_text())["history"]
    for task, name in enumerate(("p_va", "p_expr", "p_au")):  # the counts are those of the validations
        assert float(learner.best[task]) == pytest.approx(max(row[name] for row in history), rel=1e-6)
        assert int(learner.stale[task]) == int(history[1][name] <= history[0][name])
    assert weights.load(tmp_path / "student/best.safetensors").config == learner.config
    logged = (tmp_path / "student/logs/metrics.csv").read_text()
    for name in ("expression_taught", "adversary", "valence_arousal"):
        assert f"train/{name}," in logged
