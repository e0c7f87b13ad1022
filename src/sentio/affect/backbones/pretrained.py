"""Published encoders of faces and sound through transformers: ViT, CLIP, wav2vec 2.0, AST and Whisper, frozen.

Picture size, mean, deviation, rate and mel settings come from the snapshot's ``preprocessor_config.json``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
import transformers
from torch import Tensor
from torch.nn import functional
from transformers.audio_utils import mel_filter_bank

from sentio.affect.backbones import EncoderInfo, encode_faces
from sentio.affect.backbones.frozen import PREPROCESSOR, Frozen
from sentio.affect.backbones.mel import MelFilterBank
from sentio.affect.backbones.snapshots import describe, load, read_json, snapshot

BICUBIC = 3
"""Pillow's number of the filter in ``preprocessor_config.json``."""


class VitEncoder(Frozen):
    """Faces (B, T, 3, H, W) -> (B, T, D): the pooler's output, the class token, or the mean of the patch tokens."""

    def __init__(
        self, name: str, *, pooling: Literal["pooler", "class", "mean"] = "pooler", fetch: bool = False
    ) -> None:
        folder = snapshot(name, fetch=fetch)
        model = load(transformers.ViTModel, folder, add_pooling_layer=pooling == "pooler")
        super().__init__(model, _picture_info(f"vit-{pooling}", name, folder, model.config.hidden_size), name, folder)
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
        super().__init__(model, _picture_info("clip-image", name, folder, model.config.projection_dim), name, folder)

    def forward(self, faces: Tensor) -> Tensor:
        return encode_faces(lambda x: self.model(pixel_values=x).image_embeds, self.info, faces)


class Wav2Vec2Encoder(Frozen):
    """Sound (B, S) -> (B, T, D): the last hidden states, one each 20 ms."""

    def __init__(self, name: str, *, fetch: bool = False) -> None:
        folder = snapshot(name, fetch=fetch)
        model = load(transformers.Wav2Vec2Model, folder, unused=["masked_spec_embed"])  # of training alone
        settings = read_json(folder, PREPROCESSOR)
        self.normalises, rate = bool(settings["do_normalize"]), int(settings["sampling_rate"])
        hop, reach = 1, 1
        for kernel, stride in zip(model.config.conv_kernel, model.config.conv_stride, strict=True):
            reach, hop = reach + (kernel - 1) * hop, hop * stride
        info = describe("wav2vec2", name, folder, dim=model.config.hidden_size, rate=rate, hop_s=hop / rate,
                     offset_s=reach / 2 / rate)  # fmt: skip
        super().__init__(model, info, name, folder)

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
        settings = read_json(folder, PREPROCESSOR)
        rate = int(settings["sampling_rate"])
        info = describe("ast", name, folder, dim=model.config.hidden_size, rate=rate)
        super().__init__(model, info, name, folder)
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


class WhisperEncoder(Frozen):
    """Sound (B, S) -> (B, T, D), T = S / 320, rounded up: the encoder's states, one each 20 ms, in pieces of 30 s."""

    filters: Tensor
    window: Tensor

    def __init__(self, name: str, *, fetch: bool = False) -> None:
        folder = snapshot(name, fetch=fetch)
        model = load(transformers.WhisperModel, folder, unused=["decoder."], decoder_layers=0).encoder
        settings = read_json(folder, PREPROCESSOR)
        rate, fft = int(settings["sampling_rate"]), int(settings["n_fft"])
        self.hop = int(settings["hop_length"])
        info = describe("whisper", name, folder, dim=model.config.d_model, rate=rate, hop_s=2 * self.hop / rate,
                        offset_s=0.0)  # fmt: skip
        super().__init__(model, info, name, folder)
        filters = mel_filter_bank(1 + fft // 2, int(settings["feature_size"]), 0.0, rate / 2, rate, "slaney", "slaney")
        self.piece = 2 * self.hop * model.config.max_source_positions
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)  # (frequencies, bins)
        self.register_buffer("window", torch.hann_window(fft), persistent=False)

    def forward(self, sound: Tensor) -> Tensor:
        B, S = sound.shape
        steps = -(-S // (2 * self.hop))
        sound = functional.pad(sound, (0, -S % self.piece)).reshape(-1, self.piece)  # (B pieces, 480000)
        states: Tensor = self.model(self.spectrogram(sound)).last_hidden_state  # (B pieces, 1500, D)
        return states.reshape(B, -1, states.shape[-1])[:, :steps]

    def spectrogram(self, sound: Tensor) -> Tensor:
        """(N, S) -> (N, bins, S / hop): log mel energies of the loudest 80 dB, as Whisper was trained with."""
        spectrum = torch.stft(sound, len(self.window), self.hop, window=self.window, return_complex=True)
        energies = self.filters.T @ spectrum[..., :-1].abs() ** 2  # (N, bins, frames)
        energies = energies.clamp(min=1e-10).log10()
        energies = energies.maximum(energies.amax((1, 2), keepdim=True) - 8)
        return (energies + 4) / 4


ENCODERS: dict[str, tuple[Callable[..., Frozen], str]] = {
    "vit": (VitEncoder, "google/vit-base-patch16-224-in21k"),
    "clip": (ClipImageEncoder, "openai/clip-vit-base-patch32"),
    "wav2vec2": (Wav2Vec2Encoder, "facebook/wav2vec2-base-960h"),
    "ast": (AstEncoder, "MIT/ast-finetuned-audioset-10-10-0.4593"),
    "whisper": (WhisperEncoder, "openai/whisper-tiny.en"),
}
"""Kinds that can be opened by name, and the published weights of each that are taken if no others are named."""


def _picture_info(kind: str, name: str, folder: Path, dim: int) -> EncoderInfo:
    settings = read_json(folder, PREPROCESSOR)
    size = settings["size"]
    if isinstance(size, dict):
        size = size.get("height", size.get("shortest_edge"))
    return describe(
        kind,
        name,
        folder,
        dim=dim,
        size=int(size),
        mean=tuple(settings["image_mean"]),
        std=tuple(settings["image_std"]),
        interpolation="bicubic" if settings.get("resample") == BICUBIC else "bilinear",
    )
