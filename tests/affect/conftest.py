"""All face detectors, and small affect models, for the tests that need one."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from sentio.affect.faces.detection import Detector
from sentio.affect.faces.detectors import NAMES, open_detector
from sentio.affect.synth.moving_picture import MovingPicture, generate
from sentio.core import weights


@pytest.fixture
def yunet(shared, monkeypatch) -> Detector:
    monkeypatch.setenv("SENTIO_CACHE", str(shared / "data/affect/models/yunet"))
    return open_detector("yunet")


@pytest.fixture(params=NAMES)
def detector(request):
    return request.getfixturevalue("yunet") if request.param == "yunet" else open_detector(request.param)


@pytest.fixture(scope="module")
def tiny_models(tmp_path_factory) -> Iterator[Path]:
    """Affect models of random weights in the place of the embedded ones; the folder that holds them."""
    pytest.importorskip("onnx", reason="needs the dev extra")
    import tiny_models

    with pytest.MonkeyPatch.context() as patch:
        yield tiny_models.install(tmp_path_factory.mktemp("weights"), patch)
    weights.cards.cache_clear()


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A small drawn set; read-only."""
    folder = tmp_path_factory.mktemp("data") / "drawn"
    generate(folder, MovingPicture(videos=4, seconds=5, seed=3))
    return folder


@pytest.fixture(scope="session")
def silent_clip(clips, tmp_path_factory) -> Path:
    """The pictures of talking.mp4 to the bit, without its sound."""
    path = tmp_path_factory.mktemp("clips") / "silent.mp4"
    with av.open(str(clips / "talking.mp4")) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path


@pytest.fixture
def copy(drawn, tmp_path):
    """The same to be spoilt."""
    return shutil.copytree(drawn, tmp_path / "copy")
