"""What people wear or hold sits where it should on both rigs."""

import numpy as np
import pytest

from sentio.affect.synth import accessories, appearance, hair, rigs
from sentio.affect.synth.rig import CLOTH, FRAME


@pytest.fixture(scope="module", params=["ict", "mpfb"])
def rig(request, shared):
    return rigs.load(shared / f"data/affect/rig-{request.param}")


def test_hats_sit_over_the_eyes(rig):
    for seed in range(6):
        points, triangles = accessories.hat(rig, rig.vertices, np.random.default_rng(seed))
        assert triangles.max() < len(points) and (triangles >= 0).all()
        front = points[(points[:, 2] > 0) & (np.abs(points[:, 0]) < 4)]
        assert front[:, 1].min() > -3, "a peak may hang before the brows, not before the mouth"
        assert points[:, 1].max() > rig.vertices[:, 1].max(), "it is over the skull"


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
    hats = glasses = 0
    for _ in range(300):
        _, _, _, layer = appearance._worn(rig, rig.vertices, look, rng)
        hats += CLOTH in layer
        glasses += FRAME in layer
    either = 1 - (1 - appearance.GLASSES) * (1 - appearance.MICROPHONES)
    assert hats / 300 == pytest.approx(appearance.HATS, abs=0.08)
    assert glasses / 300 == pytest.approx(either, abs=0.11)
