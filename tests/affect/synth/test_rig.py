"""Both rigs: what they share, and that their muscles do what their names say."""

import numpy as np
import pytest

from sentio.affect.labels import ACTION_UNITS
from sentio.affect.synth import acting, appearance, rig_ict, rigs, skin
from sentio.affect.synth import rig as frame
from sentio.core.errors import InputError

RIGHT_CORNER, LEFT_CORNER, NOSE, CHIN = 48, 54, 30, 8


@pytest.fixture(scope="module", params=["ict", "mpfb"])
def rig(request, shared):
    return rigs.load(shared / f"data/affect/rig-{request.param}")


def marks(rig, weights, gaze=(0.0, 0.0)):
    return rig.pose(rig.vertices, weights, gaze)[rig.landmarks]


def gap(points, upper=(43, 44), lower=(46, 47)):
    """Opening of the left eye."""
    return np.mean(points[list(upper), 1]) - np.mean(points[list(lower), 1])


def test_the_frame_is_the_same(rig):
    left, right = (rig.vertices[eye].mean(0) for eye in rig.eyes)
    np.testing.assert_allclose(left - right, [frame.EYE_DISTANCE, 0, 0], atol=0.05)
    np.testing.assert_allclose((left + right) / 2, 0, atol=0.05)
    points = rig.vertices[rig.landmarks]
    mirrored = points[[16 - k for k in range(17)]] * [-1, 1, 1]
    np.testing.assert_allclose(points[:17], mirrored, atol=0.1)  # the jaw is symmetric
    assert points[NOSE, 2] > points[CHIN, 2] > points[0, 2]
    assert (
        points[19, 1]
        > points[37, 1]
        > points[41, 1]
        > points[NOSE, 1]
        > points[51, 1]
        > points[57, 1]
        > points[CHIN, 1]
    )


def test_triangles_face_outwards(rig):
    a, b, c = (rig.vertices[rig.triangles[rig.part == frame.SKIN][:, k]] for k in range(3))
    outward = np.einsum("ij,ij->i", np.cross(b - a, c - a), (a + b + c) / 3 - [0, -2, -8])
    assert (outward > 0).mean() > 0.8


def test_the_same_place_has_the_same_uv(rig):
    np.testing.assert_allclose(rig.uv[rig.landmarks[:60]], frame.template()[:60], atol=0.012)


@pytest.mark.parametrize("gazes", [(0.3, 0.0), (0.0, 0.25)])
def test_eyes_turn_about_themselves(rig, gazes):
    posed = rig.pose(rig.vertices, {}, gazes)
    for eye in rig.eyes:
        before, after = rig.vertices[eye], posed[eye]
        centre = before.mean(0)
        np.testing.assert_allclose(
            np.linalg.norm(after - centre, axis=1), np.linalg.norm(before - centre, axis=1), atol=1e-3
        )
        front = before[:, 2].argmax()
        moved = after[front] - before[front]
        assert moved[0] > 0.2 if gazes[0] else moved[1] > 0.2


def test_every_control_of_the_tables_is_there(rig):
    controls = {name.removesuffix("_L").removesuffix("_R") for name in rig.controls}
    for entry in acting.expressions().values():
        for units in (entry["units"], *(units for _, units in entry["one_of"])):
            assert {name.removesuffix("_L").removesuffix("_R") for name in units} <= controls
    assert set(ACTION_UNITS) <= controls


@pytest.mark.parametrize("unit", ACTION_UNITS)
def test_every_action_unit_moves_the_face(rig, unit):
    assert np.abs(rig.pose(rig.vertices, {unit: 1.0}) - rig.vertices).max() > 0.2


def test_muscles_do_what_they_are_called(rig):
    rest = marks(rig, {})
    assert (marks(rig, {"AU12": 1})[[RIGHT_CORNER, LEFT_CORNER], 1] - rest[[RIGHT_CORNER, LEFT_CORNER], 1]).min() > 0.3
    assert (marks(rig, {"AU15": 1})[[RIGHT_CORNER, LEFT_CORNER], 1] - rest[[RIGHT_CORNER, LEFT_CORNER], 1]).max() < -0.2
    assert marks(rig, {"AU26": 1})[CHIN, 1] < rest[CHIN, 1] - 0.8
    assert marks(rig, {"AU1": 1})[[21, 22], 1].min() > rest[[21, 22], 1].min() + 0.2
    assert marks(rig, {"AU2": 1})[[18, 25], 1].min() > rest[[18, 25], 1].min() + 0.15
    assert marks(rig, {"AU4": 1})[[20, 23], 1].max() < rest[[20, 23], 1].max() - 0.15
    for closing in ("AU6", "AU7"):
        assert gap(marks(rig, {closing: 1})) < gap(rest)
    assert gap(marks(rig, {"AU5": 1})) > gap(rest)
    assert gap(marks(rig, {"blink": 1})) < 0.3 * gap(rest)
    lips = marks(rig, {"AU25": 1})
    assert lips[62, 1] - lips[66, 1] > rest[62, 1] - rest[66, 1] + 0.15


def test_a_side_moves_alone(rig):
    moved = marks(rig, {"AU12_L": 1}) - marks(rig, {})
    assert moved[LEFT_CORNER, 1] > 0.3 and abs(moved[RIGHT_CORNER, 1]) < 0.25 * moved[LEFT_CORNER, 1]
    both = rig.pose(rig.vertices, {"AU12_L": 1, "AU12_R": 1})
    np.testing.assert_allclose(both, rig.pose(rig.vertices, {"AU12": 1}), atol=1e-4)


def test_people_differ_and_keep_their_eyes_in_place(rig):
    heads = [rig.shape(rig.draw_identity(np.random.default_rng(k))) for k in range(4)]
    for head in heads:
        np.testing.assert_allclose(np.mean([head[eye].mean(0) for eye in rig.eyes], axis=0), 0, atol=1e-3)
        assert gap(head[rig.landmarks]) > 0.3
    assert min(np.abs(a - b).max() for k, a in enumerate(heads) for b in heads[:k]) > 0.5


def test_an_unknown_control_is_refused(rig):
    with pytest.raises(InputError, match="AU99"):
        rig.pose(rig.vertices, {"AU99": 1.0})


def test_a_folder_without_a_rig_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no rig"):
        rigs.load(tmp_path)


@pytest.mark.parametrize("name", ["ict_facekit_light.npz", "base.obj"])
def test_a_damaged_rig_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"v 1 2 3\nf 9/9 9/9 9/9\n")
    with pytest.raises(InputError, match="no readable"):
        rigs.load(tmp_path)


@pytest.mark.slow
def test_a_person_is_the_same_from_the_same_numbers(rig, shared):
    skins = shared / "data/affect/rig-mpfb"
    one, two = (appearance.draw(rig, np.random.default_rng(5), skins) for _ in range(2))
    np.testing.assert_array_equal(one.head, two.head)
    np.testing.assert_array_equal(one.textures, two.textures)
    np.testing.assert_array_equal(one.worn[0], two.worn[0])
    assert one.textures.shape == (8, skin.SIZE, skin.SIZE, 4)


def test_shut_lids_stay_shut_under_raised_cheeks(rig):
    person = appearance.draw(rig, np.random.default_rng(1))
    still = np.eye(3, dtype=np.float32)
    _, shut = person.mesh({"blink": 1.0}, (0, 0), still)
    _, both = person.mesh({"blink": 1.0, "AU6": 1.0, "AU7": 1.0}, (0, 0), still)
    assert abs(gap(both) - gap(shut)) < 0.25


@pytest.mark.slow
def test_published_files_give_the_same_rig(shared, tmp_path, monkeypatch):
    """A checkout of ICT-FaceKit, written from the packed arrays: a neutral head, and a head for each shape."""
    shapes = ("jawOpen", "mouthSmile_L", "mouthSmile_R")
    monkeypatch.setattr(
        frame, "table", lambda name: {"sided": {"AU12": {"mouthSmile_{S}": 1.0}}, "whole": {"AU26": {"jawOpen": 1.0}}}
    )
    with np.load(shared / "data/affect/rig-ict/ict_facekit_light.npz") as arrays:
        neutral = arrays["neutral"]
        heads = {"generic_neutral_mesh": neutral, "identity000": neutral + arrays["identity_deltas"][0]}
        heads |= {n: neutral + arrays["expression_deltas"][list(arrays["expression_names"]).index(n)] for n in shapes}
        faces = [" ".join(f"{v + 1}/1/1" for v in face if v >= 0) for face in arrays["faces"]]
    (tmp_path / "FaceXModel").mkdir()
    for name, head in heads.items():
        lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in head] + ["vt 0 0", "vn 0 0 1"]
        lines += [f"f {face}" for face in faces] if name == "generic_neutral_mesh" else []
        (tmp_path / f"FaceXModel/{name}.obj").write_text("\n".join(lines) + "\n")
    found, packed = rig_ict.read(tmp_path), rig_ict.read(shared / "data/affect/rig-ict")
    np.testing.assert_array_equal(found.triangles, packed.triangles)
    np.testing.assert_allclose(found.vertices, packed.vertices, atol=1e-4)
    np.testing.assert_allclose(found.identity[0], packed.identity[0], atol=1e-4)
    np.testing.assert_allclose(found.movements, packed.movements, atol=1e-4)
    assert found.controls == packed.controls and found.draw_identity(np.random.default_rng(0)).shape == (1,)


def test_a_brow_that_is_raised_and_drawn_in_slants(rig):
    def inner(weights):
        return marks(rig, weights)[[21, 22], 1].mean()  # height of the inner ends

    rest, lowered, both = inner({}), inner({"AU4": 1}), inner({"AU1": 1, "AU4": 1})
    assert lowered < rest < both
    added = inner({"AU1": 1}) + lowered - rest
    assert both > added + 0.5 * (rest - lowered)
