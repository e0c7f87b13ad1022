"""Tensors without content: torch's fake ones, that have answers where code asks what they hold; arithmetic counted."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

aten: Any = torch.ops.aten


class FakeTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, tensors are fake: nothing is NaN, every other number is one, and no mask has a true entry."""

    there: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.none: dict[int, Tensor] = {}  # masks of what is NaN

    @classmethod
    @contextmanager
    def filled(cls) -> Iterator[None]:
        """Masks are all true: every label and face is there. Not while networks are made: these draw until all fits."""
        cls.there = True
        try:
            yield
        finally:
            cls.there = False

    def __enter__(self) -> "FakeTensors":
        self.fake.__enter__()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self.fake.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is aten._local_scalar_dense.default:
            return self.there and id(args[0]) not in self.none if args[0].dtype is torch.bool else 1
        if func is aten.nonzero.default:
            return torch.empty(args[0].numel(), args[0].ndim, dtype=torch.int64)
        if func in INDEXED:
            args = (args[0], _places(args[1]), *args[2:])
        found = func(*args, **(kwargs or {}))
        if func is aten.isnan.default or (func in ANY and id(args[0]) in self.none):
            self.none[id(found)] = found
        return found


INDEXED = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
ANY = (aten.any.default, aten.any.dim)


def _places(indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Masks as the places of their true entries, which are all of them; other indices as they are."""
    found: list[Tensor | None] = []
    for index in indices:
        if index is not None and index.dtype is torch.bool:
            found += [torch.empty(index.numel(), dtype=torch.int64)] * index.ndim
        else:
            found.append(index)
    return found


def real_tensors() -> AbstractContextManager[Any]:
    """Inside, tensors are real again."""
    return _disable_current_modes()


def count_operations() -> FlopCounterMode:
    """A counter of additions and multiplications; torch's own does not know the CPU's attention."""

    def forward(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]

    def backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_backward_flop_count(gradient, query, key, value))  # type: ignore[no-untyped-call]

    attention = {
        aten._scaled_dot_product_flash_attention_for_cpu: forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
    }
    return FlopCounterMode(display=False, custom_mapping=attention)
