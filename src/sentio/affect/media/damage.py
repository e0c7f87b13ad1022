"""What a reading had to leave out or mend."""

from dataclasses import dataclass, field

from sentio.core.counts import counted

GAPS_KEPT = 1000
"""Gaps listed one by one; the totals count all of them."""


@dataclass(frozen=True)
class Gap:
    """A stretch of the time line, in seconds, for which the file gave no picture or no sound."""

    start_s: float
    end_s: float


@dataclass
class Damage:
    """Report of one reading, complete when the reading has reached its end; empty and false for a sound file.

    Attributes:
        packets: packets (for a folder: images) that could not be read or decoded.
        frames_lost: estimate of the pictures missing in the gaps, from the stream's own spacing.
        seconds_lost: total length of the gaps. Missing sound is replaced by silence of the same length.
        frames_doubtful: pictures that were shown although the decoder knew that data of theirs was missing or wrong.
        stamps_repaired: pictures or sounds without a usable time stamp of their own.
        gaps: where the loss is; the first `GAPS_KEPT` of them.
    """

    packets: int = 0
    frames_lost: int = 0
    seconds_lost: float = 0.0
    frames_doubtful: int = 0
    stamps_repaired: int = 0
    gaps: list[Gap] = field(default_factory=list)

    def add_gap(self, start_s: float, end_s: float, frames: int = 0) -> None:
        """Count a stretch without data, and the pictures it is estimated to have held."""
        self.frames_lost += frames
        self.seconds_lost += end_s - start_s
        if self.gaps and self.gaps[-1].end_s == start_s:
            self.gaps[-1] = Gap(self.gaps[-1].start_s, end_s)
        elif len(self.gaps) < GAPS_KEPT:
            self.gaps.append(Gap(start_s, end_s))

    def __bool__(self) -> bool:
        return bool(self.packets or self.gaps or self.frames_doubtful or self.stamps_repaired)

    def __str__(self) -> str:
        parts = []
        if self.packets:
            parts.append(f"{counted(self.packets, 'unreadable packet')}")
        if self.gaps:
            where = ", ".join(f"{gap.start_s:.3f}-{gap.end_s:.3f} s" for gap in self.gaps[:3])
            more = ", ..." if len(self.gaps) > 3 else ""
            frames = f"about {counted(self.frames_lost, 'frame')}, " if self.frames_lost else ""
            parts.append(f"{frames}{self.seconds_lost:.3f} s missing ({where}{more})")
        if self.frames_doubtful:
            parts.append(f"{counted(self.frames_doubtful, 'frame')} shown from damaged data")
        if self.stamps_repaired:
            parts.append(f"{counted(self.stamps_repaired, 'time stamp')} repaired")
        return "; ".join(parts) or "no damage"
