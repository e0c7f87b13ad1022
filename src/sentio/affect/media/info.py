"""What a media file holds, read from its header, its first picture and its first packets."""

import math
import statistics
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sentio.affect.media.container import (
    MAX_PIXELS,
    MEGAPIXELS,
    audio_stream,
    decode,
    open_container,
    packets,
    stamp_of,
    video_stream,
)
from sentio.affect.media.damage import Damage
from sentio.affect.media.orientation import Orientation
from sentio.affect.media.source import MediaError
from sentio.affect.media.stamps import declared_end

PROBED_PACKETS = 128
"""Packets of the video stream from which the spacing of the pictures is measured."""

IMAGES = "images"
"""Format of a folder of images, and of a single one."""

DEFAULT_RATE = 25.0
"""Pictures per second of a raw stream that states none (FFmpeg's own default)."""


@dataclass(frozen=True)
class Info:
    """What a file or folder holds, as far as its beginning tells.

    Attributes:
        format: the container, in FFmpeg's words.
        duration_s: length that the container declares, in seconds; None where it does not.
        start_s: time of the first picture, or of the first sound of a file without pictures.
        begin_s: where the container's time line begins; many players count from there.
        codec: of the pictures; empty without any.
        size: (width, height) of the pictures as shown, upright; (0, 0) without any.
        rate: pictures per second, measured over the first `PROBED_PACKETS`; without time stamps what the stream states.
        variable_rate: more than one in twenty of these distances differs from the others.
        rotation: degrees clockwise by which the stored pictures are turned to stand upright (0, 90, 180, 270).
        mirrored: they are mirrored as well.
        sample_aspect: width of a pixel by its height; noted here, not applied to the pictures.
        interlaced: the pictures are made of two fields, shown woven as stored.
        audio_rate: samples per second as stored.
    """

    format: str
    has_video: bool
    has_audio: bool
    duration_s: float | None = None
    start_s: float = 0.0
    begin_s: float = 0.0
    codec: str = ""
    size: tuple[int, int] = (0, 0)
    rate: float = 0.0
    variable_rate: bool = False
    rotation: int = 0
    mirrored: bool = False
    sample_aspect: float = 1.0
    interlaced: bool = False
    audio_codec: str = ""
    audio_rate: int = 0
    audio_channels: int = 0

    @property
    def has_length(self) -> bool:
        """Whether it goes on in time, as all but a single image does."""
        return self.format != IMAGES or (self.duration_s or 0) * self.rate > 1.5

    @property
    def has_clock(self) -> bool:
        """Whether its pictures or sounds have times of their own; images have not, also where a folder holds many."""
        return self.format != IMAGES


def probe(path: Path) -> Info:
    """Open a file and describe it from its header, its first picture and its first packets.

    Raises:
        MediaError: the file cannot be opened, holds neither pictures nor sound, or pictures over `MAX_PIXELS`.
    """
    with open_container(path) as container:
        video, audio = video_stream(container), audio_stream(container)
        facts: dict[str, Any] = _describe(path, container, video) if video is not None else {}
        facts["begin_s"] = (container.start_time or 0) / av.time_base
        if not all(facts.get("size", (0, 0))) and audio is None:
            what = "sound and no picture" if video is None else "picture"
            large = "" if video is None else f", or over {MEGAPIXELS} megapixels"
            raise MediaError(
                f"{path} holds no {what} that can be decoded: damaged, of an unknown codec{large}.",
                "Play it in a media player; if it plays, export it as MP4 with H.264 and AAC.",
            )
        if audio is not None:
            facts |= {
                "audio_codec": audio.codec_context.name,
                "audio_rate": audio.codec_context.sample_rate,
                "audio_channels": audio.codec_context.channels,
            }
            if video is None:
                facts["start_s"] = facts["begin_s"]
        length_s = declared_end(container) - facts["begin_s"]
        known_s = round(length_s, 6) if 0 <= length_s < math.inf else None
        return Info(container.format.name, video is not None, audio is not None, known_s, **facts)


def count_pictures(path: Path) -> int:
    """Pictures of a file by its packets; the whole file is read, nothing is decoded.

    Raises:
        MediaError: the file cannot be opened.
    """
    with open_container(path) as container:
        stream = video_stream(container)
        return sum(packet.stream_index == stream.index for packet in packets(container, Damage())) if stream else 0


def _describe(path: Path, container: InputContainer, stream: VideoStream) -> dict[str, Any]:
    """The facts of a video stream; its size is (0, 0) when its beginning tells none."""
    context = stream.codec_context
    if context.width * context.height > MAX_PIXELS:
        raise MediaError(
            f"{path} has pictures of {context.width} x {context.height} pixels, over the limit of "
            f"{MEGAPIXELS} megapixels.",
            "Export it at a smaller size.",
        )
    stamps, first = _sample(container, stream)
    if first:
        size = (first.width, first.height)
    else:
        size = (context.width, context.height) if stamps else (0, 0)  # a header without any packet holds no pictures
    orientation = Orientation.of(first) if first else Orientation()
    rate, variable = _spacing(stamps, float(stream.time_base or 0))
    shown = first.pts if first and container.format.name != "avi" else None  # AVI: see stamp_of
    ticks = min(stamps, default=0) if shown is None else shown
    aspect = stream.sample_aspect_ratio
    return {
        "codec": context.name,
        "size": size[::-1] if orientation.transposed else size,
        "rate": rate or _stated_rate(stream),
        "variable_rate": variable,
        "start_s": ticks * float(stream.time_base or 0),
        "rotation": orientation.rotation,
        "mirrored": orientation.mirrored,
        "sample_aspect": float(aspect) if aspect else 1.0,
        "interlaced": bool(first and first.interlaced_frame),
    }


def _sample(container: InputContainer, stream: VideoStream) -> tuple[list[int], VideoFrame | None]:
    """Stamps of the first packets, and the first picture among them."""
    stamps: list[int] = []
    first: VideoFrame | None = None
    ignored = Damage()
    own = (packet for packet in packets(container, ignored) if packet.stream_index == stream.index)
    for packet in islice(own, PROBED_PACKETS):
        stamp = stamp_of(container, packet)
        if stamp is not None:
            stamps.append(stamp)
        if first is None:
            first = next(iter(decode(stream, packet, ignored) or ()), None)
    if first is None:
        first = next(iter(decode(stream, None, ignored) or ()), None)
    return stamps, first


def _spacing(stamps: list[int], time_base: float) -> tuple[float, bool]:
    """Pictures per second, 0 if unknown, and whether the distances between them vary."""
    ordered = sorted(set(stamps))
    steps = [later - earlier for earlier, later in pairwise(ordered)]
    if not steps or not time_base:
        return 0.0, False
    middle = statistics.median(steps)
    slack = min(max(1.0, 0.2 * middle), 0.5 * middle)  # stamps are rounded to whole ticks
    regular = [step for step in steps if abs(step - middle) <= slack]
    return 1 / (statistics.mean(regular or steps) * time_base), len(steps) - len(regular) > max(1, 0.05 * len(steps))


def _stated_rate(stream: VideoStream) -> float:
    """The rate a stream without time stamps states in its own headers, if that is believable."""
    for rate in (stream.guessed_rate, stream.codec_context.framerate):  # the latter is often the tick of the clock
        if rate and 1 <= rate <= 1000:
            return float(rate)
    return DEFAULT_RATE
