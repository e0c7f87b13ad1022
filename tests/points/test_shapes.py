import numpy as np
import pytest

from sentio.points.shapes import KINDS, procedural


@pytest.mark.parametrize("index", range(2 * len(KINDS)))
def test_a_shape_is_a_sound_mesh_in_the_unit_sphere(index):
    shape = procedural(index)
    assert np.linalg.norm(shape.vertices, axis=1).max() == pytest.approx(1)
    assert 100 < len(shape.faces) < 60_000
    assert (shape.face_areas > 0).mean() > 0.85  # an extruded shape without a hole closes in on its axis
    points = shape.sample_evenly(500, seed=0).points
    assert np.ptp(points, axis=0).min() > 0.02
    assert np.array_equal(procedural(index).vertices, shape.vertices)


def test_seeds_and_numbers_make_different_shapes():
    assert not np.array_equal(procedural(2).vertices, procedural(2, seed=1).vertices)
    assert not np.array_equal(procedural(2).vertices, procedural(8).vertices)


def test_solids_turned_and_extruded_shapes_are_closed():
    """Seen from far away in a random direction, as much area looks there as away."""
    for index in (0, 1, 2, 4, 5, 6):
        shape = procedural(index)
        outward = (shape.normals * shape.face_areas[:, None]).sum(0)
        if index not in (0, 6):  # the faces of box solids are not turned outwards
            assert np.abs(outward).max() < 1e-6 * shape.area
