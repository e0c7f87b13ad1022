"""The made sets, read back by the readers of the real ones."""

import json

import cv2
import numpy as np
import pytest

from sentio.affect.data import affwild2, lsd, mtl
from sentio.affect.data.check import check
from sentio.affect.data.tree import scan
from sentio.affect.faces.alignment import SIZE, TEMPLATE
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.media import open_media
from sentio.affect.synth import acting, appearance, dataset
from sentio.core.errors import InputError, OutputError

PERSON = dataset.PICTURES


def make(out, shared, **options):
    rigs = (shared / "data/affect/rig-mpfb", shared / "data/affect/rig-ict")
    defaults = {"rigs": rigs, "voices": shared / "data/affect/speech-emodb", "seconds": 0.6, "seed": 7, "workers": 1}
    dataset.make(out, **(defaults | options))


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def made(shared, tmp_path_factory):
    out = tmp_path_factory.mktemp("synth")
    make(out, shared, videos=1, images=PERSON)
    return out


def described(out):
    return [json.loads(line) for line in (out / "faces.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("task", ["va", "expr", "au"])
@pytest.mark.slow
def test_videos_read_as_aff_wild2(made, task):
    [clip, other], problems = affwild2.read(scan(made / "affwild2"), task)
    assert problems == [] and clip.name == "video000000"
    assert (clip.split, other.split) == ("train", "validation")
    assert clip.frames == 15 and clip.crops.present.all()
    with open_media(clip.media) as media:
        assert sum(1 for _ in media) == 15
        assert media.info.has_audio and media.info.audio_rate == 16_000


@pytest.mark.slow
def test_pictures_read_as_the_multi_task_set(made):
    clips, problems = mtl.read(scan(made / "affwild2"))
    assert problems == []
    [person] = [clip for clip in clips if clip.name == "person000000"]
    about = [row for row in described(made) if row["image"].startswith("person000000")]
    assert len(about) == PERSON
    for k, row in enumerate(about):
        frame = int(row["image"][-9:-4]) - 1
        np.testing.assert_allclose(person.valence_arousal[frame], [row["valence"], row["arousal"]], atol=6e-4)
        assert EXPRESSIONS[person.expression[frame]] == row["expression"]
        assert person.action_units[frame].tolist() == row["action_units"], k


@pytest.mark.slow
def test_pictures_of_six_classes_read_as_lsd(made):
    clips, _ = lsd.read(scan(made / "lsd"))
    assert {clip.split for clip in clips} == {"train", "validation"}
    names = [row["expression"] for row in described(made) if row["image"].startswith("person")]
    assert sum(clip.frames for clip in clips) == sum(name not in ("Neutral", "Other") for name in names)


@pytest.mark.slow
def test_crops_are_aligned_and_their_landmarks_true(made):
    for row in described(made):
        crop = cv2.imread(str(made / "affwild2/cropped_aligned" / row["image"]))
        assert crop.shape == (SIZE, SIZE, 3) and crop.std() > 8
        points = appearance.five(np.array(row["landmarks"]))
        assert np.linalg.norm(points - TEMPLATE, axis=1).max() < 16
        assert np.linalg.norm(points.mean(0) - TEMPLATE.mean(0)) < 8


@pytest.mark.slow
def test_an_interrupted_set_is_finished_to_the_same_bytes(made, shared, tmp_path):
    make(tmp_path / "set", shared, images=PERSON)
    first = files(tmp_path / "set")
    for path in (tmp_path / "set" / ".parts").iterdir():
        path.unlink()
    (tmp_path / "set/affwild2/cropped_aligned/person000000/00003.jpg").write_bytes(b"torn")
    make(tmp_path / "set", shared, images=PERSON)
    assert files(tmp_path / "set") == first


@pytest.mark.slow
def test_what_is_made_is_not_made_again(made, shared):
    before = files(made)
    told = []
    make(made, shared, videos=1, images=PERSON, progress=lambda done, total: told.append((done, total)))
    assert told == [(4, 4)] and files(made) == before


@pytest.mark.slow
def test_processes_make_the_same_bytes(made, shared, tmp_path):
    make(tmp_path / "set", shared, videos=1, images=PERSON, workers=2)
    assert files(tmp_path / "set") == files(made)


@pytest.mark.slow
def test_other_options_are_refused(made, shared):
    with pytest.raises(OutputError, match="other options"):
        make(made, shared, images=PERSON, seed=8)


@pytest.mark.slow
def test_a_folder_with_something_else_is_left_alone(shared, tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(OutputError, match="not empty"):
        make(tmp_path, shared, images=1)


@pytest.mark.slow
def test_wrong_folders_are_refused_before_anything_is_written(shared, tmp_path):
    with pytest.raises(InputError, match="holds no rig"):
        make(tmp_path / "set", shared, rigs=(tmp_path,), images=1)
    with pytest.raises(InputError, match="no utterances"):
        make(tmp_path / "set", shared, voices=tmp_path, images=1)
    (tmp_path / "table.json").write_text('{"Neutral": {"valence": [0, 0]}}')
    with pytest.raises(InputError, match="arousal"):
        make(tmp_path / "set", shared, table=tmp_path / "table.json", images=1)
    table = json.loads(json.dumps(acting.expressions()))
    table["Fear"]["units"]["AU99"] = [1.0, 0.5, 0.5]
    (tmp_path / "strange.json").write_text(json.dumps(table))
    with pytest.raises(InputError, match="AU99"):
        make(tmp_path / "set", shared, table=tmp_path / "strange.json", images=1)
    del table["Fear"]
    (tmp_path / "short.json").write_text(json.dumps(table))
    with pytest.raises(InputError, match="no expression Fear"):
        make(tmp_path / "set", shared, table=tmp_path / "short.json", images=1)
    assert not (tmp_path / "set").exists()


@pytest.mark.slow
def test_the_sheet_shows_a_named_row_for_each_class(made):
    sheet = cv2.imread(str(made / "sheet.png"))
    assert sheet.shape == (SIZE * len(EXPRESSIONS), dataset.CAPTION + SIZE * 12, 3)
    captions = np.split(sheet[:, : dataset.CAPTION], len(EXPRESSIONS))
    assert all((caption < 128).sum() > 100 for caption in captions), "each has text"
    assert len({caption[: SIZE // 2 + 8].tobytes() for caption in captions}) == len(EXPRESSIONS), "of its own"


@pytest.mark.parametrize("folder", ["", "affwild2", "lsd"])
@pytest.mark.slow
def test_the_check_has_nothing_to_complain_of(made, folder):
    report = check(made / folder)
    assert report.problems == [] and report.usable()
    assert {part.split for part in report.sets} == {"train", "validation"}


def test_a_fifth_is_for_validation():
    assert {dataset._split(k) for k in range(2)} == {"training", "validation"}
    assert [dataset._split(k) for k in range(20)].count("validation") == 4


@pytest.mark.slow
def test_one_is_too_few(made):
    """The set was asked for one video and one person."""
    rows = described(made)
    for kind in ("video", "person"):
        assert {row["split"] for row in rows if row["image"].startswith(kind)} == {"training", "validation"}
