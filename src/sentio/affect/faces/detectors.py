"""Which face detectors there are, and which one is taken. Quick to import: each is loaded when it is opened."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from sentio.core import weights
from sentio.core.errors import RecipeError

if TYPE_CHECKING:
    from sentio.affect.faces.detection import Detector

DetectorName = Literal["auto", "builtin", "yunet", "haar"]
"""What can be asked for. ``builtin`` comes with the package, learnt from rendered heads; ``yunet`` is fetched; ``haar``
comes with OpenCV; ``auto`` is YuNet when it has been fetched, else ``builtin``."""


@dataclass(frozen=True)
class _Entry:
    """How a detector is opened, and the card of its weights, if they are ours to describe."""

    open: "Callable[[], Detector]"
    card: str | None = None


def _grid(card: str) -> _Entry:
    def open_grid() -> "Detector":
        from sentio.affect.faces.grid import GridDetector

        return GridDetector(card)

    return _Entry(open_grid, card)


def _open_haar() -> "Detector":
    from sentio.affect.faces.haar import Haar

    return Haar()


_TABLE = {"builtin": _grid("detector"), "yunet": _grid("yunet"), "haar": _Entry(_open_haar)}
NAMES: tuple[str, ...] = tuple(_TABLE)
"""The detectors by name, the one that comes with the package first."""


def resolve(name: str = "auto") -> str:
    """The detector that a name stands for on this machine.

    Raises:
        RecipeError: there is none of that name.
    """
    if name not in get_args(DetectorName):
        raise RecipeError(f"There is no detector {name!r}.", f"Choose one of: {', '.join(get_args(DetectorName))}.")
    if name != "auto":
        return name
    return "yunet" if weights.is_present("yunet") else "builtin"


def open_detector(name: str = "auto") -> "Detector":
    """Open a detector; one object serves one thread.

    Raises:
        RecipeError: there is none of that name.
        WeightsError: its weights have not been fetched, or are damaged.
    """
    return _TABLE[resolve(name)].open()


def describe(name: str = "auto") -> dict[str, str]:
    """Name, licence and provenance, for the header of results; from the card of the weights, without opening them."""
    name = resolve(name)
    card_name = _TABLE[name].card
    if card_name is None:
        from sentio.affect.faces.haar import LICENCE, PROVENANCE

        return {"name": name, "licence": LICENCE, "provenance": PROVENANCE}
    card = weights.card(card_name)
    provenance = f"{card.source}, sha256 {card.files['onnx'].sha256}"
    return {"name": name, "weights": card.name, "licence": card.licence, "provenance": provenance}
