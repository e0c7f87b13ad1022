"""A media file opened safely: what it holds, its packets one by one, and what is wrong with it.

The file is handed to FFmpeg as bytes, without its name: what it is follows from its content alone, its name may be
anything, and a playlist inside cannot make FFmpeg open another file or an address. FFmpeg's own messages stay off
(PyAV's default); what they would tell is in `MediaError` and in `Damage`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
from types import SimpleNamespace
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from sentio.affect.media.damage import Damage
from sentio.core.errors import InputError

MAX_PIXELS = 1 << 27
"""Largest picture that is decoded (134 megapixels, 16 times 4K): beyond it a few bytes could fill the memory."""

MEGAPIXELS = MAX_PIXELS // 10**6

READ_FAILURES = 64
"""Failed reads in a row after which the rest of a file is given up; each one moves on by at least a packet."""

SHORTFALL_S = 0.5
"""A file whose packets end this much before its declared length was cut off."""

DECLARING = ("mov", "matroska", "flv", "avi", "asf")
"""Containers whose header declares the length; elsewhere FFmpeg estimates it from what is there."""

MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


class MediaError(InputError):
    """A file or folder that gives neither pictures nor sound."""


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
        MediaError: missing, unreadable, empty, cut off, or not media.
    """
    with accessing(path):
        if not S_ISREG(path.stat().st_mode):
            raise MediaError(f"{path} is not a regular file.", "Give a file or a folder of images.")
        file = path.open("rb")
    with file:
        head = file.read(8)
        file.seek(0)
        if not head:
            raise MediaError(f"{path} is empty (0 bytes).", "Copy or record it again.")
        nameless = SimpleNamespace(read=file.read, seek=file.seek, tell=file.tell)
        try:
            container = av.open(nameless, "r", options={"max_pixels": str(MAX_PIXELS)}, metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise _unreadable(path, head) from error
        with container:
            yield container


def _unreadable(path: Path, head: bytes) -> MediaError:
    if head[4:8] in MP4_BOXES:
        return MediaError(
            f"{path} is cut off or damaged: the index of this MP4 or MOV file, which tells where its pictures "
            "are, cannot be read.",
            "Copy or export it again; an interrupted recording may be repaired by the device that made it.",
        )
    return MediaError(
        f"{path} is not a video, sound or image file, or its beginning is damaged.",
        "Play it in a media player; if it plays, export it as MP4 with H.264 and AAC.",
    )


def video_stream(container: InputContainer) -> VideoStream | None:
    """The stream of moving pictures, ready to decode in one thread; cover art of a sound file is none."""
    best = container.streams.best("video")
    candidates = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    stream = best if best in candidates else next(iter(candidates), None)
    return _ready(stream) if isinstance(stream, VideoStream) else None


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The best sound stream, ready to decode in one thread."""
    stream = container.streams.best("audio")
    return _ready(stream) if isinstance(stream, AudioStream) else None


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
    if not container.duration or not container.format.name.startswith(DECLARING):
        return None
    end_s = ((container.start_time or 0) + container.duration) / av.time_base
    return end_s if end_s - reached_s > SHORTFALL_S else None
