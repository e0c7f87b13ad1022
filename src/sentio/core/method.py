"""The contract of everything that can be trained: one base class for a system, one for its training data.

A system is a torch module that brings its Config, its data and its own measure of success with it. What trains, saves,
evaluates and exports it (``core.training``, ``core.weights``, ``core.runs``, ``core.export``) asks for nothing else.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from sentio.core.errors import InputError, RecipeError
from sentio.core.progress import Tell, silent
from sentio.core.report import Report

if TYPE_CHECKING:
    from sentio.core.optimization import FitConfig


@dataclass(frozen=True)
class Graph:
    """A module to be traced for inference, and the facts of it that its card gives.

    Attributes:
        inputs: examples.
        outputs: names, in the module's order.
        free: names of the free dimensions of each tensor, which are its first ones.
        details: numbers that inference needs besides the graph, such as thresholds.
    """

    name: str
    summary: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    free: Mapping[str, tuple[str, ...]]
    preprocessing: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """A part of what an hour of video takes.

    Attributes:
        flops: additions and multiplications.
        stored: bytes on disk.
    """

    name: str
    flops: int
    stored: int = 0


class TrainingData(ABC):
    """What a Method is trained and validated on."""

    monitor: str
    """The key of :meth:`validate` that chooses the best weights."""
    higher_is_better: bool
    workers: int | None = None
    """Processes that load items in :meth:`validate`, see :func:`sentio.core.loading.batches`; the trainer's."""

    @abstractmethod
    def train_dataset(self) -> Dataset[Any]:
        """A map-style data set with a length; an item depends on nothing but (seed, epoch, index)."""

    @abstractmethod
    def collate(self, items: list[Any]) -> Any:
        """Join items into a batch, which has ``.to(device)``."""

    @abstractmethod
    def validate(self, method: Any) -> dict[str, float]:
        """Score the method on the validation set; it is in eval mode, without gradients, in 32-bit precision.

        Every process of a run calls it: ``core.processes.spread`` shares the work.
        """

    def set_epoch(self, epoch: int) -> None:  # noqa: B027  (most data are the same in every epoch)
        """Called before each epoch, for data that are drawn anew."""

    def describe(self, index: int) -> str:
        """Name an item of the training set in the message of a failed step."""
        return f"item {index}"


class Method(nn.Module, ABC):
    """A trainable system; a registered subclass has its frozen ``Config`` dataclass as an attribute."""

    name: ClassVar[str]
    """As registered; saved beside the weights, so that a file describes itself."""
    Config: ClassVar[type]

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def rebuild(cls, config: Any, description: Mapping[str, Any]) -> Self:
        """Build anew what gave this :meth:`description`; its weights are put in by who calls."""
        return cls(config)

    @classmethod
    def blueprint(cls) -> dict[str, Any]:
        """A :meth:`description` to measure it by where none of its weights are."""
        return {}

    def description(self) -> dict[str, Any]:
        """What building it takes besides its Config, as JSON values; it is kept with the weights."""
        return {}

    @property
    def frozen(self) -> Sequence[str]:
        """Names of parts that stay in eval mode and without gradients; :meth:`train` sees to it."""
        return ()

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).requires_grad_(False).eval()
        return self

    def part(self, name: str) -> nn.Module:
        """A part by its name, dots lead deeper: a module, or a property that gives one.

        Raises:
            RecipeError: there is none.
        """
        try:
            found = attrgetter(name)(self)
        except AttributeError:
            found = None
        if not isinstance(found, nn.Module):
            raise RecipeError(f"{self.name} has no part {name!r}.")
        return found

    def adopt(self, name: str, tensors: Mapping[str, Tensor], origin: str) -> None:
        """Fill a part from weights that are of another origin than this package.

        Args:
            name: of the part.
            tensors: by the names that they have there.
            origin: where they are from, for messages.

        Raises:
            RecipeError: there is no such part, or it takes none.
            WeightsError: they are of another network.
        """
        raise RecipeError(f"start: {origin} was not saved by sentio, and no part of {self.name} takes such weights.")

    # --- what every system has

    @abstractmethod
    def example_batch(self) -> Any:
        """A small batch that :meth:`forward` and :meth:`loss` take, always the same."""

    @abstractmethod
    def forward(self, batch: Any) -> Any:
        """The system's output for a batch."""

    @abstractmethod
    def loss(self, batch: Any, progress: float) -> dict[str, Tensor]:
        """Named scalar terms, whose sum is minimised; ``progress`` goes from 0 to 1 over the run.

        Of a run of several processes it gets one part of a batch, and the terms are averaged over the processes: what
        is no mean over the batch's items takes them all, see ``core.processes``.
        """

    def prepare(self, path: Path, section: dict[str, Any], fit: "FitConfig") -> None:
        """Called before a training opens its data: what each step would compute anew may be computed here, once.

        Args:
            path, section: as for :meth:`open_data`.
            fit: how long the training is, and where.
        """

    @abstractmethod
    def open_data(self, path: Path, section: dict[str, Any]) -> TrainingData:
        """Training data from a folder (or file) and the ``data`` section of a recipe.

        Raises:
            RecipeError: an unknown key or a wrong value.
            InputError: the path holds no such data.
        """

    @abstractmethod
    def evaluate(self, path: Path, section: dict[str, Any], *, data: dict[str, Any], tell: Tell = silent) -> Report:
        """Measure the system by the metrics of its domain; it is in eval mode.

        Args:
            path: the data.
            section: the ``evaluation`` section of a recipe.
            data: its ``data`` section: what was trained on, and how the data are cut.
            tell: told how far the work has come.

        Raises:
            RecipeError: an unknown key or a wrong value.
            InputError: the path holds no such data.
        """

    # --- what a system may have

    def graphs(self) -> list[Graph]:
        """What is exported for inference."""
        return []

    def submit(
        self, path: Path, section: dict[str, Any], out: Path, *, data: dict[str, Any], form: Mapping[str, Any]
    ) -> list[Path]:
        """Write the submission for a challenge, as ``form`` says, and read it back; returns its files.

        Raises:
            InputError: the system takes part in none.
        """
        raise InputError(f"There is no challenge that {self.name} could write a submission for.")

    def training_batch(self, section: dict[str, Any], items: int) -> Any:
        """A batch as the ``data`` section makes it, of any content, to measure by; None: :meth:`example_batch`."""
        return None

    def hourly(self, section: dict[str, Any]) -> list[Work]:
        """What an hour of video takes in use, with features as the ``data`` section has them."""
        return []

    def parameter_groups(self) -> list[dict[str, Any]]:
        """torch's parameter groups: all that require gradients."""
        return [{"params": [value for value in self.parameters() if value.requires_grad]}]

    def after_step(self) -> None:
        """Called after every optimizer step: a target network follows there."""

    def after_validation(self, metrics: dict[str, float]) -> None:
        """Called after every validation; what it keeps belongs in a buffer, to be resumed."""
