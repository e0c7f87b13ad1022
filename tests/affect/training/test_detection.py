"""Pictures put together for the detector: what is said of them is what they show."""

import json

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("numba", reason="needs the train extra")

from sentio.affect.faces.detection import Detection  # noqa: E402
from sentio.affect.synth import composites  # noqa: E402
from sentio.affect.synth.composites import Composite, CompositeConfig, Source  # noqa: E402
from sentio.affect.synth.rig import template  # noqa: E402
from sentio.affect.training import detection  # noqa: E402
from sentio.affect.training.detection import Composites  # noqa: E402
from sentio.core.errors import InputError  # noqa: E402

SIZE = 192
NOSE = 30


def plain_head():
    """A green disc with a face's landmarks, a red spot at the nose and a blue one at the left eye in the picture."""
    landmarks = template() * [1, -1]
    landmarks = (landmarks - landmarks.mean(0)) / np.ptp(landmarks, axis=0) * [70, 80] + 96
    head = np.zeros((SIZE, SIZE, 4), np.uint8)
    cv2.circle(head, (96, 96), 70, (0, 160, 0, 255), -1)
    cv2.circle(head, tuple(int(v) for v in landmarks[NOSE].round()), 6, (255, 0, 0, 255), -1)
    cv2.circle(head, tuple(int(v) for v in landmarks[36:42].mean(0).round()), 6, (0, 0, 255, 255), -1)
    return head, landmarks


@pytest.fixture
def folder(tmp_path):
    """Twelve people, one of two heads each from behind, and twelve pictures of one grey each."""
    (tmp_path / "heads").mkdir()
    (tmp_path / "pictures").mkdir()
    head, landmarks = plain_head()
    rows = []
    for person in range(12):
        for k in range(2):
            name = f"{person:05d}_{k:02d}.png"
            cv2.imwrite(str(tmp_path / "heads" / name), cv2.cvtColor(head, cv2.COLOR_RGBA2BGRA))
            rows.append({"image": name, "face": k == 0, "yaw_pitch_roll": [0, 0, 0], "landmarks": landmarks.tolist()})
        cv2.imwrite(str(tmp_path / "pictures" / f"{person:02d}.jpg"), np.full((300, 400, 3), 20 * person, np.uint8))
    (tmp_path / "heads.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def spot(image, channel):
    """Middle of what has this colour, x and y."""
    others = [c for c in range(3) if c != channel]
    y, x = np.nonzero((image[..., channel] > 120) & (image[..., others] < 70).all(-1))
    return np.array([x.mean(), y.mean()])


@pytest.mark.parametrize("seed", range(8))
def test_points_and_box_go_where_the_head_goes(folder, seed):
    source = Source(folder, validation=False)
    source.heads = [row for row in source.heads if row["face"]]
    rng = np.random.default_rng(seed)
    picture = Composite(np.full((256, 256, 3), 128, np.uint8), [])
    while not picture.faces:  # seven in a hundred get no features
        composites.paste(picture, source, 110.0, rng)
    box, points, _ = picture.faces[0]
    np.testing.assert_allclose(points[2], spot(picture.image, 0), atol=1.0)
    eyes = np.linalg.norm(points[:2] - spot(picture.image, 2), axis=1)
    assert eyes.min() < 1.2, "the eye, mirrored or not"
    assert points[0, 0] < points[1, 0] and points[3, 0] < points[4, 0], "left is the viewer's left"
    assert (box[2:] - box[:2]).max() == pytest.approx(110, abs=0.01)
    assert (points > box[:2]).all() and (points < box[2:]).all()


@pytest.mark.parametrize("angle", [0.0, 0.4, -0.7])
def test_a_mirrored_face_has_mirrored_points(angle):
    _, landmarks = plain_head()
    turn = np.array([[np.cos(angle), -np.sin(angle), 5], [np.sin(angle), np.cos(angle), 8]])
    mirror = np.array([[-1.0, 0], [0, 1]])
    box, points = composites.place(landmarks, turn)
    mirrored_box, mirrored = composites.place(landmarks, mirror @ turn)
    np.testing.assert_allclose(mirrored, points[[1, 0, 2, 4, 3]] @ mirror, atol=0.1)
    np.testing.assert_allclose(mirrored_box, [-box[2], box[1], -box[0], box[3]])
    true = composites.five(landmarks @ turn[:, :2].T + turn[:, 2])
    assert np.abs(points - true).max() < 0.06 * (box[2] - box[0]), "corners of mouths are moved a little"


def test_a_box_reaches_from_the_forehead_to_the_chin():
    _, landmarks = plain_head()
    box, _ = composites.place(landmarks, np.array([[1.0, 0, 0], [0, 1, 0]]))
    height = landmarks[8, 1] - landmarks[17:27, 1].mean()
    assert box[1] == pytest.approx(landmarks[17:27, 1].min() - 0.28 * height)
    assert box[3] == pytest.approx(landmarks[8, 1] + 0.03 * height)
    assert box[[0, 2]] == pytest.approx([landmarks[:, 0].min(), landmarks[:, 0].max()])


def test_heads_from_behind_are_no_faces_and_covered_faces_are_not_clear(folder):
    source = Source(folder, validation=False)
    rows = source.heads
    source.heads = [row for row in rows if not row["face"]]
    picture = Composite(np.full((256, 256, 3), 128, np.uint8), [])
    for seed in range(5):
        composites.paste(picture, source, 60.0, np.random.default_rng(seed))
    assert picture.faces == [] and (picture.image != 128).any()
    box = np.array([100.0, 100, 140, 150])
    picture.faces = [(box, np.tile(box[:2], (5, 1)), True)]
    rng = np.random.default_rng(0)
    for _ in range(40):  # bodies and heads pile up until it is covered
        composites.paste(picture, source, 25.0, rng)
    assert not picture.faces[0][2]


@pytest.mark.slow
def test_an_item_depends_on_its_number_and_the_epoch_alone(folder):
    dataset = Composites(folder, CompositeConfig()).train_dataset()
    first, again = dataset[3], dataset[3]
    assert (first.image == again.image).all() and len(first.faces) == len(again.faces)
    assert any(
        (dataset[k].image.shape != dataset[3].image.shape) or (dataset[k].image != first.image).any() for k in (4,)
    )
    dataset.set_epoch(1)
    assert (dataset[3].image != first.image).any()


def test_nobody_is_in_both_splits(folder):
    train, held = Source(folder, validation=False), Source(folder, validation=True)
    people = [{row["image"].split("_")[0] for row in source.heads} for source in (train, held)]
    assert people[0].isdisjoint(people[1]) and people[0] | people[1] == {f"{k:05d}" for k in range(12)}
    assert set(train.pictures).isdisjoint(held.pictures) and len(train.pictures) + len(held.pictures) == 12


@pytest.mark.slow
def test_batches_hold_the_pictures_in_bgr_and_all_faces(folder):
    data = Composites(folder, CompositeConfig())
    items = [data.train_dataset()[k] for k in range(6)]
    batch = data.collate(items).to("cpu")
    assert batch.images.shape == (6, 3, 192, 192) and batch.images.dtype == torch.float32
    np.testing.assert_array_equal(batch.images[2].numpy().transpose(1, 2, 0)[..., ::-1], items[2].image)
    for n, item in enumerate(items):
        assert int(batch.clear[n].sum()) == sum(clear for _, _, clear in item.faces)
        assert int((batch.clear[n] | batch.ignored[n]).sum()) == len(item.faces)
        for k, (box, points, _) in enumerate(item.faces):
            np.testing.assert_allclose(batch.boxes[n, k], box, rtol=1e-5)
            np.testing.assert_allclose(batch.landmarks[n, k], points, rtol=1e-5)


def test_four_of_five_points_make_a_face_and_none_makes_nobody(folder):
    box = np.array([40.0, 40, 140, 160])
    points = np.array([[70.0, 80], [110, 80], [90, 105], [75, 130], [105, 130]])
    for around, expected in (
        ((0, 0, 192, 192), [True]),
        ((0, 0, 192, 120), [False]),  # without the mouth
        ((72, 0, 192, 192), [True]),  # without an eye
        ((0, 0, 192, 70), []),
    ):
        picture = Composite(np.zeros((192, 192, 3), np.uint8), [(box, points, True)])
        composites._settle(picture, around)
        assert [clear for _, _, clear in picture.faces] == expected, around


def test_framed_pictures_have_a_large_head_in_grey(folder):
    source = Source(folder, validation=False)
    source.heads = [row for row in source.heads if row["face"]]
    config = CompositeConfig(framed=1.0)
    made = [composites.compose(source, config, np.random.default_rng(k)) for k in range(30)]
    plain = [((item.image == 128).all(-1) | (item.image == 0).all(-1)).mean() for item in made]
    assert np.min(plain) > 0.1
    shown = [(box[2:] - box[:2]).max() for item in made for box, _, _ in item.faces]
    assert len(shown) > 20 and min(shown) > 25
    assert any((box < 0).any() or (box > 192).any() for item in made for box, _, _ in item.faces), "beyond the border"


def test_parts_of_bodies_are_shown_and_are_no_faces(folder):
    hand = np.zeros((SIZE, SIZE, 4), np.uint8)
    hand[60:130, 80:110] = (0, 0, 255, 255)  # red, BGRA
    (folder / "bodies").mkdir()
    cv2.imwrite(str(folder / "bodies/00001_0.png"), hand)
    (folder / "bodies.jsonl").write_text(json.dumps({"image": "00001_0.png", "part": "hand"}) + "\n")
    source = Source(folder, validation=False)
    shown = [composites.background(source, CompositeConfig(), np.random.default_rng(k)) for k in range(60)]
    red = [((part[..., 0] > 150) & (part[..., 1:] < 60).all(-1)).sum() > 60 for part in shown]
    assert 0.1 < np.mean(red) < 0.4
    assert Source(folder, validation=True).bodies == []


def test_hard_places_are_shown(folder):
    image = np.full((300, 400, 3), 90, np.uint8)
    image[200:240, 300:340] = (0, 0, 255)  # red, BGR
    cv2.imwrite(str(folder / "pictures/05.jpg"), image)
    (folder / "hard.jsonl").write_text(
        json.dumps({"picture": "05.jpg", "box": [300, 200, 40, 40], "score": 0.5}) + "\n"
    )
    source = Source(folder, validation=False)
    config = CompositeConfig(hard=1.0)
    shown = [composites.background(source, config, np.random.default_rng(k)) for k in range(20)]
    red = [(part[..., 0] > 180).any() for part in shown]
    assert np.mean(red) > 0.6, "all but those with a drawn background"


def test_without_heads_the_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no heads\.jsonl"):
        Source(tmp_path, validation=False)


def test_scores_of_known_answers():
    box, points = np.array([10.0, 10, 30, 40]), np.array([[15.0, 20], [25, 20], [20, 25], [16, 32], [24, 32]])
    faces = [(box, points, True), (box + 50, points + 50, True), (box + 100, points + 100, False)]

    def found(shift, score, moved=0.0):
        return Detection((10.0 + shift, 10.0 + shift, 20.0, 30.0), score, points + shift + [moved, 0])

    detections = [found(0, 0.9, moved=1.0), found(200, 0.8), found(50, 0.7), found(100, 0.6)]
    scores = detection.score([detections, []], [faces, []])
    assert scores["average_precision"] == pytest.approx((1 / 1 + 2 / 3) / 2), (
        "right, wrong, right; ignored ones do not count"
    )
    assert scores["landmark_error"] == pytest.approx(np.median([1 / 10, 0]))
    assert scores["false_faces"] == 50, "one in two pictures"


def test_calibrated_scores_are_shares_of_right_answers(folder, monkeypatch):
    """Answers that are right as often as the logistic of twice their logit, plus one, get just that as their score."""
    from sentio.core import registry

    method = registry.build("detector", {"widths": [4, 8, 8, 8, 8], "neck": 8})
    rng = np.random.default_rng(0)

    def answers(method, image):
        raw = rng.uniform(0.2, 0.8, 30)
        right = rng.uniform(size=30) < 1 / (1 + np.exp(-(2 * np.log(raw / (1 - raw)) + 1)))
        boxes = [(20.0, 20, 40, 50) if hit else (120.0, 120, 40, 50) for hit in right]
        return [Detection(box, float(s), np.zeros((5, 2))) for box, s in zip(boxes, raw, strict=True)]

    face = (np.array([20.0, 20, 60, 70]), np.zeros((5, 2)), True)
    monkeypatch.setattr(detection, "detect", answers)
    monkeypatch.setattr(detection, "compose", lambda *_: Composite(np.zeros((64, 64, 3), np.uint8), [face]))
    calibrated = detection.calibrate(method, folder, pictures=300)
    assert calibrated.config.calibration == pytest.approx((2, 1), abs=0.15)
    assert method.config.calibration == (1.0, 0.0)
    score = calibrated.calibrated(torch.tensor([0.5]))
    assert float(score) == pytest.approx(1 / (1 + np.exp(-calibrated.config.calibration[1])))


def test_false_faces_are_listed_worst_first(folder, monkeypatch):
    boxes = [Detection((10.0 * k, 5.0, 30.0, 40.0), 0.9 - 0.1 * k, np.zeros((5, 2))) for k in range(8)]
    monkeypatch.setattr(detection, "detect", lambda *_: boxes)
    count = detection.mine(None, folder)
    rows = [json.loads(line) for line in (folder / "hard.jsonl").read_text().splitlines()]
    assert count == len(rows) == detection.WORST * len(Source(folder, validation=False).pictures)
    assert rows[0]["box"] == [0, 5, 30, 40] and rows[0]["score"] == 0.9
    assert len(Source(folder, validation=False).hard) == count and Source(folder, validation=True).hard == []
