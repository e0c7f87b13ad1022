"""The detector's network and losses against loops and closed forms; what it learns, exports and says."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from sentio.affect.faces.detection import overlap as plain_overlap  # noqa: E402
from sentio.affect.faces.grid import STRIDES, decode  # noqa: E402
from sentio.affect.models import detector  # noqa: E402
from sentio.affect.training.detection import DetectionBatch, detect  # noqa: E402
from sentio.core import export, registry, runtime, weights  # noqa: E402

SIDE = 96
TINY = {"widths": [4, 8, 8, 8, 8], "neck": 8}


def batch(boxes, clear=True, ignored=False, images=None) -> DetectionBatch:
    """One picture with these boxes (corners), their five points a cross in the middle half."""
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(1, -1, 4)
    low, size = boxes[..., None, :2], (boxes[..., None, 2:] - boxes[..., None, :2])
    points = low + size * torch.tensor([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    flags = torch.ones(boxes.shape[:2], dtype=torch.bool)
    images = torch.zeros(1, 3, SIDE, SIDE) if images is None else images
    return DetectionBatch(images, boxes, points, flags & clear, flags & ignored)


def plainly_owned(boxes) -> list[int]:
    """Which face each cell tells of, cell by cell."""
    owners = []
    for stride, (least, most) in zip(STRIDES, detector.SIDES, strict=True):
        for row in range(SIDE // stride):
            for column in range(SIDE // stride):
                x, y, best = column * stride, row * stride, -1
                for k, (x0, y0, x1, y1) in enumerate(boxes):
                    side = max(x1 - x0, y1 - y0)
                    near = max(abs(x - (x0 + x1) / 2), abs(y - (y0 + y1) / 2)) <= 1.5 * stride
                    if near and x0 <= x <= x1 and y0 <= y <= y1 and least <= side < most:
                        smaller = best < 0 or side < max(
                            boxes[best][2] - boxes[best][0], boxes[best][3] - boxes[best][1]
                        )
                        best = k if smaller else best
                owners.append(best)
    return owners


corners = st.tuples(st.integers(-20, 90), st.integers(-20, 90), st.integers(6, 90), st.integers(6, 90)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@settings(max_examples=40, deadline=None)
@given(st.lists(corners, min_size=1, max_size=3, unique_by=lambda b: max(b[2] - b[0], b[3] - b[1])))
def test_cells_belong_to_the_faces_that_a_loop_gives_them(boxes):
    owner, unsure = detector.assign(batch(boxes), (SIDE, SIDE))
    assert owner[0].tolist() == plainly_owned(boxes)
    assert not (unsure & (owner >= 0)).any()


@pytest.mark.parametrize("side", [10, 24, 40, 60, 90])
def test_every_face_has_cells(side):
    owner, _ = detector.assign(batch([(3, 3, 3 + side * 0.8, 3 + side)]), (SIDE, SIDE))
    assert (owner == 0).sum() >= 1


def test_hidden_faces_teach_nothing():
    faces = batch([(20, 20, 60, 70)], clear=False, ignored=True)
    owner, unsure = detector.assign(faces, (SIDE, SIDE))
    assert (owner < 0).all()
    cells = [(x, y) for s in STRIDES for y in range(0, SIDE, s) for x in range(0, SIDE, s)]
    fits = [least <= 50 < most for s, (least, most) in zip(STRIDES, detector.SIDES, strict=True)
            for _ in range((SIDE // s) ** 2)]  # fmt: skip
    inside = [20 <= x <= 60 and 20 <= y <= 70 for x, y in cells]
    assert unsure[0].tolist() == [a and b for a, b in zip(inside, fits, strict=True)], "of its own level alone"
    model = registry.build("detector", TINY)
    loss = {name: value.detach() for name, value in model.loss(faces, 0.5).items()}
    assert float(loss["box"]) == 0 and all(torch.isfinite(value) for value in loss.values())


def test_focal_loss_is_its_closed_form():
    logits = torch.linspace(-4, 4, 9, dtype=torch.float64)
    p = 1 / (1 + np.exp(-logits.numpy()))
    for target, expected in ((1.0, -((1 - p) ** 2) * np.log(p)), (0.0, -(p**2) * np.log(1 - p))):
        found = detector.focal_loss(logits, torch.full_like(logits, target))
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


@given(corners, corners)
def test_overlap_equals_the_detectors_own_and_generalises_it(a, b):
    iou, generalised = (float(v) for v in detector.overlap(*(torch.tensor([c], dtype=torch.float64) for c in (a, b))))
    (x0, y0, x1, y1), (u0, v0, u1, v1) = a, b
    assert iou == pytest.approx(plain_overlap([(x0, y0, x1 - x0, y1 - y0)], [(u0, v0, u1 - u0, v1 - v0)])[0, 0])
    around = (max(x1, u1) - min(x0, u0)) * (max(y1, v1) - min(y0, v0))
    areas = (x1 - x0) * (y1 - y0) + (u1 - u0) * (v1 - v0)
    either = areas / (1 + iou)
    assert generalised == pytest.approx(iou - (around - either) / around)
    assert -1 < generalised <= iou


def test_a_perfect_answer_costs_only_what_is_unsure():
    """Cells that say their face exactly have no loss of box and landmarks, and the class is taught IoU 1."""
    model = registry.build("detector", TINY)
    faces = batch([(20, 20, 60, 70)])
    owner, _ = detector.assign(faces, (SIDE, SIDE))
    cells = owner.shape[1]
    own = owner[0] >= 0
    logits = torch.where(own, 30.0, -30.0)[None]
    exact = detector.Cells(logits, logits, faces.boxes.expand(1, cells, 4), faces.landmarks.expand(1, cells, 5, 2))
    model.predict = lambda images: exact
    loss = {name: float(value) for name, value in model.loss(faces, 0.5).items()}
    assert all(value == pytest.approx(0, abs=1e-6) for value in loss.values())


def test_forward_decoded_is_what_the_loss_sees():
    torch.manual_seed(0)
    model = registry.build("detector", TINY).eval()
    with torch.no_grad():
        for head in model.network.heads:
            head[1].weight.normal_(std=0.3)
            head[1].bias[:2] = 3.0
        image = torch.rand(1, 3, 64, 96) * 255
        names = [f"{part}_{stride}" for part in detector.PARTS for stride in STRIDES]
        outputs = dict(zip(names, (value.numpy() for value in model.decodable(image)), strict=True))
        answer = model.predict(image)
    score = (answer.quality.sigmoid() * answer.objectness.sigmoid()).sqrt()[0].numpy()
    boxes, points = answer.boxes[0].numpy(), answer.landmarks[0].numpy()
    found = [face for stride in STRIDES for face in decode(outputs, stride, 96 // stride)]
    seen = np.flatnonzero(score >= 0.3)
    assert len(found) == len(seen) > 20
    for face, k in zip(found, seen, strict=True):
        x, y, width, height = face.box
        np.testing.assert_allclose((x, y, x + width, y + height), boxes[k], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(face.landmarks, points[k], rtol=1e-4, atol=1e-3)
        assert face.score == pytest.approx(score[k], abs=1e-5)


@pytest.mark.slow
def test_training_steps_find_a_bright_square():
    """Steps on one picture: its terms fall, and the square is found nearer than by chance."""
    torch.manual_seed(0)
    model = registry.build("detector", TINY)
    images = torch.full((1, 3, SIDE, SIDE), 60.0)
    images[:, :, 24:72, 28:68] = 220
    faces = batch([(28, 24, 68, 72)], images=images)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for step in range(60):
        terms = model.loss(faces, step / 60)
        losses.append({name: float(value.detach()) for name, value in terms.items()})
        sum(terms.values()).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(losses[-1][name] < 0.5 * losses[0][name] for name in ("objectness", "box", "landmarks"))
    best = detect(model.eval(), images[0].numpy().transpose(1, 2, 0)[..., ::-1].astype(np.uint8))[0]
    assert plain_overlap([best.box], [(28, 24, 40, 48)])[0, 0] > 0.4, "the whole picture would have 0.21"


def test_onnx_equals_torch_at_any_size(tmp_path):
    pytest.importorskip("onnx")
    torch.manual_seed(0)
    model = registry.build("detector", TINY).eval()
    (graph,) = model.graphs()
    export.write_onnx(graph, tmp_path / "model.onnx")
    session = runtime.onnx_session((tmp_path / "model.onnx").read_bytes(), threads=1)
    assert [output.name for output in session.get_outputs()] == list(graph.outputs)
    for shape in ((1, 3, 64, 96), (2, 3, 32, 32), (1, 3, 160, 128)):
        images = torch.rand(shape) * 255
        with torch.no_grad():
            expected = model.decodable(images)
        for found, value in zip(session.run(None, {"input": images.numpy()}), expected, strict=True):
            np.testing.assert_allclose(found, value.numpy(), atol=2e-5)


def test_the_shipped_graph_is_the_shipped_model():
    model = weights.load("detector").eval()
    session = weights.session("detector")
    images = torch.rand(1, 3, 96, 160, generator=torch.Generator().manual_seed(0)) * 255
    with torch.no_grad():
        expected = model.decodable(images)
    for found, value in zip(session.run(None, {"input": images.numpy()}), expected, strict=True):
        np.testing.assert_allclose(found, value.numpy(), atol=1e-3)
    assert sum(value.numel() for value in model.parameters()) < 500_000
