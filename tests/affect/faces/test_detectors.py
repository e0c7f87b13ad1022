"""The table of detectors: which is taken, what is said of it, and what is refused."""

import subprocess
import sys
from typing import get_args

import pytest

from sentio.affect.faces.detectors import NAMES, DetectorName, describe, open_detector, resolve
from sentio.affect.faces.grid import GridDetector
from sentio.core import weights
from sentio.core.errors import RecipeError, WeightsError


def test_every_choice_is_in_the_table_and_the_other_way_round() -> None:
    assert get_args(DetectorName) == ("auto", *NAMES)


def test_an_unknown_detector_is_refused_with_the_choices() -> None:
    with pytest.raises(RecipeError, match="mtcnn") as error:
        open_detector("mtcnn")
    assert all(name in error.value.fix for name in get_args(DetectorName))


def test_without_fetched_weights_the_packages_own_is_taken(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SENTIO_CACHE", str(tmp_path))
    assert resolve() == "builtin" and isinstance(open_detector(), GridDetector)
    with pytest.raises(WeightsError, match="sentio models fetch yunet"):
        open_detector("yunet")


def test_with_fetched_weights_yunet_is_taken(yunet) -> None:
    assert resolve() == "yunet"


@pytest.mark.parametrize(("name", "card"), [("builtin", "detector"), ("yunet", "yunet")])
def test_licence_and_provenance_are_those_of_the_card(name, card) -> None:
    told, known = describe(name), weights.card(card)
    assert (told["name"], told["weights"], told["licence"]) == (name, card, known.licence)
    assert known.source in told["provenance"] and known.files["onnx"].sha256 in told["provenance"]


def test_the_cascades_are_opencvs() -> None:
    told = describe("haar")
    assert "OpenCV" in told["provenance"] and told["licence"]


def test_damaged_weights_are_refused(shared, tmp_path, monkeypatch) -> None:
    data = bytearray((shared / "data/affect/models/yunet/yunet_n_dynamic.onnx").read_bytes())
    data[1000] ^= 1
    (tmp_path / "yunet_n_dynamic.onnx").write_bytes(data)
    monkeypatch.setenv("SENTIO_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="damaged"):
        open_detector()


def test_the_table_opens_no_library_of_pictures() -> None:
    code = "import sys; import sentio.affect.faces.detectors; print({'cv2', 'numpy', 'onnxruntime'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
