"""The detector that comes with the package, on films and photographs."""

import cv2
import numpy as np
import pytest

from sentio.affect.analysis.sources import DEMO_CLIP
from sentio.affect.faces.detection import overlap
from sentio.affect.faces.detectors import describe, open_detector
from sentio.affect.media import open_media
from sentio.core import weights


@pytest.fixture(scope="module")
def builtin():
    return open_detector("builtin")


def frames(path, every=1):
    with open_media(path) as media:
        yield from (frame for number, frame in enumerate(media) if number % every == 0)


def test_the_header_says_whose_it_is():
    told, card = describe("builtin"), weights.card("detector")
    assert (told["name"], told["weights"], told["licence"]) == ("builtin", "detector", card.licence)
    assert card.files["onnx"].sha256 in told["provenance"]


def test_the_demo_has_a_face_until_it_leaves(builtin):
    for frame in list(frames(DEMO_CLIP, every=10))[:5]:
        faces = [face for face in builtin(frame.image) if face.score >= 0.7]
        assert len(faces) == 1
        left, right, nose, *mouth = faces[0].landmarks
        assert left[0] < nose[0] < right[0] and left[1] < nose[1] < min(corner[1] for corner in mouth)


def test_faces_move_with_the_picture(builtin):
    image = next(iter(frames(DEMO_CLIP))).image
    wide = cv2.copyMakeBorder(image, 40, 0, 70, 0, cv2.BORDER_REPLICATE)
    before, after = builtin(image)[0], builtin(wide)[0]
    x, y, width, height = before.box
    assert overlap([(x + 70, y + 40, width, height)], [after.box])[0, 0] > 0.85
    assert np.abs(after.landmarks - before.landmarks - (70, 40)).max() < 0.06 * width


@pytest.mark.parametrize("clip", ["grid_bbaf2n.mpg", "grid_swiz3n.mpg", "single_face.mp4", "book.mkv"])
def test_real_people_are_found_where_yunet_finds_them(builtin, yunet, shared, clip):
    agreed = []
    for frame in frames(shared / "data/affect/clips" / clip, every=15):
        scale = min(1.0, 384 / max(frame.image.shape[:2]))
        image = cv2.resize(frame.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        boxes = [face.box for face in builtin(image) if face.score >= 0.7]
        agreed += [overlap([face.box], boxes).max(initial=0) > 0.4 for face in yunet(image) if face.score >= 0.7]
    assert len(agreed) >= 4 and np.mean(agreed) > 0.9
