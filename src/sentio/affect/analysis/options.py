"""What can be asked of a reading: of any file, of pushed pictures and sound, of arrays."""

import math
from dataclasses import dataclass

from sentio.affect.analysis.baseline import check as check_baseline
from sentio.affect.analysis.speech import BUILTIN, check
from sentio.affect.faces.detectors import DetectorName, resolve
from sentio.core.errors import RecipeError


@dataclass(frozen=True)
class Options:
    """What can be chosen about reading a file.

    Attributes:
        detector: a name of `DetectorName`; ``auto`` is YuNet when it is fetched, else the package's own.
        search_interval: seconds between two searches of the whole picture for faces; known ones are followed.
        fps: frames a second to keep, by time; all if None.
        start: first second to read.
        end: last second to read.
        model: what fills the affect columns: weights by name, or the path of an exported card, of a network for single
            faces or of a model over time, which reads what the embedded one sees. ``auto`` chooses, see
            ``models.choose``; with ``none`` the columns stay null, the voice's, too.
        causal: no row rests on what comes after it, or waits for it.
        speech: what tells whether somebody speaks: ``builtin``, the voice model itself, or ``silero:PATH``, the
            published ONNX file of Silero VAD.
        baseline: what is taken from valence and action units as a person's rest: ``A:B``, seconds of the file; ``N``,
            the first seconds in which each person is seen; the path of a file that shows the person at rest; or None.
        landmarks: rows have the 68 landmarks of the face, too; see ``table.POINTS``.
        crops: rows that are streamed have the aligned face as ``crop``, uint8 (112, 112, 3) RGB, black beyond the
            border of the picture; and so do files that are analyzed into folders.
        embed_video: the report of a file holds the file itself, so that it can be moved alone.

    Raises:
        RecipeError: an unknown detector of faces or of speech, an interval that is no length of time, no rate, an
            empty stretch, or a baseline that there is not.
    """

    detector: DetectorName = "auto"
    search_interval: float = 0.2
    fps: float | None = None
    start: float | None = None
    end: float | None = None
    model: str = "auto"
    speech: str = BUILTIN
    baseline: str | None = None
    landmarks: bool = False
    crops: bool = False
    causal: bool = False
    embed_video: bool = False

    def __post_init__(self) -> None:
        resolve(self.detector)
        check(self.speech)
        check_baseline(self.baseline)
        if not 0 <= self.search_interval < math.inf:
            raise RecipeError(f"The search interval {self.search_interval} s is no length of time.")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise RecipeError(f"{self.fps:g} is no rate.", "Give frames a second, above 0.")
        if self.start is not None and self.end is not None and not self.start < self.end:
            raise RecipeError(f"The stretch from {self.start:g} s to {self.end:g} s is empty.", "End after the start.")
