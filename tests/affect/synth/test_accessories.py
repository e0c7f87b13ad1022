"""What people wear or hold sits where it should on both rigs."""

import numpy as np
import pytest

from sentio.affect.synth import accessories, appearance, hair, rigs
from sentio.affect.synth.rig import CLOTH, FRAME


@pytest.fixture(scope="module", params=["ict", "mpfb"])
def rig(request, shared):
    return rigs.load(shared / f"data/affect/rig-{request.param}")


def test_a_cap_covers_the_skull_and_leaves_the_eyes_free(rig):
    head, rng = rig.vertices, np.random.default_rng(0)
    for _ in range(8):
        points, triangles = accessories.cap(hair.skull(rig, head), rng)
        assert triangles.max() < len(points)
        assert points[:, 1].max() > head[:, 1].max(), "the crown is under it"
        over_eyes = np.abs(points[:, 0]) < 4
        assert points[over_eyes, 1].min() > head[rig.landmarks[36:48], 1].max()


def test_a_microphone_is_before_the_face_and_below_the_nose(rig):
    rng = np.random.default_rng(1)
    mouth, nose = rig.vertices[rig.landmarks[[51, 57]]], rig.vertices[rig.landmarks[30]]
    for _ in range(8):
        points, _ = accessories.microphone(rig, rig.vertices, rng)
        assert points[:, 2].max() > mouth[:, 2].max()
        assert points[:, 1].max() < nose[1] + 2


def test_about_as_many_wear_them_as_is_said(rig, monkeypatch):
    monkeypatch.setattr(hair, "grow", lambda *_: (np.zeros((0, 3)), np.zeros((0, 3), np.int32), np.zeros((0, 2))))
    rng = np.random.default_rng(2)
    look = appearance.skin.draw(rng, 0)
    caps = glasses = 0
    for _ in range(300):
        _, _, _, layer = appearance._worn(rig, rig.vertices, look, rng)
        caps += CLOTH in layer
        glasses += FRAME in layer
    either = 1 - (1 - appearance.GLASSES) * (1 - appearance.MICROPHONES)
    assert caps / 300 == pytest.approx(appearance.CAPS, abs=0.08)
    assert glasses / 300 == pytest.approx(either, abs=0.11)
