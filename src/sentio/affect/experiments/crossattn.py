"""Cross-attention's claims: face and voice say more than either, by attention, and sentences guide the face.

The small form of the system, on the features of the embedded face model and of a sound encoder; without CLIP the
guidance draws to vectors that are learnt.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sentio.affect.experiments import _data as sets
from sentio.affect.experiments._gaps import scores_with
from sentio.affect.experiments._heard import HeardTrial, missing
from sentio.affect.labels import Source
from sentio.core.experiments import Claim

BOTH = "face and voice"
CHANGES: dict[str, dict[str, Any]] = {
    "face alone": {"inputs": "face"},
    "voice alone": {"inputs": "sound"},
    BOTH: {},
    "concatenation": {"fusion": "concatenation"},
    "no guidance": {"guidance": {}},
}
"""The model sections by row, beside what all have."""
LENGTHS = {"windows of 30 frames": 30, "windows of 120 frames": 120}
"""Further rows; all others have 60. A window begins every 30 frames."""
WHOLE = "F1"
MISSING = missing(WHOLE)
"""Scores by what is missing when it is scored."""
LENGTH, HOP = 60, 30
"""Frames of a window, and from one to the next."""


@dataclass(frozen=True)
class CrossAttentionTrial(HeardTrial):
    """See the module's text."""

    name: ClassVar[str] = "crossattn"
    labels: ClassVar[Source] = "expr"
    claim: ClassVar[str] = "Attention between face and voice, guided by sentences, tells expressions better"
    published: ClassVar[str] = (
        "macro-F1 0.3334 on the validation set of ABAW10 (a digest of version 1), 0.32 against the baseline's 0.25 "
        "(abstract of version 2). It cannot be compared: other people and labels, and CLIP and wav2vec 2.0 as encoders "
        "where the small form has the package's own; the paper's table of ablations was not found"
    )
    baseline: ClassVar[str] = "face alone"
    scores: ClassVar[tuple[str, ...]] = tuple(MISSING)
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim("Face and voice together are better than the face", BOTH, "face alone", WHOLE),
        Claim("Face and voice together are better than the voice", BOTH, "voice alone", WHOLE),
        Claim("Attention is better than concatenation", BOTH, "concatenation", WHOLE),
        Claim("Guidance helps", BOTH, "no guidance", WHOLE),
        *(Claim(f"60 frames are better than {name}", BOTH, name, WHOLE) for name in LENGTHS),
    )
    protocol: ClassVar[dict[str, str]] = {
        "Metric": "macro-F1 of 8 expressions, pooled over all labelled frames, those without a face too; faces go "
        "missing for 15 frames, sound for a second",
        "Split": sets.SPLIT,
        "Smoothing": "none, but answers of overlapping windows are averaged",
        "Causal": f"no: windows of {LENGTH} frames where nothing else is said, past and future",
    }
    paper: ClassVar[dict[str, str]] = {WHOLE: "0.333 (ABAW10 validation)"}

    def variants(self, quick: bool) -> tuple[str, ...]:
        return tuple(CHANGES) if quick else (*CHANGES, *LENGTHS)

    def run(self, variant: str, seed: int, data: Path, work: Path, quick: bool) -> dict[str, float]:
        """Macro-F1 by what is missing."""
        run = self.trained(variant, seed, data, work, quick)
        return {name: found["p_expr"] for name, found in scores_with(run, data, work, MISSING, seed).items()}

    def model(self, variant: str, data: Path) -> dict[str, Any]:
        info = sets.sound_info(data, self.sound)
        return {
            "sound_features": info.dim, "reach_s": 0.1 if info.hop_s else 0.55, "dim": 128, "heads": 4,
            "hidden": 256, "head": 64, "dropping": {"face": 0.15, "sound": 0.15},
            "guidance": {"text": "learnt", "features": 64},
        } | CHANGES.get(variant, {})  # fmt: skip

    def windows(self, variant: str) -> tuple[int, int]:
        return LENGTHS.get(variant, LENGTH), HOP
