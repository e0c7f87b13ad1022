"""A decoded picture as a frame."""

from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from sentio.affect.media.frame import Frame, Image
from sentio.affect.media.orientation import Orientation
from sentio.affect.media.source import MediaError


def frame_of(
    path: Path, index: int, time_s: float, picture: VideoFrame, orientation: Orientation, doubtful: bool
) -> Frame:
    """The frame whose pixels are made of a decoded picture when they are asked for; they raise MediaError where the
    picture has no RGB form."""
    stored = (picture.width, picture.height)
    size = stored[::-1] if orientation.transposed else stored

    def render(width: int) -> Image:
        shown = (width, max(1, round(size[1] * width / size[0])))
        target = shown[::-1] if orientation.transposed else shown
        method = Interpolation.BILINEAR if target == stored else Interpolation.AREA
        try:
            pixels = picture.to_ndarray(
                width=target[0], height=target[1], format="rgb24", interpolation=method, threads=1
            )
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(f"Frame {index} of {path} has no RGB form: {error}.") from error
        return orientation.apply(np.asarray(pixels, np.uint8))  # (H, W, 3)

    return Frame(index, time_s, size, render, doubtful)
