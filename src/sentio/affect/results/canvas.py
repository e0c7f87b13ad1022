"""A picture to draw on: text, panels, bars and outlines with smooth edges, all blended over what is there.

Places and lengths are pixels and may be fractions; colours are "#rrggbb".
"""

import math
import unicodedata
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.media.frame import Image

FINE = 4
"""Text and corners are drawn so many times larger and averaged: their edges are smooth at any size."""
FONT = cv2.FONT_HERSHEY_SIMPLEX
CAPITAL, DESCENT = 21.0, 10.0
"""Pixels of a capital above the line, and of a letter that reaches below it, at scale 1 of the font."""
BITS = 4
"""Of a pixel's fraction, for OpenCV."""
ARC = np.radians(np.arange(0, 91, 10))

Mask = NDArray[np.float32]
Box = tuple[float, float, float, float]
"""Left, top, width, height."""


class Canvas:
    """A picture that is drawn on in place.

    Args:
        picture: RGB (H, W, 3), uint8, contiguous.
    """

    def __init__(self, picture: Image) -> None:
        self.picture = picture
        self.height, self.width = picture.shape[:2]

    def panel(self, box: Box, radius: float, colour: str, opacity: float = 1.0) -> None:
        """Fill a rectangle with round corners."""
        x, y, width, height = (round(value) for value in box)
        if width > 0 and height > 0:
            self._blend(x, y, rounded(width, height, min(round(radius), width // 2, height // 2)), colour, opacity)

    def text(self, x: float, y: float, text: str, size: float, colour: str, *, align: float = 0.0) -> None:
        """Write one line.

        Args:
            x: where it begins, or ends for an ``align`` of 1.
            y: the line on which it stands.
            text: what; letters that the font lacks lose their marks or are question marks.
            size: height of a capital.
            colour: of the letters.
            align: share of its width that lies before x.
        """
        mask = written(plain(text), round(size, 1))
        rise = mask.shape[0] - below(size)
        self._blend(round(x - align * mask.shape[1]), round(y) - rise, mask, colour, 1.0)

    def outline(self, box: Box, radius: float, thickness: float, colour: str, *, dashes: float = 0.0) -> None:
        """Draw the border of a rectangle with round corners; broken into dashes of this length, if any."""
        points = border(box, radius)
        lines = [points] if not dashes else dashed(points, dashes)
        fixed: list[Any] = [np.round(line * (1 << BITS)).astype(np.int32) for line in lines]
        width = max(1, round(thickness))
        cv2.polylines(self.picture, fixed, not dashes, rgb(colour), width, cv2.LINE_AA, BITS)

    def _blend(self, x: int, y: int, mask: Mask, colour: str, opacity: float) -> None:
        """Lay a colour over the pixels from (x, y) on, as far as a mask (0 to 1) lets it; what lies beyond is cut."""
        top, left = max(0, y), max(0, x)
        under = self.picture[top : max(top, y + mask.shape[0]), left : max(left, x + mask.shape[1])]
        if under.size:
            share = opacity * mask[top - y :, left - x :][: under.shape[0], : under.shape[1]]
            full = np.full(under.shape, rgb(colour), np.uint8)
            under[:] = cv2.blendLinear(full, np.ascontiguousarray(under), share, 1 - share)


@lru_cache(512)
def written(text: str, size: float) -> Mask:
    """A line of text of capitals so high, as a mask (H, W): it stands `below` above the end of the mask."""
    scale = FINE * size / CAPITAL
    weight = max(1, round(FINE * size * 0.13))
    width = cv2.getTextSize(text, FONT, scale, weight)[0][0]
    rows, columns = round(1.35 * size) + 2 + below(size), max(1, -(-(width + weight) // FINE))
    large = np.zeros((FINE * rows, FINE * columns), np.uint8)
    line = FINE * (rows - below(size))
    cv2.putText(large, text, (weight // 2, line), FONT, scale, 255, weight, cv2.LINE_AA)
    small = cv2.resize(large, (columns, rows), interpolation=cv2.INTER_AREA)
    return _share(small)


def below(size: float) -> int:
    """Pixels that letters reach below the line, if capitals are so high."""
    return math.ceil(DESCENT / CAPITAL * size)


def _share(levels: Any) -> Mask:
    """0 to 255 as 0 to 1."""
    return np.asarray(levels * np.float32(1 / 255), np.float32)


def width_of(text: str, size: float) -> int:
    """Pixels that a line of text takes."""
    return int(written(plain(text), round(size, 1)).shape[1])


def plain(text: str) -> str:
    """The text in the letters that the font has, which are ASCII; others lose their marks, or are question marks."""
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in bare)


@lru_cache(512)
def rounded(width: int, height: int, radius: int) -> Mask:
    """A full rectangle with round corners, as a mask (H, W)."""
    if not radius:
        return np.ones((height, width), np.float32)
    large = np.zeros((FINE * height, FINE * width), np.uint8)
    right, bottom, corner = FINE * width - 1, FINE * height - 1, FINE * radius
    cv2.rectangle(large, (corner, 0), (right - corner, bottom), 255, -1)
    cv2.rectangle(large, (0, corner), (right, bottom - corner), 255, -1)
    for x in (corner, right - corner):
        for y in (corner, bottom - corner):
            cv2.circle(large, (x, y), corner, 255, -1)
    return _share(cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA))


def border(box: Box, radius: float) -> NDArray[np.float64]:
    """Points (N, 2) around a rectangle with round corners, from the middle of its upper edge."""
    x, y, width, height = box
    radius = min(radius, width / 2, height / 2)
    corners = []
    for turn, (along, down) in enumerate(((1, 0), (1, 1), (0, 1), (0, 0))):
        centre = np.array([x + along * width + (1 - 2 * along) * radius, y + down * height + (1 - 2 * down) * radius])
        angle = ARC + np.pi / 2 * (turn - 1)
        corners.append(centre + radius * np.stack([np.cos(angle), np.sin(angle)], -1))
    return np.concatenate([[[x + width / 2, y]], *corners])


def dashed(points: NDArray[np.float64], length: float) -> list[NDArray[np.float64]]:
    """A closed line through points (N, 2) as dashes, each of two points, with gaps as long as they."""
    around = np.concatenate([points, points[:1]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(around, axis=0), axis=1))])
    count = max(2, round(along[-1] / (2 * length)))
    places = np.arange(2 * count) * along[-1] / (2 * count)
    ends = np.stack([np.interp(places, along, around[:, axis]) for axis in (0, 1)], -1)  # (2 count, 2)
    return list(ends.reshape(count, 2, 2))


def rgb(colour: str) -> tuple[int, int, int]:
    """ "#rrggbb" as three numbers."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
