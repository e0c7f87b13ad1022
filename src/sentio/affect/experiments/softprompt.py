"""Soft prompts' claim: labels by the distance to nine regions of valence and arousal teach more than hard ones or none.

The small form of the system, on the features of the embedded face model and of a sound encoder; without CLIP the
regions are vectors that are learnt.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sentio.affect.experiments import _data as sets
from sentio.affect.experiments._gaps import scores_with
from sentio.affect.experiments._heard import HeardTrial, missing
from sentio.affect.labels import Source
from sentio.core.experiments import Claim

SOFT = "soft labels"
CHANGES: dict[str, dict[str, Any]] = {
    "no regions": {"region_labels": "none"},
    "hard labels": {"region_labels": "hard"},
    SOFT: {},
    "soft labels, face alone": {"inputs": "face"},
    "soft labels, voice alone": {"inputs": "sound"},
}
"""The model sections by row, beside what all have."""
WHOLE = "CCC"
MISSING = missing(WHOLE)
"""Scores by what is missing when it is scored."""
PARTS = {"ccc_valence": "CCC valence", "ccc_arousal": "CCC arousal"}
LENGTH = 64
"""Frames of a window."""


@dataclass(frozen=True)
class SoftPromptTrial(HeardTrial):
    """See the module's text."""

    name: ClassVar[str] = "softprompt"
    labels: ClassVar[Source] = "va"
    claim: ClassVar[str] = "Soft labels of nine regions of the plane help to tell valence and arousal"
    published: ClassVar[str] = (
        "no CCC on a validation set was found; the organisers' summary of ABAW10 has this lab's team third with a mean "
        "CCC of 0.53 on the test set, which is closed. It cannot be compared: other people and labels, CLIP and the "
        "Audio Spectrogram Transformer as encoders, and regions with texts, which the small form has not"
    )
    baseline: ClassVar[str] = "no regions"
    scores: ClassVar[tuple[str, ...]] = (*MISSING, *PARTS.values())
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim("Soft labels are better than no regions", SOFT, "no regions", WHOLE),
        Claim("Soft labels are better than hard ones", SOFT, "hard labels", WHOLE),
        Claim("Face and voice together are better than the face", SOFT, "soft labels, face alone", WHOLE),
        Claim("Face and voice together are better than the voice", SOFT, "soft labels, voice alone", WHOLE),
    )
    protocol: ClassVar[dict[str, str]] = {
        "Metric": "mean CCC of valence and arousal, pooled over all labelled frames, those without a face too; faces "
        "go missing for 15 frames, sound for a second",
        "Split": sets.SPLIT,
        "Smoothing": "none, but answers of overlapping windows are averaged",
        "Causal": f"no: windows of {LENGTH} frames, past and future",
    }
    paper: ClassVar[dict[str, str]] = {WHOLE: "0.53 (ABAW10 test)"}

    def variants(self, quick: bool) -> tuple[str, ...]:
        return tuple(CHANGES)

    def run(self, variant: str, seed: int, data: Path, work: Path, quick: bool) -> dict[str, float]:
        """Mean CCC by what is missing, and its parts where nothing is."""
        run = self.trained(variant, seed, data, work, quick)
        found = scores_with(run, data, work, MISSING, seed)
        parts = {title: found[WHOLE][part] for part, title in PARTS.items()}
        return {name: scores["p_va"] for name, scores in found.items()} | parts

    def model(self, variant: str, data: Path) -> dict[str, Any]:
        return {
            "sound_features": sets.sound_info(data, self.sound).dim, "units": 64, "heads": 4,
            "dropping": {"face": 0.1, "sound": 0.1},
        } | CHANGES[variant]  # fmt: skip

    def windows(self, variant: str) -> tuple[int, int]:
        return LENGTH, LENGTH // 2
