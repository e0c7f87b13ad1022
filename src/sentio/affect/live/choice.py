"""Which models a live page may choose, and which one it begins with."""

from sentio.affect.analysis import models
from sentio.core import weights

TITLES = {
    "causal-av": "causal-av: what it saw and heard before counts",
    "causal": "causal: what it saw before counts",
    "capnet": "CAPNet: from faces that end a third of a second ago",
    "face": "face: every picture by itself",
    "none": "none: faces and places only",
}
"""Models that decide at once."""


def choose(asked: str = "auto") -> tuple[str, dict[str, str]]:
    """The model to begin with, and the titles of all that are there, by name.

    Args:
        asked: what `models.choose` takes: a name of weights, the path of an exported card, ``none``, or ``auto``.
    """
    titles = {name: title for name, title in TITLES.items() if name == "none" or name in weights.cards()}
    name = models.choose(asked, causal=True, sound=True)
    return name, titles if name in titles else {name: name, **titles}
