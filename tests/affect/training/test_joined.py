"""Label sets joined: one window with all labels, and thresholds chosen at each validation."""

import numpy as np
import pytest
import torch

import method_data
from sentio.affect.data.clips import Clip
from sentio.affect.data.windows import Windows
from sentio.affect.labels import TASKS
from sentio.affect.protocol import thresholds
from sentio.affect.protocol.scoring import predict, tally
from sentio.affect.training.joined import CalibratedData, JoinedData, join
from sentio.affect.training.published import AffectData, DataConfig
from sentio.core import registry

CONFIG = DataConfig(sets=("va", "expr", "au"), windows=Windows(length=16, hop=8, answers="all", padding="mask"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("joined") / "data"
    method_data.drawn(made)
    return made


def test_each_window_is_there_once_with_the_labels_of_all_sets(folder):
    apart, joined = AffectData(folder, CONFIG), JoinedData(folder, CONFIG)
    assert len(apart.clips) == 3 * len(joined.clips)
    assert {len(clip.labels()) for clip in joined.clips} == {3}
    assert len({clip.name for clip in joined.clips}) == len(joined.clips)
    assert joined.monitor == "p_mtl" and 0 < len(joined.train_dataset()) < len(apart.train_dataset())
    for clip in apart.clips:
        (same,) = [other for other in joined.clips if other.name == clip.name]
        ((name, values),) = clip.labels().items()
        np.testing.assert_array_equal(same.labels()[name], values)
    batch = joined.collate([joined.train_dataset()[3]])
    assert all(getattr(batch, f"{name}_valid").any() for name in TASKS)


def test_clips_of_other_lengths_or_splits_are_not_joined():
    def clip(source, frames, split="train", **labels):
        return Clip(name="one", source=source, split=split, frames=frames, **labels)

    va = clip("va", 3, valence_arousal=np.zeros((3, 2), np.float32))
    expr = clip("expr", 3, expression=np.ones(3, np.int8))
    longer = clip("au", 4, action_units=np.zeros((4, 12), np.int8))
    held = clip("expr", 3, "validation", expression=np.zeros(3, np.int8))
    joined = join([va, expr, longer, held])
    assert [sorted(each.labels()) for each in joined] == [
        ["expression", "valence_arousal"], ["action_units"], ["expression"],
    ]  # fmt: skip
    assert (joined[0].expression == 1).all() and (joined[2].expression == 0).all()


def test_a_validation_chooses_the_thresholds_that_its_score_is_by(folder):
    torch.manual_seed(0)
    small = {"face": {"encoder": "small"}, "length": 16, "dim": 16, "layers": 1, "heads": 2, "hidden": 8}
    model = registry.build("offline", small).eval()
    data = CalibratedData(folder, CONFIG)
    with torch.no_grad():
        scores = data.validate(model)
        (found,) = predict(model, data.validation)
    (clip,) = data.validation.clips
    chosen = thresholds.search(found.action_units, clip.action_units[: len(found)], split="validation")
    torch.testing.assert_close(model.thresholds, torch.tensor(chosen))
    assert set(chosen) != {0.5}
    plain = tally([clip], [found], thresholds=thresholds.DEFAULT).scores()
    assert scores["p_au"] >= plain["p_au"] and scores["p_expr"] == pytest.approx(plain["p_expr"])
    section = {"windows": {"length": 16, "hop": 8, "answers": "all", "padding": "mask"}, "sets": ["va", "expr", "au"]}
    report = model.evaluate(folder, {"resamples": 0}, data=section)
    assert report.header["thresholds"] == pytest.approx(model.face.thresholds.tolist())  # in use
    report = model.evaluate(folder, {"resamples": 0, "thresholds": list(chosen)}, data=section)
    assert report.scores["p_au"] == pytest.approx(scores["p_au"], abs=0.02)
