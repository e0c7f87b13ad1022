"""Published encoders through transformers: ViT, CLIP, wav2vec 2.0 and AST, frozen.

A snapshot is a folder, or a published name that is already in the local cache; nothing is downloaded unless it is
asked for. Weights are read from safetensors only. Picture size, mean, deviation, rate and mel settings come from the
snapshot's ``preprocessor_config.json``.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self, cast

import torch
import transformers
from huggingface_hub import snapshot_download
from torch import Tensor, nn
from torch.nn import functional

from sentio.affect.backbones import EncoderInfo, encode_faces
from sentio.affect.backbones.mel import MelFilterBank
from sentio.core.errors import WeightsError

LICENCES = {
    "google/vit-base-patch16-224-in21k": "Apache-2.0",
    "openai/clip-vit-base-patch32": "MIT",
    "facebook/wav2vec2-base-960h": "Apache-2.0",
    "MIT/ast-finetuned-audioset-10-10-0.4593": "BSD-3-Clause",
}
PATTERNS = ["*.json", "*.safetensors", "*.txt"]
BICUBIC = 3
"""Pillow's number of the filter in ``preprocessor_config.json``."""


class Frozen(nn.Module):
    """A module that stays in eval mode and asks for no gradients to its weights."""

    def __init__(self, model: nn.Module, info: EncoderInfo) -> None:
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self.info = info

    def train(self, mode: bool = True) -> Self:
        return super().train(False)


class VitEncoder(Frozen):
    """Faces (B, T, 3, H, W) -> (B, T, D): the pooler's output, the class token, or the mean of the patch tokens."""

    def __init__(
        self, name: str, *, pooling: Literal["pooler", "class", "mean"] = "pooler", fetch: bool = False
    ) -> None:
        folder = snapshot(name, fetch=fetch)
        model = load(transformers.ViTModel, folder, add_pooling_layer=pooling == "pooler")
        super().__init__(model, _picture_info(f"vit-{pooling}", name, folder, model.config.hidden_size))
        self.pooling = pooling

    def forward(self, faces: Tensor) -> Tensor:
        return encode_faces(self._network, self.info, faces)

    def _network(self, x: Tensor) -> Tensor:
        output = self.model(pixel_values=x)
        tokens: Tensor = output.last_hidden_state  # (N, 1 + patches, D)
        pooled: Tensor = output.pooler_output if self.pooling == "pooler" else tokens[:, 0]  # (N, D)
        return tokens[:, 1:].mean(1) if self.pooling == "mean" else pooled


class ClipImageEncoder(Frozen):
    """Faces (B, T, 3, H, W) -> (B, T, D): the projected image embedding, not normalised."""

    def __init__(self, name: str, *, fetch: bool = False) -> None:
        folder = snapshot(name, fetch=fetch)
        model = load(transformers.CLIPVisionModelWithProjection, folder)
        super().__init__(model, _picture_info("clip-image", name, folder, model.config.projection_dim))

    def forward(self, faces: Tensor) -> Tensor:
        return encode_faces(lambda x: self.model(pixel_values=x).image_embeds, self.info, faces)


class ClipTextEncoder(Frozen):
    """N sentences -> (N, D): the projected text embedding, comparable with :class:`ClipImageEncoder`'s."""

    def __init__(self, name: str, *, fetch: bool = False) -> None:
        folder = snapshot(name, fetch=fetch)
        model = load(transformers.CLIPTextModelWithProjection, folder)
        super().__init__(model, _info("clip-text", name, folder, dim=model.config.projection_dim))
        self.tokenizer = _guard(
            folder, lambda: transformers.CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        )

    def forward(self, sentences: list[str]) -> Tensor:
        longest = cast(Any, self.model.config).max_position_embeddings
        tokens = self.tokenizer(sentences, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        embeddings: Tensor = self.model(**tokens.to(next(self.model.parameters()).device)).text_embeds
        return embeddings


class Wav2Vec2Encoder(Frozen):
    """Sound (B, S) -> (B, T, D): the last hidden states, one each 20 ms."""

    def __init__(self, name: str, *, fetch: bool = False) -> None:
        folder = snapshot(name, fetch=fetch)
        model = load(transformers.Wav2Vec2Model, folder)
        settings = _preprocessor(folder)
        self.normalises, rate = bool(settings["do_normalize"]), int(settings["sampling_rate"])
        hop, reach = 1, 1
        for kernel, stride in zip(model.config.conv_kernel, model.config.conv_stride, strict=True):
            reach, hop = reach + (kernel - 1) * hop, hop * stride
        info = _info("wav2vec2", name, folder, dim=model.config.hidden_size, rate=rate, hop_s=hop / rate,
                     offset_s=reach / 2 / rate)  # fmt: skip
        super().__init__(model, info)

    def forward(self, sound: Tensor) -> Tensor:
        if self.normalises:
            variance, mean = torch.var_mean(sound, -1, correction=0, keepdim=True)
            sound = (sound - mean) / (variance + 1e-7).sqrt()
        states: Tensor = self.model(sound).last_hidden_state  # (B, T, D)
        return states


class AstEncoder(Frozen):
    """T stretches of sound (B, T, S) -> (B, T, D), each padded or cut to the transformer's length (10.24 s)."""

    def __init__(self, name: str, *, fetch: bool = False) -> None:
        folder = snapshot(name, fetch=fetch)
        model = load(transformers.ASTModel, folder)
        settings = _preprocessor(folder)
        rate = int(settings["sampling_rate"])
        super().__init__(model, _info("ast", name, folder, dim=model.config.hidden_size, rate=rate))
        self.mel = MelFilterBank(bins=int(settings["num_mel_bins"]), rate=rate)
        self.length = int(settings["max_length"])
        self.mean, self.std = float(settings["mean"]), float(settings["std"])

    def forward(self, sound: Tensor) -> Tensor:
        output: Tensor = self.model(self.spectrogram(sound.flatten(0, 1))).pooler_output  # (B T, D)
        return output.reshape(*sound.shape[:2], -1)  # (B, T, D)

    def spectrogram(self, sound: Tensor) -> Tensor:
        """(N, S) -> (N, length, bins), normalised as the transformer was trained: (x - mean) / (2 std)."""
        energies = self.mel(sound)[:, : self.length]  # (N, frames, bins)
        energies = functional.pad(energies, (0, 0, 0, self.length - energies.shape[1]))  # (N, length, bins)
        normalised: Tensor = (energies - self.mean) / (2 * self.std)
        return normalised


ENCODERS: dict[str, tuple[Callable[..., Frozen], str]] = {
    "vit": (VitEncoder, "google/vit-base-patch16-224-in21k"),
    "clip": (ClipImageEncoder, "openai/clip-vit-base-patch32"),
    "wav2vec2": (Wav2Vec2Encoder, "facebook/wav2vec2-base-960h"),
    "ast": (AstEncoder, "MIT/ast-finetuned-audioset-10-10-0.4593"),
}
"""Kinds that can be opened by name, and the published weights that the papers use."""


def snapshot(name: str, *, fetch: bool = False) -> Path:
    """The folder of a snapshot: ``name`` itself if it is one, else that of the published name in the local cache.

    Raises:
        WeightsError: it is not on this machine and ``fetch`` is False, or it cannot be fetched.
    """
    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(snapshot_download(name, local_files_only=not fetch, allow_patterns=PATTERNS))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"The weights {name!r} are neither a folder nor in the local cache.",
            f"Give the folder of a snapshot, or fetch it: hf download {name}",
        ) from error


def load(kind: Any, folder: Path, **options: Any) -> Any:
    """A model from the safetensors of a snapshot, in 32 bits; every weight must be there.

    Raises:
        WeightsError: no safetensors, damaged, or of another architecture.
    """
    model, report = _guard(
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
    if missing := sorted(report["missing_keys"]):
        raise WeightsError(f"{folder} has no weight {missing[0]!r} ({len(missing)} are missing).")
    return model


def _guard(folder: Path, read: Callable[[], Any]) -> Any:
    try:
        with _quiet():
            return read()
    except Exception as error:  # transformers, tokenizers and safetensors raise a dozen unrelated classes
        raise WeightsError(
            f"The snapshot {folder} cannot be read: {str(error).splitlines()[0]}",
            "It needs config.json, preprocessor_config.json and safetensors weights of that architecture.",
        ) from error


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


def _preprocessor(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = _guard(folder, lambda: json.loads((folder / "preprocessor_config.json").read_text()))
    return values


def _info(kind: str, name: str, folder: Path, **known: Any) -> EncoderInfo:
    licence = LICENCES.get(name, "see the snapshot")
    provenance = name if not Path(name).is_dir() else folder.name
    return EncoderInfo(name=kind, licence=licence, provenance=provenance, **known)


def _picture_info(kind: str, name: str, folder: Path, dim: int) -> EncoderInfo:
    settings = _preprocessor(folder)
    size = settings["size"]
    if isinstance(size, dict):
        size = size.get("height", size.get("shortest_edge"))
    return _info(
        kind,
        name,
        folder,
        dim=dim,
        size=int(size),
        mean=tuple(settings["image_mean"]),
        std=tuple(settings["image_std"]),
        interpolation="bicubic" if settings.get("resample") == BICUBIC else "bilinear",
    )
