"""Rendered faces as training data."""

import json

import cv2
import numpy as np
import pytest
import torch

import drawn_faces
from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS
from sentio.affect.synth import acting
from sentio.affect.training.renders import MOVEMENTS, RenderedFaces, RendersConfig, load, read_listing, strengths
from sentio.core.errors import InputError


@pytest.fixture
def folder(tmp_path):
    drawn_faces.draw(tmp_path)
    return tmp_path


def test_pictures_and_labels_belong_together(folder):
    rows = read_listing(folder)
    renders = load(rows)
    assert len(renders) == len(rows) == 24
    for k in (0, 5, 23):
        batch = renders.batch([k])
        shown = cv2.cvtColor(cv2.imread(str(rows[k]["image"])), cv2.COLOR_BGR2RGB)
        np.testing.assert_allclose(batch.face[0, 0].permute(1, 2, 0), shown / 255, atol=1e-6)
        assert EXPRESSIONS[batch.expression[0, 0]] == rows[k]["expression"]
        assert batch.movements[0, MOVEMENTS.index("AU12")] == pytest.approx(rows[k]["movements"].get("AU12_L", 0))
        assert batch.action_units[0, 0].tolist() == rows[k]["action_units"]
        assert batch.valence_arousal[0, 0].tolist() == pytest.approx([rows[k]["valence"], rows[k]["arousal"]])


def test_landmarks_are_on_the_scale_of_the_picture(folder):
    rows = read_listing(folder)
    rows[0]["landmarks"] = [[-0.5, 111.5]] * 68
    assert load(rows[:1]).batch([0]).landmarks[0, 7].tolist() == [-1, 1]


def test_every_movement_of_the_table_is_learnt():
    named = set().union(*map(acting.controls, acting.expressions().values()))
    assert {name.removesuffix("_L").removesuffix("_R") for name in named} <= set(MOVEMENTS)
    assert set(ACTION_UNITS) <= set(MOVEMENTS)


def test_the_stronger_side_counts():
    found = dict(zip(MOVEMENTS, strengths({"AU1_L": 0.2, "AU1_R": 0.6, "AU26": 0.4}), strict=True))
    assert {name: value for name, value in found.items() if value} == {"AU1": 0.6, "AU26": 0.4}


def test_splits_and_rigs_are_kept_apart(tmp_path):
    drawn_faces.draw(tmp_path / "one", people=6)
    drawn_faces.draw(tmp_path / "two", people=3, rig="mpfb", seed=1)
    both = RenderedFaces(tmp_path, RendersConfig())
    assert (len(both.train), len(both.validation)) == (24, 12)
    apart = RenderedFaces(tmp_path, RendersConfig(rig="ict", validation_rig="mpfb"))
    assert (len(apart.train), len(apart.validation)) == (16, 4)
    with pytest.raises(InputError, match="no training picture of the rig other"):
        RenderedFaces(tmp_path, RendersConfig(rig="other"))


def test_batches_move_between_devices(folder):
    batch = load(read_listing(folder)).batch([1, 2]).to("cpu")
    assert batch.face.shape == (2, 1, 3, 112, 112) and batch.expression.dtype == torch.int64


def test_what_is_missing_is_named(folder):
    (folder / "affwild2/cropped_aligned/person000001/00002.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"person000001/00002\.jpg is missing or damaged"):
        RenderedFaces(folder, RendersConfig())
    with pytest.raises(InputError, match=r"holds no faces\.jsonl"):
        read_listing(folder / "affwild2")


def test_an_older_listing_is_refused(folder):
    rows = [json.loads(line) for line in (folder / "faces.jsonl").read_text().splitlines()]
    del rows[3]["movements"]
    (folder / "faces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match="does not tell 'movements'"):
        read_listing(folder)
