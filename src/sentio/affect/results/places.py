"""Where a panel stands in a picture: beside its face, over as little as may be, and calm from frame to frame."""

from collections.abc import Iterable, Mapping, Sequence

from sentio.affect.results.canvas import Box

SLACK = 0.04
"""A face moves by this share of its panel's width before the panel follows."""
LOYALTY = 0.15
"""A panel changes sides at once when it would cover less there, by this share of itself."""
PATIENCE = 30
"""Frames in a row after which it changes sides for any gain."""
RANK = 0.004
"""What it costs to be a place further down the list, as a share of the panel."""
COVERED = {"own face": 2.0, "other face": 4.0, "panel": 8.0}
"""What it costs to cover a pixel of these."""
FAR = 0.5
"""What it costs to be a panel's height away from its face, in pixels of the panel."""


class Places:
    """The places of persons' panels; remembers where they were in the frame before."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, Box]] = {}  # side and place
        self._unhappy: dict[int, int] = {}  # frames in a row for which another side would have been better
        self._corner = 0

    def corner(self, size: tuple[float, float], faces: Mapping[int, Box], inside: Box) -> Box:
        """Where a panel of nobody's goes: below on the left, or in another corner if it covers less there."""
        left, top, right, bottom = _corners(size, inside)
        places = [(*place, *size) for place in ((left, bottom), (right, bottom), (right, top))]
        covered = [sum(overlap(place, face) for face in faces.values()) for place in places]
        best = min(range(len(places)), key=covered.__getitem__)
        if covered[self._corner] - covered[best] > LOYALTY * size[0] * size[1]:
            self._corner = best
        return places[self._corner]

    def find(
        self,
        person: int,
        size: tuple[float, float],
        faces: Mapping[int, Box],
        panels: Iterable[Box],
        inside: Box,
        gap: float,
    ) -> Box:
        """Where the panel of a person goes.

        Args:
            person: whose.
            size: (width, height) of the panel.
            faces: of all in the picture, by person; who is not among them keeps the place of the frame before.
            panels: those that have a place already.
            inside: the part of the picture in which panels may be.
            gap: between face and panel.
        """
        before, last = self._last.get(person, (-1, inside))
        if person not in faces:
            side, place = before, _within((*last[:2], *size), inside)
        else:
            area = size[0] * size[1]
            places = [_within((*place, *size), inside) for place in beside(faces[person], size, inside, gap)]
            prices = [_price(place, person, faces, panels) + RANK * rank * area for rank, place in enumerate(places)]
            side = self._side(person, before, prices, area)
            place = places[side]
            if side == before:
                place = _within((*_follow(last, place, SLACK * size[0]), *size), inside)
        self._last[person] = side, place
        return place

    def _side(self, person: int, before: int, prices: Sequence[float], area: float) -> int:
        """The cheapest one, or that of the frame before as long as it is not much worse, nor worse for long."""
        best = min(range(len(prices)), key=prices.__getitem__)
        self._unhappy[person] = 0 if before == best else self._unhappy.get(person, 0) + 1
        if before >= 0 and prices[before] - prices[best] <= LOYALTY * area and self._unhappy[person] <= PATIENCE:
            return before
        self._unhappy[person] = 0
        return best


def beside(face: Box, size: tuple[float, float], inside: Box, gap: float) -> Sequence[tuple[float, float]]:
    """Left upper corners that a panel may have, the likeliest first: around its face, then in the picture's corners."""
    x, y, width, height = face
    left, top, right, bottom = _corners(size, inside)
    after, before = x + width + gap, x - gap - size[0]
    under, over = y + height + gap, y - gap - size[1]
    around = [(after, y), (before, y), (after, y + height - size[1]), (before, y + height - size[1])]
    return [*around, (x, under), (x, over), (right, top), (left, top), (right, bottom), (left, bottom)]


def _corners(size: tuple[float, float], inside: Box) -> tuple[float, float, float, float]:
    """The least and the largest coordinates that a panel's left upper corner may have."""
    left, top, wide, high = inside
    return left, top, left + wide - size[0], top + high - size[1]


def overlap(one: Box, other: Box) -> float:
    """Pixels that two boxes share."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def distance(one: Box, other: Box) -> float:
    """Pixels between two boxes, along the axis that parts them most; 0 if they overlap."""
    return max(
        0.0, *(max(a - b - c, b - a - d) for a, b, c, d in zip(one[:2], other[:2], other[2:], one[2:], strict=True))
    )


def _price(place: Box, person: int, faces: Mapping[int, Box], panels: Iterable[Box]) -> float:
    of_faces = (
        COVERED["own face" if other == person else "other face"] * overlap(place, box) for other, box in faces.items()
    )
    covered = sum(of_faces) + sum(COVERED["panel"] * overlap(place, panel) for panel in panels)
    return covered + FAR * distance(place, faces[person]) * place[2]


def _within(box: Box, inside: Box) -> Box:
    """The box moved so that it lies inside, as far as it can."""
    x = max(inside[0], min(box[0], inside[0] + inside[2] - box[2]))
    y = max(inside[1], min(box[1], inside[1] + inside[3] - box[3]))
    return x, y, box[2], box[3]


def _follow(last: Box, target: Box, slack: float) -> tuple[float, float]:
    """Where a panel moves to that lags behind by up to ``slack``."""
    x, y = (min(max(last[axis], target[axis] - slack), target[axis] + slack) for axis in (0, 1))
    return x, y
