"""The full state of a training run on disk: one safetensors file, tensors as tensors and the rest as JSON.

Nothing is pickled. A file carries the digest of its content, appears whole or not at all, and the one before it is
kept, so that a kill at any moment, or a damaged file, costs at most the steps since the last good one.
"""

import hashlib
import json
import logging
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sentio.core.errors import RecipeError, WeightsError
from sentio.core.writers import TEMPORARY, atomic_path

KEEP = 2
FORMAT = "sentio.checkpoint.1"

Tensors = dict[str, Tensor]
log = logging.getLogger(__name__)


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> Path:
    """Write ``folder/step-NNNNNNNNN.safetensors`` and drop all but the newest two.

    Args:
        folder: made if it is missing.
        step: optimizer steps done so far.
        tensors: names to tensors of any device; tensors that share memory are written twice.
        info: everything else, as JSON values; floats come back exactly.
    """
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    state = json.dumps(dict(info))
    path = folder / f"step-{step:09d}.safetensors"
    with atomic_path(path) as temporary:
        save_file(plain, temporary, {"format": FORMAT, "info": state, "digest": _digest(plain, state)})
    for old in _files(folder)[KEEP:]:
        old.unlink()
    return path


def load_newest(folder: Path) -> tuple[Tensors, dict[str, Any]] | None:
    """The newest checkpoint that is whole, on the CPU; None when the folder holds none.

    A damaged one is passed over with a warning.

    Raises:
        WeightsError: there are checkpoints and every one is damaged.
    """
    for leftover in folder.glob(f"{TEMPORARY}*"):
        leftover.unlink(missing_ok=True)  # the other processes do the same
    paths = _files(folder)
    for path in paths:
        try:
            return _load(path)
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            log.warning("The checkpoint %s is damaged (%s); trying the one before it.", path, error)
    if paths:
        raise WeightsError(f"Every checkpoint in {folder} is damaged.", "Start the run anew in another folder.")
    return None


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.safetensors"), reverse=True)


def _load(path: Path) -> tuple[Tensors, dict[str, Any]]:
    with safe_open(path, "pt") as file:
        header = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    if header.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    if header["digest"] != _digest(tensors, header["info"]):
        raise ValueError("its content does not match its digest")
    return tensors, json.loads(header["info"])


def _digest(tensors: Tensors, state: str) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def refuse_differences(then: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """Raise if a run is to be resumed with other settings than it was started with.

    Args:
        then, now: sections of JSON values.

    Raises:
        RecipeError: the message names the section, the keys, and both values.
    """
    for section in now:
        pairs = (then[section], now[section])
        if pairs[0] == pairs[1]:
            continue
        if isinstance(pairs[1], dict):
            keys = [key for key in {**pairs[0], **pairs[1]} if pairs[0].get(key) != pairs[1].get(key)]
            differences = ", ".join(f"{key} {pairs[0].get(key)!r} -> {pairs[1].get(key)!r}" for key in keys)
        else:
            differences = f"{pairs[0]!r} -> {pairs[1]!r}"
        raise RecipeError(
            f"The run in {folder.parent} was started with another {section}: {differences}.",
            "Resume with the same settings (batch_size is that of all processes together), or start a new run.",
        )


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """``name`` -> ``prefix.name``."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def under_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The reverse of :func:`with_prefix`: the tensors of that prefix, without it."""
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


def split_optimizer(optimizer: torch.optim.Optimizer) -> tuple[Tensors, dict[str, Any]]:
    """The optimizer's state as flat tensors ``PARAMETER.KEY`` and, as JSON values, the rest of it."""
    state = optimizer.state_dict()
    tensors: Tensors = {}
    scalars: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        scalars[str(index)] = {key: value for key, value in values.items() if not isinstance(value, Tensor)}
        tensors |= {f"{index}.{key}": value for key, value in values.items() if isinstance(value, Tensor)}
    return tensors, {"scalars": scalars, "groups": state["param_groups"]}


def join_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors, info: dict[str, Any]) -> None:
    """Put back what :func:`split_optimizer` took apart."""
    state = {int(index): dict(values) for index, values in info["scalars"].items()}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state[int(index)][key] = value
    groups = [
        {key: tuple(value) if key == "betas" else value for key, value in group.items()} for group in info["groups"]
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def rng_state(device: torch.device) -> Tensors:
    """The state of every random generator of this process: Python's, NumPy's, torch's and the device's."""
    _, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    state = {
        "python": torch.tensor(words, dtype=torch.int64),
        "python_gauss": torch.tensor([float("nan") if gauss is None else gauss], dtype=torch.float64),
        "numpy": torch.tensor([*map(int, keys), position, has_gauss], dtype=torch.int64),
        "numpy_gauss": torch.tensor([cached], dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_rng_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Put back what :func:`rng_state` read."""
    gauss = float(state["python_gauss"])
    random.setstate((3, tuple(state["python"].tolist()), None if gauss != gauss else gauss))
    *keys, position, has_gauss = state["numpy"].tolist()
    words = np.array(keys, dtype=np.uint32)
    np.random.set_state(("MT19937", words, position, has_gauss, float(state["numpy_gauss"])))
    torch.set_rng_state(state["torch"].clone())  # torch reads from the start of the storage, also for a slice
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
