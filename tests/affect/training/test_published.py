import shutil

import numpy as np
import pytest
import torch
from torch import nn

from corner import Corner
from sentio.affect.backbones import EncoderInfo
from sentio.affect.batch import AffectBatch, AffectOutput
from sentio.affect.data.extraction import extract, extract_faces, extract_sound
from sentio.affect.data.features import FeatureStore, SoundSteps
from sentio.affect.data.images import read_image
from sentio.affect.data.tree import scan
from sentio.affect.data.windows import Windows
from sentio.affect.labels import SOURCES
from sentio.affect.protocol.scoring import predict
from sentio.affect.synth import layout
from sentio.affect.synth.moving_picture import MovingPicture, generate
from sentio.affect.training.published import AffectData, DataConfig, open_store
from sentio.core import weights
from sentio.core.config import from_dict, to_dict
from sentio.core.errors import InputError, RecipeError
from sentio.core.registry import build

CAPNET = Windows(length=10, step=10, search=9)


class Loudness(nn.Module):
    info = EncoderInfo(
        name="loudness", dim=1, licence="none", provenance="test", rate=16_000, hop_s=0.02, offset_s=0.01
    )

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, sound):
        return sound[:, : sound.shape[1] // 320 * 320].reshape(len(sound), -1, 320).std(-1)[..., None]


class Oracle(nn.Module):
    device = torch.device("cpu")

    """Answers what it was told to, by time."""

    def __init__(self, answer):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.answer = answer

    def forward(self, batch):
        return self.answer(batch)


@pytest.fixture
def stored(drawn, tmp_path):
    store = FeatureStore(tmp_path / "store", Corner())
    data = AffectData(drawn)
    extract_faces(store, data.tree.crops)
    return store


def test_an_item_is_the_window_it_says(drawn):
    data = AffectData(drawn, DataConfig(windows=CAPNET))
    dataset = data.train_dataset()
    for index in range(0, len(dataset), 37):
        number, anchor = dataset.locate(index)
        clip, item = dataset.clips[number], dataset[index]
        assert dataset.describe(index) == f"{clip.name} frame {anchor + 1} (va train)"
        np.testing.assert_array_equal(item["valence_arousal"], clip.valence_arousal[[anchor]])
        assert item["valence_arousal_valid"].tolist() == [True] and item["face_valid"].all()
        np.testing.assert_allclose(item["time_s"], np.arange(anchor - 90, anchor + 1, 10) / 30, rtol=1e-6)
        for k, entry in enumerate(range(anchor - 90, anchor + 1, 10)):
            near = next(frame for frame in range(entry, entry - 10, -1) if clip.crops.present[frame])
            np.testing.assert_array_equal(item["face"][k], read_image(clip.crops.path(near)))


def test_items_depend_on_the_index_alone(drawn):
    first, second = (AffectData(drawn, DataConfig(windows=CAPNET)).train_dataset() for _ in range(2))
    order = np.random.default_rng(0).permutation(len(first))[:20].tolist()
    for index in order:
        one, other = first[index], second[index]
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_stored_features_stand_for_the_same_frames_as_images(drawn, stored):
    config = DataConfig(windows=CAPNET)
    images, features = AffectData(drawn, config), AffectData(drawn, config, faces=stored)
    a, b = images.train_dataset(), features.train_dataset()
    assert len(a) == len(b)
    rows = range(0, len(a), 41)
    seen = images.collate([a[i] for i in rows])
    known = features.collate([b[i] for i in rows])
    torch.testing.assert_close(Corner()(seen.face).detach(), known.face_feature)
    assert torch.equal(seen.valence_arousal, known.valence_arousal)


def test_a_batch_keeps_the_contract(drawn):
    config = DataConfig(sets=("va", "expr", "au"), windows=Windows(length=4, hop=50, answers="all", padding="mask"))
    data = AffectData(drawn, config)
    dataset = data.train_dataset()
    batch = data.collate([dataset[i] for i in range(len(dataset))])
    assert isinstance(batch, AffectBatch)
    assert batch.face.shape[1:] == (4, 3, 112, 112) and 0.5 < batch.face.max() <= 1
    sources = [SOURCES[k] for k in batch.source]
    for row, source in enumerate(sources):
        have = {"va": batch.valence_arousal_valid, "expr": batch.expression_valid, "au": batch.action_units_valid}
        for name, mask in have.items():
            assert bool(mask[row].any()) == (name == source)
    assert torch.isnan(batch.valence_arousal[~batch.valence_arousal_valid]).all()
    assert (batch.expression[~batch.expression_valid] == -1).all()
    assert torch.isnan(batch.action_units[~batch.action_units_valid]).all()
    assert (batch.face[~batch.face_valid] == 0).all()
    assert data.monitor == "p_mtl"


@pytest.mark.parametrize(("source", "monitor"), [("va", "p_va"), ("expr", "p_expr"), ("au", "p_au"), ("mtl", "p_mtl")])
def test_what_is_monitored(drawn, source, monitor):
    data = AffectData(drawn, DataConfig(sets=(source,)))
    assert data.monitor == monitor and data.higher_is_better


def test_the_multi_task_set_alone_is_scored_where_it_is_one_of_several(drawn):
    data = AffectData(drawn, DataConfig(sets=("va", "mtl")))
    assert {clip.source for clip in data.train_dataset().clips} == {"va", "mtl"}
    assert {clip.source for clip in data.validation.clips} == {"mtl"}
    assert {clip.source for clip in AffectData(drawn, DataConfig(sets=("va", "au"))).validation.clips} == {"va", "au"}


def test_some_training_videos_choose_the_weights_and_the_validation_split_judges(drawn):
    def names(clips):
        return {clip.name for clip in clips}

    usual = AffectData(drawn, DataConfig(sets=("va", "mtl")))
    data = AffectData(drawn, DataConfig(sets=("va", "mtl"), choose_on=2))
    train = names(data.train_dataset().clips)
    assert train == {"video2_left", "video2_right"}  # one video: its people stay together
    assert names(data.validation.clips) == names(usual.split("train")) - train
    assert {clip.source for clip in data.validation.clips} == {"mtl"}
    assert names(data.scored("validation")) == names(usual.validation.clips)
    with pytest.raises(RecipeError, match="choose_on is 2 or more"):
        from_dict(DataConfig, {"choose_on": 1})


def test_the_validation_split_never_stands_in_for_videos_that_choose(drawn, tmp_path):
    shutil.copytree(drawn, tmp_path / "partial")
    (path,) = [path for split, path in scan(tmp_path / "partial").mtl if split == "train"]
    rows = path.read_text().splitlines()
    path.write_text("\n".join([rows[0], *(row for row in rows[1:] if row.startswith("video2"))]) + "\n")
    data = AffectData(tmp_path / "partial", DataConfig(sets=("va", "mtl"), choose_on=2))
    with pytest.raises(InputError, match="choose_on=2 takes has labels"):
        _ = data.validation


def test_true_answers_score_one(drawn):
    config = DataConfig(sets=("mtl",))
    data = AffectData(drawn, config)

    def answer(batch):
        va = torch.where(batch.valence_arousal_valid[..., None], batch.valence_arousal, 0.0)
        expression = nn.functional.one_hot(batch.expression.clamp(min=0), 8).float()
        return AffectOutput(
            valence_arousal=va, expression=9 * expression, action_units=9 * (batch.action_units.nan_to_num() - 0.5)
        )

    scores = data.validate(Oracle(answer))
    assert scores["p_va"] == pytest.approx(1) and scores["p_au"] == pytest.approx(1)
    seen = sum(scores[f"f1_{name}"] > 0 for name in ("neutral", "anger", "disgust", "fear", "happiness", "other"))
    assert seen >= 3 and scores["p_mtl"] == pytest.approx(sum(scores[name] for name in ("p_va", "p_expr", "p_au")))


def test_overlapping_windows_are_averaged(drawn):
    rule = Windows(length=6, hop=2, answers="all", padding="repeat")
    data = AffectData(drawn, DataConfig(windows=rule))

    def answer(batch):  # the place in the window
        place = torch.linspace(0, 1, batch.face_valid.shape[1]).expand(batch.face_valid.shape)
        return AffectOutput(valence_arousal=torch.stack([place, batch.time_s / 100], -1))

    clips = data.split("validation")
    [prediction] = predict(Oracle(answer), data.windows(clips, rule, labelled=False))
    time = np.arange(clips[0].frames) / 30
    np.testing.assert_allclose(prediction.valence_arousal[:, 1], time / 100, atol=1e-6)
    np.testing.assert_allclose(prediction.valence_arousal[10:100:2, 0], np.mean([0, 0.4, 0.8]), atol=1e-6)
    np.testing.assert_allclose(prediction.valence_arousal[11:101:2, 0], np.mean([0.2, 0.6, 1.0]), atol=1e-6)


def test_a_model_that_answers_for_other_frames_is_refused(drawn):
    data = AffectData(drawn, DataConfig(windows=Windows(length=3, hop=3, answers="all", padding="mask")))
    newest = Oracle(
        lambda batch: AffectOutput(valence_arousal=batch.face.mean((2, 3, 4))[:, -1:, None].expand(-1, 1, 2))
    )
    with pytest.raises(InputError, match="gives 1 predictions of valence_arousal for a window that asks for 3"):
        data.validate(newest)


def test_scoring_leaves_the_global_random_state_alone(drawn):
    data = AffectData(drawn)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    data.validate(Oracle(lambda batch: AffectOutput(valence_arousal=torch.zeros(len(batch), 1, 2))))
    assert torch.equal(torch.get_rng_state(), before)


def test_missing_or_stale_features_stop_the_training(copy, tmp_path):
    store = FeatureStore(tmp_path / "store", Corner())
    data = AffectData(copy, faces=store)
    with pytest.raises(InputError, match="sentio features"):
        data.train_dataset()
    extract_faces(store, data.tree.crops)
    data.train_dataset()
    next((copy / "cropped_aligned/video1").glob("*.jpg")).unlink()
    with pytest.raises(InputError, match="was changed since"):
        data.train_dataset()


def test_a_damaged_image_is_named_and_counts_as_no_face(copy, caplog):
    path = sorted((copy / "cropped_aligned/video1").glob("*.jpg"))[0]
    path.write_bytes(b"damaged")
    data = AffectData(copy, DataConfig(windows=Windows(length=2, padding="mask")))
    dataset = data.windows([clip for clip in data.clips if clip.name == "video1"], data.config.windows, labelled=False)
    batch = data.collate([dataset[0], dataset[1], dataset[2]])
    assert dataset.locate(1)[1] == 1 and batch.face_valid.tolist() == [[False, False], [False, True], [True, True]]
    assert not batch.face[1, 0].any() and batch.face[1, 1].any()
    assert f"{path} cannot be decoded" in caplog.text


def test_unusable_files_are_left_out_and_all_named_or_refused(copy, caplog):
    spoilt = [copy / f"VA_Estimation_Challenge/Train_Set/{name}.txt" for name in ("video1", "video3")]
    for path in spoilt:
        path.write_text("wrong\n0\n")
    with pytest.raises(InputError, match=r"2 unusable files(.|\n)*video1\.txt(.|\n)*video3\.txt"):
        AffectData(copy, DataConfig(strict=True))
    AffectData(copy, DataConfig(sets=("expr",), strict=True))
    data = AffectData(copy)
    assert {clip.name for clip in data.split("train")} == {"video2_left", "video2_right"}
    assert all(str(path) in caplog.text for path in spoilt)
    assert [problem.path for problem in data.left_out("train")] == spoilt and not data.left_out("validation")


def test_bad_lines_are_left_out_and_told(copy, caplog):
    path = copy / "VA_Estimation_Challenge/Train_Set/video1.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:50], "x,y", *lines[51:]]) + "\n")
    data = AffectData(copy)
    assert [problem.line for problem in data.problems] == [51] and "1 problems" in caplog.text


def test_sound_features_before_the_newest_frame(drawn, tmp_path):
    store = FeatureStore(tmp_path / "store", Loudness(), SoundSteps())
    config = DataConfig(windows=Windows(length=3, step=10), sound_s=0.5)
    with pytest.raises(InputError, match="go together"):
        AffectData(drawn, config)
    data = AffectData(drawn, config, sound=store)
    extract_sound(store, data.tree.media)
    dataset = data.train_dataset()
    index = next(i for i in range(len(dataset)) if dataset.locate(i)[1] > 60)
    batch = data.collate([dataset[0], dataset[index]])
    assert batch.audio_feature.shape == (2, 25, 1) and batch.audio_valid[1].all()
    times, now = batch.audio_time_s[1], batch.time_s[1, -1]
    assert now - 0.52 < times.min() and times.max() <= now + 1e-6
    assert (batch.audio_time_s[0] < batch.time_s[0, -1] + 1e-6).all()
    known = store.open(dataset.clips[dataset.locate(index)[0]].media.stem)
    row = np.searchsorted(known.times, float(times[7]) + 1e-6, side="right") - 1
    assert batch.audio_feature[1, 7, 0] == known.values[row, 0]
    assert batch.audio_time_s[1, 7] == np.float32(known.times[row])  # its own time, not the one it stands in for


@pytest.mark.slow
def test_the_recipe_names_the_encoder_and_the_store(drawn, tmp_path):
    torch.manual_seed(0)
    fer = build("fer-tuned", {"encoder": "small"})
    weights.save(tmp_path / "fer.safetensors", fer)
    spec = str(tmp_path / "fer.safetensors")
    config = DataConfig(windows=CAPNET, face_encoder=spec, features=str(tmp_path / "store"))
    assert extract(drawn, open_store(drawn, spec, config)) == []
    item = AffectData(drawn, config).train_dataset()[0]
    assert item["face_feature"].shape == (10, fer.encoder.info.dim)
    assert open_store(drawn, spec, DataConfig()).folder.parent == drawn / "features"


def test_the_recipe_section_reads_back():
    config = from_dict(DataConfig, {"sets": ["va"], "windows": {"length": 10, "step": 10, "search": 9}})
    assert config == DataConfig(windows=CAPNET)
    assert from_dict(DataConfig, to_dict(config)) == config
    with pytest.raises(RecipeError, match="do not follow each other"):
        from_dict(DataConfig, {"sets": ["lsd"], "windows": {"length": 2}})
    with pytest.raises(RecipeError, match="lenght"):
        from_dict(DataConfig, {"windows": {"lenght": 3}})


def test_frames_are_timed_at_thirty_a_second_or_by_their_video(tmp_path):
    generate(tmp_path / "set", MovingPicture(videos=4, seconds=1, gaps=0.0))
    media = tmp_path / "set/batch1/video1.mp4"
    media.unlink()
    pictures = [np.zeros((112, 112, 3), np.uint8)] * 30
    layout.write_media(media, pictures, np.zeros(32_000, np.float32), 25)
    (tmp_path / "set/batch2/video2.mp4").unlink()  # without its video, a clip is timed as published
    rule = Windows(length=5, answers="all", hop=5)
    for own_rate, expected in ((False, {30.0}), (True, {25.0, 30.0})):
        windows = AffectData(tmp_path / "set", DataConfig(windows=rule, own_rate=own_rate)).train_dataset()
        found = {}
        for index in range(len(windows)):
            clip, anchor = windows.locate(index)
            rate = found.setdefault(windows.clips[clip].name, (1 / np.diff(windows[index]["time_s"]).mean()))
            assert windows[index]["time_s"][0] == pytest.approx(anchor / rate, abs=1e-4)
        assert {round(float(rate), 2) for rate in found.values()} == expected
        assert found["video2_left"] == pytest.approx(30, abs=0.01)
        assert not own_rate or found["video1"] == pytest.approx(25, abs=0.01)
