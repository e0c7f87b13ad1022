import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import snapshots
from sentio.affect.batch import AffectOutput
from sentio.affect.data.extraction import extract
from sentio.affect.data.windows import Windows
from sentio.affect.evaluate import EvaluationConfig, Form, evaluate, postprocess, predict_clips, submit, submit_run
from sentio.affect.protocol.predictions import Prediction
from sentio.affect.protocol.readback import validate
from sentio.affect.protocol.scores import ccc
from sentio.affect.protocol.scoring import tally
from sentio.affect.protocol.smoothing import Smoothing
from sentio.affect.synth.moving_picture import MovingPicture, generate
from sentio.affect.training.published import AffectData, DataConfig, open_store
from sentio.core import registry
from sentio.core.config import from_dict, to_dict
from sentio.core.errors import InputError, RecipeError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation") / "set"
    generate(folder, MovingPicture(videos=8, seconds=4, seed=1))
    return folder


class Bright(nn.Module):
    """Some answer for every kind of label that depends on nothing but the newest face."""

    name, device = "bright", torch.device("cpu")

    def __init__(self, value=0.0):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, batch):
        mean = batch.face[:, -1:].mean((2, 3, 4), keepdim=False)[..., None] + self.value
        steps = torch.arange(1, 13)
        return AffectOutput(
            valence_arousal=torch.cat([(9 * mean).sin(), (7 * mean).cos()], -1),
            expression=(40 * mean * steps[:8]).sin() * 5,
            action_units=(30 * mean * steps).sin() * 3,
        )


def test_every_labelled_frame_is_scored_those_without_a_face_too(root):
    data = AffectData(root)
    result = evaluate(Bright().eval(), data, EvaluationConfig(resamples=20))
    clips = data.split("validation")
    truth = np.concatenate([clip.valence_arousal for clip in clips])
    guess = np.concatenate([p.valence_arousal for p in result.predictions])
    known = ~np.isnan(truth[:, 0])
    expected = ccc(guess[known], truth[known])
    assert result.scores["ccc_valence"] == pytest.approx(expected[0])
    assert result.scores["ccc_arousal"] == pytest.approx(expected[1])
    header = result.header
    assert header["labelled_frames"] == known.sum() and header["frames"] == len(truth)
    missing = sum((~clip.crops.present).sum() for clip in clips)
    assert header["frames_filled"] == missing > 0
    low, high = result.intervals["p_va"]
    assert low <= high and set(result.by_video) == {clip.name for clip in clips}


def test_a_validation_text_that_is_left_out_is_told_with_the_score(copy, caplog):
    text = next((copy / "VA_Estimation_Challenge/Validation_Set").glob("*.txt"))
    generate(copy / "more", MovingPicture(videos=4, seconds=2))
    (copy / "more/VA_Estimation_Challenge/Validation_Set/video4.txt").rename(text.with_name("video9.txt"))
    shutil.move(copy / "more/cropped_aligned/video4", copy / "cropped_aligned/video9")
    shutil.rmtree(copy / "more")
    text.write_text("valence\n0\n")
    result = evaluate(Bright().eval(), AffectData(copy))
    assert [clip.name for clip in result.clips] == ["video9"]
    assert any("no score of the whole split" in note and str(text) in note for note in result.notes)


HEARING = {
    "crossattn": {"dim": 16, "heads": 2, "hidden": 8, "head": 8, "reach_s": 0.55},
    "softprompt": {"units": 8, "heads": 2, "layers": 1},
}


@pytest.mark.parametrize("system", HEARING)
def test_where_no_face_is_seen_for_longer_than_a_window_the_sound_answers(system, copy, tmp_path):
    """In training, validation and evaluation; a model that does not hear has nothing to say there."""
    snapshots.write_ast(tmp_path / "ast")
    section = {
        "sets": ["expr" if system == "crossattn" else "va"], "sound_encoder": f"ast:{tmp_path / 'ast'}",
        "sound_s": 2.0, "sound_steps": {"stretch_s": 1.0}, "own_rate": True,
        "windows": {"length": 20, "hop": 10, "answers": "all", "padding": "mask"},
    }  # fmt: skip
    for clip in AffectData(copy, DataConfig(sets=tuple(section["sets"]))).clips:
        for frame in range(30, 90):
            clip.crops.path(frame).unlink(missing_ok=True)
    assert extract(copy, open_store(copy, section["sound_encoder"], from_dict(DataConfig, section))) == []
    torch.manual_seed(0)
    sizes = HEARING[system] | {"encoder": "small", "sound_features": 16}
    for inputs, hears in (("both", True), ("sound", True), ("face", False)):
        method = registry.build(system, sizes | {"inputs": inputs}).eval()
        data = method.open_data(copy, section)
        for windows in (data.train_dataset(), data.validation):
            faceless = [item for item in windows if not item["face_valid"].any()]
            assert bool(faceless) == hears and all(item["audio_valid"].any() for item in faceless)
        for prediction in predict_clips(method, data, data.scored("validation")):
            assert prediction.missing()[40:80].all() == (not hears)
            assert not prediction.missing()[90:].any() and (hears or not prediction.missing()[:30].any())
        if hears:
            assert not prediction.missing()[20:].any()
            batch = data.collate(faceless)
            assert all(torch.isfinite(term) for term in method.loss(batch, 0.0).values())


def test_the_header_tells_smoothing_filling_and_thresholds(root):
    config = EvaluationConfig(fill="previous", valence_arousal=Smoothing("box", 9, causal=True), resamples=0)
    result = evaluate(Bright().eval(), AffectData(root), config)
    assert result.header["smoothing"]["valence_arousal"] == "box last 9 frames, causal"
    assert result.header["smoothing"]["expression"] == "none"
    assert result.header["fill"] == "previous" and result.header["split"] == "validation"
    assert result.intervals == {}
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert values["scores"]["p_va"] == result.scores["p_va"]
    assert "smoothing: " in result.to_text() and f"{result.scores['p_va']:.4f}" in result.to_text()


def test_smoothing_comes_after_filling():
    raw = Prediction(valence_arousal=np.array([[0, 0], [np.nan, np.nan], [1, 1]], np.float32))
    done = postprocess(raw, EvaluationConfig(fill="previous", valence_arousal=Smoothing("box", 1)))
    np.testing.assert_allclose(done.valence_arousal[:, 0], [0, 1 / 3, 0.5])


def test_a_fallback_answers_where_the_method_is_silent(root):
    late = AffectData(root, DataConfig(windows=Windows(length=2, step=30, padding="drop")))
    frame = AffectData(root)
    clips = late.split("validation")

    class Picky(Bright):
        def forward(self, batch):
            answer = super().forward(batch).valence_arousal
            answer[~batch.face_valid.all(1)] = float("nan")
            return AffectOutput(valence_arousal=answer)

    first, second = Picky().eval(), Bright(0.3).eval()
    alone = predict_clips(first, late, clips)
    others = predict_clips(second, frame, clips)
    merged = predict_clips(first, late, clips, fallback=(second, frame))
    for one, other, both in zip(alone, others, merged, strict=True):
        gaps = np.isnan(one.valence_arousal[:, 0])
        assert gaps.any() and not gaps.all()
        expected = np.where(gaps[:, None], other.valence_arousal, one.valence_arousal)
        np.testing.assert_array_equal(both.valence_arousal, expected)


@pytest.mark.slow
def test_the_header_names_the_system_and_its_fallback(root):
    data, config = AffectData(root), EvaluationConfig(resamples=0)
    assert evaluate(Bright().eval(), data, config).header["fallback"] is None
    assert evaluate(Bright().eval(), data, config).header["system"] == "bright"


def test_what_is_scored_is_what_is_submitted(root):
    """A class that a protocol lacks is never answered, however likely the model thinks it."""
    data = AffectData(root, DataConfig(sets=("expr",)))
    clips = data.split("validation")
    likely = np.zeros((8,), np.float32)
    likely[[7, 0, 4]] = 0.5, 0.3, 0.2
    values = [Prediction(expression=np.tile(likely, (clip.frames, 1))) for clip in clips]
    for protocol, answered in (("abaw", 7), ("abaw2", 0), ("lsd", 4)):
        counts = tally(clips, values, protocol=protocol).tallies.values()
        assert np.flatnonzero(sum(count.confusion for count in counts).sum(0)).tolist() == [answered]


def test_searched_thresholds_are_better_and_stamped(root):
    data = AffectData(root, DataConfig(sets=("au",)))
    plain = evaluate(Bright().eval(), data, EvaluationConfig(resamples=0))
    searched = evaluate(Bright().eval(), data, EvaluationConfig(resamples=0, search_thresholds=True))
    assert searched.scores["p_au"] > plain.scores["p_au"]
    assert searched.header["thresholds_from"] == "searched on these frames"
    with pytest.raises(InputError, match="train"):
        evaluate(Bright().eval(), data, EvaluationConfig(search_thresholds=True, split="train"))


def test_mixed_scores_of_abaw2(root):
    data = AffectData(root, DataConfig(sets=("au",)))
    plain, mixed = (
        evaluate(Bright().eval(), data, EvaluationConfig(resamples=0, abaw2=flag)) for flag in (False, True)
    )
    f1, accuracy = plain.scores["f1_au"], plain.scores["accuracy_au"]
    assert mixed.scores["p_au"] == pytest.approx(0.5 * f1 + 0.5 * accuracy)
    assert plain.scores["p_au"] == f1 and mixed.header["protocol"].startswith("abaw2")


def test_an_empty_split_is_an_error(root):
    with pytest.raises(InputError, match="no test clip"):
        evaluate(Bright().eval(), AffectData(root), EvaluationConfig(split="test"))


@pytest.mark.parametrize(("track", "sets", "edition"), [("va", "va", 3), ("expr", "expr", 6), ("au", "au", 10)])
def test_a_submission_answers_every_frame(root, tmp_path, track, sets, edition):
    result = evaluate(Bright().eval(), AffectData(root, DataConfig(sets=(sets,))), EvaluationConfig(resamples=0))
    files = submit(tmp_path, track, edition, result.clips, result.predictions)
    lines = sum(len(path.read_text().splitlines()) - 1 for path in files)
    assert lines == result.header["frames"]
    expected = {clip.name: np.arange(1, clip.frames + 1) for clip in result.clips}
    place = tmp_path if edition == 3 else files[0]
    assert not list(validate(place, track, edition, expected))


def test_a_track_takes_the_clips_of_its_own_label_set(root, tmp_path):
    data = AffectData(root, DataConfig(sets=("va", "expr")))
    clips = data.split("validation")
    values = [
        Prediction(
            valence_arousal=np.full((clip.frames, 2), 0.1 if clip.source == "va" else 0.2, np.float32),
            expression=np.full((clip.frames, 8), 0.125, np.float32),
        )
        for clip in clips
    ]
    [path] = submit(tmp_path, "va", 6, clips, values)
    assert {line.split(",", 1)[1] for line in path.read_text().splitlines()[1:]} == {"0.100000,0.100000"}


def test_lsd_is_submitted_by_image(root, tmp_path):
    picture = next((root / "cropped_aligned/video1").glob("*.jpg")).read_bytes()
    names = [*(f"test_set_images/{number}.jpg" for number in (0, 1, 10)), "validation_set_real_images/FEAR/a.jpg"]
    for name in names:
        path = tmp_path / "lsd" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    data = AffectData(tmp_path / "lsd", DataConfig(sets=("lsd",)))
    assert "p_lsd" in data.validate(Bright().eval())
    clips = data.split("test")
    [path] = submit(tmp_path / "out", "lsd", 4, clips, predict_clips(Bright().eval(), data, clips))
    rows = [line.split(",") for line in path.read_text().splitlines()]
    assert [row[0] for row in rows] == ["image", "0.jpg", "1.jpg", "10.jpg"]
    assert all(0 <= int(row[1]) <= 5 for row in rows[1:])


def test_a_submission_may_answer_a_list_of_frames_only(root, tmp_path):
    result = evaluate(Bright().eval(), AffectData(root, DataConfig(sets=("mtl",))), EvaluationConfig(resamples=0))
    frames = {clip.name: np.array([1, 5, 9]) for clip in result.clips}
    [path] = submit(tmp_path, "mtl", 4, result.clips, result.predictions, frames=frames)
    assert len(path.read_text().splitlines()) == 1 + 3 * len(result.clips)


def read_rows(path):
    return path.read_text().splitlines()[1:]


def test_one_text_a_video_has_a_row_for_every_frame_also_where_a_list_has_gaps(root, tmp_path):
    listed = tmp_path / "images.txt"
    listed.write_text("image_location\nvideo1/00003.jpg\nvideo1/00009.jpg\n")
    data, form = AffectData(root), Form("va", 3, listed)
    [path] = submit_run(Bright().eval(), data, EvaluationConfig(), form, tmp_path / "out")
    assert path.name == "video1.txt" and len(read_rows(path)) == 9


def test_a_list_of_videos_is_answered_for_every_frame_of_each(copy, tmp_path):
    """video2 shows two people; video3 has more crops than pictures, and of video4 there is no film at all."""
    shutil.copy(copy / "cropped_aligned/video3/00001.jpg", copy / "cropped_aligned/video3/00153.jpg")
    film = next(copy.rglob("video4.mp4"))
    film.unlink()
    listed = tmp_path / "videos.txt"
    listed.write_text("video1.mp4\nvideo2_left\nvideo2_right\n\nvideo3\nvideo4.txt\n")
    data = AffectData(copy)
    files = submit_run(Bright().eval(), data, EvaluationConfig(), Form("va", 2, listed), tmp_path / "out")
    last = data.tree.numbers("video4").max()
    expected = {"video1": 150, "video2_left": 150, "video2_right": 150, "video3": 153, "video4": last}
    assert {path.stem: len(read_rows(path)) for path in files} == expected
    with pytest.raises(InputError, match=r"videos\.txt:2: 'video2_left' does not begin with an image"):
        submit_run(Bright().eval(), data, EvaluationConfig(), Form("va", 6, listed), tmp_path / "none")
    listed.write_text("video1\nvideo77\n")
    with pytest.raises(InputError, match="no video and no crops of 'video77'"):
        submit_run(Bright().eval(), data, EvaluationConfig(), Form("va", 2, listed), tmp_path / "none")


def test_the_batch_averaged_score_is_that_of_complete_rows_in_batches_and_is_called_not_official(root):
    data = AffectData(root, DataConfig(sets=("mtl",)))
    config = EvaluationConfig(metric="batch-averaged", batch_rows=7)
    result = evaluate(Bright().eval(), data, config)
    rows = []
    for clip, prediction in zip(result.clips, result.predictions, strict=True):
        for frame in range(clip.frames):
            whole = not np.isnan(clip.valence_arousal[frame]).any() and clip.expression[frame] >= 0
            if whole and (clip.action_units[frame] >= 0).all() and not np.isnan(prediction.valence_arousal[frame, 0]):
                rows.append((clip, prediction, frame))
    scores = []
    for start in range(0, len(rows), 7):
        part = rows[start : start + 7]
        va = [[(p.valence_arousal[k], c.valence_arousal[k]) for c, p, k in part]]
        guess, truth = np.array(va[0]).swapaxes(0, 1)
        classes = np.array([(p.expression[k].argmax(), c.expression[k]) for c, p, k in part])
        units = np.array([(p.action_units[k] >= 0.5, c.action_units[k]) for c, p, k in part]).swapaxes(0, 1)
        present = [k for k in range(8) if (classes == k).any()]
        f1 = [f1_of(classes[:, 0] == k, classes[:, 1] == k) for k in present]
        au = [f1_of(units[0][:, k] == 1, units[1][:, k] == 1, empty=1.0) for k in range(12)]
        scores.append([ccc(guess, truth).mean(), np.mean(f1), np.mean(au)])
    assert len(scores) > 3
    means = np.mean(scores, axis=0)
    names = ["batch_averaged_p_va", "batch_averaged_p_expr", "batch_averaged_p_au"]
    np.testing.assert_allclose([result.scores[name] for name in names], means)
    assert set(result.scores) == {*names, "batch_averaged_p_mtl"} and not result.intervals
    assert result.header["labelled_frames"] == len(rows) and result.header["protocol"].startswith("NOT official")


def f1_of(guess, truth, empty=0.0):
    hits = (guess & truth).sum()
    total = guess.sum() + truth.sum()
    return 2 * hits / total if total else empty


def test_the_batch_averaged_score_needs_all_three_tasks(root):
    with pytest.raises(InputError, match="labels of all three tasks"):
        evaluate(Bright().eval(), AffectData(root), EvaluationConfig(metric="batch-averaged"))


def test_the_recipe_section_reads_back():
    config = from_dict(EvaluationConfig, {"expression": {"kind": "box", "frames": 50}, "thresholds": [0.4] * 12})
    assert config.expression == Smoothing("box", 50) and config.thresholds == (0.4,) * 12
    assert from_dict(EvaluationConfig, to_dict(config)) == config
    with pytest.raises(RecipeError, match="expected 12 thresholds"):
        from_dict(EvaluationConfig, {"thresholds": [0.5]})
