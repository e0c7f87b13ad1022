"""The features of a data folder as jobs, a clip's crops or a video's sound each: for as many machines as there are."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sentio.affect.backbones.precision import Choice
from sentio.affect.data.extraction import extract_faces, extract_sound, lead
from sentio.affect.data.features import Absent, FeatureStore
from sentio.affect.data.tree import scan
from sentio.affect.training.published import DataConfig, open_store
from sentio.core import devices
from sentio.core.errors import InputError
from sentio.core.jobs import Job, Outcome, ShareDone

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Extraction:
    """What is done with each clip: a frozen encoder sees its crops, or hears its sound, and its features are stored.

    Attributes:
        data: folder of data.
        spec: the encoder, see :func:`sentio.affect.backbones.encoders.open_encoder`.
        out: folder of the store; ``features`` in the data folder if None.
        precision, device: of the encoder, see :func:`~sentio.affect.data.extraction.extract`; ``auto`` is the GPU that
            a worker was given, if it was given one.
    """

    data: Path
    spec: str
    out: Path | None
    precision: Choice | None = None
    device: str = "auto"

    @property
    def store(self) -> FeatureStore:
        """That of the encoder, opened once in a process.

        Raises:
            WeightsError: the encoder is not on this machine.
        """
        return _open(self)

    @property
    def hears(self) -> bool:
        """Whether the encoder is one of sound."""
        return self.store.encoder.info.rate is not None

    def made_with(self) -> str:
        """The hash of the encoder, and of how it is led."""
        return self.store.key

    def jobs(self) -> list[Job]:
        """One for each crop folder, or for each video, in order of their names.

        Raises:
            InputError: there are none.
        """
        tree = scan(self.data)
        sources = tree.media if self.hears else tree.crops
        if not sources:
            kind = "videos" if self.hears else "crops"
            raise InputError(f"{self.data} holds no {kind} for the encoder {self.store.encoder.info.name}.")
        return [Job(source, self.store.path(name)) for name, source in sorted(sources.items())]

    def __call__(self, job: Job, share_done: ShareDone = lambda share: None) -> Outcome:
        """Extract the features of one, unless they are there.

        Returns:
            Done, with what is wrong with single images; skipped; or failed, if the video cannot be opened.
        """
        name = job.result.name.removesuffix(SUFFIX)
        if self.store.is_current(name, job.source):
            return Outcome(str(job.source), "skipped")
        extract = extract_sound if self.hears else extract_faces
        problems = extract(_led(self), {name: job.source})
        for problem in problems:
            if problem.level == "error":
                return Outcome(str(job.source), "failed", error=problem.what)
        return Outcome(str(job.source), "done", {"problems": [str(problem) for problem in problems]})


@cache
def _open(extraction: Extraction) -> FeatureStore:
    config = DataConfig(features=str(extraction.out) if extraction.out else None)
    store = open_store(extraction.data, extraction.spec, config)
    if isinstance(store.encoder, Absent):
        raise store.encoder.why
    return store


@cache
def _led(extraction: Extraction) -> FeatureStore:
    """Where the work is done: whoever only shares it out need not have the device."""
    lead(extraction.store, devices.choose(extraction.device), extraction.precision)
    return extraction.store
