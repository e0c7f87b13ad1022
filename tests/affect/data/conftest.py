import shutil

import pytest

from sentio.affect.synth.moving_picture import MovingPicture, generate


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A small drawn set; read-only."""
    folder = tmp_path_factory.mktemp("data") / "drawn"
    generate(folder, MovingPicture(videos=4, seconds=5, seed=3))
    return folder


@pytest.fixture
def copy(drawn, tmp_path):
    """The same to be spoilt."""
    return shutil.copytree(drawn, tmp_path / "copy")
