"""The sound of a file on its way into a film: its own packets where MP4 players can play them, else AAC."""

import math
from collections.abc import Generator, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from sentio.affect.media.audio import Line, read_line, sample_at
from sentio.affect.media.container import audio_stream, decode, open_container, packets
from sentio.affect.media.damage import Damage
from sentio.affect.media.stamps import LEAP_S

COPIED = ("aac", "mp3", "mp3float", "opus", "libopus", "flac")
"""Decoders of the codecs that browsers play from an MP4 file."""
RATES = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)
"""Samples per second that AAC has and browsers play; other sound is brought to the first."""
BITS = 80_000
"""Bits per second and channel of AAC."""

Timed = tuple[float, "Packet[Any]"]
"""A packet and where it begins, in seconds of the film."""


class Soundtrack:
    """The sound of a file between two times of its own clock.

    Packets are copied as they are if all can be decoded and their time stamps go on steadily. Else the sound is
    decoded, with silence where there is none, and encoded anew, in mono or stereo.

    Args:
        path: of a file with sound.
        start_s: what begins before it is left out.
        end_s: what begins at or after it is left out.

    Raises:
        MediaError: the file cannot be opened.
    """

    def __init__(self, path: Path, start_s: float = -math.inf, end_s: float = math.inf) -> None:
        self._path, self._start_s, self._end_s = path, start_s, end_s
        self.copied = is_copyable(path)

    def packets(self, film: OutputContainer, zero_s: float) -> Generator[Timed, None, None]:
        """Add a stream to a film; gives its packets, which need their places.

        Args:
            film: an MP4 file of which nothing is written yet; the stream is there with the first packet.
            zero_s: time of the file at which the film begins.
        """
        with open_container(self._path) as container:
            stream = audio_stream(container)
            if stream is not None:
                take = self._copy if self.copied else self._encode
                yield from take(container, stream, film, zero_s)

    def _copy(
        self, container: InputContainer, stream: AudioStream, film: OutputContainer, zero_s: float
    ) -> Iterator[Timed]:
        own = film.add_stream_from_template(stream)
        base = cast(Fraction, stream.time_base)
        zero = round(zero_s / base)
        for packet in packets(container, Damage()):
            if packet.stream_index != stream.index or packet.pts is None:
                continue
            if not self._start_s <= packet.pts * base < self._end_s:
                continue
            packet.pts -= zero
            packet.dts = packet.pts  # sound is played in the order in which it is stored
            packet.stream = own
            yield float(packet.pts * base), packet

    def _encode(
        self, container: InputContainer, stream: AudioStream, film: OutputContainer, zero_s: float
    ) -> Iterator[Timed]:
        context = stream.codec_context
        rate = context.sample_rate if context.sample_rate in RATES else RATES[0]
        layout = "mono" if context.channels == 1 else "stereo"
        own = film.add_stream("aac", rate, layout=layout)
        own.bit_rate = BITS * own.codec_context.channels
        line, position = Line(Damage(), rate, layout), 0
        for samples in read_line(container, line):  # (C, N)
            low, high = (sample_at(line, moment) - position for moment in (self._start_s, self._end_s))
            taken = samples[:, max(0, low) : max(0, high)]
            begin_s = line.time(position + max(0, low)) - zero_s
            position += samples.shape[1]
            if taken.shape[1]:
                sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(taken), "fltp", layout)
                sound.sample_rate, sound.time_base, sound.pts = rate, Fraction(1, rate), round(begin_s * rate)
                yield from _timed(own, sound)
            if high <= samples.shape[1]:
                break
        yield from _timed(own, None)


def is_copyable(path: Path) -> bool:
    """Whether the packets of a file's sound can be put into an MP4 film as they are."""
    damage = Damage()
    with open_container(path) as container:
        stream = audio_stream(container)
        if stream is None or stream.codec_context.name not in COPIED:
            return False
        steady = all(0 < later - earlier <= LEAP_S for earlier, later in pairwise(_stamps(container, stream, damage)))
        return steady and not damage


def _stamps(container: InputContainer, stream: AudioStream, damage: Damage) -> Iterator[float]:
    """When each packet begins, in seconds (NaN where it does not tell); those that cannot be decoded are counted."""
    for packet in packets(container, damage):
        if packet.stream_index == stream.index:
            yield math.nan if packet.pts is None else float(packet.pts * packet.time_base)
            decode(stream, packet, damage)


def _timed(stream: AudioStream, sound: av.AudioFrame | None) -> Iterator[Timed]:
    for packet in stream.encode(sound):
        yield float((packet.pts or 0) * packet.time_base), packet
