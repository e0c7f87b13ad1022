"""Snapshots of published weights as the hub has them: found on this machine, read safely, refused with a reason.

A snapshot is a folder, or a published name that is already in the local cache; nothing is downloaded unless it is
asked for. Weights are read from safetensors only. Heads and halves that an encoder does not use may be there; what it
uses must be.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from torch import nn

from sentio.affect.backbones import EncoderInfo
from sentio.affect.backbones.frozen import CONFIG, kept_folders
from sentio.core.errors import WeightsError

LICENCES = {
    "google/vit-base-patch16-224-in21k": "Apache-2.0",
    "openai/clip-vit-base-patch32": "MIT",
    "facebook/wav2vec2-base-960h": "Apache-2.0",
    "MIT/ast-finetuned-audioset-10-10-0.4593": "BSD-3-Clause",
    "openai/whisper-tiny.en": "MIT",
}
KINDS = {
    "vit": "vit",
    "clip": "clip",
    "wav2vec2": "wav2vec2",
    "audio-spectrogram-transformer": "ast",
    "whisper": "whisper",
}
"""Kinds of encoders by the architecture that ``config.json`` names."""
PATTERNS = ["*.json", "*.safetensors", "*.txt"]
CONVERT = (
    'python -c "import glob, torch; from safetensors.torch import save_file; '
    "save_file({{name: value.clone() for file in glob.glob('{folder}/pytorch_model*.bin') for name, value in "
    "torch.load(file, weights_only=True).items()}}, '{folder}/model.safetensors', {{'format': 'pt'}})\""
)
"""Makes safetensors of pickled weights, by a reader that runs no code."""


def snapshot(name: str, *, fetch: bool = False) -> Path:
    """The folder of a snapshot: ``name`` itself if it is one, else that of the published name in the local cache.

    Raises:
        WeightsError: it is not on this machine and ``fetch`` is False, or it cannot be fetched.
    """
    if (kept := kept_folders()) and name in kept:
        return kept[name]
    if Path(name).is_dir():
        return Path(name)
    if fetch:
        why = f"The weights {name!r} cannot be fetched."
        fix = "See that the name is right and that this machine is on the network, or give the folder of a snapshot."
    else:
        why = f"The weights {name!r} are neither a folder nor in the local cache."
        fix = f"Give the folder of a snapshot, or fetch it where there is a network: hf download {name}, or --fetch."
    try:
        return Path(snapshot_download(name, local_files_only=not fetch, allow_patterns=PATTERNS))
    except Exception as error:  # the hub and its client raise a dozen unrelated classes
        raise WeightsError(f"{why} ({type(error).__name__})" if fetch else why, fix) from error


def kind_of(name: str, *, fetch: bool = False) -> str:
    """The kind of encoder that a snapshot is of, as its ``config.json`` says.

    Raises:
        WeightsError: it is not on this machine, has no such file, or is of another architecture.
    """
    folder = snapshot(name, fetch=fetch)
    architecture = guard(folder, lambda: json.loads((folder / CONFIG).read_text())["model_type"])
    if architecture not in KINDS:
        raise WeightsError(
            f"The snapshot {name} is of the architecture {architecture!r}.", f"Read are: {', '.join(KINDS)}."
        )
    return KINDS[architecture]


def load(kind: Any, folder: Path, *, unused: Sequence[str] = (), **options: Any) -> Any:
    """A model from the safetensors of a snapshot, in 32 bits.

    Args:
        kind: class of transformers.
        unused: weights that it may lack, as inference does not use them: names, or beginnings that end with a dot.
            They are set to zero, so that two readings of a snapshot are the same.

    Raises:
        WeightsError: no safetensors, damaged, of another architecture, or without a weight that is used.
    """
    if kept_folders() is not None:
        return guard(folder, lambda: _from_config(kind, folder, options))
    _need_safetensors(folder)
    model, report = guard(
        folder,
        lambda: kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        ),
    )
    missing = sorted(report["missing_keys"])
    needed = [name for name in missing if not any(name == one or _inside(name, one) for one in unused)]
    if needed:
        raise WeightsError(f"{folder} has no weight {needed[0]!r} ({len(needed)} are missing).")
    for name in missing:
        nn.init.zeros_(model.get_parameter(name))
    return model


def _from_config(kind: Any, folder: Path, options: dict[str, Any]) -> Any:
    config, others = kind.config_class.from_pretrained(folder, return_unused_kwargs=True, **options)
    return kind(config, **others)


def guard(folder: Path, read: Callable[[], Any]) -> Any:
    """What ``read`` gives.

    Raises:
        WeightsError: it failed, for whatever reason.
    """
    try:
        with _quiet():
            return read()
    except Exception as error:  # transformers, tokenizers and safetensors raise a dozen unrelated classes
        raise WeightsError(
            f"The snapshot {folder} cannot be read: {str(error).splitlines()[0]}",
            "It needs config.json, preprocessor_config.json and safetensors weights of that architecture.",
        ) from error


def read_json(folder: Path, file: str) -> dict[str, Any]:
    """What a small file of a snapshot says.

    Raises:
        WeightsError: it is missing or no JSON.
    """
    values: dict[str, Any] = guard(folder, lambda: json.loads((folder / file).read_text()))
    return values


def describe(kind: str, name: str, folder: Path, **known: Any) -> EncoderInfo:
    """The info of an encoder from the snapshot ``name``, which lies in ``folder``."""
    licence = LICENCES.get(name, "see the snapshot")
    provenance = name if not Path(name).is_dir() else folder.name
    return EncoderInfo(name=kind, licence=licence, provenance=provenance, **known)


def _inside(name: str, part: str) -> bool:
    return part.endswith(".") and name.startswith(part)


def _need_safetensors(folder: Path) -> None:
    if any(folder.glob("*.safetensors")) or not (folder / CONFIG).is_file():
        return
    if pickled := sorted(folder.glob("pytorch_model*.bin")):
        raise WeightsError(
            f"The snapshot {folder} has its weights in {pickled[0].name} alone, a pickle, which is not read here.",
            f"Convert it once: {CONVERT.format(folder=folder)}",
        )
    raise WeightsError(
        f"The snapshot {folder} has no safetensors weights.",
        "Fetch it whole: hf download NAME. If its publisher has .bin files alone, you are then told how to convert.",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' tables and bars: that a CLIP snapshot holds two networks is no news."""
    messages: Any = transformers.logging
    verbosity, bars = messages.get_verbosity(), messages.is_progress_bar_enabled()
    messages.set_verbosity_error()
    messages.disable_progress_bar()
    try:
        yield
    finally:
        messages.set_verbosity(verbosity)
        if bars:
            messages.enable_progress_bar()
