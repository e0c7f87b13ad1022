"""How far a face can be trusted: size, sharpness and pose, one number in [0, 1], and a reason when it is no use."""

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from sentio.affect.faces.alignment import SIZE, TEMPLATE, beyond
from sentio.affect.faces.detection import Image, Landmarks

EYE_DISTANCE = float(TEMPLATE[1, 0] - TEMPLATE[0, 0])
"""Pixels between the eyes in an aligned crop: a face with fewer is magnified and has less detail than the crop."""
HEAD = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, 0.6, -0.59], [-0.44, 1.05, -0.15], [0.44, 1.05, -0.15]])
"""Mean face (5, 3) in eye distances: x to the viewer's right, y down, z away from the camera. Across and down it is
the mean of YuNet's landmarks on frontal photographs; the depths are those of ICT-FaceKit's neutral head (MIT)."""
FIT = np.linalg.pinv(HEAD - HEAD.mean(0))
GRID = np.stack(np.meshgrid(*[np.arange(4, SIZE, 8.0)] * 2), axis=-1).reshape(-1, 2)
"""Sample points of an aligned crop, (196, 2)."""

SMALL = 12.0
"""Pixels between the eyes; below, a 112-pixel crop is magnified threefold."""
BLURRED, SHARP = 0.01, 0.05
"""Of `sharpness`: sharp photographs reach 0.1 to 0.4; a Gaussian blur of 1 pixel of the crop leaves 0.03 to 0.05,
one of 2 pixels 0.01 to 0.02."""
PROFILE = 50.0
"""Degrees of yaw; beyond, the far eye is hidden."""
CROPPED = 0.1
"""Share of the aligned crop that may lie outside the image."""


class Reason(StrEnum):
    """Why a row has no usable face; the first that holds, in this order. Empty for a usable one."""

    NONE = ""
    NO_FACE = "no face"
    CROPPED = "cropped by the border"
    SMALL = "small"
    PROFILE = "profile"
    BLURRED = "blurred"


@dataclass(frozen=True)
class Pose:
    """Degrees; the head is turned by pitch, then yaw, then roll, as in the result table.

    Yaw is positive when the face looks to the viewer's right, pitch when it looks down, roll when it leans
    counter-clockwise in the image. The Haar cascades place the landmarks of a frontal face, which leaves nothing but
    the roll to see.
    """

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True)
class Quality:
    """What is known of a face's fitness.

    Attributes:
        value: [0, 1]; score x inside x size x sharpness x pose, see `assess`.
        reason: why it is no use, or empty.
        eye_distance: pixels between the eyes in the full frame.
        sharpness: see `sharpness`.
        pose: a proxy from five landmarks, good to about 10 degrees.
    """

    value: float
    reason: Reason
    eye_distance: float
    sharpness: float
    pose: Pose


def assess(crop: Image, landmarks: Landmarks, score: float, frame_size: tuple[int, int]) -> Quality:
    """Quality of one face.

    ``value`` is the product of the detection score; the share of the crop inside the frame; eye distance over that of
    the crop, at most 1; the place of the sharpness between `BLURRED` and `SHARP` on a logarithmic scale; and the
    cosine of a quarter turn times the yaw's share of `PROFILE`.

    Args:
        crop: aligned, (112, 112, 3).
        landmarks: in the full frame.
        score: detection score.
        frame_size: height and width of the full frame.
    """
    pose, detail = head_pose(landmarks), sharpness(crop)
    # Seen from the side the eyes come nearer; the mouth's distance does not.
    height = float(np.linalg.norm(landmarks[3:].mean(0) - landmarks[:2].mean(0)) / HEAD[3:, 1].mean())
    eye_distance = max(float(np.linalg.norm(landmarks[1] - landmarks[0])), height)
    cropped = outside(landmarks, frame_size)
    size = min(eye_distance / EYE_DISTANCE, 1.0)
    clear = float(np.clip(np.log(max(detail, 1e-6) / BLURRED) / np.log(SHARP / BLURRED), 0, 1))
    turned = float(np.cos(np.pi / 2 * min(abs(pose.yaw) / PROFILE, 1.0)))
    return Quality(
        value=score * (1 - cropped) * size * clear * turned,
        reason=_reason(cropped, eye_distance, pose, detail),
        eye_distance=eye_distance,
        sharpness=detail,
        pose=pose,
    )


def _reason(cropped: float, eye_distance: float, pose: Pose, detail: float) -> Reason:
    checks = {
        Reason.CROPPED: cropped > CROPPED,
        Reason.SMALL: eye_distance < SMALL,
        Reason.PROFILE: abs(pose.yaw) > PROFILE,
        Reason.BLURRED: detail < BLURRED,
    }
    return next((reason for reason, holds in checks.items() if holds), Reason.NONE)


def sharpness(crop: Image) -> float:
    """Variance of the Laplacian over the variance of the grey values, in the middle of an aligned crop.

    The division makes it independent of contrast and exposure.
    """
    middle = slice(SIZE // 8, -SIZE // 8)
    grey = cv2.cvtColor(np.ascontiguousarray(crop[middle, middle]), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var() / max(float(grey.var()), 1.0))


def head_pose(landmarks: Landmarks) -> Pose:
    """Rotation of the mean head that explains five landmarks under scaled orthographic projection.

    The linear step of POS (DeMenthon and Davis, IJCV 1995): the two image axes by least squares, made unit vectors.
    """
    across, down = (FIT @ (landmarks - landmarks.mean(0))).T
    across, down = (axis / max(float(np.linalg.norm(axis)), 1e-9) for axis in (across, down))
    ahead = np.cross(across, down)
    yaw = np.arctan2(ahead[0], np.hypot(across[0], down[0]))
    pitch = np.arctan2(ahead[1], ahead[2])
    roll = np.arctan2(-down[0], across[0])
    return Pose(*(float(angle) for angle in np.degrees([yaw, pitch, roll])))


def outside(landmarks: Landmarks, frame_size: tuple[int, int]) -> float:
    """Share of the aligned crop that lies beyond the border of the frame."""
    return float(np.mean(beyond(landmarks, frame_size, GRID)))
