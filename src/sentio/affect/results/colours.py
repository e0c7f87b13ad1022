"""Colours of what is read, the same in every picture, page and film."""

from sentio.affect.labels import EXPRESSIONS

CURVES = {"valence": "#1763a6", "arousal": "#d1495b"}
"""Of lines on a light ground."""
CURVES_ON_DARK = {"valence": "#6cb2f0", "arousal": "#f28b98"}
"""Of lines on a dark ground."""
_CLASSES = ("#c3c9d0", "#d97a63", "#a3b35a", "#a58cc9", "#efc45a", "#7fa6cf", "#63bdb4", "#b5a595")
CLASSES = dict(zip(EXPRESSIONS, _CLASSES, strict=True))
"""Of the expressions, on any ground; what is written on them is dark."""

PERSONS = ("#56b4e9", "#e69f00", "#ebebb1", "#89894e", "#8976ff", "#ff009d", "#b1ff76")
"""One after the other, on a dark ground. Any two lie at least 25 apart in CIELAB, also for eyes that lack the cones for
red, for green or for blue: found by taking, after the first two, the colour farthest from all before it."""
GROUND, LIGHT, DIM, WARNING = "#14171c", "#f4f5f7", "#aab1bb", "#ffc861"
"""Of a panel over a picture: the ground, what is written, what matters less, and what is doubtful."""


def of_person(number: int) -> str:
    """The colour of a person."""
    return PERSONS[number % len(PERSONS)]
