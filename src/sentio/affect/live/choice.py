"""Which models a live page may choose, and which one it begins with."""

from sentio.core import weights

TITLES = {
    "causal": "causal: what it saw before counts",
    "capnet": "CAPNet: from faces that end a third of a second ago",
    "face": "face: every picture by itself",
    "none": "none: faces and places only",
}
"""Models that decide at once, the best first."""


def choose(asked: str = "auto") -> tuple[str, dict[str, str]]:
    """The model to begin with, and the titles of all that are there, by name.

    Args:
        asked: a name of weights, the path of an exported card, ``none``, or ``auto``: the best that is there.
    """
    titles = {name: title for name, title in TITLES.items() if name == "none" or name in weights.cards()}
    name = next(iter(titles)) if asked == "auto" else asked
    return name, titles if name in titles else {name: name, **titles}
