"""The device that networks run on, by one rule for every command; and the processes of a training run."""

import contextlib
import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import torch

from sentio.core import processes
from sentio.core.errors import RecipeError
from sentio.core.precision import HALF, Precision

if TYPE_CHECKING:
    from lightning.fabric import Fabric

    from sentio.core.optimization import FitConfig


def choose(name: str = "auto") -> torch.device:
    """The device of a name, which is then there; on a GPU of CUDA, products of 32 bits are from now on of 32 bits.

    Args:
        name: ``auto`` is a GPU of CUDA if torch sees one, else the CPU; ``cpu``; ``cuda`` or ``cuda:N``, the current
            GPU or that of a number; ``mps``, Apple's, which nothing takes by itself.

    Raises:
        RecipeError: there is no such name, or torch sees no such device.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise RecipeError(f"There is no device {name!r}.", "Choose auto, cpu, cuda, cuda:N or mps.")
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise RecipeError("The device mps was asked for, but torch sees none.", "Choose cpu or auto.")
    if device.type == "cuda":
        _refuse_absent(device)
        torch.backends.cudnn.allow_tf32 = False  # else convolutions have 10 bits of mantissa where 23 were asked for
    return device


def _refuse_absent(device: torch.device) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= count:
        seen = f"only {count}, the last is cuda:{count - 1}" if count else "no GPU"
        raise RecipeError(f"The device {device} was asked for, but torch sees {seen}.", "Choose cpu or auto.")


def refuse_precision(device: torch.device, precision: Precision) -> None:
    """See that a device has the number of bits.

    Raises:
        RecipeError: it has not.
    """
    if device.type == "cpu" and precision == HALF:
        raise RecipeError(f"The precision {HALF} needs a GPU.", "Use bf16-mixed or 32-true on a CPU.")


@contextlib.contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """On the CPU, no sums in the order in which threads happen to finish."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(before[0] or device.type == "cpu", warn_only=not before[0] or before[1])
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def make_fabric(config: "FitConfig") -> "Fabric":
    """One process, or DDP over the processes that torchrun started.

    Raises:
        RecipeError: the device is not there, lacks the precision, or is one GPU for several processes.
    """
    from lightning.fabric import Fabric  # seconds, which other commands do without
    from lightning.fabric.strategies.ddp import DDPStrategy

    device = choose(config.device)
    refuse_precision(device, config.precision)
    for part in ("fabric", "pytorch"):  # they announce precision and processes
        logging.getLogger(f"lightning.{part}").setLevel(logging.WARNING)
    world, local = processes.launched()
    if world > 1 and device.index is not None:
        raise RecipeError(f"{world} processes cannot share {device}.", "Choose cuda: each process takes its own GPU.")
    # A batch without labels for a task leaves that task's head without gradients.
    # Processes wait for each other where one reads its data more slowly.
    strategy = DDPStrategy(find_unused_parameters=True, timeout=timedelta(hours=1)) if world > 1 else "auto"
    return Fabric(
        accelerator=device.type,
        devices=local if device.index is None else [device.index],
        num_nodes=world // local,
        strategy=strategy,
        precision=config.precision,
    )
