"""The experiments of masked frames, cross-attention and soft prompts in their smallest form, on drawn pictures."""

import json

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from sentio.affect.experiments import crossattn, masked, softprompt  # noqa: E402
from sentio.cli import main  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Gives the scores by variant of an experiment's smallest form."""

    def run(name: str) -> dict[str, dict[str, float]]:
        out = tmp_path_factory.mktemp(name)
        settings = ("--set", "videos=12", "--set", "seconds=4")
        assert main(["reproduce", name, "--out", str(out), "--quick", "--seeds", "1", *settings]) == 0
        found = json.loads((out / "results.json").read_text())["cells"]
        return {variant: cells[0] for variant, cells in found.items()}

    return run


def test_masked(cells):
    found = cells("masked")
    assert all(0 <= score <= 3 for cell in found.values() for score in (cell[name] for name in masked.MISSING))
    for cell in found.values():
        parts = (cell[f"{part}, {masked.LONG}"] for part in masked.PARTS.values())
        assert cell[masked.LONG] == pytest.approx(sum(parts))
    plain, filled = found[masked.NEVER], found[masked.FILLED]
    assert filled["none"] == plain["none"] and filled["75 %"] != plain["75 %"]  # one network, other faces


def test_crossattn(cells):
    found = cells("crossattn")
    face, voice = found["face alone"], found["voice alone"]
    assert face["F1, no sound"] == face["F1, 30 % of sound missing"] == face["F1"]
    assert voice["F1, 30 % of faces missing"] == voice["F1"]
    assert found[crossattn.BOTH]["F1"] != found["concatenation"]["F1"]


def test_softprompt(cells):
    found = cells("softprompt")
    face, voice = found["soft labels, face alone"], found["soft labels, voice alone"]
    assert face["CCC, no sound"] == face["CCC"] and voice["CCC, 30 % of faces missing"] == voice["CCC"]
    for cell in found.values():
        assert cell[softprompt.WHOLE] == pytest.approx((cell["CCC valence"] + cell["CCC arousal"]) / 2)
