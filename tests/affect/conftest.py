"""Both face detectors, for the tests that need one."""

import pytest

from sentio.affect.faces import Haar, YuNet


@pytest.fixture
def yunet(shared, monkeypatch) -> YuNet:
    monkeypatch.setenv("SENTIO_CACHE", str(shared / "data/affect/models/yunet"))
    return YuNet()


@pytest.fixture(params=["haar", "yunet"])
def detector(request):
    return Haar() if request.param == "haar" else request.getfixturevalue("yunet")
