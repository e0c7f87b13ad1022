"""Processor seconds for a second of video with one face at 30 frames a second: encoders and heads of each form, apart.

    python bench/real_time.py [--threads 2] [--seconds 2] [--whisper FOLDER]

`faces` and `sound` are what encodes them, `over time` is what reads both; `by the clock` is what all of it took on so
many threads, which means something where nothing else runs: the load is printed. The embedded models run in ONNX
Runtime as `analyze` calls them, the systems of face and voice in PyTorch as `analyze --model RUN` and `evaluate` do.
Published encoders are built in their published sizes with random weights, which take as long as trained ones, and
whose answers mean nothing. `--whisper` is a snapshot of Whisper's encoder. The better of two tries counts.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sentio.affect.analysis.models import BATCH_FACES
from sentio.affect.analysis.temporal import KINDS
from sentio.affect.analysis.voice import HOP_S, RATE, WINDOW_S
from sentio.affect.backbones import Encoder
from sentio.affect.backbones.encoders import open_encoder
from sentio.affect.backbones.frozen import without_weights
from sentio.affect.backbones.published import PUBLISHED
from sentio.affect.batch import AffectBatch
from sentio.affect.data.extraction import encode_faces, encode_sound
from sentio.affect.data.features import CROP_SIZE
from sentio.affect.labels import FRAME_RATE
from sentio.affect.training.published import DataConfig
from sentio.core import registry, weights
from sentio.core.bench import machine
from sentio.core.config import from_dict

RECIPES = Path(__file__).parents[1] / "recipes"
CROPS = 16
OVER_TIME = {"offline": 50, "offline-av": 50, "causal": 1, "causal-av": 1}
"""Embedded models over time, and frames from one call to the next."""
UNTAUGHT = {"crossattn": {"guidance": {}}, "softprompt": {"region_labels": "none", "prompts": "vectors"}}
"""Without what only a training needs."""


Cost = NDArray[np.float64]
"""(2,): processor seconds, seconds by the clock."""


def cost(work: Callable[[], Any]) -> Cost:
    """Of the better of two tries, in either."""
    tries = []
    for _ in range(2):
        begin = np.array([time.process_time(), time.perf_counter()])
        work()
        tries.append(np.array([time.process_time(), time.perf_counter()]) - begin)
    return np.min(tries, axis=0)


def row(name: str, faces: Cost, sound: Cost, over_time: Cost | None = None) -> None:
    """Print a line of the table, of costs of a second of video."""
    total = faces + sound + (0 if over_time is None else over_time)
    cells = ["" if part is None else f"{part[0]:.4f}" for part in (faces, sound, over_time)]
    print(f"| {name} | {' | '.join(cells)} | {total[0]:.3f} | {total[1]:.3f} |", flush=True)


def embedded(threads: int) -> None:
    """The models that come with the package, and those over time among them."""
    random = np.random.default_rng(0)
    face, voice = (weights.session(name, threads=threads) for name in ("face", "voice"))
    side = int(weights.card("face").inputs["face"][-1])
    crops = random.random((BATCH_FACES, 3, side, side), np.float32)
    faces = cost(lambda: face.run(None, {"face": crops})) / BATCH_FACES * FRAME_RATE
    window = random.normal(0, 0.1, (1, round(WINDOW_S * RATE))).astype(np.float32)
    sound = cost(lambda: voice.run(None, {"sound": window})) / HOP_S
    row("embedded, single frames", faces, sound)
    for name in [name for name in OVER_TIME if name in weights.cards()]:
        session, card = weights.session(name, threads=threads), weights.card(name)
        sizes = {"windows": 1, "frames": int(card.details.get("length", 1)) if OVER_TIME[name] > 1 else 1}
        inputs = {
            node.name: np.zeros([sizes.get(size, size) for size in card.inputs[node.name]], KINDS[node.type])
            for node in session.get_inputs()
        }  # fmt: skip
        call = cost(lambda session=session, inputs=inputs: session.run(None, inputs))
        row(f"embedded, `{name}`", faces, sound, call * FRAME_RATE / OVER_TIME[name])


def system(name: str, length_s: float, audio: str | None = None) -> None:
    """A recipe's form; ``audio`` stands in the place of its sound encoder."""
    recipe = json.loads((RECIPES / f"{name}.json").read_text())
    data, system = from_dict(DataConfig, recipe["data"]), recipe["system"]
    with nullcontext() if audio else without_weights(PUBLISHED):
        encoder = open_encoder(audio or str(data.sound_encoder))
    with without_weights(PUBLISHED):
        sizes = {"sound_features": encoder.info.dim}
        method = registry.build(system, recipe["model"] | UNTAUGHT[system] | sizes).eval()
    random = np.random.default_rng(0)
    crops = random.integers(0, 256, (CROPS, CROP_SIZE, CROP_SIZE, 3), np.uint8)
    faces = cost(lambda: encode_faces(method.encoder, list(crops))) / CROPS * FRAME_RATE
    samples = random.normal(0, 0.1, round(length_s * RATE)).astype(np.float32)
    sound = cost(lambda: encode_sound(encoder, data.sound_steps, samples)) / length_s
    batch = window(method, encoder, data)
    with torch.inference_mode():
        head = cost(lambda: method(batch)) * FRAME_RATE / data.windows.hop
    row(f"`{name}`: {method.encoder.info.name}, {encoder.info.name}", faces, sound, head)


def window(method: Any, encoder: Encoder, data: DataConfig) -> AffectBatch:
    """One window as the recipe cuts them, with all faces and sound."""
    T, steps = data.windows.length, round(data.sound_s / (encoder.info.hop_s or data.sound_steps.hop_s))
    return AffectBatch(
        face_feature=torch.randn(1, T, method.encoder.info.dim),
        face_valid=torch.ones(1, T, dtype=torch.bool),
        time_s=torch.arange(T)[None] / FRAME_RATE,
        source=torch.zeros(1, dtype=torch.int64),
        audio_feature=torch.randn(1, steps, encoder.info.dim),
        audio_valid=torch.ones(1, steps, dtype=torch.bool),
        audio_time_s=torch.linspace(0, T / FRAME_RATE, steps)[None],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="of sound that is encoded")
    parser.add_argument("--whisper", help="folder of the snapshot")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    known = machine()
    print(f"{known['processor']}, {given.threads} threads, load before {os.getloadavg()[0]:.1f}\n")
    print("| form | faces | sound | over time | in all | by the clock |\n|---|---|---|---|---|---|")
    embedded(given.threads)
    for name in ("crossattn_small", "softprompt_small", "crossattn", "softprompt"):
        system(name, given.seconds)
    if given.whisper:
        system("crossattn", given.seconds, f"whisper:{given.whisper}")
    print(f"\nload behind {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
