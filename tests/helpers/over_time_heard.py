"""Small models of faces over time that hear, and a video with a voice for them."""

import numpy as np
import pytest
import torch

from over_time import SMALL as BASE
from over_time import D
from sentio.affect.heard import ANSWERS
from sentio.core import registry

BOTH = pytest.mark.parametrize("name", ["offline-av", "causal-av"])
SMALL = {"base": BASE, "dim": 8, "heads": 2}


def build(name, *, learnt=True, **config):
    """A model with random weights; ``learnt``: also in the heads, which begin at zero."""
    torch.manual_seed(5)
    model = registry.build(name, SMALL | config).eval()
    for head in [*model.base.heads.values(), *([model.fusion.head] if learnt else [])]:
        torch.nn.init.normal_(head.weight, std=0.4)
    return model


def video(frames=150, seed=0):
    """Features, faces present, time stamps at 30 a second, answers of a voice, and where somebody is heard."""
    random = np.random.default_rng(seed)
    present, heard = random.random(frames) > 0.2, random.random(frames) > 0.3
    present[40:46] = present[70:90] = heard[20:35] = heard[75:95] = heard[:4] = False
    features = random.normal(size=(frames, D)).astype("float32") * present[:, None]
    voice = random.normal(size=(frames, ANSWERS)).astype("float32") * heard[:, None]
    time_s = torch.arange(frames, dtype=torch.float64) / 30
    return (
        torch.from_numpy(features),
        torch.from_numpy(present),
        time_s,
        torch.from_numpy(voice),
        torch.from_numpy(heard),
    )


@torch.no_grad()
def at_once(model, features, present, time_s, voice, heard):
    """(N, 22) of a video as one window: valence and arousal, probabilities."""
    clip = (part[None] for part in (features, present, time_s, voice, heard))
    return torch.cat(model.decide(*model.raw(*clip)), -1)[0]


@torch.no_grad()
def of_faces(model, features, present, time_s):
    """The same of the model below."""
    clip = (features[None], present[None], time_s[None])
    return torch.cat(model.base.decide(model.base.raw(*clip, trust=model.base.config.trust)), -1)[0]
