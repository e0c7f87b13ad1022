"""Two processes with half of the items each against one with all: operations, every loss, runs, a run taken over."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("lightning", reason="needs the train extra")

from safetensors.torch import load_file  # noqa: E402

import method_data  # noqa: E402
import together  # noqa: E402
from fitting import Data, Plain, fit_plain  # noqa: E402
from sentio.affect.models import face as face_model  # noqa: E402
from sentio.core import checkpoints, processes  # noqa: E402

PROGRAM = Path(together.__file__)
pytestmark = pytest.mark.slow


class Ending(Data):
    """Fails in step 8, in the middle of an epoch."""

    def collate(self, items):
        if len(self.dataset.seen) >= 80:
            raise RuntimeError("the power is gone")
        return super().collate(items)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "data"
    method_data.drawn(folder)
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory, pictures):
    """What two processes left, and the run that one had begun for them."""
    out = tmp_path_factory.mktemp("two")
    with pytest.raises(RuntimeError, match="the power is gone"):
        fit_plain(out / "one-then-two", batch_size=10, accumulate=1, data=Ending())
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*command, PROGRAM, out, pictures], env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (out / "told.txt").write_text(done.stderr)
    return out


def test_rows_of_all_come_in_order_and_gradients_go_back_to_where_they_are_from(two):
    first, second = (load_file(two / f"operations{rank}.safetensors") for rank in (0, 1))
    rows = torch.cat([torch.arange(6.0).reshape(3, 2), torch.arange(2.0).reshape(1, 2)])
    for found in (first, second):
        assert torch.equal(found["rows"], rows)
        assert found["flags"].tolist() == [True, True, True, False]
        assert found["mean"] == 1.5 and found["spread"].tolist() == [0, 1, 4, 9, 16]
        assert found["gathered"].tolist() == [0, 2]
    torch.testing.assert_close(first["gradient"], 3 * 2 * rows[:3])  # of once and twice the sum of squares
    torch.testing.assert_close(second["gradient"], 3 * 2 * rows[3:])


def test_batch_norms_are_those_of_all_rows(two):
    first, second = (load_file(two / f"operations{rank}.safetensors") for rank in (0, 1))
    norm = torch.nn.BatchNorm2d(3)
    for step, pictures in enumerate(together.norm_inputs()):
        pictures.requires_grad_()
        y = norm(pictures)
        (y**3 * (1 + torch.arange(48).reshape(3, 4, 4))).sum().backward()
        found, gradient = (torch.cat([each[f"{key}{step}"] for each in (first, second)]) for key in ("y", "x_gradient"))
        torch.testing.assert_close(found, y, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(gradient, pictures.grad, rtol=1e-3, atol=1e-3)
    for name, value in norm.state_dict().items():
        torch.testing.assert_close(first[f"norm.{name}"], value, rtol=1e-5, atol=1e-5)
        assert torch.equal(first[f"norm.{name}"], second[f"norm.{name}"])
    for name, value in norm.named_parameters():
        total = first[f"norm_gradient.{name}"] + second[f"norm_gradient.{name}"]
        torch.testing.assert_close(total, value.grad, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("name", together.MODELS)
def test_two_halves_give_the_loss_and_the_gradients_of_the_whole(two, name, monkeypatch):
    monkeypatch.setattr(face_model, "distort", together.undistorted)
    method, batch = together.make(name)
    expected, found = together.terms_and_gradients(method, batch), load_file(two / f"{name}.safetensors")
    assert found.keys() == expected.keys()
    scale = max(float(value.abs().max()) for key, value in expected.items() if key.startswith("gradient"))
    for key, value in expected.items():
        named = {"msg": lambda text, key=key: f"{key}: {text}"}
        torch.testing.assert_close(found[key], value, rtol=1e-2, atol=1e-3 * scale, **named)


@pytest.mark.parametrize("name", together.PLANS)
def test_two_processes_have_the_losses_and_the_scores_of_one(two, pictures, name, tmp_path):
    together.train(tmp_path / "one", pictures, name, 1)
    steps, found = together.steps_of(tmp_path / "one"), together.steps_of(two / f"{name}-two")
    assert found.keys() == steps.keys() and len([key for key in steps if key[1] == "train/loss"]) == 4
    for key, value in steps.items():
        assert found[key] == pytest.approx(value, rel=2e-3, abs=1e-5), key
    one, other = together.history_of(tmp_path / "one"), together.history_of(two / f"{name}-two")
    assert [row["step"] for row in other["history"]] == [2, 4] and other["best"]["step"] == one["best"]["step"]


def test_the_batch_of_all_and_the_rate_are_told(two):
    told = (two / "told.txt").read_text()
    assert "4 steps of 16 items" in told and "learning rate 0.05. 2 processes take 8 items of a step each" in told
    assert told.count("Training fer-tuned") == 1


def test_two_processes_go_on_with_the_run_of_one(two, tmp_path):
    big = fit_plain(tmp_path / "big", batch_size=10, accumulate=1)
    tensors, info = checkpoints.load_newest(two / "one-then-two" / "checkpoints")
    assert info["step"] == 30 and info["processes"] == 2
    assert "The run had processes: 1, and goes on with 2" in (two / "told.txt").read_text()
    for name, value in checkpoints.under_prefix("model", tensors).items():
        torch.testing.assert_close(value, big[name], rtol=1e-5, atol=1e-6)
        assert name == "target" or not torch.equal(value, Plain().state_dict()[name])


def test_one_process_alone_has_everything():
    values = torch.rand(3, 2, requires_grad=True)
    assert processes.whole(values) == (values,) and processes.count() == 1 and processes.number() == 0
    assert processes.share(range(7)) == range(7) and processes.gather("a") == ["a"]
    norm = torch.nn.BatchNorm1d(2)
    processes.join_batch_norms(norm)
    assert "forward" not in vars(norm)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (1, 1)),
        ({"WORLD_SIZE": "4"}, (4, 4)),
        ({"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}, (4, 2)),
    ],
)
def test_how_many_were_launched_is_known_before_they_meet(environment, expected, monkeypatch):
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert processes.launched() == expected and processes.count() == 1
