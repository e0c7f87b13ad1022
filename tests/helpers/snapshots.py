"""Published encoders, tiny and with random weights, in the files and under the names that the hub has them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "ab</w>", "cd</w>", "<|startoftext|>", "<|endoftext|>"]
START, END = len(WORDS) - 2, len(WORDS) - 1


def write_vit(folder: Path, *, pooler: bool = True) -> transformers.ViTModel:
    """As google/vit-base-patch16-224-in21k."""
    model = transformers.ViTModel(
        transformers.ViTConfig(image_size=32, patch_size=16, **SMALL), add_pooling_layer=pooler
    )
    settings = {
        "do_normalize": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2,
        "size": 32,
    }  # fmt: skip
    return _save(model, folder, settings)


def write_clip(folder: Path, *, places: int = 32, dim: int = 12) -> transformers.CLIPModel:
    """As openai/clip-vit-base-patch32, whose tokens here are letters.

    Old ``position_ids`` and the wrong numbers of its special tokens in ``config.json`` are as they are there.
    """
    text = transformers.CLIPTextConfig(vocab_size=len(WORDS), max_position_embeddings=places, bos_token_id=0,
                                       eos_token_id=2, pad_token_id=1, projection_dim=dim, **SMALL)  # fmt: skip
    vision = transformers.CLIPVisionConfig(image_size=32, patch_size=16, projection_dim=dim, **SMALL)
    config = transformers.CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=dim)
    settings = {
        "crop_size": 32, "do_center_crop": True, "do_normalize": True, "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": CLIP_MEAN, "image_std": CLIP_STD,
        "resample": 3, "size": 32,
    }  # fmt: skip
    model = _save(transformers.CLIPModel(config), folder, settings)
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(WORDS)}))
    (folder / "merges.txt").write_text("#version: 0.2\na b</w>\nc d</w>\n")
    numbers = {"text_model": places, "vision_model": 5}
    rewrite(folder, lambda tensors: tensors | {
        f"{part}.embeddings.position_ids": torch.arange(count)[None] for part, count in numbers.items()
    })  # fmt: skip
    return model


def write_wav2vec2(folder: Path) -> transformers.Wav2Vec2ForCTC:
    """As facebook/wav2vec2-base-960h: with a letter head, old names of the norm, and without ``masked_spec_embed``."""
    config = transformers.Wav2Vec2Config(conv_dim=(8,) * 7, num_conv_pos_embeddings=16,
                                         num_conv_pos_embedding_groups=2, **SMALL)  # fmt: skip
    settings = {
        "do_normalize": True, "feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 1,
        "padding_side": "right", "padding_value": 0.0, "return_attention_mask": False, "sampling_rate": 16000,
    }  # fmt: skip
    model = _save(transformers.Wav2Vec2ForCTC(config), folder, settings)
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}

    def publish(tensors):
        del tensors["wav2vec2.masked_spec_embed"]
        for new, name in old.items():
            tensors = {key.replace(new, name): value for key, value in tensors.items()}
        return tensors

    rewrite(folder, publish)
    return model


def write_ast(folder: Path, *, length: int = 96) -> transformers.ASTForAudioClassification:
    """As MIT/ast-finetuned-audioset-10-10-0.4593, with its classifier."""
    config = transformers.ASTConfig(max_length=length, num_mel_bins=128, **SMALL)
    settings = {
        "do_normalize": True, "feature_extractor_type": "ASTFeatureExtractor", "feature_size": 1, "max_length": length,
        "mean": -4.2677393, "num_mel_bins": 128, "padding_side": "right", "padding_value": 0.0,
        "return_attention_mask": False, "sampling_rate": 16000, "std": 4.5689974,
    }  # fmt: skip
    return _save(transformers.ASTForAudioClassification(config), folder, settings)


def write_whisper(folder: Path) -> transformers.WhisperForConditionalGeneration:
    """As openai/whisper-tiny.en, with its decoder, in pieces of 2 s in the place of 30."""
    config = transformers.WhisperConfig(
        d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, max_source_positions=100, vocab_size=60, pad_token_id=50,
        bos_token_id=50, eos_token_id=50, decoder_start_token_id=51,
    )  # fmt: skip
    settings = {
        "chunk_length": 2, "feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 80, "hop_length": 160,
        "n_fft": 400, "n_samples": 32000, "nb_max_frames": 200, "padding_side": "right", "padding_value": 0.0,
        "processor_class": "WhisperProcessor", "return_attention_mask": False, "sampling_rate": 16000,
    }  # fmt: skip
    return _save(transformers.WhisperForConditionalGeneration(config), folder, settings)


def rewrite(folder: Path, change) -> None:
    """Put other tensors into a snapshot."""
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, {"format": "pt"})


def pickle(folder: Path) -> None:
    """Leave it the weights as a pickle alone."""
    file = folder / "model.safetensors"
    torch.save(load_file(file), folder / "pytorch_model.bin")
    file.unlink()


def _save(model, folder, settings):
    state = torch.Generator().manual_seed(2)
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.2, generator=state)
    model.eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return model
