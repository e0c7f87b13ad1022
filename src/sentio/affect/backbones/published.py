"""Sizes of published encoders, as their snapshots' small files tell them, where no snapshot is at hand.

What a key does not say is transformers' default of the architecture, which is the published base size.
"""

from collections.abc import Mapping
from typing import Any

from sentio.affect.backbones.frozen import CONFIG, PREPROCESSOR, Files

_FACES: dict[str, Any] = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": 224, "resample": 3}
_SOUND: dict[str, Any] = {"do_normalize": True, "sampling_rate": 16000}
_MEL: dict[str, Any] = {"num_mel_bins": 128, "max_length": 1024, "mean": -4.2677393, "std": 4.5689974}
_WHISPER: dict[str, Any] = {"sampling_rate": 16000, "n_fft": 400, "hop_length": 160, "feature_size": 80}
_TINY: dict[str, Any] = {"d_model": 384, "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536}
_LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
}


def _files(architecture: str, preprocessor: Mapping[str, Any], **config: Any) -> Files:
    return {CONFIG: {"model_type": architecture, **config}, PREPROCESSOR: dict(preprocessor)}


def _clip(patch: int, projection: int = 512, text: int = 512, **vision: Any) -> Files:
    size = {"projection_dim": projection}
    words = {"hidden_size": text, "intermediate_size": 4 * text, "num_attention_heads": text // 64, **size}
    config = {"vision_config": {"patch_size": patch, **vision, **size}, "text_config": words, **size}
    return _files("clip", _FACES, **config)


PUBLISHED: dict[str, Files] = {
    "google/vit-base-patch16-224-in21k": _files("vit", _FACES),
    "openai/clip-vit-base-patch32": _clip(32),
    "openai/clip-vit-base-patch16": _clip(16),
    "openai/clip-vit-large-patch14": _clip(14, 768, 768, **_LARGE),
    "facebook/wav2vec2-base": _files("wav2vec2", _SOUND),
    "facebook/wav2vec2-base-960h": _files("wav2vec2", _SOUND),
    "MIT/ast-finetuned-audioset-10-10-0.4593": _files("audio-spectrogram-transformer", _SOUND | _MEL),
    "openai/whisper-tiny.en": _files("whisper", _WHISPER, **_TINY),
}
"""Small files by the name of the snapshot."""
