import hashlib

import numpy as np
import pytest

from sentio.affect.data.check import check
from sentio.affect.media import open_media
from sentio.affect.synth.moving_picture import MovingPicture, action_units_of, expression_of, generate
from sentio.core.errors import OutputError

SMALL = MovingPicture(videos=2, seconds=2)


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_one_seed_gives_the_same_files_and_another_does_not(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        generate(tmp_path / name, MovingPicture(videos=2, seconds=2, seed=seed))
    first, again, other = (digest(tmp_path / name) for name in "abc")
    assert first == again
    assert (
        first["VA_Estimation_Challenge/Train_Set/video1.txt"] != other["VA_Estimation_Challenge/Train_Set/video1.txt"]
    )


@pytest.mark.slow
def test_it_has_the_layout_with_gaps_people_and_sound(tmp_path):
    generate(tmp_path / "set", MovingPicture(videos=4, seconds=4))
    report = check(tmp_path / "set", images=None)
    assert report.problems == [] and report.videos == 4 and report.crop_folders == 5
    assert {(part.source, part.split) for part in report.sets} == {
        (source, split) for source in ("va", "expr", "au", "mtl") for split in ("train", "validation")
    }
    for part in report.sets:
        for name, labelled in part.labelled.items():
            assert 0 < labelled < part.frames
            if part.source != "mtl":
                assert part.usable[name] < labelled
    with open_media(tmp_path / "set/batch1/video1.mp4") as media:
        assert media.info.has_audio and media.info.size == (112, 112)
        assert len(media.waveform()[0]) / 16_000 == pytest.approx(4, abs=0.2)
        assert sum(1 for _ in media) == 120


def test_labels_follow_from_valence_and_arousal():
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41)), -1).reshape(-1, 2)
    expression, units = expression_of(grid), action_units_of(grid)
    assert set(expression.tolist()) == set(range(8))
    assert (expression[np.linalg.norm(grid, axis=1) < 0.29] == 0).all()
    assert ((units.mean(0) > 0.2) & (units.mean(0) < 0.6)).all()


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        generate(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
