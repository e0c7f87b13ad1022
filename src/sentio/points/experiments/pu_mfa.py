"""PU-MFA: is the network better than plain interpolation, and what is each of its attentions worth?

Rows that need no network are a second sample of the same surface, which nothing can beat, and midpoints of neighbours.
Then come the weights of the package. The network and its ablations are trained alike on few patches of procedural
shapes, too short to be used on clouds, and scored on patches of shapes kept apart. A seed draws clouds, noise and
starts of sampling; of what is trained, weights and patches.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sentio.core import runs
from sentio.core.config import from_dict, read_json
from sentio.core.errors import require
from sentio.core.experiments import Claim, Experiment, make, train
from sentio.core.runs import Recipe
from sentio.points.shapes import procedural

FLOOR, MIDPOINTS, SHIPPED = "floor", "midpoint", "pu-mfa"
PUBLISHED = "trained short, as published"
ABLATIONS: dict[str, dict[str, Any]] = {
    PUBLISHED: {},
    "no attention to scales": {"refine": "own"},
    "deepest scale alone": {"refine": "deepest"},
    "no refiner": {"refine": "nothing"},
    "no self-attention": {"attend": False},
}
"""The model sections of what is trained."""
TASKS: dict[str, dict[str, float]] = {"x4": {}, "x4 noise": {"noise": 0.01}, "x16": {"ratio": 16}}
METRICS = {"CD": "cd_sum", "HD": "hd_sq_max", "P2F": "p2f_mean"}
PATCH_CD = "CD patches"
KINDS = 6
"""Of procedural shapes."""
DATA: dict[str, Any] = {
    "procedural_shapes": 54, "patches": 80, "patch": 128, "density": [500, 2000], "uneven": 0.0, "jittered": 0.1,
    "jitter": 0.02, "turned": 0.0, "scale": [1.0, 1.0],
}  # fmt: skip
FIT: dict[str, Any] = {
    "batch_size": 4, "lr": 0.002, "schedule": "cosine", "ema_decay": 0.99, "clip_norm": 1.0,
    "precision": "bf16-mixed", "checkpoint_every": 60,
}  # fmt: skip


def _claims() -> tuple[Claim, ...]:
    clouds = [
        Claim(
            f"The network is nearer to the true cloud than midpoints, {task}", SHIPPED, MIDPOINTS, f"CD {task}", False
        )
        for task in TASKS
    ]
    parts = {
        "no refiner": "The refiner helps",
        "no attention to scales": "Attention helps the refiner",
        "deepest scale alone": "Several scales help the refiner",
        "no self-attention": "Self-attention of the coarse points helps",
    }
    return (
        *clouds,
        Claim("The network is nearer to the surface than midpoints, x4", SHIPPED, MIDPOINTS, "P2F x4", False),
        *(Claim(text, PUBLISHED, variant, PATCH_CD, False) for variant, text in parts.items()),
    )


@dataclass(frozen=True)
class PUMFATrial(Experiment):
    """See the module's text.

    Args:
        points: of a cloud before it is up-sampled; a quarter of them in the quick form.
        shapes: procedural shapes to up-sample where no meshes are given.
        steps: of each training, of 4 patches; a tenth of them in the quick form.
    """

    points: int = 2048
    shapes: int = KINDS
    steps: int = 200

    name: ClassVar[str] = "pu-mfa"
    claim: ClassVar[str] = "Multi-scale features that attention uses adaptively up-sample better than simpler networks"
    published: ClassVar[str] = (
        "CD 0.2326, HD 1.094, P2F 2.545 on the 27 shapes of PU-GAN's test set, which its authors sampled themselves; "
        "HD is read as the larger of the two squared distances. Other shapes and samples have another floor: only "
        "distances from the rows of floor and midpoints can be compared. Figures for x16, for noise and of the "
        "paper's ablations are not public"
    )
    baseline: ClassVar[str] = MIDPOINTS
    scores: ClassVar[tuple[str, ...]] = (*(f"{metric} {task}" for task in TASKS for metric in METRICS), PATCH_CD)
    claims: ClassVar[tuple[Claim, ...]] = _claims()
    protocol: ClassVar[dict[str, str]] = {
        "Metrics": "times 1000; CD: both directions of the Chamfer distance, HD: the larger of the two largest squared "
        "distances, after each cloud is normalised; P2F: mean distance to the mesh. CD patches: of patches in their "
        "unit sphere, inner points weighing more, as in training",
        "Clouds": "even samples of meshes in the unit sphere, new ones for each seed; noise: 0.01 of the radius; x16 "
        "starts from a quarter of the points",
        "Trained": f"equal steps of {FIT['batch_size']} patches of {DATA['patch']} points, weights of the last step",
    }
    paper: ClassVar[dict[str, str]] = {"CD x4": "0.233", "HD x4": "1.094", "P2F x4": "2.545"}

    def variants(self, quick: bool) -> tuple[str, ...]:
        """All; of the ablations the quick form has the refiner's alone."""
        trained = (PUBLISHED, "no refiner") if quick else tuple(ABLATIONS)
        return (FLOOR, MIDPOINTS, SHIPPED, *trained)

    def seeds(self, quick: bool) -> int:
        return 2 if quick else 3

    def prepare(self, data: Path | None, work: Path, quick: bool) -> Path:
        """Meshes to up-sample, and beside them other ones to train on."""
        make(work / "training", lambda folder: write_shapes(folder, KINDS, seed=0))
        return data or make(work / "meshes", lambda folder: write_shapes(folder, self.shapes, seed=1))

    def run(self, variant: str, seed: int, data: Path, work: Path, quick: bool) -> dict[str, float]:
        """In thousandths: scores on all meshes, or what is trained on patches kept apart."""
        scores = dict.fromkeys(self.scores, math.nan)
        if variant in ABLATIONS:
            return scores | {PATCH_CD: self._train(variant, seed, work, quick)}
        for task, section in TASKS.items():
            points = self.points // (4 if quick else 1) // (4 if task == "x16" else 1)
            settings = {"input_points": points, "seed": seed, "starts": 1} | section
            found = measure(data, settings, work / "evaluations" / f"{task}-{seed}.json")[variant]
            scores |= {f"{metric} {task}": 1000 * found[column] for metric, column in METRICS.items()}
        return scores

    def _train(self, variant: str, seed: int, work: Path, quick: bool) -> float:
        """The Chamfer distance, after the last step, of an ablation that sees as many patches as the others."""
        steps = self.steps // 10 if quick else self.steps
        clouds = -(-steps * FIT["batch_size"] // DATA["patches"])
        plan = {
            "system": "pu-mfa",
            "model": ABLATIONS[variant],
            "data": DATA | {"clouds": clouds, "seed": seed + 2},
            "fit": FIT | {"steps": steps, "warmup_steps": steps // 10, "validate_every": steps, "seed": seed},
        }
        run = work / "runs" / f"{variant.replace(' ', '-')}-{seed}"
        train(from_dict(Recipe, plan), work / "training", run)
        return float(read_json(run / "metrics.json", what="metrics")["best"]["chamfer"])


def measure(data: Path, settings: dict[str, Any], place: Path) -> dict[str, dict[str, float]]:
    """Scores of the floor, of midpoints and of the network by method; ``place`` keeps them for the other two."""
    if not place.exists():
        runs.evaluate(SHIPPED, data, [f"evaluation.{name}={value}" for name, value in settings.items()], out=place)
    return {row["method"]: row["scores"] for row in read_json(place, what="evaluation")["means"]}


def write_shapes(folder: Path, count: int, *, seed: int) -> None:
    """Procedural shapes as OFF files."""
    trimesh = require("trimesh", "points")
    folder.mkdir()
    for index in range(count):
        shape = procedural(index, seed=seed)
        trimesh.Trimesh(shape.vertices, shape.faces, process=False).export(folder / f"shape-{index:02}.off")
