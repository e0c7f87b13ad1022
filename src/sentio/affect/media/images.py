"""Single images and folders of images."""

import re
from collections.abc import Generator
from pathlib import Path

import av
import cv2
import numpy as np

from sentio.affect.media.container import MAX_PIXELS, MEGAPIXELS, MediaError, accessing, open_container
from sentio.affect.media.damage import Damage
from sentio.affect.media.frame import Frame, Image
from sentio.affect.media.info import Info

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


def read_image(path: Path) -> tuple[Image, bool]:
    """RGB pixels (H, W, 3), uint8, turned upright by EXIF; and whether FFmpeg finds its data damaged.

    OpenCV makes the pixels, for it follows all eight orientations of EXIF. FFmpeg looks at the file before: at its
    size, so that a bomb is never unpacked, and strictly at its data, since OpenCV shows a damaged JPEG without a word.

    Raises:
        MediaError: not an image, cut off, damaged beyond showing, or over `MAX_PIXELS`.
    """
    doubtful = _is_damaged(path)
    with accessing(path):
        data = np.fromfile(path, np.uint8)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise MediaError(f"The image {path} is cut off or damaged.", "Copy or export it again.")
    return np.asarray(pixels, np.uint8), doubtful


def _is_damaged(path: Path) -> bool:
    with open_container(path) as container:
        context = container.streams.video[0].codec_context if container.streams.video else None
        if context is None or not 0 < context.width * context.height <= MAX_PIXELS:
            raise MediaError(
                f"The image {path} is damaged or larger than {MEGAPIXELS} megapixels.",
                "Export it again, at a smaller size.",
            )
        context.thread_count = 1
        strict = {"err_detect": "explode"} if context.name == "mjpeg" else {}  # strict TIFF refuses healthy files
        context.options = {"max_pixels": str(MAX_PIXELS), **strict}
        try:
            return next(container.decode(video=0), None) is None
        except av.FFmpegError:
            return True


def describe_images(paths: list[Path], rate: float) -> Info:
    """What a list of images holds, from the first one that can be read.

    Raises:
        MediaError: none can be read.
    """
    for path in paths:
        try:
            pixels, _ = read_image(path)
        except MediaError as error:
            if len(paths) == 1:
                raise
            refusal = error
            continue
        size = (pixels.shape[1], pixels.shape[0])
        return Info(
            "images", True, False, len(paths) / rate, codec=path.suffix.lower().lstrip("."), size=size, rate=rate
        )
    raise MediaError(f"None of the {len(paths)} images of {paths[0].parent} can be read.", refusal.fix)


def read_images(paths: list[Path], rate: float, damage: Damage) -> Generator[Frame, None, None]:
    """One frame per image, at position / rate seconds; an unreadable one leaves its place empty."""
    for index, path in enumerate(paths):
        try:
            pixels, doubtful = read_image(path)
        except MediaError:
            damage.packets += 1
            damage.add_gap(index / rate, (index + 1) / rate, 1)
            continue
        damage.frames_doubtful += doubtful
        yield _frame(index, index / rate, pixels, doubtful)


def _frame(index: int, time_s: float, pixels: Image, doubtful: bool) -> Frame:
    height, width = pixels.shape[:2]

    def render(shown: int) -> Image:
        if shown == width:
            return pixels
        target = (shown, max(1, round(height * shown / width)))
        return np.asarray(cv2.resize(pixels, target, interpolation=cv2.INTER_AREA), np.uint8)

    return Frame(index, time_s, (width, height), render, doubtful)
