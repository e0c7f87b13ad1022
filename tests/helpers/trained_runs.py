"""What a run over time must say: of a data set the same as in its evaluation, of a clip what it sees and hears."""

from pathlib import Path

import numpy as np

from sentio.affect.analysis.pipeline import analyze
from sentio.affect.evaluate import predict_clips
from sentio.affect.trained import open_run
from sentio.core import runs


def assert_reads_as_it_is_evaluated(run: Path, root: Path) -> None:
    """Pushed frame by frame, stored features and the sound of the video give the evaluation's predictions."""
    plan, method = runs.read_run(run)
    data = method.open_data(root, plan.data)
    clips = data.scored("validation")
    for clip, expected in zip(clips, predict_clips(method, data, clips), strict=True):
        faces, sound = data.faces.open(clip.name), data.sound.open(clip.media.stem)
        times_s = sound.picture_times(np.arange(clip.frames)).tolist()
        shown = {int(frame): vector for frame, vector in zip(faces.times, faces.values, strict=True)}
        track = open_run(run).temporal.of_file(clip.media).track(times_s[0])
        moments = [moment for k, time_s in enumerate(times_s) for moment in track.push(time_s, shown.get(k))]
        assert len(moments) < clip.frames
        moments += track.flush()
        assert [moment.time_s for moment in moments] == times_s
        [(name, values)] = expected.fields().items()
        for k, moment in enumerate(moments[: max(shown) + 1]):
            np.testing.assert_allclose(moment.values[name], values[k], atol=1e-5)
        assert all(moment.values is None for moment in moments[max(shown) + 1 :])


def assert_analyzes(run: Path, film: Path, silent: Path) -> None:
    """Rows of a film have the run's answers where there is a face, and others where the film is silent."""
    table, without = (analyze(path, models=open_run(run)) for path in (film, silent))
    assert table.header["temporal"]["run"] == str(run) and table.header["model"]["name"] == "face"
    rows, others = table.arrow.to_pylist(), without.arrow.to_pylist()
    name = "valence" if table.header["temporal"]["name"] == "softprompt" else "p_happiness"
    known = [k for k, row in enumerate(rows) if row["face_x"] is not None]
    assert len(known) > 60 and all(np.isfinite(rows[k][name]) for k in known)
    assert any(abs(rows[k][name] - others[k][name]) > 1e-6 for k in known)
    assert all(rows[k]["au_1"] == others[k]["au_1"] for k in known)  # which is the face model's
