"""Single images and folders of images."""

import re
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import av
from av.video.frame import VideoFrame

from sentio.affect.media.container import MAX_PIXELS, MEGAPIXELS, accessing, open_container
from sentio.affect.media.damage import Damage
from sentio.affect.media.exif import exif_orientation
from sentio.affect.media.frame import Frame
from sentio.affect.media.info import IMAGES, Info
from sentio.affect.media.orientation import Orientation
from sentio.affect.media.picture import frame_of
from sentio.affect.media.source import MediaError, StallError
from sentio.core.counts import counted

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Files of a folder that are taken for images; a single image is known by its content."""

STILL = "_pipe"
"""End of the names that FFmpeg gives to formats of one still image ("png_pipe")."""


def list_images(folder: Path) -> list[Path]:
    """The images of a folder, not of those below it, in natural order: 2.jpg before 10.jpg; hidden files left out.

    Raises:
        MediaError: the folder cannot be read or has none.
    """
    with accessing(folder):
        paths = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    if not paths:
        raise MediaError(f"The folder {folder} holds no images.", f"Images are files ending in {', '.join(SUFFIXES)}.")
    return sorted(paths, key=_natural)


def _natural(path: Path) -> tuple[list[str | int], str]:
    parts = re.split(r"([0-9]+)", path.name.lower())
    return [int(part) if part.isdigit() else part for part in parts], path.name


def read_image(path: Path) -> tuple[VideoFrame, Orientation, bool]:
    """A decoded picture, how it is to be turned, and whether its data are damaged.

    It is decoded strictly first, for FFmpeg else shows a damaged JPEG without a word.

    Raises:
        MediaError: not an image, cut off, damaged beyond showing, or over `MAX_PIXELS`.
    """
    picture, orientation = _decode(path, strict=True)
    if picture is not None:
        return picture, orientation, False
    picture, orientation = _decode(path, strict=False)
    if picture is None:
        raise MediaError(f"The image {path} is cut off or damaged.", "Copy or export it again.")
    return picture, orientation, True


def _decode(path: Path, *, strict: bool) -> tuple[VideoFrame | None, Orientation]:
    with open_container(path) as container:
        context = container.streams.video[0].codec_context if container.streams.video else None
        if context is None or not 0 < context.width * context.height <= MAX_PIXELS:
            raise MediaError(
                f"The image {path} is damaged or larger than {MEGAPIXELS} megapixels.",
                "Export it again, at a smaller size.",
            )
        context.thread_count = 1
        context.options = {"max_pixels": str(MAX_PIXELS)}
        if strict and context.name != "tiff":  # strict TIFF refuses healthy files
            context.options |= {"err_detect": "explode"}
        data = b""
        with suppress(av.FFmpegError):
            for packet in container.demux(video=0):
                data = data or bytes(packet)  # of a still picture the first packet is the file
                for picture in packet.decode():
                    return picture, exif_orientation(data)
    return None, Orientation()


def describe_images(paths: list[Path], rate: float) -> Info:
    """What a list of images holds, from the first one that can be read.

    Raises:
        MediaError: none can be read, or a read stalls.
    """
    for path in paths:
        try:
            picture, orientation, _ = read_image(path)
        except StallError:
            raise
        except MediaError as error:
            if len(paths) == 1:
                raise
            refusal = error
            continue
        size = frame_of(path, 0, 0.0, picture, orientation, False).size
        return Info(IMAGES, True, False, len(paths) / rate, codec=path.suffix.lower().lstrip("."), size=size, rate=rate)
    raise MediaError(f"None of the {counted(len(paths), 'image')} of {paths[0].parent} can be read.", refusal.fix)


def read_images(paths: list[Path], rate: float, damage: Damage) -> Generator[Frame, None, None]:
    """One frame per image, at position / rate seconds; an unreadable one leaves its place empty."""
    for index, path in enumerate(paths):
        try:
            picture, orientation, doubtful = read_image(path)
        except StallError:
            raise
        except MediaError:
            damage.packets += 1
            damage.add_gap(index / rate, (index + 1) / rate, 1)
            continue
        damage.frames_doubtful += doubtful
        yield frame_of(path, index, index / rate, picture, orientation, doubtful)
