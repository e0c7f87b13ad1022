"""The training loop: exact resume after kill -9, checkpoints, moving average, accumulation, processes, bad losses."""

import csv
import dataclasses
import json
import logging
import math
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from fitting import CONFIG, Data, Net, NetConfig, Plain, fit_plain, train
from sentio.core import checkpoints
from sentio.core.errors import InputError, OutputError, RecipeError, SentioError, WeightsError
from sentio.core.loading import epoch_order
from sentio.core.optimization import FitConfig, MovingAverage, lr_factor
from sentio.core.training import fit
from sentio.core.writers import atomic_path

PROGRAM = Path(__file__).parents[1] / "helpers" / "fitting.py"


def run_child(out, step, number, *launcher):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, *launcher, PROGRAM, out, str(step), number]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def state(folder):
    """Everything in the newest checkpoint: weights, average, optimizer and random states, and the numbers."""
    tensors, info = checkpoints.load_newest(folder / "checkpoints")
    return tensors, info


def assert_same_bits(a, b):
    (tensors_a, info_a), (tensors_b, info_b) = state(a), state(b)
    assert tensors_a.keys() == tensors_b.keys()
    different = [n for n in tensors_a if tensors_a[n].numpy().tobytes() != tensors_b[n].numpy().tobytes()]
    assert not different
    assert info_a == info_b
    best_a, best_b = load_file(a / "best.safetensors"), load_file(b / "best.safetensors")
    assert best_a.keys() == best_b.keys() and all(torch.equal(best_a[name], best_b[name]) for name in best_a)
    assert (a / "logs/metrics.csv").read_bytes() == (b / "logs/metrics.csv").read_bytes()
    assert (a / "metrics.json").read_text() == (b / "metrics.json").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train(out)
    return out


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory):
    out = tmp_path_factory.mktemp("killed") / "run"
    run_child(out, 20, "SIGKILL")
    assert sorted(path.stem for path in (out / "checkpoints").iterdir()) == ["step-000000015", "step-000000018"]
    return out


@pytest.fixture
def killed(killed_once, tmp_path):
    """A copy of a run that was killed in step 20; its newest checkpoint is that of step 18, three into epoch 3."""
    return shutil.copytree(killed_once, tmp_path / "killed")


@pytest.mark.parametrize("step", [2, 8, 28])  # before the first checkpoint, in the middle of an epoch, near the end
@pytest.mark.slow
def test_a_run_killed_in_an_epoch_and_resumed_ends_with_the_same_bits(tmp_path, whole, step):
    killed = run_child(tmp_path / "run", step, "SIGKILL")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "run/checkpoints/step-000000030.safetensors").exists()
    train(tmp_path / "run", resume=True)
    assert_same_bits(tmp_path / "run", whole)


@pytest.mark.slow
def test_resume_takes_up_only_the_items_that_are_left(killed):
    data = Data()
    train(killed, resume=True, data=data)
    assert {epoch for epoch, _ in data.dataset.seen} == {3, 4, 5}
    assert [index for epoch, index in data.dataset.seen if epoch == 3] == epoch_order(50, 3, CONFIG.seed)[30:].tolist()


@pytest.mark.slow
def test_interrupt_saves_at_the_end_of_the_step_and_says_how_to_go_on(tmp_path, whole):
    stopped = run_child(tmp_path / "run", 13, "SIGINT")
    assert stopped.returncode != 0
    assert "Stopped at step 13 of 30" in stopped.stderr and "sentio train with --resume" in stopped.stderr
    assert state(tmp_path / "run")[1]["step"] == 13
    train(tmp_path / "run", resume=True)
    assert_same_bits(tmp_path / "run", whole)


def damage_end(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_middle(path):
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    path.write_bytes(content)


def damage_start(path):
    path.write_bytes(b"\x80\x04" + bytes(500))


@pytest.mark.parametrize("damage", [damage_end, damage_middle, damage_start])
@pytest.mark.slow
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_the_end_is_the_same(killed, whole, damage, caplog):
    damage(killed / "checkpoints/step-000000018.safetensors")
    with caplog.at_level(logging.WARNING):
        train(killed, resume=True)
    assert "step-000000018.safetensors is damaged" in caplog.text
    assert_same_bits(killed, whole)


@pytest.mark.slow
def test_only_damaged_checkpoints_are_an_error(killed):
    for path in (killed / "checkpoints").glob("*.safetensors"):
        damage_middle(path)
    with pytest.raises(WeightsError, match="Every checkpoint"):
        train(killed, resume=True)


def test_what_a_kill_left_half_written_is_removed(killed):
    writing = atomic_path(killed / "checkpoints/step-000000019.safetensors")
    with writing as temporary:
        temporary.write_bytes(b"half")
        half = shutil.copy(temporary, temporary.with_stem(temporary.stem + "x"))
    (killed / "checkpoints/step-000000019.safetensors").unlink()
    train(killed, resume=True)
    assert not half.exists()
    assert all(path.name.startswith("step-") for path in (killed / "checkpoints").iterdir())


def test_nothing_is_pickled_or_unpickled(killed, whole, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("pickle on a load or save path")

    for module, names in ((pickle, ("load", "loads", "dump", "dumps", "Unpickler")), (torch, ("load", "save"))):
        for name in names:
            monkeypatch.setattr(module, name, refuse)
    train(killed, resume=True)
    assert_same_bits(killed, whole)


def test_a_resumed_finished_run_does_nothing(tmp_path, whole):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*.safetensors")}
    train(whole, resume=True)
    assert before == {path: path.stat().st_mtime_ns for path in whole.rglob("*.safetensors")}


class Stopping(Data):
    """Fails when it is asked for its 120th item: in step 12, in the middle of an epoch."""

    def collate(self, items):
        if len(self.dataset.seen) >= 120:
            raise RuntimeError("the power is gone")
        return super().collate(items)


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16-mixed", "optimizer": "adam"},
        {"optimizer": "sgd", "ema_decay": 0.0, "clip_norm": None},
        {"optimizer": "lars", "lr": 1.0},
        {"accumulate": 1, "steps": 57, "validate_every": 7, "patience": 4},
        {"workers": 2, "checkpoint_every": 1},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
@pytest.mark.slow
def test_every_way_of_training_resumes_exactly(tmp_path, changes):
    config = dataclasses.replace(CONFIG, **changes)
    train(tmp_path / "whole", config)
    with pytest.raises(RuntimeError, match="the power is gone"):
        train(tmp_path / "run", dataclasses.replace(config, workers=0), data=Stopping())
    train(tmp_path / "run", config, resume=True)
    assert_same_bits(tmp_path / "run", tmp_path / "whole")


@pytest.mark.slow
def test_workers_give_the_same_bits(tmp_path, whole):
    train(tmp_path / "run", dataclasses.replace(CONFIG, workers=2))
    assert_same_bits(tmp_path / "run", whole)


def test_another_config_or_data_set_is_refused_on_resume(tmp_path, whole):
    with pytest.raises(RecipeError, match=r"lr 0.01 -> 0.02"):
        train(whole, dataclasses.replace(CONFIG, lr=0.02), resume=True)
    with pytest.raises(RecipeError, match=r"items: 50 -> 60"):
        train(whole, resume=True, data=Data(size=60))


def test_a_folder_that_holds_a_run_is_not_overwritten(whole):
    with pytest.raises(OutputError, match="already holds a run"):
        train(whole)


def test_fewer_items_than_a_step_takes(tmp_path):
    with pytest.raises(InputError, match="9 items, one step takes 10"):
        train(tmp_path, data=Data(size=9))


def test_a_loss_that_is_not_finite_names_the_term_and_the_items(tmp_path):
    with pytest.raises(SentioError, match=r"loss term 'square' is nan at step \d+ \(epoch 0\)") as caught:
        train(tmp_path, data=Data(bad=33))
    named = json.loads((tmp_path / "nonfinite.json").read_text())
    assert 33 in named["items"] and len(named["items"]) == CONFIG.batch_size
    assert "clip33.txt line 35" in str(caught.value)


class Exploding(Net):
    """The square root of zero: a finite loss with an infinite gradient."""

    def loss(self, batch, progress):
        return {"root": (self.head.weight.sum() * 0).sqrt()}


def test_a_gradient_that_is_not_finite_stops_before_the_weights_are_touched(tmp_path):
    net = Exploding(NetConfig())
    before = net.head.weight.detach().clone()
    with pytest.raises(SentioError, match="gradient norm is nan at step 0"):
        fit(net, Data(), CONFIG, tmp_path)
    assert torch.equal(net.head.weight, before)


def test_best_weights_are_those_of_the_best_validation(tmp_path, whole):
    metrics = json.loads((whole / "metrics.json").read_text())
    assert metrics["best"] == min(metrics["history"], key=lambda row: row["mse"])
    assert [row["step"] for row in metrics["history"]] == [5, 10, 15, 20, 25, 30]
    with safe_open(whole / "best.safetensors", "pt") as file:
        assert json.loads(file.metadata()["config"]) == {"width": 16, "inputs": [4], "dropout": 0.3}
    net = Net()
    net.load_state_dict(load_file(whole / "best.safetensors"))
    with torch.no_grad():
        assert Data().validate(net.eval())["mse"] == metrics["best"]["mse"]


class Worsening(Data):
    def __init__(self):
        super().__init__()
        self.values = [3.0, 2.0, math.nan, 2.5, 1.0]

    def validate(self, method):
        return {"mse": self.values.pop(0)}


def test_where_there_is_no_terminal_start_pace_and_end_are_told(tmp_path, capfd):
    train(tmp_path, dataclasses.replace(CONFIG, epochs=1))
    out, told = capfd.readouterr()
    assert out == "" and "5 steps of 10 items" in told and "s a step" in told and "Done: step 5" in told


def test_a_run_that_is_done_is_said_to_be(tmp_path, capfd):
    config = dataclasses.replace(CONFIG, epochs=1)
    train(tmp_path, config)
    capfd.readouterr()
    train(tmp_path, config, resume=True)
    _, told = capfd.readouterr()
    already, done = told.splitlines()
    assert already == f"{tmp_path} is trained already." and done.startswith("Done: step 5, best mse ")


def test_a_terminal_gets_a_bar_with_steps_loss_and_score(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    train(tmp_path, dataclasses.replace(CONFIG, epochs=2))
    shown = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", capfd.readouterr().err)
    assert "10 steps of 10 items" in shown and "s a step" in shown and "Done: step 10, best mse" in shown


def test_a_method_may_group_its_parameters(tmp_path):
    class Grouped(Plain):
        def parameter_groups(self):
            return [{"params": self.body.parameters(), "lr": 0.0}, {"params": self.head.parameters()}]

    net = Grouped()
    fit(net, Data(), dataclasses.replace(CONFIG, epochs=1), tmp_path)
    assert torch.equal(net.body[0].weight, Plain().body[0].weight)
    assert not torch.equal(net.head.weight, Plain().head.weight)


def test_early_stop_after_patience_validations_without_a_best(tmp_path):
    train(tmp_path, dataclasses.replace(CONFIG, patience=2), data=Worsening())
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["best"]["mse"] == 2.0
    assert [row["mse"] for row in metrics["history"]] == [3.0, 2.0, None, 2.5]


def test_a_missing_monitor_is_named(tmp_path):
    data = Data()
    data.monitor = "ccc"
    with pytest.raises(SentioError, match="Validation gave mse, but 'ccc' is monitored"):
        train(tmp_path, data=data)


def test_logs_hold_every_named_term(whole):
    with (whole / "logs/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} == {
        "train/square", "train/noise", "train/loss", "train/gradient_norm", "train/lr", "validation/mse",
    }  # fmt: skip
    by_step = {name: float(value) for _, _, name, value in [r.values() for r in rows if r["step"] == "10"]}
    assert by_step["train/square"] + by_step["train/noise"] == pytest.approx(by_step["train/loss"], rel=1e-5)
    assert list((whole / "logs").glob("events.out.tfevents.*"))


def test_accumulation_equals_the_big_batch(tmp_path):
    parts = fit_plain(tmp_path / "parts", batch_size=5, accumulate=2)
    big = fit_plain(tmp_path / "big", batch_size=10, accumulate=1)
    assert (parts["head.weight"] - Plain().head.weight).abs().max() > 0.05
    for name in parts:
        torch.testing.assert_close(parts[name], big[name], rtol=1e-5, atol=1e-6)


def test_bf16_trains_and_keeps_32_bit_weights_and_labels(tmp_path):
    class Watching(Plain):
        def loss(self, batch, progress):
            assert batch.y.dtype == torch.float32 and self(batch).dtype == torch.bfloat16
            return {"square": ((self(batch).float() - batch.y) ** 2).mean()}

    net = Watching()
    fit(net, Data(), dataclasses.replace(CONFIG, precision="bf16-mixed", lr=0.05), tmp_path)
    history = json.loads((tmp_path / "metrics.json").read_text())["history"]
    assert history[-1]["mse"] < 0.9 * history[0]["mse"], history
    assert net.head.weight.dtype == torch.float32


def test_two_threads_give_the_same_bits_twice(tmp_path):
    class Lookup(Plain):
        """The gradient of a lookup is a sum of many parts, which threads would add up in any order."""

        def loss(self, batch, progress):
            rows = torch.arange(300_000) % 8
            return {"lookup": (self.head.weight[0, rows] * torch.linspace(0, 1, 300_000)).sum() * batch.x.mean()}

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        runs = [Lookup(), Lookup()]
        for number, net in enumerate(runs):
            fit(net, Data(), dataclasses.replace(CONFIG, epochs=1), tmp_path / str(number))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(runs[0].head.weight, runs[1].head.weight)
    assert not torch.are_deterministic_algorithms_enabled()


def test_16_bit_floats_need_a_gpu(tmp_path):
    with pytest.raises(RecipeError, match="needs a GPU"):
        train(tmp_path, dataclasses.replace(CONFIG, precision="16-mixed", device="cpu"))


def test_moving_average_is_its_closed_form():
    module = nn.Linear(3, 2)
    average = MovingAverage(module, 0.9)
    history = [module.weight.detach().clone()]
    for step in range(200):
        with torch.no_grad():
            module.weight.add_(torch.randn(2, 3, generator=torch.Generator().manual_seed(step)))
        average.update(module, step)
        history.append(module.weight.detach().clone())
    decays = [min(0.9, (1 + step) / (10 + step)) for step in range(200)]
    # w_k enters with 1 - d_k and is then kept by every later decay: a sum, not a recursion
    shares = [(1 - d) * math.prod(decays[k + 1 :]) for k, d in enumerate(decays)]
    expected = math.prod(decays) * history[0].double()
    expected += sum(share * value.double() for share, value in zip(shares, history[1:], strict=True))
    torch.testing.assert_close(average.state["weight"].double(), expected, rtol=1e-5, atol=1e-5)
    own = module.weight.detach().clone()
    with average.applied_to(module):
        assert torch.equal(module.weight, average.state["weight"])
    assert torch.equal(module.weight, own)


def test_learning_rate_warms_up_and_follows_the_cosine():
    config = FitConfig(schedule="cosine", warmup_steps=4)
    factors = [lr_factor(config, step, 104) for step in range(105)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factors[54] == pytest.approx(0.5) and factors[104] == pytest.approx(0.0)
    assert factors[4:] == sorted(factors[4:], reverse=True)
    assert lr_factor(FitConfig(), 77, 100) == 1.0


def test_wrong_values_are_named():
    with pytest.raises(ValueError, match="batch_size must be above zero"):
        FitConfig(batch_size=0)
    with pytest.raises(ValueError, match="ema_decay"):
        FitConfig(ema_decay=1.0)


def test_random_states_come_back():
    import random

    import numpy as np

    random.gauss(0, 1), np.random.normal()  # both keep a second value back
    kept = checkpoints.rng_state(torch.device("cpu"))
    drawn = [(random.gauss(0, 1), random.random(), np.random.normal(), float(torch.rand(()))) for _ in range(3)]
    checkpoints.set_rng_state(kept, torch.device("cpu"))
    assert drawn == [(random.gauss(0, 1), random.random(), np.random.normal(), float(torch.rand(()))) for _ in range(3)]


@pytest.mark.slow
def test_two_processes_stop_together_and_one_goes_on(tmp_path):
    """A signal to one of two processes with batches of 5 stops both; one with batches of 10 does the rest."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    stopped = run_child(tmp_path / "run", 8, "SIGINT", *launcher)
    assert "Stopped at step 8 of 30" in stopped.stderr, stopped.stderr[-3000:]
    tensors, info = state(tmp_path / "run")
    assert info["processes"] == 2 and tensors["random.torch"].shape[0] == 2
    with pytest.raises(RecipeError, match="batch_size 10 -> 5"):
        fit_plain(tmp_path / "run", batch_size=5, accumulate=1, resume=True)
    fit_plain(tmp_path / "run", batch_size=10, accumulate=1, resume=True)
    big = fit_plain(tmp_path / "big", batch_size=10, accumulate=1)
    tensors, info = state(tmp_path / "run")
    assert info["step"] == 30
    for name, value in checkpoints.under_prefix("model", tensors).items():
        torch.testing.assert_close(value, big[name], rtol=1e-5, atol=1e-6)
