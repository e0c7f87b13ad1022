"""A whole picture is searched at two scales: what is found lies where it is, however large."""

import cv2
import numpy as np
import pytest

from sentio.affect.analysis.sources import DEMO_CLIP
from sentio.affect.faces import search
from sentio.affect.faces.detection import Detection, overlap
from sentio.affect.faces.detectors import open_detector
from sentio.affect.faces.tracking import FaceTracker
from sentio.affect.media import open_media

RED = (255, 0, 0)


class RedThings:
    """Finds whatever is red, if it is no larger than half of what is shown; remembers the sizes of the pictures."""

    def __init__(self):
        self.shown = []

    def __call__(self, image, *, smallest=0.0):
        self.shown.append(image.shape[:2])
        y, x = np.nonzero((image[..., 0] > 150) & (image[..., 1:] < 100).all(-1))
        if len(x) == 0 or np.ptp(x) + 1 > image.shape[1] / 2 + 24:
            return []
        left, top, width, height = (float(v) for v in (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1))
        points = np.array([left, top]) + np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]) * (
            width,
            height,
        )
        return [Detection((left, top, width, height), 0.9, points)] if width >= smallest else []


def picture(box, size=(600, 800)):
    image = np.full((*size, 3), 60, np.uint8)
    x, y, width, height = box
    image[y : y + height, x : x + width] = RED
    return image


@pytest.mark.parametrize("box", [(100, 80, 120, 120), (420, 300, 200, 240), (0, 0, 520, 600), (280, 30, 500, 570)])
def test_a_face_lies_where_it_is_whichever_copy_shows_it(box):
    found = search.search(RedThings(), picture(box), side=384)
    assert len(found) == 1
    assert found[0].box == pytest.approx(box, abs=10), "a pixel of the small copy is eight of the picture"
    x, y, width, height = box
    assert found[0].landmarks[2] == pytest.approx((x + 0.5 * width, y + 0.6 * height), abs=12)


def test_the_small_copy_is_framed_and_only_shown_if_wanted():
    detector = RedThings()
    search.search(detector, picture((10, 10, 50, 50)), side=384, coarsely=False)
    assert detector.shown == [(288, 384)]
    search.search(detector, picture((10, 10, 50, 50)), side=384)
    assert detector.shown[1:] == [(288, 384), (72 + 48, 96 + 48)]


def test_a_single_picture_gets_both_scales_and_a_shot_both_at_intervals():
    detector = RedThings()
    tracker = FaceTracker(detector)
    for k in range(10):
        tracker.push(np.full((200, 300, 3), 60, np.uint8), 0.05 * k)
    small = [k for k, shape in enumerate(detector.shown) if shape[1] == 96 + 48]
    assert len(detector.shown) == 10 + len(small), "nobody is in sight, so every frame is searched"
    assert small[0] == 1 and len(small) == 3, "at 0, 0.2 and 0.4 s"


@pytest.mark.parametrize("shares", [(0.1, 0.1, 0.9, 0.95), (0.0, 0.15, 1.0, 0.9), (-0.3, -0.3, 1.3, 1.2)])
def test_a_head_that_fills_the_picture_is_found(shares):
    """The person of the demo clip, cut to a part of the face's box that is given, from its upper left corner."""
    with open_media(DEMO_CLIP) as media:
        image = next(iter(media)).image
    detector = open_detector("builtin")
    face = detector(image)[0]
    x, y, width, height = face.box
    left, top = (max(0, int(edge)) for edge in (x + shares[0] * width, y + shares[1] * height))
    part = image[top : int(y + shares[3] * height), left : int(x + shares[2] * width)]
    large = cv2.resize(part, None, fx=500 / part.shape[0], fy=500 / part.shape[0], interpolation=cv2.INTER_CUBIC)
    tracker = FaceTracker(detector)
    decided = tracker.push(large, 0.0) + tracker.flush()
    zoom = large.shape[0] / part.shape[0]
    true = ((x - left) * zoom, (y - top) * zoom, width * zoom, height * zoom)
    assert [len(frame.faces) for frame in decided] == [1]
    assert overlap([true], [decided[0].faces[0].box])[0, 0] > 0.5
