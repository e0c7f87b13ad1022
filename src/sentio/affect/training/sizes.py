"""How large the batches of a recipe are, and what an hour of video takes: for what has no weights and no data yet."""

from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from sentio.affect.backbones import Encoder, EncoderInfo
from sentio.affect.backbones.encoders import is_trained, open_encoder
from sentio.affect.backbones.frozen import without_weights
from sentio.affect.backbones.published import PUBLISHED
from sentio.affect.batch import AffectBatch
from sentio.affect.data.features import CROP_SIZE, SoundSteps, bytes_of_vector
from sentio.affect.labels import FRAME_RATE, SOURCES
from sentio.affect.training.published import DataConfig
from sentio.affect.training.stored import may_store
from sentio.core.fake_tensors import FakeTensors, count_operations, real_tensors
from sentio.core.method import Work

HOUR_S = 3600


def open_known(spec: str) -> Encoder:
    """An encoder of the right size; of published ones the weights need not be here."""
    if is_trained(spec):
        with real_tensors():
            return open_encoder(spec)
    with without_weights(PUBLISHED):
        return open_encoder(spec)


def batch_of(method: Any, config: DataConfig, items: int) -> AffectBatch:
    """Windows as the data section cuts them, with every frame and label there; of features where these are stored."""
    T = config.windows.length
    count = config.stream_batch or items
    sources = [SOURCES.index(name) for name in config.sets]
    batch = AffectBatch.example(count, T, L=T if config.windows.answers == "all" else 1, size=1, sources=sources)
    if config.face_encoder or may_store(method, config):
        batch = replace(batch, face=None, face_feature=torch.rand(count, T, method.encoder.info.dim))
    else:
        batch = replace(batch, face=torch.rand(count, T, 3, config.face_size, config.face_size))
    return replace(batch, **_sound(config, count)) if config.sound_encoder else batch


def _sound(config: DataConfig, count: int) -> dict[str, Any]:
    info = open_known(cast(str, config.sound_encoder)).info
    steps = max(round(config.sound_s / (info.hop_s or config.sound_steps.hop_s)), 1)
    return {
        "audio_feature": torch.rand(count, steps, info.dim),
        "audio_valid": torch.ones(count, steps, dtype=torch.bool),
        "audio_time_s": torch.rand(count, steps),
    }


def hour_of(method: Any, config: DataConfig) -> list[Work]:
    """Features of faces and sound, and the rest of the system, over an hour of video at 30 frames a second."""
    found = []
    frames = round(HOUR_S * FRAME_RATE)
    if config.face_encoder or may_store(method, config):
        encoder = open_known(config.face_encoder) if config.face_encoder else method.encoder
        picture = torch.rand(1, 1, 3, CROP_SIZE, CROP_SIZE)
        flops = frames * _flops(encoder, picture)
        found.append(Work(f"faces: {encoder.info.name}", flops, frames * bytes_of_vector(encoder.info.dim)))
    if config.sound_encoder:
        encoder = open_known(config.sound_encoder)
        count, sound = heard(encoder.info, config.sound_steps)
        vectors = round(HOUR_S / (encoder.info.hop_s or config.sound_steps.hop_s))
        flops = count * _flops(encoder, sound)
        found.append(Work(f"sound: {encoder.info.name}", flops, vectors * bytes_of_vector(encoder.info.dim)))
    hop = config.windows.hop if config.windows.answers == "all" else 1
    window = batch_of(method, replace(config, stream_batch=None), 1)
    return [*found, Work("the system", frames // hop * _flops(method, window))]


def heard(info: EncoderInfo, steps: SoundSteps) -> tuple[int, Tensor]:
    """How often a sound encoder is led over a part of an hour, and such a part."""
    rate = cast(int, info.rate)
    if info.hop_s is None:
        return round(HOUR_S / steps.hop_s), torch.rand(1, 1, round(steps.stretch_s * rate))
    return round(HOUR_S / steps.chunk_s), torch.rand(1, round((steps.chunk_s + 2 * steps.context_s) * rate))


def _flops(network: Any, x: Any) -> int:
    with FakeTensors.filled(), count_operations() as counter, torch.no_grad():
        network(x)
    return int(counter.get_total_flops())
