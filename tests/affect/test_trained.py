"""Runs that read files: the windows of a track are those of an evaluation, and what cannot read files is refused."""

import numpy as np
import pytest

from sentio.affect.analysis.options import Options
from sentio.affect.analysis.pipeline import analyze
from sentio.affect.analysis.stream import Stream
from sentio.affect.data.windows import Windows
from sentio.affect.media import open_media
from sentio.affect.trained import FrameTrack, open_run
from sentio.cli import main
from sentio.core import registry, weights
from sentio.core.config import to_dict
from sentio.core.errors import InputError, RecipeError, WeightsError
from sentio.core.runs import RECIPE, Recipe
from sentio.core.writers import write_json

LENGTH, HOP, DIM = 6, 2, 3


class Remembering:
    """Answers a frame by what its window shows before and after it; nothing without any face."""

    length, hop = LENGTH, HOP

    def answer(self, times_s, faces):
        shown = np.array([np.zeros(DIM) if face is None else face for face in faces])  # (T, D)
        if not shown.any():
            return {"valence_arousal": np.full((len(faces), 2), np.nan)}
        before, after = shown.cumsum(0).sum(1), shown[::-1].cumsum(0)[::-1].sum(1)
        return {"valence_arousal": np.stack([before + times_s[0], after], -1)}


def evaluated(times_s, faces):
    """The mean over all windows of an evaluation that say something, as (N, 2); NaN without one."""
    total, count = np.zeros((len(faces), 2)), np.zeros((len(faces), 1))
    for start in Windows(length=LENGTH, hop=HOP, answers="all").anchors(len(faces)):
        rows = slice(start, start + LENGTH)
        found = Remembering().answer(times_s[rows], faces[rows])["valence_arousal"]
        if not np.isnan(found).any():
            total[rows] += found
            count[rows] += 1
    return total / np.where(count, count, np.nan)


@pytest.mark.parametrize("frames", [1, 5, 6, 7, 8, 9, 40, 41])
def test_a_track_reads_the_windows_of_an_evaluation(frames):
    random = np.random.default_rng(frames)
    here = random.random(frames) > 0.4
    here[0] = True
    here[14:27] = False  # longer than two windows
    faces = [random.normal(size=DIM) if seen else None for seen in here]
    times_s = random.uniform(0.01, 0.1, frames).cumsum().tolist()
    expected, last = evaluated(times_s, faces), int(np.flatnonzero(here)[-1])
    track, moments = FrameTrack(Remembering(), times_s[0]), []
    for time_s, face in zip(times_s, faces, strict=True):
        decided = track.push(time_s, face)
        assert all(moment.time_s <= track.seen_s for moment in decided)
        moments += decided
    moments += track.flush()
    assert [moment.time_s for moment in moments] == times_s
    for k, moment in enumerate(moments):
        if k > last or np.isnan(expected[k]).any():
            assert not moment.values
        else:
            np.testing.assert_allclose(moment.values["valence_arousal"], expected[k], rtol=1e-6)


def test_a_frame_waits_for_two_windows_at_most():
    track, held = FrameTrack(Remembering(), 0.0), 0
    for number in range(60):
        held += 1 - len(track.push(number / 30, np.ones(DIM)))
        assert held < LENGTH + HOP


def test_what_cannot_read_files_is_refused(tmp_path, clips, capsys):
    with pytest.raises(RecipeError, match="is no run"):
        open_run(tmp_path)
    assert main(["analyze", str(clips / "talking.mp4"), "--model", str(tmp_path), "--out", str(tmp_path / "o")]) == 1
    assert "is no run" in capsys.readouterr().err and not (tmp_path / "o").exists()
    command = ["analyze", str(clips / "talking.mp4"), "--model", str(tmp_path), "--causal"]
    assert main([*command, "--out", str(tmp_path / "o")]) == 1
    assert "is not causal" in capsys.readouterr().err


def test_a_run_is_no_weights_by_name(tmp_path, clips, capsys):
    with pytest.raises(WeightsError, match=r"is a folder(?s:.*)open_run"):
        analyze(clips / "portrait0.jpg", options=Options(model=str(tmp_path)))
    assert main(["live", "--model", str(tmp_path)]) == 1
    assert "is a folder" in capsys.readouterr().err


def run_of(folder, data):
    plan = Recipe("crossattn", {"encoder": "small", "dim": 16, "heads": 2, "hidden": 8, "head": 8}, data)
    write_json(folder / RECIPE, to_dict(plan))
    weights.save(folder / "best.safetensors", registry.build(plan.system, plan.model))
    return folder


def test_a_folder_does_not_hide_weights_of_its_name(tmp_path, clips, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").mkdir()
    assert main(["analyze", str(clips / "portrait0.jpg"), "--model", "none", "--out", "out", "--no-report"]) == 0


def test_a_run_that_answers_for_single_frames_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="answers for single frames"):
        open_run(run_of(tmp_path, {}))


def test_a_run_hears_no_stream(tmp_path, clips):
    run = open_run(run_of(tmp_path, {"windows": {"length": 9, "answers": "all"}, "sound_encoder": "voice"}))
    with open_media(clips / "talking.mp4") as media, pytest.raises(InputError, match="hears the sound of a file"):
        stream = Stream(models=run)
        for frame in media:
            stream.push(frame)
