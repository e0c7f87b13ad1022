"""Panels stand beside their faces, cover as little as may be, and do not jump about."""

import pytest

from sentio.affect.results.places import PATIENCE, Places, distance, overlap

INSIDE = (10, 10, 980, 580)
SIZE = (200, 180)


def find(faces, person=0, panels=(), places=None, size=SIZE):
    return (places or Places()).find(person, size, faces, panels, INSIDE, gap=10)


def inside(box) -> bool:
    return box[0] >= 10 and box[1] >= 10 and box[0] + box[2] <= 990 and box[1] + box[3] <= 590


def test_a_panel_stands_to_the_right_of_its_face():
    assert find({0: (300, 100, 150, 200)}) == (460, 100, *SIZE)


def test_it_goes_to_the_left_where_there_is_no_room():
    assert find({0: (800, 100, 150, 200)}) == (590, 100, *SIZE)


@pytest.mark.parametrize("face", [(0, 0, 1000, 600), (400, 0, 200, 600), (-80, 500, 200, 200), (950, -40, 100, 90)])
def test_it_always_lies_in_the_picture(face):
    assert inside(find({0: face}))


def test_it_spares_other_faces_and_panels():
    faces = {0: (300, 100, 150, 200), 1: (500, 100, 150, 200)}
    first = find(faces)
    second = find(faces, 1, [first])
    assert all(overlap(panel, face) == 0 for panel in (first, second) for face in faces.values())
    assert overlap(first, second) == 0


def test_it_stays_while_a_face_trembles():
    places = Places()
    before = find({0: (300, 100, 150, 200)}, places=places)
    for shift in (2, -3, 5, -5, 0):
        assert find({0: (300 + shift, 100 - shift, 150, 200)}, places=places) == before
    after = find({0: (340, 100, 150, 200)}, places=places)
    assert after[0] == 500 - 0.04 * SIZE[0]  # it lags behind by no more


def test_it_changes_sides_only_for_a_clear_gain():
    places = Places()
    find({0: (300, 100, 150, 200)}, places=places)
    touching = {0: (300, 100, 150, 200), 1: (655, 100, 100, 100)}  # five columns of pixels would be covered
    assert find(touching, places=places)[0] == 460
    covered = {0: (300, 100, 150, 200), 1: (500, 100, 150, 200)}
    assert find(covered, places=places)[0] == 90


def test_it_goes_to_a_better_side_when_it_was_worse_for_long():
    places = Places()
    assert find({0: (800, 100, 150, 200)}, places=places)[0] == 590  # on the left, for want of room
    moved = [find({0: (500, 100, 150, 200)}, places=places)[0] for _ in range(PATIENCE + 2)]
    assert moved[0] < 500 < moved[-1] == 660 and moved.count(moved[0]) == PATIENCE
    assert find({0: (500, 100, 150, 200)}, places=places)[0] == 660


def test_who_has_no_face_keeps_the_place():
    places = Places()
    before = find({0: (300, 100, 150, 200)}, places=places)
    assert find({}, places=places) == before
    assert inside(find({}))  # nor a place before


def test_a_panel_of_nobody_takes_the_corner_without_a_face():
    places = Places()
    assert places.corner(SIZE, {}, INSIDE) == (10, 410, *SIZE)
    grazed = {0: (200, 400, 100, 100)}
    assert places.corner(SIZE, grazed, INSIDE) == (10, 410, *SIZE)
    covered = {0: (20, 400, 150, 180), 1: (800, 400, 150, 180)}
    assert places.corner(SIZE, covered, INSIDE) == (790, 10, *SIZE)
    assert places.corner(SIZE, {}, INSIDE) == (790, 10, *SIZE)  # it does not go back without need


def test_it_rather_covers_a_little_than_stands_far_away():
    narrow = {0: (620, 200, 150, 200), 1: (250, 200, 150, 200), 2: (800, 200, 150, 200)}
    assert distance(find(narrow), narrow[0]) <= 10  # neither side has room


def test_distance():
    assert distance((0, 0, 10, 10), (30, 5, 10, 10)) == 20 == distance((30, 5, 10, 10), (0, 0, 10, 10))
    assert distance((0, 0, 10, 10), (2, 50, 10, 10)) == 40
    assert distance((0, 0, 10, 10), (5, 5, 10, 10)) == 0


def test_overlap():
    assert overlap((0, 0, 10, 10), (5, 5, 10, 10)) == 25
    assert overlap((0, 0, 10, 10), (10, 0, 10, 10)) == 0
    assert overlap((0, 0, 10, 10), (20, 20, 5, 5)) == 0
