"""Small models of faces over time, and a video for them."""

import numpy as np
import torch

from sentio.affect.batch import AffectBatch
from sentio.core import registry

D = 192
"""Length of the small encoder's vectors."""
SMALL = {"face": {"encoder": "small"}, "length": 20, "reach": 8, "dim": 16, "layers": 2, "heads": 2, "hidden": 24}


def build(name, *, learnt=True, **config):
    """A model with random weights; ``learnt``: also in the heads, which begin at zero."""
    torch.manual_seed(5)
    model = registry.build(name, SMALL | config).eval()
    if learnt:
        for head in model.heads.values():
            torch.nn.init.normal_(head.weight, std=0.4)
    return model


def video(frames=150, seed=0):
    """Features, faces present (single gaps and long ones) and time stamps at 30 frames per second."""
    random = np.random.default_rng(seed)
    present = random.random(frames) > 0.2
    present[40:46] = present[70:90] = False
    features = random.normal(size=(frames, D)).astype("float32") * present[:, None]
    return torch.from_numpy(features), torch.from_numpy(present), torch.arange(frames, dtype=torch.float64) / 30


def batch_of(features, present, time_s):
    return AffectBatch(
        face_feature=features[None], face_valid=present[None], time_s=time_s[None].float(),
        source=torch.zeros(1, dtype=torch.int64),
    )  # fmt: skip
