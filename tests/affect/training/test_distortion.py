"""Distorted faces and their landmarks."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from sentio.affect.training import distortion
from sentio.affect.training.distortion import MIRRORED, distort

SIDE = 112


def dots(places):
    """Black pictures (N, 3, 112, 112) with one bright spot each, at (N, 2) places on the scale of landmarks."""
    line = (torch.arange(SIDE) + 0.5) * 2 / SIDE - 1
    x, y = places[:, 0, None, None], places[:, 1, None, None]
    spot = torch.exp(-((line[None, None] - x) ** 2 + (line[None, :, None] - y) ** 2) / (2 * 0.03**2))
    return spot[:, None].expand(-1, 3, -1, -1).contiguous()


def centres(pictures):
    line = (torch.arange(pictures.shape[-1]) + 0.5) * 2 / pictures.shape[-1] - 1
    mass = pictures.mean(1) ** 2
    total = mass.sum((1, 2))
    return torch.stack([(mass.sum(1) * line).sum(1) / total, (mass.sum(2) * line).sum(1) / total], 1)


def test_landmarks_go_where_the_picture_goes(monkeypatch):
    for name in ("_coloured", "_coarse", "_shaded", "_covered", "_noisy"):
        monkeypatch.setattr(distortion, name, lambda faces, strength: faces)
    torch.manual_seed(0)
    places = torch.rand(40, 2) - 0.5
    middle = 30  # the nose's tip, its own mirror image
    marks = torch.zeros(40, 68, 2)
    marks[:, middle] = places
    pictures, moved, _ = distort(dots(places), marks, 80)
    np.testing.assert_allclose(moved[:, middle], centres(pictures), atol=0.02)
    assert (moved[:, middle] - places).abs().mean() > 0.05


def test_a_mirrored_landmark_is_that_of_the_other_side():
    torch.manual_seed(1)
    marks = torch.randn(200, 68, 2)
    _, moved, mirrored = distort(torch.zeros(200, 3, 8, 8), marks, 8, 0.0)
    other = marks[:, MIRRORED] * torch.tensor([-1, 1])
    same, swapped = (torch.isclose(moved, side, atol=1e-5).all((1, 2)) for side in (marks, other))
    assert (same ^ swapped).all() and torch.equal(swapped, mirrored) and 50 < same.sum() < 150


def test_sides_are_exchanged_twice_to_nothing():
    mirror = np.array(MIRRORED)
    assert (mirror[mirror] == np.arange(68)).all()
    assert MIRRORED[0] == 16 and MIRRORED[36] == 45 and MIRRORED[48] == 54 and MIRRORED[8] == 8


def test_without_strength_a_picture_is_only_resized_and_mirrored():
    torch.manual_seed(2)
    faces = functional.interpolate(torch.rand(60, 3, 7, 7), (SIDE, SIDE), mode="bilinear")
    pictures, _, _ = distort(faces, torch.zeros(60, 68, 2), SIDE, 0.0)
    change = torch.minimum((pictures - faces).abs().amax((1, 2, 3)), (pictures - faces.flip(-1)).abs().amax((1, 2, 3)))
    assert change.max() < 0.01


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_pictures_stay_pictures_and_a_seed_repeats_them(strength):
    faces, marks = torch.rand(32, 3, 96, 96), torch.zeros(32, 68, 2)
    torch.manual_seed(3)
    one, _, _ = distort(faces, marks, 80, strength)
    torch.manual_seed(3)
    two, _, _ = distort(faces, marks, 80, strength)
    assert one.shape == (32, 3, 80, 80) and torch.equal(one, two)
    assert one.min() >= 0 and one.max() <= 1 and torch.isfinite(one).all()


def test_more_strength_changes_more():
    faces = functional.interpolate(torch.rand(64, 3, 7, 7), (80, 80), mode="bilinear")
    torch.manual_seed(4)
    changes = [
        torch.minimum((p - faces).abs().mean((1, 2, 3)), (p - faces.flip(-1)).abs().mean((1, 2, 3))).mean()
        for p in (distort(faces, torch.zeros(64, 68, 2), 80, s)[0] for s in (0.0, 0.3, 1.0))
    ]
    assert changes[0] < changes[1] < changes[2]
