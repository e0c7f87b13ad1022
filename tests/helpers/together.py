"""What two processes compute together: a program for them, and the same for the one that they are compared with."""

import csv
import json
import sys
from dataclasses import fields, replace
from math import nan
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn

from fitting import fit_plain
from sentio.affect.batch import AffectBatch
from sentio.affect.models import face as face_model
from sentio.core import processes, registry, runs
from sentio.core.config import from_dict

SMALL = {"encoder": "small"}
QUIET = {"dropout": 0.0, "masking": {"share": 0.0}}  # nothing is drawn at random
OVER_TIME = {"face": SMALL, "length": 8, "reach": 4, "dim": 16, "layers": 1, "heads": 2, "hidden": 16, **QUIET}
TASKS = SMALL | {"lstm": 8, "shared": [16], "heads": [8], "discriminator": [8], "inputs": "image", "dropout": 0.0}
MODELS = {
    "fer-tuned": SMALL,
    "capnet": SMALL | {"seconds": 1, "units": 8, "dropout": 0.0},
    "byel": SMALL | {"units": 16, "projection": 8},
    "byel-transfer": SMALL | {"dropout": 0.0},
    "multitask": TASKS,
    "multitask-student": {"network": TASKS},
    "crossattn": SMALL
    | {"sound_features": 6, "dim": 16, "heads": 2, "hidden": 8, "head": 8, "guidance": {"text": "learnt"}}
    | {"counts": [5, 1, 1, 2, 3, 1, 1, 4], "dropout": 0.0},
    "softprompt": SMALL | {"units": 8, "layers": 1, "heads": 2, "sound_features": 6, "dropout": 0.0},
    "masked": SMALL | {"length": 8, "layers": 1, "dim": 16, "heads": 2, "hidden": 8, "head": 16, **QUIET},
    "offline": OVER_TIME,
    "offline-av": {"base": OVER_TIME, "dim": 8, **QUIET},
    "face": SMALL | {"dropout": 0.0},
    "detector": {"widths": [4, 8, 8, 8, 8], "neck": 8},
    "voice": {"channels": [8, 8], "width": 16, "dilations": [1], "dropout": 0.0, "masks": 0, "colour": 0.0},
}
"""Systems whose losses take more than one item, small and without chance."""
FIT = {
    "steps": 4,
    "validate_every": 2,
    "optimizer": "sgd",
    "lr": 0.05,
    "log_every": 1,
    "device": "cpu",
    "ema_decay": 0.5,
}
PLANS = {
    "fer-tuned": {"model": SMALL, "data": {"sets": ["va"], "validation_hop": 4}, "batch": 16},
    "multitask": {
        "model": TASKS,
        "data": {"sets": ["mtl", "va", "expr", "au"], "validation_sets": ["mtl"], "validation_hop": 4},
        "batch": 32,
    },
}


def make(name):
    """A system with weights that every process draws alike, and a batch whose parts have unlike numbers of labels."""
    torch.manual_seed(0)
    method = registry.build(name, MODELS[name]).train()
    if name.startswith("byel"):
        method.view = nn.Identity()
    batch = AffectBatch.example(4, 4) if name == "capnet" else method.example_batch()
    if isinstance(batch, AffectBatch) and name != "face":
        for task, missing in (("valence_arousal", nan), ("expression", -1), ("action_units", nan)):
            label, valid = getattr(batch, task), getattr(batch, f"{task}_valid").clone()
            valid[0] = False
            known = valid if label.ndim == valid.ndim else valid[..., None]
            batch = replace(batch, **{task: label.masked_fill(~known, missing), f"{task}_valid": valid})
    if name == "detector":
        smaller = batch.boxes.clone()
        smaller[0] = torch.tensor([20.0, 20.0, 36.0, 36.0])
        batch = replace(batch, boxes=smaller)
    if name == "voice":
        batch = replace(batch, emotion=batch.emotion * torch.tensor([[0.0], [1.0], [0.6], [1.0]]))
    return method, batch


def part_of(batch, part, parts):
    """One of equal parts of a batch's rows."""
    each = len(getattr(batch, fields(batch)[0].name)) // parts
    assert each * parts == len(getattr(batch, fields(batch)[0].name))
    rows = slice(part * each, (part + 1) * each)
    held = {item.name: getattr(batch, item.name) for item in fields(batch)}
    return type(batch)(**{name: None if value is None else value[rows] for name, value in held.items()})


def terms_and_gradients(method, batch):
    """The loss, its gradients and what batch norms then remember."""
    terms = method.loss(batch, 0.5)
    sum(terms.values()).backward()
    found = {f"term.{name}": value.detach().clone() for name, value in terms.items()}
    found |= {f"gradient.{name}": value.grad for name, value in method.named_parameters() if value.grad is not None}
    return found | {f"buffer.{name}": value.double() for name, value in method.named_buffers()}


def losses(out):
    """The same of this process's part, with the means over the processes, as a step takes them."""
    face_model.distort = undistorted
    for name in MODELS:
        method, batch = make(name)
        processes.join_batch_norms(method)
        found = terms_and_gradients(method, part_of(batch, processes.number(), processes.count()))
        mean = {key: value if key.startswith("buffer") else processes.mean(value) for key, value in found.items()}
        if processes.number() == 1:
            save_file(mean, out / f"{name}.safetensors")


def undistorted(faces, marks, size, strength):
    """In the place of ``distort``."""
    return faces, marks, torch.zeros(len(faces), dtype=torch.bool)


def operations(out):
    """Rows of unlike numbers, and a batch norm of which one process has nothing in the second step."""
    rank = processes.number()
    values = torch.arange(6.0).reshape(3, 2)[: 3 - 2 * rank].requires_grad_()
    rows, flags = processes.whole(values, torch.ones(3 - 2 * rank, dtype=torch.bool) * (rank == 0))
    ((rows**2).sum() * (1 + rank)).backward()
    found = {"rows": rows.detach(), "flags": flags, "gradient": values.grad}
    found["mean"] = processes.mean(torch.tensor(3 * rank))
    found["spread"] = torch.tensor(processes.spread(lambda item: item**2, range(5)))
    found["gathered"] = torch.tensor([len(each) for each in processes.gather("ab" * rank)])
    norm = nn.BatchNorm2d(3)
    processes.join_batch_norms(norm)
    for step, pictures in enumerate(norm_inputs()):
        own = pictures[:3] if rank == 0 else pictures[3:]
        own.requires_grad_()
        y = norm(own)
        (y**3 * (1 + torch.arange(48).reshape(3, 4, 4))).sum().backward()
        found |= {f"y{step}": y.detach(), f"x_gradient{step}": own.grad}
    found |= {f"norm.{name}": value for name, value in norm.state_dict().items()}
    found |= {f"norm_gradient.{name}": value.grad for name, value in norm.named_parameters()}
    save_file(found, out / f"operations{rank}.safetensors")


def norm_inputs():
    """Pictures of two steps, five and three."""
    random = torch.Generator().manual_seed(2)
    return [2 + 3 * torch.randn(count, 3, 4, 4, generator=random) for count in (5, 3)]


def train(out, data, name, parts):
    """Train a plan with its batch cut into equal parts."""
    plan = PLANS[name]
    fit = FIT | {"batch_size": plan["batch"] // parts}
    recipe = {"system": name, "model": plan["model"], "data": plan["data"], "fit": fit | {"device": "cpu"}}
    runs.train(from_dict(runs.Recipe, recipe), data, out)


def steps_of(run):
    """What the log of a run says, by step and name."""
    with (run / "logs/metrics.csv").open() as file:
        return {(int(row["step"]), row["name"]): float(row["value"]) for row in csv.DictReader(file)}


def history_of(run):
    """The validations of a run."""
    return json.loads((run / "metrics.json").read_text())


if __name__ == "__main__":
    folder, pictures = Path(sys.argv[1]), Path(sys.argv[2])
    dist.init_process_group("gloo")
    operations(folder)
    losses(folder)
    for system in PLANS:
        train(folder / f"{system}-two", pictures, system, 2)
    fit_plain(folder / "one-then-two", batch_size=5, accumulate=1, device="cpu", resume=True)
