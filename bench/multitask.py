"""The claims of the multi-task system on drawn pictures: student against teacher, and what the discriminator is for.

python bench/multitask.py [--videos 24] [--seeds 3] [--epochs 20]

Every training clip is labelled for one of the three tasks only; a third of them have a few multi-task rows too. Scores
are the official ones, pooled, on the multi-task rows of videos that were not trained on. "every label" trains the same
network on the same clips with nothing missing, "twice as long" trains the teacher for as long as teacher and student
together. The weights are the best of the run on the same videos that are scored, in every row alike.

How well the label set of a training window can be told from the shared features: "told" by the network's own
discriminator, "probe" by a new linear one, trained on the even windows and asked on the odd ones; chance is 1/3.
The pictures are drawn discs, not faces, and the network is a small one: no figure here says anything about Aff-Wild2.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sentio.affect.backbones import EncoderInfo
from sentio.affect.data.clips import Clip, valid
from sentio.affect.data.extraction import extract_faces
from sentio.affect.data.features import FeatureStore
from sentio.affect.data.items import collate
from sentio.affect.data.windows import Windows
from sentio.affect.labels import SOURCES
from sentio.affect.synth.moving_picture import MovingPicture, generate
from sentio.affect.training.published import AffectData, DataConfig
from sentio.core import bench, registry, weights
from sentio.core.runtime import seed_everything
from sentio.core.training import FitConfig, fit, start_from

NETWORK = {
    "inputs": "image",
    "lstm": 64,
    "shared": [128, 64],
    "heads": [32],
    "discriminator": [32, 16],
    "dropout": 0.2,
}
SINGLE = SOURCES[:3]


class Thumbnail(nn.Module):
    """Face -> its 12 x 16 grey picture, as long as a vector of the small encoder."""

    info = EncoderInfo(name="thumbnail", dim=192, licence="Apache-2.0", provenance="none")

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, faces: Tensor) -> Tensor:
        return functional.adaptive_avg_pool2d(faces.mean(2), (12, 16)).flatten(2) * self.weight


def data_of(root: Path, store: FeatureStore, keep: Callable[[Clip, int], bool]) -> AffectData:
    """The drawn set without the training clips that are not to be kept; a clip's number is its video's."""
    config = DataConfig(
        sets=("mtl", "va", "expr", "au"),
        validation_sets=("mtl",),
        windows=Windows(length=6, step=10),
        stream_batch=64,
    )
    data = AffectData(root, config, faces=store)
    data.clips = [clip for clip in data.clips if clip.split != "train" or keep(clip, number(clip))]
    return data


def number(clip: Clip) -> int:
    return int(clip.name.removeprefix("video").split("_")[0])


def labelled_for_one(clip: Clip, video: int) -> bool:
    """Videos take turns among the three sets; every fourth or so is in the multi-task set."""
    return SINGLE[video % 3] == clip.source or (clip.source == "mtl" and video % 4 == 1)


def missing(data: AffectData) -> float:
    """The share of labels that the training frames lack, a frame being in one set or several."""
    clips = data.split("train")
    known = {
        (clip.name, kind, frame)
        for clip in clips
        for kind, values in clip.labels().items()
        for frame in np.flatnonzero(valid(kind, values)).tolist()
    }
    frames = {clip.name: clip.frames for clip in clips}
    return 1 - len(known) / (3 * sum(frames.values()))


def train(data: AffectData, out: Path, seed: int, epochs: int, **options: Any) -> tuple[Any, dict[str, float]]:
    """Train a teacher, or the student of one, and return the best model with its scores."""
    seed_everything(seed)
    parent = options.pop("parent", None)
    network = NETWORK | options
    method = registry.build("multitask-student" if parent else "multitask", {"network": network} if parent else network)
    start_from(method, {"teacher": parent} if parent else {})
    plan = FitConfig(epochs=epochs, batch_size=1, optimizer="adam", lr=1e-3, seed=seed)
    best = weights.load(fit(method, data, plan, out)).eval()
    with torch.no_grad():
        scores = data.validate(best)
    return best, {name: scores[name] for name in ("p_va", "p_expr", "p_au", "p_mtl")}


def guesses(model: Any, data: AffectData) -> dict[str, float]:
    """Shares of windows whose label set is told by the model's discriminator and by a linear probe."""
    windows = data.windows([clip for clip in data.split("train") if clip.source in SINGLE], data.config.windows)
    batch = collate([windows[index] for index in range(0, len(windows), 5)])
    with torch.no_grad():
        shared = model(batch).features[:, 0]
        told = model.network.discriminate(shared).argmax(1) == batch.source
    shared = (shared - shared.mean(0)) / (shared.std(0) + 1e-6)
    even, odd = slice(0, None, 2), slice(1, None, 2)
    probe = nn.Linear(shared.shape[1], len(SINGLE))
    optimizer = torch.optim.LBFGS(probe.parameters(), max_iter=200)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(probe(shared[even]), batch.source[even])
        loss = loss + 1e-3 * probe.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    probed = probe(shared[odd]).argmax(1) == batch.source[odd]
    told_by = {"told": float(told.float().mean())} if model_config(model).adversary else {}
    return told_by | {"probe": float(probed.float().mean())}


def model_config(model: Any) -> Any:
    """Of the network, in teacher and student."""
    return getattr(model.config, "network", model.config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        generate(root / "data", MovingPicture(videos=arguments.videos, seconds=10, seed=1))
        store = FeatureStore(root / "store", Thumbnail())
        extract_faces(store, AffectData(root / "data").tree.crops)
        whole = data_of(root / "data", store, lambda clip, video: True)
        part = data_of(root / "data", store, labelled_for_one)
        rows = []
        for seed in range(arguments.seeds):
            out = root / str(seed)
            for name, data, options in (
                ("every label", whole, {}),
                ("teacher, no discriminator", part, {"adversary": False}),
                ("teacher", part, {}),
                ("teacher, twice as long", part, {"epochs": 2 * arguments.epochs}),
                ("student", part, {"parent": out / "teacher/best.safetensors"}),
            ):
                model, scores = train(data, out / name, seed, **{"epochs": arguments.epochs} | options)
                rows.append({"case": name, "seed": seed, **scores, **guesses(model, part)})
                print(json.dumps(rows[-1]), flush=True)
    print(f"labels missing: {missing(part):.2f}; in 'every label' {missing(whole):.2f}")
    for name in dict.fromkeys(row["case"] for row in rows):
        mine = [row for row in rows if row["case"] == name]
        keys = [key for key in mine[0] if key not in ("case", "seed")]
        means = {key: (np.mean([row[key] for row in mine]), np.std([row[key] for row in mine])) for key in keys}
        print(f"{name:>26}  " + "  ".join(f"{key} {mean:.3f} ± {std:.3f}" for key, (mean, std) in means.items()))
    print(json.dumps({"arguments": vars(arguments), "rows": rows, "machine": bench.machine()}))


if __name__ == "__main__":
    main()
