"""Heads and pictures for the detector, from the rigs beside the checkout."""

import json

import cv2
import numpy as np
import pytest

from sentio.affect.faces.detection import overlap
from sentio.affect.faces.detectors import open_detector
from sentio.affect.synth import composites, heads


@pytest.fixture(scope="module")
def made(shared, tmp_path_factory):
    out = tmp_path_factory.mktemp("heads")
    heads.make_heads(out, (shared / "data/affect/rig-ict", shared / "data/affect/rig-mpfb"), people=2)
    return out


def rows(folder):
    return [json.loads(line) for line in (folder / "heads.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_heads_are_cut_out_with_their_landmarks(made):
    listed = rows(made)
    assert len(listed) == 2 * heads.HEADS and sum(not row["face"] for row in listed) == 2 * heads.BEHIND
    for row in listed:
        picture = cv2.imread(str(made / "heads" / row["image"]), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (heads.SIZE, heads.SIZE, 4)
        assert 0.15 < (picture[..., 3] > 128).mean() < 0.95 and picture[0, :, 3].mean() < 200
        if row["face"]:
            x, y = np.array(row["landmarks"])[[30, 36, 45]].mean(0).round().astype(int)
            assert picture[y, x, 3] > 250, "the face covers its middle"


@pytest.mark.slow
def test_parts_of_bodies_are_cut_out_without_a_head(made, shared, monkeypatch):
    monkeypatch.setenv("SENTIO_CACHE", str(shared / "data/affect/models/yunet"))
    listed = [json.loads(line) for line in (made / "bodies.jsonl").read_text().splitlines()]
    assert len(listed) == 2 * heads.BODIES_EACH and {row["part"] for row in listed} <= set(heads.BODIES)
    finder = open_detector("yunet")
    for row in listed:
        picture = cv2.imread(str(made / "bodies" / row["image"]), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (heads.SIZE, heads.SIZE, 4) and (picture[..., 3] > 128).mean() > 0.01
        assert not finder(np.ascontiguousarray(picture[..., 2::-1]))


@pytest.mark.slow
def test_boxes_are_those_that_yunet_draws(made, shared, monkeypatch):
    monkeypatch.setenv("SENTIO_CACHE", str(shared / "data/affect/models/yunet"))
    finder, shared_area, apart = open_detector("yunet"), [], []
    for row in rows(made):
        if not row["face"]:
            continue
        picture = cv2.imread(str(made / "heads" / row["image"]), cv2.IMREAD_UNCHANGED)[..., [2, 1, 0, 3]].astype(float)
        cover = picture[..., 3:] / 255
        image = (picture[..., :3] * cover + 120 * (1 - cover)).astype(np.uint8)
        x0, y0, x1, y1 = (box := composites.place(np.array(row["landmarks"]), np.eye(2, 3)))[0]
        found = finder(image)
        if found:
            shared_area.append(overlap([(x0, y0, x1 - x0, y1 - y0)], [found[0].box])[0, 0])
            apart.append(np.linalg.norm(found[0].landmarks - box[1], axis=1).mean() / (x1 - x0))
    assert len(shared_area) >= 20 and np.median(shared_area) > 0.8 and np.median(apart) < 0.06


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_gives_the_same(made, shared, tmp_path):
    heads.make_heads(tmp_path, (shared / "data/affect/rig-ict", shared / "data/affect/rig-mpfb"), people=1)
    image = rows(tmp_path)[0]["image"]
    stamp = (tmp_path / "heads" / image).stat().st_mtime_ns
    heads.make_heads(tmp_path, (shared / "data/affect/rig-ict", shared / "data/affect/rig-mpfb"), people=1)
    assert (tmp_path / "heads" / image).stat().st_mtime_ns == stamp
    assert (tmp_path / "heads" / image).read_bytes() == (made / "heads" / image).read_bytes()


@pytest.mark.slow
def test_pictures_with_a_face_are_left_out(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("SENTIO_CACHE", str(shared / "data/affect/models/yunet"))
    source = tmp_path / "source"
    for name in ("a", "b"):
        (source / name).mkdir(parents=True)
        cv2.imwrite(str(source / name / "wall.png"), np.full((900, 1200, 3), 90 if name == "a" else 200, np.uint8))
    cv2.imwrite(str(source / "icon.png"), np.zeros((32, 32, 3), np.uint8))
    (source / "broken.jpg").write_bytes(b"no picture")
    face = shared / "data/affect/faces-london/neutral_front/001_03.jpg"
    (source / "person.jpg").write_bytes(face.read_bytes())
    count, suspicious = heads.gather_pictures(tmp_path / "out", (source,))
    assert count == 2 and suspicious == [source / "person.jpg"]
    kept = sorted((tmp_path / "out/pictures").iterdir())
    assert [path.name for path in kept] == ["source-a-wall.jpg", "source-b-wall.jpg"]
    assert cv2.imread(str(kept[0])).shape == (480, 640, 3)
