"""A media file opened safely: what it holds, its packets one by one, and what is wrong with it.

A file may have been made to do harm. It is handed to FFmpeg as bytes, without its name: what it is follows from its
content alone, and its name may be anything. Only the demuxers of `FORMATS` may read it, none of which opens anything
else; should one ask to, it is refused. FFmpeg's own messages stay off (PyAV's default); what they would tell is in
`MediaError` and in `Damage`.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from sentio.affect.media.damage import Damage
from sentio.affect.media.source import MediaError, Source
from sentio.affect.media.stamps import declared_end

FORMATS = (
    *("mov", "matroska", "avi", "mpeg", "mpegvideo", "mpegts", "flv", "asf", "ogg", "mxf", "dv", "gif", "apng", "ivf"),
    *("mjpeg", "h264", "hevc", "m4v", "obu"),  # pictures without a container
    *("wav", "w64", "aiff", "caf", "au", "amr", "flac", "mp3", "aac", "ac3", "eac3"),
    *("bmp_pipe", "jpeg_pipe", "png_pipe", "tiff_pipe", "webp_pipe"),
)
"""FFmpeg's demuxers that may read a file. Left out are those that open other files or addresses (concat, hls, dash,
sdp, rtsp, image2), subtitles, text, and what nobody records in."""

OPEN_S = 60.0
"""Longest time in which FFmpeg may find out what a file is, and for reading one packet."""

READ_BYTES = 1 << 18
"""Bytes that are asked of a file at once."""

MAX_PIXELS = 1 << 27
"""Largest picture that is decoded (134 megapixels, 16 times 4K): beyond it a few bytes could fill the memory."""

MEGAPIXELS = MAX_PIXELS // 10**6

READ_FAILURES = 64
"""Failed reads in a row after which the rest of a file is given up; each one moves on by at least a packet."""

LEAST_RATE = 1000
"""Samples per second below which there is no sound: a few bytes at 1 Hz are hours of it."""

SHORTFALL_S = 0.5
"""A file whose packets end this much before its declared length was cut off."""

DECLARING = ("mov", "matroska", "flv", "avi", "asf")
"""Containers whose header declares the length; elsewhere FFmpeg estimates it from what is there."""

MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


@contextmanager
def accessing(path: Path) -> Iterator[None]:
    """Turn a refusal of the file system into a sentence about the path."""
    try:
        yield
    except FileNotFoundError as error:
        raise MediaError(f"There is no file or folder {path}.", "Check the path.") from error
    except PermissionError as error:
        raise MediaError(f"{path} may not be read.", "Give yourself the right to read it, or copy it.") from error
    except (OSError, ValueError) as error:
        raise MediaError(f"{path} cannot be opened: {error}.", "Check the path.") from error


@contextmanager
def open_container(path: Path) -> Iterator[InputContainer]:
    """Open a regular file for demuxing; file and decoders are closed on leaving, whatever happens.

    Raises:
        MediaError: missing, unreadable, empty, cut off, not media, or it stalls.
        KeyboardInterrupt: Ctrl-C, also in the middle of a read that stalls.
    """
    with open_source(path) as source:
        head = source.read(8)
        source.seek(0)
        if not head:
            raise MediaError(f"{path} is empty (0 bytes).", "Copy or record it again.")
        try:
            container = _open(source)
        except (av.FFmpegError, OSError) as error:
            raise _unreadable(path, head) from error
        with container:
            yield container


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open a regular file; what ended its reading for good comes out here, whatever FFmpeg made of it.

    Raises:
        MediaError: missing, unreadable, or it stalls.
        KeyboardInterrupt: Ctrl-C.
    """
    with accessing(path):
        source = Source(path)
    try:
        yield source
    finally:
        source.close()
        if source.failure is not None:
            raise source.failure


def _open(source: Source) -> InputContainer:
    nameless = SimpleNamespace(read=source.read, seek=source.seek, tell=source.tell)
    return av.open(
        nameless,
        "r",
        options={"max_pixels": str(MAX_PIXELS)},
        container_options={"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"},
        metadata_errors="replace",
        buffer_size=READ_BYTES,
        timeout=(OPEN_S, OPEN_S),
        io_open=_refuse,
    )


def _refuse(address: str, *_: Any) -> NoReturn:
    raise PermissionError(f"a media file may not open {address!r}")


def _unreadable(path: Path, head: bytes) -> MediaError:
    if head[4:8] in MP4_BOXES:
        return MediaError(
            f"{path} is cut off or damaged: the index of this MP4 or MOV file, which tells where its pictures "
            "are, cannot be read.",
            "Copy or export it again; an interrupted recording may be repaired by the device that made it.",
        )
    return MediaError(
        f"{path} is not a video, sound or image file of a known format, or its beginning is damaged.",
        "Play it in a media player; if it plays, export it as MP4 with H.264 and AAC.",
    )


def video_stream(container: InputContainer) -> VideoStream | None:
    """The stream of moving pictures, ready to decode in one thread; cover art of a sound file is none."""
    best = container.streams.best("video")
    candidates = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    stream = best if best in candidates else next(iter(candidates), None)
    return _ready(stream) if isinstance(stream, VideoStream) else None


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The best sound stream, ready to decode in one thread; None where its rate is a lie that would fill the memory."""
    stream = container.streams.best("audio")
    if not isinstance(stream, AudioStream) or (stream.codec_context and 0 < stream.codec_context.rate < LEAST_RATE):
        return None
    return cast(AudioStream | None, _ready(stream))


def _ready(stream: Any) -> Any:
    if stream.codec_context is None:  # FFmpeg knows the container but not this codec
        return None
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def packets(container: InputContainer, damage: Damage) -> "Iterator[Packet[Any]]":
    """Packets of all streams in file order; a read that fails is counted and passed over."""
    failures = 0
    while failures < READ_FAILURES:
        try:
            for packet in container.demux():
                failures = 0
                if packet.size:  # an empty packet would tell the decoder that the stream is over
                    yield packet
            return
        except IndexError:  # PyAV, at the end of a file in which streams turned up that its beginning did not have
            return
        except (av.FFmpegError, OSError):
            failures += 1
            damage.packets += 1


def decode(stream: Any, packet: "Packet[Any] | None", damage: Damage) -> list[Any] | None:
    """Pictures or sounds that a packet brings forth (None as packet: the last ones), or None if it is damaged."""
    try:
        return list(stream.codec_context.decode(packet))
    except av.FFmpegError:
        damage.packets += 1
        return None


def stamp_of(container: InputContainer, packet: "Packet[Any]") -> int | None:
    """Presentation stamp of a packet, in ticks; AVI stores none, there it is the one of decoding."""
    return packet.dts if container.format.name == "avi" else packet.pts


def cut_off_end(container: InputContainer, reached_s: float) -> float | None:
    """Where the file was to end, in seconds, if its packets stop well before; None if it is whole or does not tell."""
    end_s = declared_end(container)
    if math.isinf(end_s) or not container.format.name.startswith(DECLARING):
        return None
    return end_s if end_s - reached_s > SHORTFALL_S else None
