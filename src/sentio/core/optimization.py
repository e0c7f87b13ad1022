"""Optimizers, learning-rate schedules and the moving average of weights, as functions of the step alone."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from sentio.core.precision import FULL, Precision


@dataclass(frozen=True)
class FitConfig:
    """How to train.

    Args:
        epochs: passes over the data; items that do not fill the last step of a pass are left out of it.
        steps: optimizer steps; when given it replaces ``epochs``.
        batch_size: items in one forward pass of one process.
        accumulate: forward passes (of ``batch_size`` each) in one optimizer step.
        momentum: of ``sgd`` only.
        warmup_steps: steps in which the learning rate grows linearly to ``lr``.
        ema_decay: decay of the exponential moving average of the weights, which is then what is validated and kept;
            it starts lower, (1 + step) / (10 + step), so that early weights are forgotten. 0 is off.
        clip_norm: largest norm of all gradients together.
        device: see :func:`sentio.core.devices.choose`.
        patience: stop after this many validations in a row without a new best.
        validate_every: steps between validations; None validates at the end of each epoch. The end always does.
        checkpoint_every: steps between checkpoints; there is also one at each validation.
        log_every: steps between rows of the log.
        workers: processes that load items, here and in validation; 0 loads in the training process. None: as many as
            pay, by the cores and the memory of this machine (``core.loading``). What is learnt does not depend on it.
    """

    epochs: int = 20
    steps: int | None = None
    batch_size: int = 32
    accumulate: int = 1
    optimizer: Literal["adamw", "adam", "sgd", "lars"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = 0
    ema_decay: float = 0.0
    clip_norm: float | None = None
    precision: Precision = FULL
    device: str = "auto"
    patience: int | None = None
    validate_every: int | None = None
    checkpoint_every: int = 500
    log_every: int = 10
    workers: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        positive = ("epochs", "batch_size", "accumulate", "lr", "checkpoint_every", "log_every")
        optional = ("steps", "clip_norm", "patience", "validate_every")
        for name in (*positive, *(name for name in optional if getattr(self, name) is not None)):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above zero, found {getattr(self, name)}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), found {self.ema_decay}")


def make_optimizer(groups: Any, config: FitConfig) -> torch.optim.Optimizer:
    """The optimizer of parameters, or of torch's parameter groups (``Method.parameter_groups``)."""
    options: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay}
    optimizer: torch.optim.Optimizer
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, momentum=config.momentum, **options)
    else:
        kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "lars": Lars}
        optimizer = kinds[config.optimizer](groups, **options)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def lr_factor(config: FitConfig, step: int, total: int) -> float:
    """The factor on the base learning rate at a step (0-based) of ``total``."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    done = (step - config.warmup_steps) / max(1, total - config.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))


class Lars(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling without momentum (You, Gitman and Ginsburg, 2017, eq. 6).

    Each parameter w with gradient g moves by -lr * r * (g + weight_decay * w), r being
    trust * |w| / (|g| + weight_decay * |w| + eps), or 1 where w or g is all zero: what starts at zero must leave it.
    """

    def __init__(
        self, params: Any, lr: float, weight_decay: float = 0.0, trust: float = 1e-3, eps: float = 1e-8
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "trust": trust, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for value in group["params"]:
                if value.grad is not None:
                    decay, (size, slope) = group["weight_decay"], (value.norm(), value.grad.norm())
                    ratio = group["trust"] * size / (slope + decay * size + group["eps"])
                    ratio = torch.where((size > 0) & (slope > 0), ratio, 1.0)
                    value.sub_(group["lr"] * ratio * value.grad.add(value, alpha=decay))


class MovingAverage:
    """Exponential moving average of a module's floating-point state; other entries (counters) are copied."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    def update(self, module: nn.Module, step: int) -> None:
        """Follow the module after optimizer step ``step`` (0-based)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)

    @contextlib.contextmanager
    def applied_to(self, module: nn.Module) -> Iterator[None]:
        """Lend the averaged weights to the module."""
        own = {name: value.detach().clone() for name, value in module.state_dict().items()}
        module.load_state_dict(self.state)
        try:
            yield
        finally:
            module.load_state_dict(own)
