"""What the systems of the published layouts share: their data, their official scores, their submissions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor

from sentio.affect import evaluate
from sentio.affect.backbones.frozen import describe_snapshots, snapshots_of, without_weights
from sentio.affect.backbones.networks import IMAGENET
from sentio.affect.backbones.published import PUBLISHED
from sentio.affect.backbones.resnet import ResNet
from sentio.affect.batch import AffectBatch
from sentio.affect.training.published import AffectData, open_published, prepare_published
from sentio.affect.training.sizes import batch_of, hour_of
from sentio.core.config import from_dict
from sentio.core.errors import RecipeError
from sentio.core.method import Method, Work
from sentio.core.optimization import FitConfig
from sentio.core.progress import Tell, silent


class AffectMethod(Method):
    """A Method from ``AffectBatch`` to ``AffectOutput`` that has a face network, its ``encoder``."""

    Data: ClassVar[type[AffectData]] = AffectData
    """What its data are read as; the ``Config`` of that is the ``data`` section."""

    @classmethod
    def rebuild(cls, config: Any, description: Mapping[str, Any]) -> Self:
        """Build it without the snapshots of published encoders, which need not be here any more."""
        with without_weights(snapshots_of(description)):
            return cls(config)

    @classmethod
    def blueprint(cls) -> dict[str, Any]:
        """The small files of the published encoders."""
        return {"snapshots": PUBLISHED}

    def description(self) -> dict[str, Any]:
        """The small files of the snapshots that its published encoders are from."""
        found = describe_snapshots(self)
        return {"snapshots": found} if found else {}

    def training_batch(self, section: dict[str, Any], items: int) -> AffectBatch:
        """Windows as the data section cuts them, with every frame and label there."""
        config = from_dict(self.Data.Config, section, where="data")
        return batch_of(self, config, items)

    def hourly(self, section: dict[str, Any]) -> list[Work]:
        """Features of faces and sound, and the rest of the system, at 30 frames a second."""
        return hour_of(self, from_dict(self.Data.Config, section, where="data"))

    def adopt(self, name: str, tensors: Mapping[str, Tensor], origin: str) -> None:
        """A face network of the published ResNets takes torchvision's and timm's weights."""
        part = self.part(name)
        if not isinstance(part, ResNet):
            raise RecipeError(
                f"start: {origin} was not saved by sentio, and {name} ({type(part).__name__}) takes no other weights.",
                f"Choose a network that does: {', '.join(IMAGENET)}; or leave out start.{name}.",
            )
        part.take(tensors, origin)

    def prepare(self, path: Path, section: dict[str, Any], fit: FitConfig) -> None:
        """Features of frozen encoders, stored first; see ``prepare_published``."""
        prepare_published(self, path, from_dict(self.Data.Config, section, where="data"), fit)

    def open_data(self, path: Path, section: dict[str, Any]) -> AffectData:
        """A folder in any published layout; see :class:`~sentio.affect.training.published.DataConfig`."""
        return open_published(self, path, section, self.Data)

    def evaluate(
        self, path: Path, section: dict[str, Any], *, data: dict[str, Any], tell: Tell = silent
    ) -> evaluate.Evaluation:
        """The official scores; see :class:`~sentio.affect.evaluate.EvaluationConfig`."""
        config = from_dict(evaluate.EvaluationConfig, section, where=f"evaluation of {self.name}")
        return evaluate.evaluate(self, self.open_data(path, data), config, tell=tell)

    def submit(
        self, path: Path, section: dict[str, Any], out: Path, *, data: dict[str, Any], form: Mapping[str, Any]
    ) -> list[Path]:
        """A submission to a track of an ABAW challenge; ``form`` is an :class:`~sentio.affect.evaluate.Form`."""
        config = from_dict(evaluate.EvaluationConfig, section, where=f"evaluation of {self.name}")
        asked = from_dict(evaluate.Form, dict(form), where="submission")
        return evaluate.submit_run(self, self.open_data(path, data), config, asked, out)
