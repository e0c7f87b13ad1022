"""What can be named: trainable systems and the weights that are embedded, fetched or to be had."""

from dataclasses import dataclass
from typing import Literal

from sentio.core import registry, weights

State = Literal["embedded", "fetched", "not fetched", "trainable"]


@dataclass(frozen=True)
class Model:
    """A line of ``sentio models``. A ``trainable`` system has code here but no weights of that name."""

    name: str
    state: State
    summary: str
    licence: str
    megabytes: float


def models() -> list[Model]:
    """All weights and all trainable systems, weights first."""
    found = [_of_card(card) for card in weights.cards().values()]
    named = {model.name for model in found}
    rest = [entry for name, entry in registry.entries().items() if name not in named]
    return found + [Model(entry.name, "trainable", entry.summary, "Apache-2.0", 0.0) for entry in rest]


def _of_card(card: weights.Card) -> Model:
    remote = any(file.url for file in card.files.values())
    here = all(file.path.is_file() for file in card.files.values())
    state: State = ("fetched" if here else "not fetched") if remote else "embedded"
    size = sum(file.bytes for file in card.files.values()) / 1e6
    return Model(card.name, state, card.summary, card.licence, round(size, 2))
