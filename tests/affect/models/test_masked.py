"""The masked transformer: what is hidden, what hidden frames may do, both heads, overlaps, a ViT snapshot under it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from sentio.affect.batch import AffectBatch
from sentio.affect.data.clips import Clip, Crops
from sentio.affect.data.windows import Windows
from sentio.affect.evaluate import EvaluationConfig
from sentio.affect.losses import binary_focal_loss, ccc_loss, focal_loss
from sentio.affect.models.masked import Masking, hide, positions
from sentio.affect.protocol.scoring import predict
from sentio.affect.training.published import DataConfig
from sentio.core import registry, weights
from sentio.core.config import from_dict
from sentio.core.errors import InputError, RecipeError
from sentio.core.training import FitConfig

D = 192
"""Length of the small encoder's vectors."""
TINY = {"encoder": "small", "length": 12, "dim": 16, "layers": 2, "heads": 2, "hidden": 8, "head": 16, "dropout": 0.0}
EVERY = ["valence_arousal", "expression", "action_units"]
FRAMES = TINY | {"tasks": EVERY, "answers": "all"}


def masked(**config):
    torch.manual_seed(5)
    return registry.build("masked", TINY | config).eval()


def windows(B=3, T=12, missing=0.25, labels=None, seed=0):
    """Windows of features with missing faces; the labels (L of each window) are in part missing, too."""
    random = torch.Generator().manual_seed(seed)
    valid = torch.rand(B, T, generator=random) >= missing
    valid[:, -1] = True
    fields = {}
    if labels:
        example, there = AffectBatch.example(B, T, L=labels), torch.rand(B, labels, generator=random) > 0.3
        fields = {
            "valence_arousal": example.valence_arousal.masked_fill(~there[..., None], torch.nan),
            "expression": example.expression.masked_fill(~there, -1),
            "action_units": example.action_units.masked_fill(~there[..., None], torch.nan),
        } | {f"{name}_valid": there for name in ("valence_arousal", "expression")}
        fields["action_units_valid"] = there[..., None].expand(B, labels, 12)
    return AffectBatch(
        face_feature=torch.randn(B, T, D, generator=random) * valid[..., None],
        face_valid=valid,
        time_s=(torch.arange(T) / 30).expand(B, T),
        source=torch.zeros(B, dtype=torch.int64),
        **fields,
    )


def values(output):
    return [value for value in (output.valence_arousal, output.expression, output.action_units) if value is not None]


# --- what is masked


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("what", ["frames", "elements"])
def test_the_share_that_is_masked_is_the_one_asked_for(share, what):
    torch.manual_seed(0)
    keep = Masking(share, what).draw(torch.ones(64, 100, 6))
    assert keep.shape == (64, 100, 1 if what == "frames" else 6)
    deviation = (share * (1 - share) / keep.numel()) ** 0.5
    assert float((~keep).float().mean()) == pytest.approx(share, abs=4 * deviation)
    assert len({tuple(row) for row in keep[..., 0].tolist()}) == 64  # each window has a draw of its own


def test_one_draw_may_be_for_all_windows_of_a_batch():
    keep = Masking(0.5, shared=True).draw(torch.ones(8, 100, 6))
    assert torch.equal(keep, keep[:1].expand_as(keep)) and 20 < int(keep[0].sum()) < 80
    keep = Masking(0.5, "elements", shared=True).draw(torch.ones(8, 100, 6))
    assert torch.equal(keep, keep[:1].expand_as(keep)) and not torch.equal(keep[..., 0], keep[..., 1])


@pytest.mark.parametrize("what", ["frames", "elements"])
@pytest.mark.parametrize("shared", [False, True])
def test_the_current_frame_may_be_spared(what, shared):
    features = torch.ones(200, 10, 4)
    always = Masking(0.8, what, shared, spare_newest=True).draw(features)
    assert always[:, -1].all() and not always[:, -2].all()
    torch.manual_seed(1)
    assert not Masking(0.8, what).draw(features)[:, -1].all()


def test_masked_frames_are_zero_and_invisible_masked_elements_only_zero():
    torch.manual_seed(2)
    features, visible = torch.rand(4, 50, 6) + 1, torch.ones(4, 50, dtype=torch.bool)
    visible[:, 7] = False
    hidden, seen = hide(features, visible, Masking(0.5))
    assert torch.equal(hidden.any(-1) & visible, seen) and not seen[:, 7].any()
    assert torch.equal(hidden[seen], features[seen])
    hidden, seen = hide(features, visible, Masking(0.5, "elements"))
    assert torch.equal(seen, visible) and 0.4 < float((hidden == 0).float().mean()) < 0.6
    for nothing in (None, Masking(0.0)):
        assert all(
            torch.equal(a, b) for a, b in zip(hide(features, visible, nothing), (features, visible), strict=True)
        )


def test_masking_is_of_training_alone():
    model, batch = masked(masking={"share": 0.8}), windows(labels=1)
    torch.manual_seed(0)
    one, two = (float(model.loss(batch, 0.0)["expression"].detach()) for _ in range(2))
    assert one != two
    assert torch.equal(model(batch).expression, model(batch).expression)
    model = masked(masking={"share": 0.0})
    expected = focal_loss(model(batch).expression, batch.expression, batch.expression_valid)
    torch.testing.assert_close(model.loss(batch, 0.0)["expression"], expected)


# --- what is not there


@pytest.mark.parametrize("attend", ["all", "visible"])
@pytest.mark.parametrize("answers", ["newest", "all"])
def test_what_lies_in_a_missing_frame_has_no_influence(attend, answers):
    model, batch = masked(attend=attend, answers=answers, tasks=EVERY), windows()
    other = batch.face_feature.clone()
    other[~batch.face_valid] = torch.randn(int((~batch.face_valid).sum()), D) * 9
    for a, b in zip(values(model(batch)), values(model(replace(batch, face_feature=other))), strict=True):
        assert torch.equal(a, b)


def test_a_missing_frame_in_use_is_a_masked_frame_in_training():
    model, batch = masked(**FRAMES), windows(missing=0.0, labels=12)
    lost = torch.rand(3, 12, generator=torch.Generator().manual_seed(4)) < 0.5
    gone = replace(batch, face_valid=~lost, face_feature=batch.face_feature * ~lost[..., None])
    found = model.predict(batch, batch.face_valid & ~lost)
    for name in EVERY:
        torch.testing.assert_close(found[name], getattr(model(gone), name))
    assert not torch.allclose(found["expression"], model(batch).expression)


def test_padding_has_no_influence_where_only_visible_frames_are_seen():
    model, batch = masked(**FRAMES, attend="visible"), windows(T=8)
    longer = AffectBatch(
        face_feature=torch.cat([batch.face_feature, torch.randn(3, 30, D)], 1),
        face_valid=torch.cat([batch.face_valid, torch.zeros(3, 30, dtype=torch.bool)], 1),
        time_s=(torch.arange(38) / 30).expand(3, 38),
        source=batch.source,
    )
    for a, b in zip(values(model(batch)), values(model(longer)), strict=True):
        torch.testing.assert_close(a, b[:, :8], atol=1e-5, rtol=1e-5)
    seen = masked(**FRAMES, attend="all")  # as released: zeros with a position, which are seen
    assert not torch.allclose(seen(batch).expression, seen(longer).expression[:, :8], atol=1e-3)


def test_a_window_without_a_face_has_no_answer():
    model, batch = masked(**FRAMES), windows()
    nobody = replace(batch, face_valid=batch.face_valid & torch.tensor([[True], [False], [True]]))
    for value in values(model(nobody)):
        assert value[1].isnan().all() and value[[0, 2]].isfinite().all()


# --- time


def test_positions_count_frames_of_a_thirtieth_of_a_second():
    time_s = torch.tensor([[2.0, 2.0 + 1 / 30, 2.0 + 2 / 30], [0.0, 0.04, 0.08]])
    torch.testing.assert_close(positions(time_s), torch.tensor([[0.0, 1, 2], [0, 1.2, 2.4]]), atol=1e-4, rtol=0)
    newest = positions(time_s, newest=True)
    torch.testing.assert_close(newest, torch.tensor([[0.0, 1, 2], [-0.4, 0.8, 2]]), atol=1e-4, rtol=0)


def test_when_a_window_lies_does_not_matter_but_how_fast_it_is():
    model, batch = masked(**FRAMES), windows()
    later = model(replace(batch, time_s=batch.time_s + 7))
    torch.testing.assert_close(later.expression, model(batch).expression, atol=1e-3, rtol=1e-3)
    slower = model(replace(batch, time_s=batch.time_s * 2))
    assert float((slower.expression - model(batch).expression).detach().abs().max()) > 1e-2


# --- heads and losses


def test_one_answer_or_one_for_every_frame():
    assert [tuple(v.shape) for v in values(masked(tasks=EVERY)(windows()))] == [(3, 1, 2), (3, 1, 8), (3, 1, 12)]
    assert [tuple(v.shape) for v in values(masked(**FRAMES)(windows()))] == [(3, 12, 2), (3, 12, 8), (3, 12, 12)]
    alone = masked(tasks=["action_units"])(windows())
    assert alone.valence_arousal is None and alone.expression is None and alone.action_units is not None


def test_each_task_has_its_loss_over_its_own_labels():
    model, batch = masked(**FRAMES, masking={"share": 0.0}), windows(labels=12)
    found, terms = model(batch), model.loss(batch, 0.0)
    expected = {
        "valence_arousal": ccc_loss(found.valence_arousal, batch.valence_arousal, batch.valence_arousal_valid),
        "expression": focal_loss(found.expression, batch.expression, batch.expression_valid),
        "action_units": binary_focal_loss(found.action_units, batch.action_units, batch.action_units_valid),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)
    counts = [1.0, 2, 3, 4, 5, 6, 7, 8]
    weighed = masked(**FRAMES, masking={"share": 0.0}, focus={"expression_counts": counts}).loss(batch, 0.0)
    rest = torch.tensor([1 - count / 36 for count in counts])
    expected = focal_loss(found.expression, batch.expression, batch.expression_valid, weights=rest)
    torch.testing.assert_close(weighed["expression"], expected)


def test_windows_without_any_label_teach_nothing():
    model, batch = masked(**FRAMES), windows(labels=12)
    bare = {f"{name}_valid": torch.zeros_like(getattr(batch, f"{name}_valid")) for name in EVERY}
    gone = {name: torch.full_like(getattr(batch, name), -1 if name == "expression" else torch.nan) for name in EVERY}
    terms = model.loss(replace(batch, **gone, **bare), 0.0)
    sum(terms.values()).backward()
    assert all(float(value.detach()) == 0 for value in terms.values())
    assert not any(value.grad.any() for value in model.parameters() if value.grad is not None)
    with pytest.raises(InputError, match="no valence_arousal labels"):
        model.loss(windows(), 0.0)


def test_what_does_not_fit_is_named():
    with pytest.raises(InputError, match="windows of 12 frames, found 8"):
        masked()(windows(T=8))
    with pytest.raises(InputError, match="multiple of twice its 3 heads"):
        masked(heads=3)
    for wrong in (
        {"encoder": "vgg"}, {"tasks": []}, {"tasks": ["gaze"]}, {"masking": {"share": 1.0}},
        {"focus": {"unit_counts": [1, 2]}}, {"answers": "all", "masking": {"spare_newest": True}},
    ):  # fmt: skip
        with pytest.raises(RecipeError):
            registry.build("masked", TINY | wrong)


class Clips:
    """Windows over some clips as ``predict`` takes them; those with the numbers ``lost`` have no face."""

    def __init__(self, rule, faces, lost=()):
        self.rule, self.faces, self.lost = rule, faces, lost
        self.clips = [
            Clip(name=str(n), source="expr", split="validation", frames=len(value),
                 crops=Crops(Path("x"), np.ones(len(value), bool)))
            for n, value in enumerate(faces)
        ]  # fmt: skip
        self.items = [(n, int(a)) for n, value in enumerate(faces) for a in rule.anchors(len(value))]

    def __len__(self):
        return len(self.items)

    def locate(self, index):
        return self.items[index]

    def __getitem__(self, index):
        number, anchor = self.items[index]
        entries = self.rule.entries(np.array([anchor]))[0]
        inside = entries < len(self.faces[number])
        feature = np.where(inside[:, None], self.faces[number][np.minimum(entries, len(self.faces[number]) - 1)], 0)
        return {"face_feature": feature, "face_valid": inside & (index not in self.lost), "source": np.array(1),
                "time_s": (entries / 30).astype("float32")}  # fmt: skip


def test_a_window_without_an_answer_takes_none_from_the_others():
    rule, faces = Windows(length=12, hop=6, answers="all"), [np.ones((24, D), "float32")]
    model = masked(**FRAMES)
    whole, found = (predict(model, Clips(rule, faces, lost))[0].expression for lost in ((), (1,)))
    assert not np.isnan(found).any() and not np.allclose(found[6:18], whole[6:18], atol=1e-6)
    np.testing.assert_allclose(found[:6], whole[:6], atol=1e-6)
    np.testing.assert_allclose(found[18:], whole[18:], atol=1e-6)


@pytest.mark.parametrize("hop", [3, 6, 12])
def test_overlaps_are_averaged_as_in_a_plain_loop(hop):
    random = np.random.default_rng(0)
    data = Clips(
        Windows(length=12, hop=hop, answers="all", padding="mask"),
        [random.normal(size=(frames, D)).astype("float32") for frames in (40, 7)],
    )
    model = masked(**FRAMES, attend="visible")
    found = predict(model, data, batch_size=5)
    for faces, prediction in zip(data.faces, found, strict=True):
        starts = list(range(0, max(len(faces) - 12, 0) + 1, hop))
        if starts[-1] != max(len(faces) - 12, 0):
            starts.append(len(faces) - 12)
        for frame in range(len(faces)):
            answers = []
            for start in (s for s in starts if s <= frame < s + 12):
                part = torch.from_numpy(faces[start : start + 12])[None]
                there = torch.ones(1, part.shape[1], dtype=torch.bool)
                batch = AffectBatch(face_feature=part, face_valid=there, source=torch.zeros(1, dtype=torch.int64),
                                    time_s=torch.arange(part.shape[1])[None] / 30)  # fmt: skip
                answers.append(model(batch).expression[0, frame - start].softmax(-1).detach().numpy())
            np.testing.assert_allclose(prediction.expression[frame], np.mean(answers, 0), atol=2e-5)


# --- the face network


@pytest.fixture
def snapshot(tmp_path):
    """A ViT of random weights, in the files that the hub has of google/vit-base-patch16-224-in21k."""
    torch.manual_seed(2)
    config = transformers.ViTConfig(
        image_size=32, patch_size=16, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    vit = transformers.ViTModel(config)
    for value in vit.parameters():
        torch.nn.init.normal_(value, std=0.2)
    vit.eval().save_pretrained(tmp_path / "vit")
    settings = {
        "do_normalize": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2,
        "size": 32,
    }  # fmt: skip
    (tmp_path / "vit/preprocessor_config.json").write_text(json.dumps(settings))
    return vit, tmp_path / "vit"


def test_a_vit_snapshot_is_the_frozen_face_network(snapshot, tmp_path):
    vit, folder = snapshot
    model = masked(encoder=f"vit:{folder}", dim=None)
    assert model.transformer.dim == 16 and isinstance(model.transformer.inputs, torch.nn.Identity)
    faces = torch.rand(2, 12, 3, 40, 40)
    batch = AffectBatch(
        face=faces, face_valid=torch.ones(2, 12, dtype=torch.bool), time_s=(torch.arange(12) / 30).expand(2, 12),
        source=torch.zeros(2, dtype=torch.int64), expression=torch.tensor([[1], [2]]),
        expression_valid=torch.ones(2, 1, dtype=torch.bool),
    )  # fmt: skip
    small = torch.nn.functional.interpolate(faces.flatten(0, 1), (32, 32), mode="bilinear", antialias=True)
    stored = vit(pixel_values=(small.clamp(0, 1) - 0.5) / 0.5).pooler_output.view(2, 12, 16)
    again = replace(batch, face=None, face_feature=stored.detach())
    torch.testing.assert_close(model(batch).expression, model(again).expression, atol=1e-5, rtol=1e-4)
    model.train()
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    sum(model.loss(batch, 0.0).values()).backward()
    assert not model.encoder.training and all(value.grad is None for value in model.encoder.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.encoder.state_dict().items())
    assert {name.split(".")[0] for name, value in model.named_parameters() if value.grad is not None} == {
        "transformer", "join", "heads",
    }  # fmt: skip
    weights.save(tmp_path / "one.safetensors", model)
    loaded = weights.load(tmp_path / "one.safetensors").eval()
    assert torch.equal(loaded(again).expression, model.eval()(again).expression)


def test_the_published_size():
    model = registry.build("masked", {"encoder": "resnet50", "dim": 768})
    layer = model.transformer.layers[0]
    assert len(model.transformer.layers) == 6 and layer.heads == 8 and layer.dropout == 0.5
    assert layer.project.in_features == 768 and layer.expand.out_features == 2048
    assert model.join[1].weight.shape == (1024, 76_800) and isinstance(model.join[2], torch.nn.BatchNorm1d)
    assert model.heads["expression"].weight.shape == (8, 1024)
    assert model.config.masking == Masking(0.5, "frames", shared=False, spare_newest=False)


@pytest.mark.parametrize("task", ["va", "expr", "au"])
def test_the_recipe_is_of_this_config(task):
    recipe = json.loads((Path(__file__).parents[3] / f"recipes/masked_{task}.json").read_text())
    from_dict(FitConfig, recipe["fit"])
    from_dict(EvaluationConfig, recipe.get("evaluation", {}))
    data = from_dict(DataConfig, recipe["data"])
    assert data.windows == Windows(length=100, padding="repeat") and data.sets == (task,)
    assert recipe["model"]["encoder"] == data.face_encoder == "vit"
    model = registry.build("masked", recipe["model"] | {"encoder": "small"})
    assert list(model.heads) == [{"va": "valence_arousal", "expr": "expression", "au": "action_units"}[task]]
