"""The renderer against closed forms and a rasteriser without a single trick."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentio.affect.faces.alignment import TEMPLATE
from sentio.affect.synth import appearance
from sentio.affect.synth.kernels import rasterize, vertex_normals
from sentio.affect.synth.render import Camera, Surface, render
from synth_shapes import MATT, ball, camera, mesh, one_light, white

SIZE = (128, 128)


def plainly(points, triangles, height, width):
    """The nearest front-facing triangle of each pixel by cross products, all pixels against all triangles."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    best, hit = np.full((height, width), np.inf), np.full((height, width), -1)
    for f, (i, j, k) in enumerate(triangles):
        a, b, c = points[i].astype(np.float64), points[j].astype(np.float64), points[k].astype(np.float64)
        area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
        if area >= 0:
            continue
        matrix = np.linalg.inv(np.array([[a[0], b[0], c[0]], [a[1], b[1], c[1]], [1, 1, 1]]))
        w = np.tensordot(matrix, np.stack([x, y, np.ones_like(x)]), 1)
        depth = w[0] * a[2] + w[1] * b[2] + w[2] * c[2]
        nearer = (w.min(0) >= 0) & (depth < best)
        best, hit = np.where(nearer, depth, best), np.where(nearer, f, hit)
    return hit, best


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_the_nearest_triangle_is_the_plain_one(seed):
    rng = np.random.default_rng(seed)
    points = np.column_stack([rng.uniform(-5, 30, (18, 2)), rng.uniform(0, 9, 18)]).astype(np.float32)
    triangles = rng.permutation(18).reshape(6, 3).astype(np.int32)
    nothing = np.zeros((18, 2), np.float32), np.zeros(6, np.uint8), white(), np.zeros(1, np.bool_)
    hit, _, depth = rasterize(points, triangles, *nothing, 24, 26)
    expected, best = plainly(points, triangles, 24, 26)
    assert (hit != expected).mean() < 0.01  # a pixel's middle may lie on an edge
    agree = (hit == expected) & (hit >= 0)
    np.testing.assert_allclose(depth[agree], best[agree], atol=0.02)


def test_a_ball_is_a_disc_of_its_size():
    light, cover = render(mesh(ball(5)), white(), [MATT], one_light((0, 0, 1)), camera(), SIZE)
    y, x = np.mgrid[:128, :128]
    disc = np.hypot(x - 64, y - 64) < 40
    assert (cover.astype(bool) != disc).mean() < 0.01
    assert not light[cover == 0].any()


@pytest.mark.parametrize("direction", [(0, 0, 1), (0.5, 0.3, 1.0), (-0.4, 0.6, 0.8)])
def test_a_matt_ball_shines_as_lambert_says(direction):
    light, _ = render(mesh(ball(5)), white(), [MATT], one_light(direction), camera(), SIZE)
    y, x = np.mgrid[:128, :128]
    nx, ny = (x - 64) / 40, -(y - 64) / 40
    inside = np.hypot(nx, ny) < 0.85
    nz = np.sqrt(np.maximum(1 - nx**2 - ny**2, 0))
    expected = np.maximum(np.stack([nx, ny, nz], -1) @ (np.array(direction) / np.linalg.norm(direction)), 0)
    np.testing.assert_allclose(light[inside, 0], expected[inside], atol=0.06)


def test_normals_of_a_ball_point_outwards():
    points, faces, _ = ball(3)
    middle = np.abs(points[:, 1]) < 2.9  # the poles are degenerate
    np.testing.assert_allclose(vertex_normals(points, faces)[middle], points[middle] / 3, atol=0.06)


def test_what_stands_before_the_light_throws_a_shadow():
    below = ball(5, centre=(0, -2, 0))
    above = ball(2, centre=(0, 8, 7))
    light = one_light((0, 1, 0.4))
    alone, cover = render(mesh(below), white(), [MATT], light, camera(scale=5), SIZE)
    shaded, _ = render(mesh(below, above), white(), [MATT], light, camera(scale=5), SIZE)
    assert cover[60, 64] and alone[60, 64, 0] > 0.5
    assert shaded[60, 64, 0] < 0.1 * alone[60, 64, 0]
    np.testing.assert_allclose(shaded[60, 45], alone[60, 45], atol=1e-6)  # beside the shadow nothing changes


def test_only_surfaces_that_cast_throw_a_shadow():
    pieces = ball(5, centre=(0, -2, 0)), ball(2, centre=(0, 8, 7), layer=1)
    light = one_light((0, 1, 0.4))
    clear = [MATT, Surface(shine=0, wrap=0, casts=False)]
    shaded, _ = render(mesh(*pieces), white(2), clear, light, camera(scale=5), SIZE)
    assert shaded[60, 64, 0] > 0.5


def test_a_hollow_gets_less_ambient_light_than_a_hill():
    """A ring of balls round a small one hides the sky from it."""
    ring = [ball(1, 24, (1.6 * np.cos(a), 1.6 * np.sin(a), 1.2)) for a in np.arange(8) * np.pi / 4]
    light = one_light((0, 0, -1), ambient=1.0)
    alone, _ = render(mesh(ball(1)), white(), [MATT], light, camera(), SIZE)
    between, _ = render(mesh(ball(1), *ring), white(), [MATT], light, camera(), SIZE)
    assert between[64, 64, 0] < 0.9 * alone[64, 64, 0]


def test_holes_in_a_texture_are_holes():
    open_surface = [Surface(shine=0, wrap=0, open=True)]
    scene = mesh(ball(5)), one_light((0, 0, 1)), camera(), SIZE
    _, solid = render(scene[0], white(alpha=255), open_surface, *scene[1:])
    _, gone = render(scene[0], white(alpha=0), open_surface, *scene[1:])
    assert solid.any() and not gone.any()


def test_a_picture_is_the_same_every_time():
    arguments = mesh(ball(5)), white(), [Surface()], one_light((0.3, 0.5, 1), 0.2), camera(), SIZE
    np.testing.assert_array_equal(render(*arguments)[0], render(*arguments)[0])


def test_a_near_camera_enlarges_what_is_nearer():
    seen = Camera(50.0, np.eye(2, 3)).project(np.array([[1, 0, 0], [1, 0, 10], [1, 2, -50]], np.float32))
    np.testing.assert_allclose(seen, [[1, 0], [1.25, 0], [0.5, -1]])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([112, 224]))
def test_the_crop_brings_what_a_detector_says_to_the_template(seed, size):
    """Corners of the mouth lie a little outside, the other points as they are."""
    rng = np.random.default_rng(seed)
    angle, zoom = rng.uniform(-0.5, 0.5), rng.uniform(0.5, 3)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    true = TEMPLATE.copy()
    true[3:] -= appearance.CORNERS * np.array([[-1], [1]]) * (TEMPLATE[1] - TEMPLATE[0])
    points = true @ turn.T + rng.uniform(-50, 50, 2)
    matrix = appearance.crop_matrix(points, size)
    seen = (points @ matrix[:, :2].T + matrix[:, 2] + 0.5) * 112 / size - 0.5
    np.testing.assert_allclose(seen, true, atol=0.25)
