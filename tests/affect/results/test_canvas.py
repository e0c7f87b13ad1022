"""What is drawn lies where it should, has smooth edges, and leaves everything else as it was."""

import numpy as np
import pytest

from sentio.affect.results.canvas import Canvas, border, dashed, plain, rgb, rounded, width_of, written


@pytest.fixture
def canvas() -> Canvas:
    return Canvas(np.full((100, 200, 3), 50, np.uint8))


def touched(canvas: Canvas) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what differs from the ground."""
    y, x = np.nonzero((canvas.picture != 50).any(-1))
    return x.min(), y.min(), x.max() + 1, y.max() + 1


def test_a_panel_fills_its_box_and_lets_the_ground_through(canvas):
    canvas.panel((20, 30, 60, 40), 8, "#c80000", 0.5)
    assert touched(canvas) == (20, 30, 80, 70)
    assert canvas.picture[50, 50].tolist() == [125, 25, 25]
    assert canvas.picture[30, 20].tolist() == [50, 50, 50]  # its corners are round
    assert 50 < canvas.picture[32, 22, 0] < 125  # and smooth


@pytest.mark.parametrize("place", [(-30, -20), (170, 80), (-30, 80), (190, -35), (500, 500), (-500, 20)])
def test_what_lies_beyond_the_picture_is_cut(canvas, place):
    whole = Canvas(np.full((1200, 1200, 3), 50, np.uint8))
    whole.panel((place[0] + 500, place[1] + 500, 60, 40), 8, "#ffffff", 0.7)
    canvas.panel((*place, 60, 40), 8, "#ffffff", 0.7)
    assert (canvas.picture == whole.picture[500:600, 500:700]).all()


def test_an_empty_panel_is_nothing(canvas):
    canvas.panel((20, 30, 0, 40), 8, "#ffffff")
    canvas.panel((20, 30, 40, 0.2), 8, "#ffffff")
    assert (canvas.picture == 50).all()


@pytest.mark.parametrize("size", [7.0, 10.5, 30.0])
def test_capitals_have_their_height_and_stand_on_the_line(size):
    canvas = Canvas(np.full((100, 600, 3), 50, np.uint8))
    canvas.text(20, 70, "HEIT", size, "#ffffff")
    left, top, right, bottom = touched(canvas)
    slack = 2 + size / 15  # half of a stroke
    assert abs(70 - top - size) <= slack and abs(bottom - 70) <= slack and 18 <= left <= 22 + size / 5
    assert right - 20 <= width_of("HEIT", size)


def test_text_ends_where_it_is_told():
    canvas = Canvas(np.full((100, 200, 3), 50, np.uint8))
    canvas.text(150, 70, "0.62", 12, "#ffffff", align=1)
    left, _, right, _ = touched(canvas)
    assert 145 <= right <= 150 and left >= 150 - width_of("0.62", 12)


def test_letters_that_reach_below_the_line_are_whole():
    for size in (7.0, 12.0, 60.0):
        mask = written("gjpqy|H(Q)", size)
        assert mask[-1].max() < 0.5 and mask[0].max() < 0.5
        assert mask[-round(0.4 * size) :].max() > 0.9


def test_letters_without_a_shape_are_replaced():
    assert plain("Zoë Ångström") == "Zoe Angstrom"
    assert plain("李\n") == "??"
    assert width_of("", 10) >= 1


def test_an_outline_follows_its_box(canvas):
    canvas.outline((40.5, 20.5, 100, 60), 10, 3, "#00ff00")
    green = canvas.picture[..., 1].astype(int) - 50
    assert green[20, 90] > 190 and green[50, 40] > 190 and green[50, 140] > 190 and green[80, 90] > 190
    assert green[20, 40] == 0 and green[50, 90] == 0  # round corners, and nothing within


def test_dashes_are_half_of_the_line(canvas):
    canvas.outline((40, 20, 100, 60), 0, 1, "#00ff00", dashes=5)
    along = canvas.picture[20, 45:135, 1] > 150
    assert 0.3 < along.mean() < 0.7 and 6 <= (np.diff(along.astype(int)) == 1).sum() <= 12
    points = border((0, 0, 100, 60), 0)
    lengths = [np.linalg.norm(dash[1] - dash[0]) for dash in dashed(points, 10)]
    assert np.median(lengths) == pytest.approx(10)


def test_a_rounded_mask_is_what_a_circle_leaves():
    mask = rounded(40, 40, 20)
    y, x = np.mgrid[:40, :40] + 0.5
    disc = np.hypot(x - 20, y - 20) <= 20
    assert np.abs(mask - disc).mean() < 0.02 and mask.sum() == pytest.approx(np.pi * 400, rel=0.02)


def test_colours():
    assert rgb("#56b4e9") == (86, 180, 233)
