"""The processes of a training run: what one of them computes from the batches of all.

Each process has its part of a step's items. A loss that is not a mean over them (a concordance, a mean over those that
have a label) takes what it compares from all, by :func:`whole`. Where a run has one process, all of this does nothing.
Before the processes have met, :func:`launched` tells how many there will be.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Item = TypeVar("Item")
Result = TypeVar("Result")


def launched() -> tuple[int, int]:
    """The processes that torchrun started, on all machines and on this one, by the environment that it gave this one.

    It says ``WORLD_SIZE`` and ``LOCAL_WORLD_SIZE``; without the second all are on this machine, without both there is
    one.
    """
    everywhere = int(os.environ.get("WORLD_SIZE", "1"))
    return everywhere, int(os.environ.get("LOCAL_WORLD_SIZE", everywhere))


def count() -> int:
    """The processes of the run, once they have met."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def number() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if count() > 1 else 0


def whole(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The rows of all processes, in their order; gradients flow back to where each row is from.

    If every process computes the same loss of them, the mean of the processes' gradients, which is what a step takes,
    is that of one process with all rows.

    Args:
        tensors: (N, ...) each, where N may differ between processes and everything else may not.
    """
    if count() == 1:
        return tensors
    own = torch.tensor([len(tensors[0])], device=tensors[0].device)
    rows: list[int] = _stack(own)[:, 0].tolist()
    return tuple(_join(value, rows) for value in tensors)


def mean(value: Tensor) -> Tensor:
    """The mean over the processes of a number without a gradient, such as what a sum is divided by."""
    if count() == 1:
        return value
    total = value.detach().to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total / count()


def share(items: Sequence[Item]) -> Sequence[Item]:
    """This process's part of the items: they follow each other, and no part has two more than another."""
    first, end = (len(items) * part // count() for part in (number(), number() + 1))
    return items[first:end]


def gather(value: Result) -> list[Result]:
    """The values of all processes, in their order; any objects."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    dist.all_gather_object(values, value)
    return values


def spread(do: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """The results of all items, each computed by one process and known to all."""
    return list(chain.from_iterable(gather([do(item) for item in share(items)])))


def join_batch_norms(module: nn.Module) -> None:
    """Let the batch norms of a module take mean and variance over the rows of all processes, while they train."""
    if count() > 1:
        for part in module.modules():
            if isinstance(part, _BatchNorm):
                part.forward = partial(_batch_norm, part)  # type: ignore[method-assign]


class _Stack(torch.autograd.Function):
    """A tensor of all processes, (...) -> (processes, ...); of its gradient each gets the sum over all."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        parts = [torch.empty_like(value, memory_format=torch.contiguous_format) for _ in range(count())]
        dist.all_gather(parts, value.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[number()]


def _stack(value: Tensor) -> Tensor:
    """(...) of each process to (processes, ...)."""
    stacked: Tensor = _Stack.apply(value)  # type: ignore[no-untyped-call]
    return stacked


def _join(value: Tensor, rows: Sequence[int]) -> Tensor:
    """(N, ...) of each process to (sum of N, ...): padded to the largest N on the way."""
    sent = value.to(torch.uint8) if value.dtype == torch.bool else value
    padding = sent.new_zeros(max(rows) - len(sent), *sent.shape[1:])
    stacked = _stack(torch.cat([sent, padding]))  # (processes, N, ...)
    joined = torch.cat([part[:length] for part, length in zip(stacked, rows, strict=True)])
    return joined.bool() if value.dtype == torch.bool else joined


def _batch_norm(layer: _BatchNorm, x: Tensor) -> Tensor:
    """What the layer computes of (N, C, ...), with the moments of all processes' rows while it trains."""
    if not layer.training:
        return type(layer).forward(layer, x)
    values = x.float()
    axes = [0, *range(2, x.ndim)]
    size = values.numel() // x.shape[1]
    own = torch.stack(torch.var_mean(values, axes, correction=0)) if size else values.sum((0, *axes[1:])).expand(2, -1)
    shape = (1, -1, *[1] * (x.ndim - 2))
    mean_all, variance, total = _moments(own, size)
    if total < 2:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {tuple(x.shape)}")
    _remember(layer, mean_all.detach(), variance.detach() * total / (total - 1))
    scale = (variance + layer.eps).rsqrt()
    shift = -mean_all * scale
    if layer.affine:
        scale, shift = scale * layer.weight, shift * layer.weight + layer.bias
    return torch.addcmul(shift.view(shape), values, scale.view(shape)).to(x.dtype)


def _moments(own: Tensor, size: int) -> tuple[Tensor, Tensor, int]:
    """Mean and variance (C,) of all processes' values and their number, from (2, C) variance and mean of ``size``."""
    sizes = _stack(torch.tensor(float(size), dtype=torch.float64, device=own.device))  # (processes,)
    stacked = _stack(own)  # (processes, 2, C)
    shares = (sizes / sizes.sum()).to(own.dtype)[:, None]
    mean_all = (shares * stacked[:, 1]).sum(0)
    variance = (shares * (stacked[:, 0] + (stacked[:, 1] - mean_all) ** 2)).sum(0)
    return mean_all, variance, int(sizes.sum())


def _remember(layer: _BatchNorm, average: Tensor, variance: Tensor) -> None:
    """Follow the moments as torch does; ``variance`` is the unbiased one."""
    if layer.running_mean is None or layer.running_var is None or layer.num_batches_tracked is None:
        return
    layer.num_batches_tracked.add_(1)
    momentum = 1 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
    layer.running_mean.lerp_(average, momentum)
    layer.running_var.lerp_(variance, momentum)
