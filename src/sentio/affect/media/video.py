"""Decoded pictures with strictly rising time stamps; a damaged stretch loses only itself."""

import math
from collections import deque
from collections.abc import Generator, Iterator
from itertools import chain
from pathlib import Path

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sentio.affect.media.container import (
    cut_off_end,
    decode,
    open_container,
    packets,
    stamp_of,
    video_stream,
)
from sentio.affect.media.damage import Damage
from sentio.affect.media.frame import Frame
from sentio.affect.media.info import Info
from sentio.affect.media.orientation import Orientation
from sentio.affect.media.picture import frame_of
from sentio.affect.media.stamps import RESTART_S, believed, declared_end, is_beyond

REORDER_DEPTH = 16
"""Most pictures a decoder may hold back to put them in order (H.264, H.265)."""


class Clock:
    """Strictly rising seconds from time stamps that may be missing, repeated or set back.

    - A missing stamp continues at the stream's own rate.
    - A stamp that does not rise by up to `RESTART_S` is placed a tenth of a period after the picture before it, so
      that its neighbours keep their own stamps.
    - A larger step back starts the time line anew: it continues at the stream's rate, later stamps keep their spacing.
    """

    def __init__(self, period: float, damage: Damage) -> None:
        self.period = period
        self.damage = damage
        self.last: float | None = None
        self.offset = 0.0

    def rise(self, stamp_s: float | None) -> float:
        """Time of the next picture in seconds."""
        self.last = self._next(stamp_s)
        return self.last

    def is_late(self, stamp_s: float | None) -> bool:
        """Whether a stamp lies before the picture already shown, but on the same time line."""
        if stamp_s is None or self.last is None:
            return False
        return 0 < self.last - (stamp_s + self.offset) <= RESTART_S

    def _next(self, stamp_s: float | None) -> float:
        if stamp_s is None:
            self.damage.stamps_repaired += 1
            return 0.0 if self.last is None else self._after(self.last, self.period)
        time = stamp_s + self.offset
        if self.last is None or time > self.last:
            return time
        self.damage.stamps_repaired += 1
        if self.last - time <= RESTART_S:
            return self._after(self.last, self.period / 10)
        self.offset += self.last + self.period - time
        return self._after(self.last, self.period)

    @staticmethod
    def _after(last: float, step: float) -> float:
        return max(last + step, math.nextafter(last, math.inf))


class Losses:
    """Finds the stretches without a picture and writes them into the report.

    In a steady stream every hole of more than half a period counts, whether or not FFmpeg complained: several
    containers drop damaged packets silently. Where a hole may be meant (variable rate, AVI, before the first picture)
    only one with packets that failed counts.
    """

    def __init__(self, info: Info, damage: Damage, declared_s: float) -> None:
        self.period = 1 / info.rate
        self.steady = not info.variable_rate and info.format != "avi"  # AVI leaves a place empty to repeat a picture
        self.damage = damage
        self.shown = False
        self.declared_s = declared_s
        self.covered_s = info.start_s
        self.failed_before = 0
        self.end_s = self.own_end_s = -math.inf

    def saw(self, stamp_s: float, own: bool) -> None:
        """Note a packet of the stream itself or of another one: the file reaches at least this far."""
        if is_beyond(stamp_s, self.end_s, self.declared_s):
            return
        self.end_s = max(self.end_s, stamp_s)
        if own:
            self.own_end_s = max(self.own_end_s, stamp_s + self.period)

    def show(self, time_s: float, packets_failed: int) -> None:
        """Account for the hole before a picture, which was decoded when so many packets had failed."""
        self._close_hole(time_s, packets_failed)
        self.failed_before = packets_failed
        self.covered_s = time_s + self.period
        self.shown = True

    def finish(self, container: InputContainer, offset: float) -> None:
        """Account for the last packets and for the end of a file that was cut off."""
        self._close_hole(self.own_end_s + offset, self.damage.packets)
        declared_s = cut_off_end(container, max(self.end_s, self.own_end_s))
        if declared_s is not None and declared_s + offset > self.covered_s:
            self._add(declared_s + offset, self.damage.packets - self.failed_before)

    def _close_hole(self, time_s: float, packets_failed: int) -> None:
        failed = packets_failed - self.failed_before
        if time_s - self.covered_s > self.period / 2 and (failed or (self.steady and self.shown)):
            self._add(time_s, failed)

    def _add(self, time_s: float, failed: int) -> None:
        frames = failed if failed and not self.steady else max(1, round((time_s - self.covered_s) / self.period))
        self.damage.add_gap(self.covered_s, time_s, frames)
        self.covered_s = time_s


def read_frames(path: Path, info: Info, damage: Damage) -> Generator[Frame, None, None]:
    """All pictures of a file in the order of showing, in constant memory.

    Raises:
        MediaError: the file can no longer be opened, or a picture has no RGB form.
    """
    with open_container(path) as container:
        stream = video_stream(container)
        if stream is None:
            return
        declared_s = declared_end(container)
        clock, losses = Clock(1 / info.rate, damage), Losses(info, damage, declared_s)
        orientations: dict[int, Orientation] = {}
        index, broken, failed = 0, False, 0
        for (picture, packets_failed), stamp_s in believed(_pictures(container, stream, damage, losses), declared_s):
            broken = (broken or packets_failed > failed) and not picture.key_frame
            failed = packets_failed
            if broken and clock.is_late(stamp_s):  # left over by a decoder that lost its order; it counts as lost
                continue
            time_s = clock.rise(stamp_s)
            losses.show(time_s, packets_failed)
            doubtful = broken or picture.is_corrupt
            damage.frames_doubtful += doubtful
            # Side data and picture hold each other, so asking each picture for it would keep hundreds of them alive.
            if picture.rotation not in orientations:
                orientations[picture.rotation] = Orientation.of(picture)
            yield frame_of(path, index, time_s, picture, orientations[picture.rotation], doubtful)
            index += 1
        losses.finish(container, clock.offset)


def _pictures(
    container: InputContainer, stream: VideoStream, damage: Damage, losses: Losses
) -> Iterator[tuple[tuple[VideoFrame, int], float | None]]:
    """Decoded pictures, each with how many packets had failed by then, and its time stamp in seconds, None without.

    AVI stores the order of decoding only: there the k-th picture shown takes the k-th stamp stored.
    """
    stored: deque[int] | None = deque(maxlen=REORDER_DEPTH + 1) if container.format.name == "avi" else None
    for packet in chain(packets(container, damage), [None]):
        if packet is not None:
            own, stamp = packet.stream_index == stream.index, stamp_of(container, packet)
            if stamp is not None:
                losses.saw(float(stamp * packet.time_base), own)
            if not own:
                continue
            if stored is not None and stamp is not None:
                stored.append(stamp)
        pictures = decode(stream, packet, damage)
        if pictures is None and stored:
            stored.pop()
        for picture in pictures or ():
            ticks = picture.pts if stored is None else (stored.popleft() if stored else None)
            yield (picture, damage.packets), None if ticks is None else float(ticks * (stream.time_base or 0))
