"""A small Method and its data, and a program that trains them: for the tests of training."""

import dataclasses
import os
import random
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sentio.core.method import Method, TrainingData
from sentio.core.report import Figures
from sentio.core.training import FitConfig, fit


@dataclass(frozen=True)
class NetConfig:
    width: int = 16
    inputs: tuple[int, ...] = (4,)
    dropout: float = 0.3


class Net(Method):
    """Dropout (torch's generator), noise of NumPy and Python, batch norm: everything that resume could lose."""

    name = "test-net"
    Config = NetConfig

    def __init__(self, config: NetConfig | None = None) -> None:
        super().__init__(config or NetConfig())
        width = self.config.width
        self.body = nn.Sequential(
            nn.Linear(*self.config.inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(self.config.dropout)
        )
        self.head = nn.Linear(width, 1)
        self.register_buffer("target", torch.zeros(1))

    def example_batch(self):
        return Batch(torch.ones(4, 4), torch.ones(4))

    def open_data(self, path, section):
        return Data(**section)

    def evaluate(self, path, section, *, data, tell=None):
        return Figures({"system": self.name}, Data(**data).validate(self))

    def forward(self, batch):
        return self.head(self.body(batch.x))[:, 0]

    def loss(self, batch, progress):
        noise = np.random.normal() + random.random() + random.gauss(0, 1)
        error = self(batch) - batch.y
        return {"square": (error**2).mean(), "noise": 1e-2 * noise * self.head.weight.sum() * (1 - progress)}

    def after_step(self):
        self.target.lerp_(self.head.bias.detach(), 0.1)


@dataclass
class Batch:
    x: torch.Tensor
    y: torch.Tensor

    def to(self, device):
        return Batch(self.x.to(device), self.y.to(device))


class Items(torch.utils.data.Dataset):
    def __init__(self, size=50, seed=7, bad=None):
        self.size, self.seed, self.bad, self.epoch = size, seed, bad, 0
        self.seen = []

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        self.seen.append((self.epoch, index))
        generator = np.random.default_rng((self.seed, self.epoch, index))
        x = torch.from_numpy(generator.normal(size=4).astype("float32"))
        y = torch.tensor(float("nan")) if index == self.bad else x[0] - 2 * x[1]
        return x, y


class Data(TrainingData):
    monitor, higher_is_better = "mse", False

    def __init__(self, **options):
        self.dataset = Items(**options)

    def train_dataset(self):
        return self.dataset

    def set_epoch(self, epoch):
        self.dataset.epoch = epoch

    def describe(self, index):
        return f"clip{index:02d}.txt line {index + 2}"

    def collate(self, items):
        return Batch(torch.stack([x for x, _ in items]), torch.stack([y for _, y in items]))

    def validate(self, method):
        assert not method.training and not torch.is_grad_enabled()
        batch = self.collate([Items(seed=99)[i] for i in range(32)])
        return {"mse": float(((method(batch) - batch.y) ** 2).mean())}


CONFIG = FitConfig(
    epochs=6,
    batch_size=5,
    accumulate=2,
    lr=1e-2,
    schedule="cosine",
    warmup_steps=3,
    ema_decay=0.9,
    clip_norm=1.0,
    checkpoint_every=3,
    log_every=2,
    workers=0,
    seed=11,
)  # 5 steps an epoch, 30 in all


def train(out, config=CONFIG, *, resume=False, data=None):
    torch.manual_seed(0)
    net = Net()
    fit(net, data or Data(), config, Path(out), resume=resume)
    return net


class Plain(Net):
    """No dropout, no batch norm, no noise: batches add up."""

    def __init__(self):
        super().__init__(NetConfig(dropout=0.0))
        torch.manual_seed(3)
        self.body = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
        self.head = nn.Linear(8, 1)

    def loss(self, batch, progress):
        return {"square": ((self(batch) - batch.y) ** 2).mean()}


def fit_plain(out, *, resume=False, data=None, **changes):
    config = dataclasses.replace(CONFIG, optimizer="sgd", ema_decay=0.0, **changes)
    net = Plain()
    fit(net, data or Data(), config, out, resume=resume)
    return net.state_dict()


def send_signal_in_step(method, step, number):
    """Let ``method`` send its process a signal after its optimizer step number ``step``."""
    own, steps = method.after_step, []

    def after_step(self):
        own(self)
        steps.append(1)
        if len(steps) == step:
            os.kill(os.getpid(), number)

    method.after_step = after_step


def child():
    """``fitting.py OUT STEP SIGNAL``: train and be hit by the signal in a step; under torchrun: the last process is."""
    out, step, number = Path(sys.argv[1]), int(sys.argv[2]), getattr(signal, sys.argv[3])
    rank, processes = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    if rank == processes - 1:
        send_signal_in_step(Net, step, number)
    if processes == 1:
        train(out)
    else:
        fit_plain(out, batch_size=5, accumulate=1, device="cpu", resume=(out / "checkpoints").exists())


if __name__ == "__main__":
    child()
