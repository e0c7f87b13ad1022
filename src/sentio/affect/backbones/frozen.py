"""Frozen published encoders, and what they can be built by without the weights: the small files of their snapshots.

A trained system has the weights of its encoders among its own, and keeps these files with them. So it is read where the
snapshot is gone, and a system of any size can be measured where no weights are.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self, cast

from torch import nn

from sentio.affect.backbones import EncoderInfo
from sentio.core.errors import WeightsError

CONFIG, PREPROCESSOR, TOKENS = "config.json", "preprocessor_config.json", "tokens.json"
"""Small files of a snapshot; the last, the tokens of sentences, is no published one."""
Files = dict[str, dict[str, Any]]
"""Small files by name, as the objects that they hold."""
_kept: ContextVar[dict[str, Path] | None] = ContextVar("kept", default=None)


class Frozen(nn.Module):
    """A module that stays in eval mode and asks for no gradients to its weights, adapters excepted.

    Attributes:
        snapshot: name or folder that its weights were asked for by.
        files: what it can be built by without its weights, see :func:`without_weights`.
    """

    def __init__(self, model: nn.Module, info: EncoderInfo, name: str, folder: Path) -> None:
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self.info = info
        self.snapshot = name
        there = [folder / file for file in (CONFIG, PREPROCESSOR) if (folder / file).is_file()]
        self.files: Files = {file.name: json.loads(file.read_text()) for file in there}

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        super().requires_grad_(requires_grad)
        for value in self.adapters():
            value.requires_grad_(True)
        return self

    def adapters(self) -> list[nn.Parameter]:
        """What is learnt in it, see ``lora``; nothing, mostly."""
        return [value for name, value in self.named_parameters() if ".lora_" in name]


def describe_snapshots(module: nn.Module) -> dict[str, Files]:
    """The small files of all snapshots that a module has encoders from, by name."""
    found: dict[str, Files] = {}
    for part in module.modules():
        if isinstance(part, Frozen):
            found[part.snapshot] = found.get(part.snapshot, {}) | part.files
    return found


def snapshots_of(description: Any) -> Mapping[str, Files]:
    """The small files that the description of a trained system holds; it may come from anybody.

    Raises:
        WeightsError: it holds none, or files of other names, which could be written anywhere.
    """
    found = description.get("snapshots") if isinstance(description, dict) else None
    parts = list(found.values()) if isinstance(found, dict) else [None]
    if not all(isinstance(files, dict) and files.keys() <= {CONFIG, PREPROCESSOR, TOKENS} for files in parts):
        raise WeightsError("The description of the encoders that is kept with the weights is damaged.")
    return cast(Mapping[str, Files], found)


@contextmanager
def without_weights(known: Mapping[str, Files]) -> Iterator[None]:
    """Inside, encoders are built with random weights, from small files alone.

    Args:
        known: the files by the name of the snapshot; those of others are looked for on this machine.
    """
    with tempfile.TemporaryDirectory(prefix="sentio-") as place:
        folders = {name: Path(place) / str(number) for number, name in enumerate(known)}
        for name, folder in folders.items():
            folder.mkdir()
            for file, values in known[name].items():
                (folder / file).write_text(json.dumps(values))
        token = _kept.set(folders)
        try:
            yield
        finally:
            _kept.reset(token)


def kept_folders() -> dict[str, Path] | None:
    """Inside :func:`without_weights`, the folders of small files by the name of the snapshot; None elsewhere."""
    return _kept.get()
