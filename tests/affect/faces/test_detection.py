import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentio.affect.faces.detection import Detection, overlap, suppress, without_parts
from sentio.affect.faces.grid import FLOOR, LIMIT, blend, decode

boxes = st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.floats(0.5, 60), st.floats(0.5, 60))


def naive_overlap(a, b) -> float:
    across = max(0.0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    down = max(0.0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    return across * down / (a[2] * a[3] + b[2] * b[3] - across * down)


@given(st.lists(boxes, max_size=5), st.lists(boxes, max_size=5))
def test_overlap_equals_the_naive_one(a, b):
    found = overlap(a, b)
    assert found.shape == (len(a), len(b))
    assert np.allclose(found, np.array([[naive_overlap(p, q) for q in b] for p in a]).reshape(found.shape), atol=1e-9)


@given(st.lists(st.tuples(boxes, st.floats(0, 1)), max_size=12), st.floats(0, 0.9))
def test_suppression_keeps_the_best_and_only_what_stands_apart(scored, limit):
    found = [Detection(box, score, np.zeros((5, 2))) for box, score in scored]
    kept = suppress(found, limit)
    assert [d.score for d in kept] == sorted((d.score for d in kept), reverse=True)
    for index, one in enumerate(kept):
        assert all(naive_overlap(one.box, other.box) <= limit + 1e-9 for other in kept[:index])
    for lost in found:
        if not any(lost is one for one in kept):
            assert any(naive_overlap(lost.box, o.box) > limit - 1e-9 and o.score >= lost.score for o in kept)


def test_what_lies_in_a_sure_and_much_larger_face_is_a_part_of_it():
    def face(*box, score=0.9):
        return Detection(box, score, np.zeros((5, 2)))

    large, eye, beside, close = face(0, 0, 100, 120), face(20, 30, 25, 25), face(90, 30, 40, 40), face(0, 0, 60, 70)
    assert without_parts([large, eye, beside, close]) == [large, beside, close]
    unsure = face(0, 0, 100, 120, score=0.5)
    assert without_parts([eye, unsure]) == [eye, unsure]
    assert without_parts([]) == []


def test_decode_equals_a_loop_over_the_cells():
    random = np.random.default_rng(0)
    rows, columns, stride = 3, 5, 16
    shapes = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    outputs = {f"{n}_{stride}": random.uniform(-0.2, 1.2, (1, rows * columns, k)) for n, k in shapes.items()}
    expected = []
    for row in range(rows):
        for column in range(columns):
            cell = {name: outputs[f"{name}_{stride}"][0, row * columns + column] for name in shapes}
            score = np.sqrt(min(max(cell["cls"][0], 0), 1) * min(max(cell["obj"][0], 0), 1))
            if score < FLOOR:
                continue
            dx, dy, w, h = cell["bbox"]
            w, h = np.exp(w) * stride, np.exp(h) * stride
            x, y = (column + dx) * stride - w / 2, (row + dy) * stride - h / 2
            points = [((column + px) * stride, (row + py) * stride) for px, py in cell["kps"].reshape(5, 2)]
            expected.append((x, y, w, h, score, *np.ravel(points)))
    found = [(*face.box, face.score, *face.landmarks.ravel()) for face in decode(outputs, stride, columns)]
    assert len(found) > 3 and np.allclose(found, expected)


def test_yunet_equals_opencv_on_the_same_weights(shared, yunet, tmp_path):
    onnx = pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    photo = cv2.imread(str(shared / "data/affect/faces-london/smiling_front/001_08.jpg"))
    image = np.ascontiguousarray(np.concatenate([cv2.resize(photo, (160, 160))] * 2, axis=1)[:, :288])
    model = onnx.load(shared / "data/affect/models/yunet/yunet_n_dynamic.onnx")
    for size, dimension in zip((1, 3, 160, 288), model.graph.input[0].type.tensor_type.shape.dim, strict=True):
        dimension.dim_value = size
    options = ort.SessionOptions()  # OpenCV reads the file only when its sizes are fixed and its shapes folded
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "fixed.onnx")
    ort.InferenceSession(model.SerializeToString(), options)
    reference = cv2.FaceDetectorYN.create(str(tmp_path / "fixed.onnx"), "", (288, 160), FLOOR, LIMIT)
    expected = reference.detect(image)[1]
    faces = suppress(yunet.candidates(image[..., ::-1].copy()), LIMIT)
    found = [(*face.box, *face.landmarks.ravel(), face.score) for face in faces]
    assert len(found) == 2 and np.allclose(found, expected, atol=2e-3)


def test_blending_is_the_mean_of_close_candidates_weighted_by_score():
    def detection(x, score):
        return Detection((x, 0.0, 10.0, 10.0), score, np.full((5, 2), x))

    near, best, far = detection(2.0, 0.3), detection(0.0, 0.9), detection(6.0, 0.5)
    face = blend(best, [near, best, far])
    assert face.box == pytest.approx((0.5, 0, 10, 10)) and face.score == 0.9
    assert np.allclose(face.landmarks, 0.5)


def test_blending_steadies_the_landmarks(yunet, clips):
    image, _ = next(portraits(clips))
    blended, single = [], []
    for seed in range(12):
        x, y = np.random.default_rng(seed).integers(0, 40, 2)
        part = np.ascontiguousarray(image[y : y + 280, x : x + 280])
        blended.append(yunet(part)[0].landmarks + (x, y))
        single.append(suppress(yunet.candidates(part), LIMIT)[0].landmarks + (x, y))
    assert np.std(blended, axis=0).mean() < 0.8 * np.std(single, axis=0).mean()


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (20, 300), (33, 31), (240, 320)])
def test_a_picture_without_a_face_gives_nothing(detector, shape):
    assert detector(np.full((*shape, 3), 120, np.uint8)) == []


def portraits(clips):
    """The rendered faces with their true eyes, noses and corners of mouths (5, 2)."""
    for name, points in json.loads((clips / "portraits.json").read_text()).items():
        yield cv2.cvtColor(cv2.imread(str(clips / name)), cv2.COLOR_BGR2RGB), np.array(points)


def test_landmarks_lie_on_rendered_eyes_and_mouths(detector, clips):
    errors = []
    for image, truth in portraits(clips):
        (face,) = detector(image)
        assert 0.7 <= face.score <= 1
        errors.append(np.linalg.norm(face.landmarks - truth, axis=1) / np.linalg.norm(truth[1] - truth[0]))
    assert len(errors) == 8 and np.mean(errors) < 0.15 and np.max(errors) < 0.4


def test_landmarks_follow_a_rendered_head_that_leans(detector, clips):
    for image, truth in list(portraits(clips))[:4]:
        lean = cv2.getRotationMatrix2D((160, 160), -12, 1)
        turned = cv2.warpAffine(image, lean, (320, 320), borderMode=cv2.BORDER_REPLICATE)
        eyes = detector(turned)[0].landmarks[:2] - truth[:2] @ lean[:, :2].T - lean[:, 2]
        assert np.linalg.norm(eyes, axis=1).max() < 0.3 * np.linalg.norm(truth[1] - truth[0])


def photographs(shared):
    """The neutral London faces at 320 pixels, with the hand-placed eyes, nose tip and mouth corners."""
    for path in sorted((shared / "data/affect/faces-london/neutral_front").glob("*.jpg"))[::3]:
        points = np.loadtxt(path.with_suffix(".tem"), skiprows=1, max_rows=189) / 2
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        scale = 320 / image.shape[1]
        truth = np.stack([points[0], points[1], points[[54, 60]].mean(0), points[87], points[93]])
        yield cv2.resize(image, (320, 320), interpolation=cv2.INTER_AREA), (truth + 0.5) * scale - 0.5


def test_landmarks_lie_on_real_eyes_and_mouths(detector, shared):
    errors = []
    for image, truth in photographs(shared):
        faces = detector(image)
        assert len(faces) == 1 and 0.7 <= faces[0].score <= 1
        distance = np.linalg.norm(faces[0].landmarks - truth, axis=1) / np.linalg.norm(truth[1] - truth[0])
        errors.append(distance[[0, 1, 3, 4]])
    assert len(errors) == 17 and np.mean(errors) < 0.11 and np.max(errors) < 0.3


def test_landmarks_follow_a_leaning_head(detector, shared):
    for image, truth in list(photographs(shared))[:4]:
        lean = cv2.getRotationMatrix2D((160, 160), -12, 1)
        turned = cv2.warpAffine(image, lean, (320, 320), borderMode=cv2.BORDER_REPLICATE)
        eyes = detector(turned)[0].landmarks[:2] - truth[:2] @ lean[:, :2].T - lean[:, 2]
        assert np.linalg.norm(eyes, axis=1).max() < 0.15 * np.linalg.norm(truth[1] - truth[0])


def test_smaller_faces_are_left_out(detector, clips):
    image, _ = next(portraits(clips))
    face = detector(image)[0]
    assert detector(image, smallest=face.box[2] * 0.8) and not detector(image, smallest=face.box[2] * 1.7)
