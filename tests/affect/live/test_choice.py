"""Which models a page may choose."""

from sentio.affect.analysis.models import open_models
from sentio.affect.live.choice import choose
from sentio.core import weights


def test_there_is_a_first_one_that_decides_at_once() -> None:
    name, titles = choose()
    assert name in titles and name in weights.cards() and open_models(name, causal=True).face
    assert {"face", "none"} <= set(titles) and all(titles.values())


def test_a_model_that_was_asked_for_can_be_chosen_again() -> None:
    assert choose("none")[0] == "none"
    name, titles = choose("own/card.json")
    assert name == next(iter(titles)) == "own/card.json" and titles["face"] == choose()[1]["face"]
