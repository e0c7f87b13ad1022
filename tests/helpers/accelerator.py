"""A make-believe accelerator in this process: tensors there have content, and do not meet those of the CPU.

The device is called ``lazy``, a name that torch has and no build of it uses. Its tensors are computed on the CPU, but
an operation on some of them and some of the CPU's is refused where CUDA refuses it: so whoever forgets to move a tensor
is found. As with CUDA, a CPU tensor of no dimensions counts as a number, a tensor on a device may be indexed by those
of the CPU, and no tensor on it becomes an array.
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from lightning.fabric.accelerators import Accelerator
from lightning.fabric.strategies import SingleDeviceStrategy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from sentio.core import devices, training

DEVICE = torch.device("lazy:0")
aten: Any = torch.ops.aten
COPIES = ("aten::_to_copy", "aten::to", "aten::copy_")
INDEXED = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)


class Held(torch.Tensor):
    """A tensor on the device; ``content`` is on the CPU."""

    content: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, content: torch.Tensor) -> "Held":
        made = torch.Tensor._make_wrapper_subclass(
            cls, content.size(), content.stride(), content.storage_offset(), dtype=content.dtype, device=DEVICE
        )
        made.content = content
        return made

    def __repr__(self) -> str:
        return f"Held({self.content!r})"

    def tolist(self) -> Any:
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return call(func, args, kwargs or {})


class Present(TorchDispatchMode):
    """Inside, the device is there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return call(func, args, kwargs or {})


def call(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Carry an operation out on the contents, if all that it is given is where it should be."""
    given: list[torch.Tensor] = []
    tree_map_only(torch.Tensor, given.append, (args, kwargs))
    here = [value for value in given if isinstance(value, Held)]
    asked = kwargs.get("device")
    target = torch.device(asked) if asked is not None else None
    goes = target.type == DEVICE.type if target is not None else bool(here)
    if not here and not goes:
        return func(*args, **kwargs)
    copies = func._schema.name in COPIES
    if not copies:
        refuse_mixed(func, args, given, goes)
    if goes and kwargs.get("generator") is not None:
        raise RuntimeError(f"{func}: the generator is of the CPU, the numbers are to be on {DEVICE}")
    if target is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    inner_args, inner = tree_map_only(Held, lambda value: value.content, (args, kwargs))
    found = func(*inner_args, **inner)
    if torch.Tag.inplace_view in func.tags:
        args[0].data = Held(args[0].content)  # the outer tensor tells its shape by itself
    if func._schema.name.endswith("_"):
        return args[0]
    if copies and not here and found.untyped_storage()._cdata == args[0].untyped_storage()._cdata:
        found = found.clone()
    return tree_map_only(torch.Tensor, Held, found) if goes else found


def refuse_mixed(func: Any, args: Any, given: list[torch.Tensor], goes: bool) -> None:
    """See that no tensor was left on the CPU."""
    if func in INDEXED and isinstance(args[0], Held):
        given = [args[0], *args[2:3]] if func is not aten.index.Tensor else [args[0]]
    left = [value for value in given if not isinstance(value, Held) and value.ndim]
    if left and (goes or len(left) < len(given)):
        shapes = ", ".join(f"{tuple(value.shape)} on {value.device}" for value in given)
        raise RuntimeError(f"{func}: expected all tensors on one device, found {shapes}")


class Fake(Accelerator):
    """What Lightning wants to know of it."""

    def setup_device(self, device: torch.device) -> None: ...
    def teardown(self) -> None: ...
    @staticmethod
    def parse_devices(devices: Any) -> Any:
        return devices

    @staticmethod
    def get_parallel_devices(devices: Any) -> Any:
        return [DEVICE]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def name() -> str:
        return "fake"


@contextlib.contextmanager
def accelerator() -> Iterator[torch.device]:
    """Inside, the machine has the device, and ``auto`` takes it."""
    autocast, choose = torch.autocast, devices.choose
    submit = ThreadPoolExecutor.submit

    def present(do: Any, /, *args: Any, **kwargs: Any) -> Any:
        with Present():
            return do(*args, **kwargs)

    fabric = Fabric(accelerator=Fake(), strategy=SingleDeviceStrategy(DEVICE))
    with pytest.MonkeyPatch.context() as patch, Present():
        patch.setattr(devices, "choose", lambda name="auto": DEVICE if name in ("auto", str(DEVICE)) else choose(name))
        patch.setattr(ThreadPoolExecutor, "submit", lambda pool, do, *a, **k: submit(pool, present, do, *a, **k))
        patch.setattr(training, "make_fabric", lambda config: fabric)
        patch.setattr(torch._C, "_InferenceMode", lambda on: torch.no_grad() if on else contextlib.nullcontext())
        patch.setattr(
            torch, "autocast", lambda kind, *a, **k: autocast("cpu" if kind == DEVICE.type else kind, *a, **k)
        )
        torch._C._set_only_lift_cpu_tensors(True)  # numbers become a tensor of the CPU first, which then goes here
        try:
            yield DEVICE
        finally:
            torch._C._set_only_lift_cpu_tensors(False)
