"""Devices and processes of a training run."""

import contextlib
import logging
import os
from collections.abc import Iterator
from datetime import timedelta

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy

from sentio.core.errors import RecipeError
from sentio.core.optimization import FitConfig


@contextlib.contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """On the CPU, no sums in the order in which threads happen to finish."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(before[0] or device.type == "cpu", warn_only=not before[0] or before[1])
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def make_fabric(config: FitConfig) -> Fabric:
    """One process, or DDP over the processes that torchrun started.

    Raises:
        RecipeError: there is no GPU, and the device or the precision needs one.
    """
    accelerator = config.device
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise RecipeError("device: 'cuda' was asked for, but torch sees no GPU.", "Set device to 'cpu' or 'auto'.")
    if accelerator == "cpu" and config.precision == "16-mixed":
        raise RecipeError("precision: '16-mixed' needs a GPU.", "Use 'bf16-mixed' or '32-true' on a CPU.")
    for part in ("fabric", "pytorch"):  # they announce precision and processes
        logging.getLogger(f"lightning.{part}").setLevel(logging.WARNING)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))
    # A batch without labels for a task leaves that task's head without gradients.
    # Processes wait for each other where one reads its data more slowly.
    strategy = DDPStrategy(find_unused_parameters=True, timeout=timedelta(hours=1)) if world > 1 else "auto"
    return Fabric(
        accelerator=accelerator,
        devices=local,
        num_nodes=world // local,
        strategy=strategy,
        precision=config.precision,
    )
