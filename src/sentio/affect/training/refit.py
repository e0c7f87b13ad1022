"""Fit the heads of a face model anew, its encoder as it is: what to do, in minutes, after a table or a habit changes.

    python -m sentio.affect.training.refit WEIGHTS FOLDER OUT [--set model.counts.Neutral=2 ...]

WEIGHTS is the safetensors file of a face model, FOLDER holds pictures of ``sentio synth``, OUT is the file to write.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sentio.affect.training.renders import RenderedFaces, Renders, RendersConfig
from sentio.core import registry, weights
from sentio.core.config import override
from sentio.core.errors import OutputError
from sentio.core.progress import track

VIEWS, STRENGTH = 2, 0.6
"""Distorted forms of each picture, and how strong the distortions are: near what is met in use."""
STEPS, BATCH, RATE = 1500, 512, 3e-3
SIDE_BATCH = 128
"""Pictures in one pass of the encoder."""

Labels = dict[str, Tensor]


def refit(method: Any, folder: Path, seed: int = 0) -> dict[str, float]:
    """Fit all of a face model but its encoder, calibrate it, and return its scores on the validation pictures.

    Args:
        method: a :class:`sentio.affect.models.face.Face`; changed in place.
        folder: of ``sentio synth``.
    """
    torch.manual_seed(seed)
    data = RenderedFaces(folder, RendersConfig())
    features, labels = see(method.eval(), data.train)
    method.train()
    heads = [value for name, value in method.named_parameters() if not name.startswith("encoder.")]
    optimizer = torch.optim.AdamW(heads, lr=RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in track(range(STEPS), "fitting"):
        chosen = torch.randint(len(features), (BATCH,))
        terms = method.terms(features[chosen], {name: values[chosen] for name, values in labels.items()})
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return data.validate(method.eval())


@torch.no_grad()
def see(method: Any, pictures: Renders) -> tuple[Tensor, Labels]:
    """Features (VIEWS * N, D) of distorted pictures, and their labels."""
    found, told = [], []
    starts = [start for _ in range(VIEWS) for start in range(0, len(pictures), SIDE_BATCH)]
    for start in track(starts, "looking"):
        batch = pictures.batch(list(range(start, min(start + SIDE_BATCH, len(pictures)))))
        seen, labels = method.view(batch, STRENGTH)
        found.append(method.encoder(seen[:, None])[:, 0])  # (B, D)
        told.append(labels)
    return torch.cat(found), {name: torch.cat([labels[name] for labels in told]) for name in told[0]}


def main() -> None:
    """The command of the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another setting of the model")
    given = parser.parse_args()
    if given.out.exists():
        raise OutputError(f"{given.out} exists.", "Name another file.")
    trained = weights.load(given.weights)
    method = registry.build("face", override({"model": asdict(trained.config)}, given.set)["model"])
    method.load_state_dict(trained.state_dict())
    scores = refit(method, given.folder)
    weights.save(given.out, method)
    print(f"{given.out}: " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))


if __name__ == "__main__":
    main()
