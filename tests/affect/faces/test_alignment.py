import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares

from sentio.affect.faces.alignment import TEMPLATE, align, apply, beyond, invert, similarity, to_crop, warp


def transform(scale: float, angle: float, x: float, y: float) -> np.ndarray:
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, x], [sin, cos, y]])


transforms = st.builds(
    transform,
    st.floats(0.05, 20),
    st.floats(-np.pi, np.pi),
    st.floats(-500, 500),
    st.floats(-500, 500),
)


@given(transforms)
def test_a_similarity_is_found_again_and_undone(matrix):
    moved = apply(matrix, TEMPLATE)
    assert np.allclose(similarity(TEMPLATE, moved), matrix, atol=1e-6)
    assert np.allclose(apply(invert(matrix), moved), TEMPLATE, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_closed_form_is_the_least_squares_optimum(seed):
    random = np.random.default_rng(seed)
    source = TEMPLATE + random.normal(0, 6, TEMPLATE.shape)
    target = apply(transform(1.7, 0.4, 30, -12), TEMPLATE) + random.normal(0, 6, TEMPLATE.shape)

    def residuals(p):
        return (apply(np.array([[p[0], -p[1], p[2]], [p[1], p[0], p[3]]]), source) - target).ravel()

    best = least_squares(residuals, [1, 0, 0, 0]).x
    found = similarity(source, target)
    assert np.allclose([found[0, 0], found[1, 0], found[0, 2], found[1, 2]], best, atol=1e-5)


def test_a_mirrored_face_is_not_mirrored_back():
    mirrored = TEMPLATE * (-1, 1)
    assert np.linalg.det(similarity(mirrored, TEMPLATE)[:, :2]) > 0


@pytest.mark.parametrize("landmarks", [np.full((5, 2), 7.0), np.zeros((5, 2)), TEMPLATE * 1e6, -TEMPLATE * (1, -1)])
def test_senseless_landmarks_still_give_a_crop(landmarks):
    assert align(np.zeros((60, 80, 3), np.uint8), landmarks).shape == (112, 112, 3)


def spots(centres: np.ndarray, radius: float, size: int) -> np.ndarray:
    """Bright Gaussian spots at sub-pixel places on black."""
    y, x = np.mgrid[:size, :size]
    light = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2)) for cx, cy in centres)
    return np.repeat((250 * np.clip(light, 0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def centroid(image: np.ndarray, near: np.ndarray, reach: float) -> np.ndarray:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = image[..., 0] * (np.hypot(x - near[0], y - near[1]) < reach).astype(float)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize("scale", [0.4, 1.0, 1.9, 2.5, 4.3, 7.0])
def test_landmarks_arrive_within_a_tenth_of_a_pixel(scale):
    size = int(230 * max(scale, 1))
    landmarks = apply(transform(scale, 0.3, size * 0.35 + 0.37, size * 0.1 + 0.61), TEMPLATE)
    crop = align(spots(landmarks, 2.2 * scale, size), landmarks)
    assert crop.shape == (112, 112, 3) and crop.dtype == np.uint8
    for expected in TEMPLATE:
        assert np.linalg.norm(centroid(crop, expected, 7) - expected) < 0.1


def test_a_larger_crop_shows_the_same_part():
    landmarks = apply(transform(3.0, -0.2, 90, 60), TEMPLATE)
    image = spots(landmarks, 6, 500)
    large, small = align(image, landmarks, 224), align(image, landmarks)
    halved = cv2.resize(large, (112, 112), interpolation=cv2.INTER_AREA)
    assert np.abs(halved.astype(int) - small).max() <= 12


def test_shrinking_averages_instead_of_skipping():
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 200  # one pixel wide: any skipping shows as pure black, white or moire
    crop = warp(stripes, transform(0.11, 0.0, 5, 5), 80)
    assert np.abs(crop[10:70, 10:70].astype(int) - 100).max() <= 12  # 4 or 5 white columns in a block of 9


def picture(height: int, width: int) -> np.ndarray:
    """Large soft blobs of colour."""
    small = np.random.default_rng(0).uniform(0, 255, (6, 6, 3)).astype(np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def test_a_crop_is_reflected_at_the_border_and_a_warp_is_black_beyond_it():
    image = np.full((100, 100, 3), 200, np.uint8)
    image[:, :3] = 100
    landmarks = TEMPLATE - (60, 0)
    crop, black = align(image, landmarks), warp(image, similarity(landmarks, TEMPLATE), 112)
    assert (crop[:, 58:62] == 100).all() and (crop[:100, [40, 80]] == 200).all()
    assert (black[:, :55] == 0).all() and (black[20:80, 70:100] > 150).all()


@pytest.mark.parametrize("scale", [0.7, 1.0, 2.3, 4.6])
@pytest.mark.parametrize("shift", [(-0.4, 0.1), (0.8, 0.5), (-0.3, -0.3), (0.3, 0.85)])
def test_the_reflection_is_that_of_the_whole_picture_whatever_part_of_it_is_warped(scale, shift):
    side = int(112 * scale)
    image = picture(side // 16 * 16, side // 16 * 24)
    landmarks = apply(transform(scale, 0.2, *(side * np.array(shift))), TEMPLATE)
    margin = side // 16 * 32
    wide = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    found, expected = (a.astype(int) for a in (align(image, landmarks), align(wide, landmarks + margin)))
    assert np.abs(found - expected).max() <= 2


@pytest.mark.parametrize("angle", [0.0, 0.5, 2.0])
def test_what_lies_beyond_the_border_is_what_a_black_warp_leaves_black(angle):
    image = np.full((150, 90, 3), 255, np.uint8)
    landmarks = apply(transform(0.9, angle, 70, 60), TEMPLATE - 56)
    places = np.stack(np.meshgrid(*[np.arange(112.0)] * 2), axis=-1).reshape(-1, 2)
    mask = beyond(landmarks, image.shape[:2], places).reshape(112, 112)
    black = warp(image, to_crop(landmarks), 112)[..., 0]
    assert 0.1 < mask.mean() < 0.9
    assert ((black < 128) != mask).mean() < 0.01


@given(transforms, st.integers(1, 40), st.integers(1, 40))
def test_any_transform_of_any_image_gives_a_crop(matrix, height, width):
    assert warp(np.zeros((height, width, 3), np.uint8), matrix, 32).shape == (32, 32, 3)
