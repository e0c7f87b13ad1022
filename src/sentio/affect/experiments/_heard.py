"""What the experiments on face and voice share: their settings, the drawn set, and the plan of a training."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sentio.affect.experiments import _data as sets
from sentio.affect.experiments._gaps import Gaps
from sentio.affect.labels import Source
from sentio.affect.synth.moving_picture import MovingPicture
from sentio.core.config import from_dict
from sentio.core.experiments import Experiment, train
from sentio.core.runs import Recipe


def missing(score: str) -> dict[str, Gaps]:
    """What is missing when a system is scored, by what the score is then called."""
    return {
        score: Gaps(),
        f"{score}, 30 % of faces missing": Gaps(faces=0.3, run=15),
        f"{score}, 30 % of sound missing": Gaps(sound=0.3),
        f"{score}, no sound": Gaps(sound=1.0),
    }


@dataclass(frozen=True)
class HeardTrial(Experiment):
    """A system of face and voice, by stored features of both.

    Attributes:
        labels: the label set that it is trained on.

    Args:
        sound: sound encoder: ``voice``, the embedded model; a run of it that has not heard the people who are scored;
            or a published one. Given data need features of it (``sentio features DATA --visual face --audio SOUND``),
            or they are made.
        videos, seconds: of the drawn set.
        lr, epochs: of each training.
    """

    labels: ClassVar[Source]

    sound: str = "voice"
    videos: int = 24
    seconds: float = 10.0
    lr: float = 5e-4
    epochs: int = 8

    def seeds(self, quick: bool) -> int:
        return 2 if quick else 3

    def prepare(self, data: Path | None, work: Path, quick: bool) -> Path:
        return data or sets.drawn(work, MovingPicture(self.videos // 3 if quick else self.videos, self.seconds))

    @abstractmethod
    def model(self, variant: str, data: Path) -> dict[str, Any]:
        """The section ``model`` of a variant's recipe."""

    @abstractmethod
    def windows(self, variant: str) -> tuple[int, int]:
        """Frames of a window, and from one to the next."""

    def trained(self, variant: str, seed: int, data: Path, work: Path, quick: bool) -> Path:
        """The run of a variant and a seed, trained or gone on with."""
        length, hop = self.windows(variant)
        plan = {
            "system": self.name,
            "start": {"encoder": sets.FACE},
            "model": self.model(variant, data),
            "data": {
                "sets": [self.labels], "face_encoder": sets.FACE, "sound_encoder": self.sound,
                "sound_s": length / 30 + 1, "features": sets.store_features(data, work, sets.FACE, self.sound),
                "own_rate": True, "choose_on": sets.CHOOSE_ON,
                "windows": {"length": length, "hop": hop, "answers": "all", "padding": "mask"},
            },
            "fit": {
                "epochs": 2 if quick else self.epochs, "batch_size": 4 if quick else 16, "lr": self.lr,
                "weight_decay": 0.05, "schedule": "cosine", "warmup_steps": 20, "clip_norm": 5.0, "seed": seed,
            },
            "evaluation": {"resamples": 0},
        }  # fmt: skip
        run = work / "runs" / f"{variant.replace(' ', '-')}-{seed}"
        train(from_dict(Recipe, plan), data, run)
        return run
