from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sentio.affect.faces.alignment import TEMPLATE
from sentio.affect.faces.quality import EYE_DISTANCE, HEAD, Reason, assess, head_pose, outside, sharpness
from sentio.affect.synth.appearance import rotation

FRAME = (480, 640)


def look(yaw: float = 0, pitch: float = 0, roll: float = 0, eyes: float = 80, centre=(320, 240)) -> np.ndarray:
    """Landmarks of the mean head, turned by angles in degrees and projected in parallel."""
    # x right, y down, z away: looking right turns about -y, looking down about x, leaning counter-clockwise about -z
    turn = Rotation.from_euler("ZYX", [-roll, -yaw, pitch], degrees=True)
    return (turn.apply(HEAD)[:, :2] - HEAD[:, :2].mean(0)) * eyes + centre


def noise(contrast: float = 40) -> np.ndarray:
    """Detail of every size, most of it large, as in a photograph."""
    white = np.random.default_rng(0).normal(size=(112, 112))
    layers = [white * 0.3, *(cv2.GaussianBlur(white, (0, 0), sigma) * 2 * sigma for sigma in (2, 5, 12))]
    grey = 128 + contrast * sum(layers) / np.std(sum(layers))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@given(st.floats(-75, 75), st.floats(-60, 60), st.floats(-170, 170), st.floats(20, 300))
def test_the_pose_of_a_projected_head_is_found_exactly(yaw, pitch, roll, eyes):
    pose = head_pose(look(yaw, pitch, roll, eyes))
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((yaw, pitch, roll), abs=1e-6)


def test_signs_are_the_documented_ones():
    right, lowered, leaning = look(yaw=30), look(pitch=20), look(roll=20)
    assert right[2, 0] > right[:2, 0].mean() and head_pose(right).yaw > 0  # the nose moves to the viewer's right
    assert lowered[2, 1] > look()[2, 1] and head_pose(lowered).pitch > 0  # the nose moves down
    assert leaning[1, 1] < leaning[0, 1] and head_pose(leaning).roll > 0  # the eye on the right rises


def test_the_studio_turns_heads_by_the_same_angles():
    head = HEAD * (1, -1, -1)  # y up, z to the camera
    seen = (head @ rotation(*np.radians([25, -15, 40])).T)[:, :2] * (1, -1)
    pose = head_pose(seen * 80 + 200)
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((25, -15, 40), abs=1e-4)


def test_sharpness_falls_with_blur_and_ignores_contrast():
    blurred = [sharpness(cv2.GaussianBlur(noise(), (0, 0), sigma)) for sigma in (0.5, 1, 2, 3)]
    assert all(a > 1.5 * b for a, b in pairwise(blurred))
    assert sharpness(noise(15)) == pytest.approx(sharpness(noise(40)), rel=0.05)
    assert sharpness(np.full((112, 112, 3), 90, np.uint8)) == 0


def test_outside_is_the_share_of_the_crop_beyond_the_border():
    landmarks = TEMPLATE * 2 + (100, 100)  # the crop is a square of 224 pixels at (100, 100)
    assert outside(landmarks, (480, 640)) == 0
    assert outside(landmarks, (480, 212)) == pytest.approx(0.5, abs=0.08)
    assert outside(landmarks - (600, 0), (480, 640)) == 1


@pytest.mark.parametrize(
    ("landmarks", "blur", "reason"),
    [
        (look(), 0.6, Reason.NONE),
        (look(eyes=10), 0.6, Reason.SMALL),
        (look(yaw=65), 0.6, Reason.PROFILE),
        (look(), 5, Reason.BLURRED),
        (look(centre=(15, 240)), 0.6, Reason.CROPPED),
        (look(eyes=10, yaw=65), 5, Reason.SMALL),
    ],
)
def test_each_fault_has_its_reason(landmarks, blur, reason):
    quality = assess(cv2.GaussianBlur(noise(), (0, 0), blur), landmarks, 0.9, FRAME)
    assert quality.reason == reason
    if reason is Reason.NONE:
        assert quality.value == pytest.approx(0.9, abs=0.02)


def test_each_fault_lowers_the_value():
    crop = cv2.GaussianBlur(noise(), (0, 0), 0.6)
    best = assess(crop, look(), 0.9, FRAME).value
    assert assess(crop, look(yaw=30), 0.9, FRAME).value < 0.7 * best
    assert assess(crop, look(eyes=EYE_DISTANCE / 2), 0.9, FRAME).value == pytest.approx(best / 2, rel=0.02)
    assert assess(cv2.GaussianBlur(crop, (0, 0), 1.5), look(), 0.9, FRAME).value < 0.9 * best
    assert assess(crop, look(), 0.45, FRAME).value == pytest.approx(best / 2, rel=1e-6)


@given(st.lists(st.floats(-1e4, 1e4), min_size=10, max_size=10), st.floats(0, 1))
def test_any_landmarks_give_a_value_between_0_and_1(numbers, score):
    quality = assess(noise(), np.array(numbers).reshape(5, 2), score, FRAME)
    assert 0 <= quality.value <= 1 and np.isfinite([quality.pose.yaw, quality.pose.pitch, quality.pose.roll]).all()


def test_turning_a_head_does_not_make_it_small():
    assert assess(noise(), look(yaw=45), 0.9, FRAME).eye_distance == pytest.approx(80, rel=0.02)
