"""What a training takes, told without doing it: memory, storage and arithmetic, from tensors that have no content.

The system is built of torch's fake tensors, which have shapes and types and no memory, so that any size can be measured
on any machine and no weights are needed. One step is then led through it, and what autograd keeps, and the
multiplications, are counted.
"""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sentio.core import registry
from sentio.core.errors import SentioError
from sentio.core.fake_tensors import FakeTensors, count_operations, real_tensors
from sentio.core.method import Work
from sentio.core.optimization import FitConfig
from sentio.core.precision import BRAIN, FULL, autocast
from sentio.core.progress import duration
from sentio.core.runs import Recipe

log = logging.getLogger(__name__)
STATE = {"adamw": 2, "adam": 2, "sgd": 1, "lars": 0}
"""Numbers that an optimizer keeps for each trained parameter."""
GPUS = {"A100": {FULL: 19.5, BRAIN: 312.0}, "H200": {FULL: 67.0, BRAIN: 989.0}}
"""Published peaks in TFLOP a second, dense, by precision (NVIDIA's data sheets; 16 bits are as quick as bfloat16)."""
UTILISATION = 0.4
"""Share of its peak that a GPU is taken to reach. [CHOSEN]"""
SIDE = 1024
"""Of the matrices that this CPU is measured by."""


@dataclass(frozen=True)
class Needs:
    """Bytes and numbers of one training.

    Attributes:
        parameters, trained: all, and those with gradients.
        weights: bytes of all parameters and buffers, with the moving average if there is one.
        gradients, optimizer: bytes.
        batch: items of a forward pass; None if it is the system's example.
        activations: bytes that autograd keeps of it for the backward pass; None if that cannot be told.
        step: arithmetic of its forward and backward pass; likewise.
        hour: what an hour of video takes.
    """

    parameters: int
    trained: int
    weights: int
    gradients: int
    optimizer: int
    batch: int | None = None
    activations: int | None = None
    step: int | None = None
    hour: tuple[Work, ...] = ()

    @property
    def memory(self) -> int:
        """All of it, in bytes."""
        return self.weights + self.gradients + self.optimizer + (self.activations or 0)


def needs(plan: Recipe) -> Needs:
    """What the recipe's training takes.

    Raises:
        RecipeError: an unknown key or a wrong value.
    """
    with FakeTensors():
        method = _build(plan)
        learnt = [value for value in method.parameters() if value.requires_grad]
        held = size([*method.parameters(), *method.buffers()])
        batch = method.training_batch(plan.data, plan.fit.batch_size)
        activations, flops = _step(method, method.example_batch() if batch is None else batch, plan.fit)
        hour = tuple(method.eval().hourly(plan.data))
    return Needs(
        parameters=sum(value.numel() for value in method.parameters()),
        trained=sum(value.numel() for value in learnt),
        weights=(2 if plan.fit.ema_decay else 1) * held,
        gradients=size(learnt),
        optimizer=STATE[plan.fit.optimizer] * size(learnt),
        batch=None if batch is None else len(batch),
        activations=activations,
        step=flops,
        hour=hour,
    )


def _build(plan: Recipe) -> Any:
    kind = registry.method(plan.system)
    try:
        return registry.build(plan.system, plan.model, kind.blueprint())
    except SentioError:
        raise
    except Exception as error:  # networks that ask for content while they are made
        log.debug("%s is made with content: %s", plan.system, error)
        with real_tensors():
            return registry.build(plan.system, plan.model, kind.blueprint())


def _step(method: Any, batch: Any, config: FitConfig) -> tuple[int | None, int | None]:
    try:
        return step(method, batch, config)
    except Exception as error:  # losses that rest on content: which windows are whole, how pictures are varied
        log.debug("the step of %s cannot be told: %s", method.name, error)
        return None, None


def size(tensors: Sequence[Tensor]) -> int:
    """Bytes of tensors, those that share memory counted once."""
    stores = {value.untyped_storage()._cdata: value.untyped_storage().nbytes() for value in tensors}
    return sum(stores.values())


def step(method: Any, batch: Any, config: FitConfig) -> tuple[int, int]:
    """Bytes that autograd keeps of a batch for the backward pass, besides the weights, and arithmetic of the step."""
    own = {value.untyped_storage()._cdata for value in (*method.parameters(), *method.buffers())}
    kept: list[Tensor] = []

    def keep(value: Tensor) -> Tensor:
        kept.append(value)
        return value

    with FakeTensors.filled(), count_operations() as counter, autocast(config.precision):
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            loss = torch.stack([term.float() for term in method.loss(batch, 0.5).values()]).sum()
        held = size([value for value in kept if value.untyped_storage()._cdata not in own])
        loss.backward()  # type: ignore[no-untyped-call]
    return held, counter.get_total_flops()


def pace(precision: str, seconds: float = 0.5) -> float:
    """Arithmetic of a second on this CPU: the quickest product of two matrices, in the precision of a training."""
    kind = torch.float32 if precision == FULL else torch.bfloat16
    left, right = torch.rand(2, SIDE, SIDE).to(kind)
    shortest, end = math.inf, time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        left @ right
        shortest = min(shortest, time.perf_counter() - began)
    return 2 * SIDE**3 / shortest


def text(plan: Recipe, found: Needs) -> str:
    """The needs for people."""
    whole = "its example" if found.batch is None else f"{found.batch:,}"
    untold = "cannot be told"
    rows = [
        ("parameters", f"{millions(found.parameters)}, trained {millions(found.trained)}"),
        ("weights", megabytes(found.weights)),
        ("gradients", megabytes(found.gradients)),
        (f"state of {plan.fit.optimizer}", megabytes(found.optimizer)),
        (f"activations, batch of {whole}", untold if found.activations is None else megabytes(found.activations)),
        ("the rest in memory" if found.activations is None else "all of it in memory", megabytes(found.memory)),
        ("arithmetic of a step", untold if found.step is None else teraflops(found.step)),
    ]
    lines = [f"{plan.system}, {plan.fit.precision}: computed, nothing is read, trained or written."]
    lines += [f"  {name:<28} {value}" for name, value in rows]
    return "\n".join([*lines, *_hour(plan, found)])


def _hour(plan: Recipe, found: Needs) -> Iterator[str]:
    if not found.hour:
        return
    precision = FULL if plan.fit.precision == FULL else BRAIN
    rates = {"this CPU": pace(precision)}
    rates |= {name: UTILISATION * 1e12 * peaks[precision] for name, peaks in GPUS.items()}
    yield ""
    yield f"  {'an hour of video':<28} {'arithmetic':>12} {'on disk':>10}" + "".join(f"{name:>12}" for name in rates)
    for work in found.hour:
        times = "".join(f"{duration(work.flops / rate):>12}" for rate in rates.values())
        disk = megabytes(work.stored) if work.stored else "-"
        yield f"  {work.name:<28} {teraflops(work.flops):>12} {disk:>10}{times}"
    here = f"{rates['this CPU'] / 1e9:,.0f} GFLOP/s"
    yield f"Times are estimates: this CPU at the pace of a product of matrices, measured now ({here}),"
    yield f"a GPU at {UTILISATION:.0%} of its published peak. Decoding the video and finding faces are not in them."


def millions(count: int) -> str:
    """Numbers of parameters for people."""
    return f"{count / 1e6:,.1f} M" if count >= 1e5 else f"{count:,}"


def megabytes(count: float) -> str:
    """Bytes for people."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e10 else f"{count / 1e6:,.1f} MB"


def teraflops(count: float) -> str:
    """Arithmetic for people."""
    return f"{count / 1e12:,.1f} TFLOP" if count >= 1e12 else f"{count / 1e9:,.1f} GFLOP"
