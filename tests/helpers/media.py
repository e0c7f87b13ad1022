"""Small media files made on the spot: every picture carries its own number, every sound is a known tone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 12
TICK = Fraction(1, 90_000)


def picture(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """RGB image (H, W, 3): the number as a bar code in the top third, below it a red and a blue patch.

    A bar is at least 8 pixels wide at 96, which survives any lossy codec used in the tests.
    """
    image = np.full((height, width, 3), 128, np.uint8)
    edges = np.linspace(0, width, BITS + 1).astype(int)
    for bit in range(BITS):
        image[: height // 3, edges[bit] : edges[bit + 1]] = 255 if number >> bit & 1 else 0
    middle = height // 2
    image[middle:, : width // 4] = (220, 30, 30)
    image[middle:, -(width // 4) :] = (30, 30, 220)
    offset = number * 3 % (width // 3)
    image[middle:, width // 3 + offset : width // 3 + offset + 4] = 250
    return image


def number_in(image: np.ndarray) -> int:
    """The number drawn by `picture`, or -1 where a bar is neither black nor white."""
    height, width = image.shape[:2]
    centres = (np.linspace(0, width, BITS + 1)[:-1] + width / BITS / 2).astype(int)
    levels = image[height // 6, centres].mean(axis=1)
    if ((levels > 80) & (levels < 175)).any():
        return -1
    return int(sum(1 << bit for bit in range(BITS) if levels[bit] > 128))


def tone(seconds: float, rate: int = 48_000, hertz: float = 440.0, level: float = 0.5) -> np.ndarray:
    """A sine wave, float32 (N,)."""
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def write_media(
    path: Path,
    *,
    times: Sequence[float] | None = None,
    size: tuple[int, int] = (96, 64),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    gop: int = 12,
    rate: int = 25,
    time_base: Fraction = TICK,
    rotation: float = 0,
    mirrored: bool = False,
    bt709: bool = False,
    sample_aspect: Fraction | None = None,
    sound: np.ndarray | None = None,
    sound_rate: int = 48_000,
    sound_codec: str = "aac",
    sound_layout: str = "mono",
    sound_start: float = 0.0,
    container: dict[str, str] | None = None,
) -> Path:
    """Write one picture per entry of `times` (seconds) and, if given, `sound` (N,) or (channels, N)."""
    with av.open(str(path), "w", options=container or {}) as output:
        video = audio = None
        if times is not None:
            video = output.add_stream(codec, rate=rate, options=options or {})
            video.width, video.height, video.pix_fmt = *size, pix_fmt
            video.codec_context.time_base = time_base
            video.codec_context.gop_size = gop
            if rotation or mirrored:
                video.set_display_rotation(rotation, hflip=mirrored)
            if sample_aspect:
                video.codec_context.sample_aspect_ratio = sample_aspect
            if bt709:
                video.codec_context.colorspace = 1
        if sound is not None:
            audio = output.add_stream(sound_codec, rate=sound_rate, layout=sound_layout)
        if video is not None:
            for number, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
                if bt709:
                    frame = frame.reformat(format=pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG")
                frame.pts, frame.time_base = round(time / time_base), time_base
                output.mux(video.encode(frame))
            output.mux(video.encode(None))
        if audio is not None:
            _encode_sound(output, audio, np.atleast_2d(sound), sound_rate, sound_layout, sound_start)
    return path


def _encode_sound(output, stream, samples, rate, layout, start) -> None:
    for begin in range(0, samples.shape[1], 1024):
        block = np.ascontiguousarray(samples[:, begin : begin + 1024], np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = begin + round(start * rate)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def steady(count: int, rate: float = 25, start: float = 0.0) -> list[float]:
    """`count` time stamps at a constant rate."""
    return [start + index / rate for index in range(count)]


def burst(path: Path, at: float = 1 / 3, size: int = 20_000, seed: int = 0) -> Path:
    """Overwrite `size` bytes with random ones, from the fraction `at` of the file on."""
    data = bytearray(path.read_bytes())
    begin = int(len(data) * at)
    data[begin : begin + size] = np.random.default_rng(seed).bytes(min(size, len(data) - begin))
    path.write_bytes(data)
    return path
