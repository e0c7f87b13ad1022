"""WebVTT (https://www.w3.org/TR/webvtt1): captions of what is read, for players and browsers."""

from html import escape
from pathlib import Path

from sentio.affect.results.annotations import Annotations, Span
from sentio.affect.results.episodes import EXPRESSION, VOICE
from sentio.core.writers import write_text

SHORTEST_CUE_S = 1.0
"""Seconds that an expression must hold to have a caption [CHOSEN]: about what it takes to read one."""
NOTICE = "What a viewer would perceive, not what somebody feels."


def write_vtt(path: Path, annotations: Annotations) -> None:
    """Write a caption for every stretch of an expression, of each person and of the voice.

    Args:
        path: of the file.
        annotations: of episodes that are long enough to be read.

    Raises:
        OutputError: the file cannot be written.
    """
    tiers = [tier for tier in annotations.tiers if tier.kind in (EXPRESSION, VOICE)]
    cues = [(span, tier) for tier in tiers for span in tier.spans]
    cues.sort(key=lambda cue: cue[0].start_ms)  # the standard asks for it; persons stay in their order
    blocks = ["WEBVTT", f"NOTE {NOTICE}", f"NOTE\n{annotations.provenance}"]
    blocks += [
        f"{clock(span.start_ms)} --> {clock(span.end_ms)}\n{_caption(span, annotations.who(tier) or tier.kind)}"
        for span, tier in cues
    ]
    write_text(path, "\n\n".join(blocks) + "\n")


def clock(ms: int) -> str:
    """Time as WebVTT has it; hours have two digits or more."""
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def _caption(span: Span, who: str) -> str:
    values = [f"{name.removeprefix('voice_')} {round(value, 2) + 0.0:+.2f}" for name, value in span.means.items()]
    return f"{escape(who, quote=False)}: {', '.join([span.label, *values])}"
