"""The rule by which devices are chosen, and that the make-believe accelerator of these tests finds what it is for."""

import signal

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("lightning", reason="needs the train extra")

from accelerator import DEVICE, accelerator  # noqa: E402
from fitting import Batch, Data, Net, send_signal_in_step  # noqa: E402
from sentio.core import checkpoints, devices  # noqa: E402
from sentio.core.errors import RecipeError  # noqa: E402
from sentio.core.optimization import FitConfig  # noqa: E402
from sentio.core.training import fit  # noqa: E402


@pytest.fixture
def gpus(monkeypatch):
    """So many GPUs."""

    def there(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)

    return there


@pytest.mark.parametrize(
    ("count", "name", "expected"),
    [(0, "auto", "cpu"), (2, "auto", "cuda"), (2, "cpu", "cpu"), (2, "cuda", "cuda"), (2, "cuda:1", "cuda:1")],
)
def test_a_name_is_a_device_that_is_there(gpus, count, name, expected):
    gpus(count)
    assert devices.choose(name) == torch.device(expected)
    assert torch.backends.cudnn.allow_tf32 == (expected == "cpu")


@pytest.mark.parametrize(
    ("count", "name", "told"),
    [
        (0, "cuda", "cuda was asked for, but torch sees no GPU"),
        (2, "cuda:2", r"cuda:2 was asked for, but torch sees only 2, the last is cuda:1"),
        (2, "gpu", "There is no device 'gpu'"),
        (2, "cuda:", "There is no device 'cuda:'"),
    ],
)
def test_a_device_that_is_not_there_is_never_replaced(gpus, count, name, told):
    gpus(count)
    with pytest.raises(RecipeError, match=told):
        devices.choose(name)


def test_apples_device_is_taken_where_it_is_and_only_when_asked_for(gpus, monkeypatch):
    gpus(0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert (devices.choose("mps").type, devices.choose("auto").type) == ("mps", "cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RecipeError, match="mps was asked for"):
        devices.choose("mps")


def test_several_processes_do_not_share_a_gpu(gpus, monkeypatch):
    gpus(2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="2 processes cannot share cuda:1"):
        devices.make_fabric(FitConfig(device="cuda:1"))


LEFT = {
    "added": lambda x, left: x + left,
    "joined": lambda x, left: torch.cat([x, left]),
    "stacked": lambda x, left: torch.stack([x, left]),
    "multiplied": lambda x, left: x @ left,
    "chosen": lambda x, left: torch.where(left > 0, x, 0.0),
    "put": lambda x, left: x.index_put_((torch.tensor([0]),), left[:1].clone()),
    "masked": lambda x, left: x.masked_fill(left > 0, 0.0),
    "an array": lambda x, left: x.numpy(),
    "drawn": lambda x, left: torch.rand(3, device=DEVICE, generator=torch.Generator()),
    "out of the CPU's": lambda x, left: left[x.long()],
}


@pytest.mark.parametrize("way", LEFT)
def test_the_accelerator_of_the_tests_finds_a_tensor_that_was_left_behind(way):
    with accelerator() as device:
        left = torch.ones(3)
        with pytest.raises((RuntimeError, NotImplementedError)):
            LEFT[way](left.to(device), left)
        LEFT[way](left, left) if way != "drawn" else None


def test_the_accelerator_of_the_tests_lets_pass_what_cuda_does():
    with accelerator() as device:
        x = torch.arange(6.0, device=device).view(2, 3)
        x[0, 1] = 9
        x[:, 2] += torch.tensor(1.0)
        x[x > 8] = 0
        assert x[torch.tensor([1])].tolist() == [[3, 4, 6]] and x.cpu().numpy().sum() == x.sum().item() == 16
        assert torch.tensor([1.0], device=device).device == x.new_tensor([2.0]).device == device
        layer = torch.nn.Linear(3, 1).to(device)
        layer(x).sum().backward()
        assert layer.weight.grad.device == device and layer.weight.grad.tolist() == [[3, 4, 9]]
    assert not torch._C._only_lift_cpu_tensors()


class Moving(Data):
    """Validates where the network is."""

    def collate(self, items):
        batch = super().collate(items)
        return batch if len(items) < 32 else Batch(batch.x.to(DEVICE), batch.y.to(DEVICE))


def test_a_run_that_was_stopped_on_an_accelerator_goes_on_there(tmp_path):
    config = FitConfig(steps=6, batch_size=5, ema_decay=0.9, optimizer="adam", device="auto", lr=0.01)

    def train(out, *, resume=False, stop=0):
        torch.manual_seed(0)
        kind = type("Stopped", (Net,), {})
        if stop:
            send_signal_in_step(kind, stop, signal.SIGINT)
        net = kind()
        fit(net, Moving(), config, out, resume=resume)
        return net

    with accelerator() as device:
        assert train(tmp_path / "whole").device == device
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run", stop=3)
        train(tmp_path / "run", resume=True)
    whole, resumed = (checkpoints.load_newest(tmp_path / name / "checkpoints")[0] for name in ("whole", "run"))
    assert [name for name in whole if whole[name].numpy().tobytes() != resumed[name].numpy().tobytes()] == []
