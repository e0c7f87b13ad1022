"""Sound as one unbroken line of samples, mono at 16 kHz for reading; where the file has none there is silence."""

import math
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from sentio.affect.labels import SAMPLE_RATE
from sentio.affect.media.container import audio_stream, cut_off_end, decode, open_container, packets
from sentio.affect.media.damage import Damage
from sentio.affect.media.frame import AudioBlock
from sentio.affect.media.stamps import believed, declared_end

BLOCK = SAMPLE_RATE
"""Samples of a block that is read: one second."""

TOLERANCE_S = 0.01
"""Distance from the time line at which sound is moved back onto it; below it stamps are rounded or drift."""

LONGEST_GAP_S = 600.0
"""A larger jump of the stamps is taken for a false stamp, not filled with silence."""

Samples = NDArray[np.float32]


class Line:
    """Turns decoded sound into contiguous samples (C, N): sample n lies at `origin_s` + n / rate.

    Channels are mixed down with FFmpeg's weights, scaled so that no mixture can exceed the loudest channel: equal
    left and right keep their level, one of two alone is halved. Float samples beyond 1 are kept, NaN becomes silence.

    Args:
        damage: counts the holes.
        rate: samples per second.
        layout: FFmpeg's name of the channels.
    """

    def __init__(self, damage: Damage, rate: int = SAMPLE_RATE, layout: str = "mono") -> None:
        self.damage = damage
        self.rate, self.layout = rate, layout
        self.channels = AudioLayout(layout).nb_channels
        self.origin_s = math.nan  # until the first sound
        self.count = 0  # samples given out
        self.packets_s = -math.inf  # the latest stamp of any packet read
        self.skip = 0  # of the samples to come, already covered by sound before them
        self.shift_s = 0.0  # added to stamps after a false one
        self.expected_s = 0.0  # where the next decoded sound should begin
        self.resampler: AudioResampler | None = None
        self.form: tuple[str, str, int] | None = None  # format, layout and rate of what is being added

    def time(self, sample: int) -> float:
        """Seconds on the container's time line of a sample of the line."""
        return self.origin_s + sample / self.rate

    def add(self, sound: AudioFrame, stamp_s: float | None) -> Iterator[Samples]:
        """Samples that a decoded frame completes, silence before them included; without a stamp it follows on."""
        time_s = self._time(stamp_s)
        form = (sound.format.name, sound.layout.name, sound.sample_rate)
        jump = self.form is None or abs(time_s - self.expected_s) > TOLERANCE_S
        if jump or form != self.form:
            yield from self.flush()
            if jump:
                yield from self._move_to(time_s)
            self.form = form
            self.resampler = AudioResampler("fltp", self.layout, self.rate, options={"rematrix_maxval": "1"})
        assert self.resampler is not None
        self.expected_s = (time_s if jump else self.expected_s) + sound.samples / sound.sample_rate
        sound.pts = None  # the line keeps the time; the resampler need not
        for piece in self.resampler.resample(sound):
            yield from self._emit(piece)

    def flush(self) -> Iterator[Samples]:
        """The last samples of what was added."""
        if self.resampler is not None:
            for piece in self.resampler.resample(None):
                yield from self._emit(piece)
            self.resampler = None

    def _time(self, stamp_s: float | None) -> float:
        if stamp_s is None:
            return self.expected_s
        time_s = stamp_s + self.shift_s
        if not math.isnan(self.origin_s) and abs(time_s - self.expected_s) > LONGEST_GAP_S:
            self.damage.stamps_repaired += 1
            self.shift_s += self.expected_s - time_s
            return self.expected_s
        return time_s

    def _move_to(self, time_s: float) -> Iterator[Samples]:
        if math.isnan(self.origin_s):
            self.origin_s = time_s
        target = round((time_s - self.origin_s) * self.rate)
        self.skip = max(0, self.count - target)
        if target > self.count:
            self.damage.add_gap(self.time(self.count), time_s)
        for begin in range(self.count, target, self.rate):
            silence = np.zeros((self.channels, min(self.rate, target - begin)), np.float32)
            self.count += silence.shape[1]
            yield silence

    def _emit(self, piece: AudioFrame) -> Iterator[Samples]:
        samples = piece.to_ndarray()[:, self.skip :]  # (C, N)
        self.skip = max(0, self.skip - piece.samples)
        if samples.shape[1]:
            self.count += samples.shape[1]
            yield np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)


def read_audio(path: Path, damage: Damage, start_s: float, end_s: float) -> Iterator[AudioBlock]:
    """Blocks of one second (the last one shorter) of the sound between two times, in constant memory.

    Raises:
        MediaError: the file can no longer be opened.
    """
    held, position, given = np.zeros(0, np.float32), 0, 0
    with open_container(path) as container:
        line = Line(damage)
        for (samples,) in read_line(container, line):
            low, high = sample_at(line, start_s), sample_at(line, end_s)
            held = np.concatenate([held, samples[max(0, low - position) : max(0, high - position)]])
            position += len(samples)
            while len(held) >= BLOCK:
                yield AudioBlock(line.time(low + given), held[:BLOCK])
                held, given = held[BLOCK:], given + BLOCK
            if position >= high:
                break
        if len(held):
            yield AudioBlock(line.time(low + given), held)


def sample_at(line: Line, time_s: float) -> int:
    """The first sample of a line that has begun at or after a time, to within a thousandth of a sample."""
    if math.isinf(time_s):
        return 0 if time_s < 0 else sys.maxsize
    return max(0, math.ceil((time_s - line.origin_s) * line.rate - 1e-3))


def read_line(container: InputContainer, line: Line) -> Iterator[Samples]:
    """All the sound of a file, piece by piece (C, N), in constant memory."""
    damage, stream = line.damage, audio_stream(container)
    if stream is None:
        return
    for sound, stamp_s in believed(_sounds(container, stream, line, damage), declared_end(container)):
        damage.stamps_repaired += stamp_s is None and sound.pts is not None
        try:
            yield from line.add(sound, stamp_s)
        except av.FFmpegError:  # a damaged header may claim a form that cannot be resampled
            damage.packets += 1
            line.resampler = line.form = None
    yield from line.flush()
    declared_s = cut_off_end(container, line.packets_s)
    reached_s = line.time(line.count) if line.count else (container.start_time or 0) / av.time_base
    if declared_s is not None and declared_s > reached_s:
        damage.add_gap(reached_s, declared_s)


def _sounds(
    container: InputContainer, stream: AudioStream, line: Line, damage: Damage
) -> Iterator[tuple[AudioFrame, float | None]]:
    """Decoded sound with the time stamp of the container in seconds, None where it has none."""
    for packet in chain(packets(container, damage), [None]):
        if packet is not None and packet.pts is not None:
            line.packets_s = max(line.packets_s, float(packet.pts * packet.time_base))
        if packet is None or packet.stream_index == stream.index:
            for sound in decode(stream, packet, damage) or ():
                stamped = sound.pts is not None and sound.time_base is not None
                yield sound, float(sound.pts * sound.time_base) if stamped else None
