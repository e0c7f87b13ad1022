import shutil

import numpy as np
import pytest

from sentio.affect.data import affwild2, lsd, mtl
from sentio.affect.data.sets import listed_clips, read_sets
from sentio.affect.data.tree import scan
from sentio.affect.labels import EXPRESSIONS
from sentio.core.errors import InputError


def touch(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# Aff-Wild2


def test_a_clip_joins_labels_crops_and_video(drawn):
    clips, problems = affwild2.read(scan(drawn), "va")
    assert problems == []
    assert {clip.name for clip in clips} == {"video1", "video2_left", "video2_right", "video3", "video4"}
    by_name = {clip.name: clip for clip in clips}
    assert by_name["video4"].split == "validation" and by_name["video1"].split == "train"
    assert by_name["video2_left"].media == by_name["video2_right"].media == drawn / "batch2/video2.mp4"
    clip = by_name["video2_left"]  # its annotation has one line more than the video has frames
    assert clip.frames == 151 and not clip.crops.present[150]


def test_line_k_belongs_to_image_k(drawn):
    [clip] = [clip for clip in affwild2.read(scan(drawn), "va")[0] if clip.name == "video1"]
    lines = (drawn / "VA_Estimation_Challenge/Train_Set/video1.txt").read_text().splitlines()
    for frame in (0, 57, 149):
        expected = np.float32([float(value) for value in lines[frame + 1].split(",")])
        expected[expected == -5] = np.nan
        np.testing.assert_array_equal(clip.valence_arousal[frame], expected)
        path = drawn / f"cropped_aligned/video1/{frame + 1:05d}.jpg"
        assert clip.crops.path(frame) == path and clip.crops.present[frame] == path.exists()


@pytest.mark.parametrize(
    ("folder", "task"),
    [
        ("VA_Estimation_Challenge/Train_Set", "va"),
        ("annotations/VA_Set/Training_Set", "va"),
        ("EXPR_Classification_Challenge/Train_Set", "expr"),
        ("6th ABAW/EXPR_Recognition_Challenge/Train_Set", "expr"),
        ("annotations/EXPR_Set/Train_Set", "expr"),
        ("AU_Detection_Challenge/Train_Set", "au"),
        ("annotations/AU_Set/train_set", "au"),
    ],
)
def test_every_spelling_of_the_folders(tmp_path, drawn, folder, task):
    source = {"va": "VA_Estimation", "expr": "EXPR_Recognition", "au": "AU_Detection"}[task]
    shutil.copytree(drawn / f"{source}_Challenge/Train_Set", tmp_path / folder)
    clips, _ = affwild2.read(scan(tmp_path), task)
    assert len(clips) == 4 and {clip.split for clip in clips} == {"train"}


def test_parts_of_the_crops_may_lie_anywhere(copy):
    for place, name in (("cropped_aligned_new_50_vids", "video1"), ("batch2/cropped_aligned", "video3")):
        (copy / place).mkdir(parents=True)
        (copy / "cropped_aligned" / name).rename(copy / place / name)
    clips, problems = affwild2.read(scan(copy), "va")
    assert problems == [] and all(clip.crops for clip in clips)


@pytest.mark.parametrize("plain", ["cropped", "a/cropped", "zz"])
def test_aligned_crops_stand_before_others_of_the_same_clips(copy, plain):
    (copy / plain).mkdir(parents=True)
    for name in ("video1", "video3"):
        shutil.copytree(copy / "cropped_aligned" / name, copy / plain / name)
    (copy / "cropped_aligned/video4").rename(copy / plain / "video4")
    tree = scan(copy)
    assert tree.crops["video1"] == copy / "cropped_aligned/video1" and tree.crops["video4"] == copy / plain / "video4"
    passed, alone = tree.problems
    assert passed.path == copy / plain and "not used are crops of 2 clips" in passed.what
    assert f"1 clip with crops that are not in cropped_aligned, the first: {copy / plain / 'video4'}" in alone.what


def test_crops_of_any_other_name_are_used_where_there_are_no_aligned_ones(copy):
    (copy / "cropped_aligned").rename(copy / "cropped")
    tree = scan(copy)
    assert len(tree.crops) == 5 and not tree.problems


def test_a_name_that_ends_in_left_may_be_the_videos_own(copy):
    (copy / "batch2/video2.mp4").rename(copy / "batch2/video2_left.mp4")
    media = {clip.name: clip.media for clip in affwild2.read(scan(copy), "va")[0]}
    assert media["video2_left"].name == "video2_left.mp4" and media["video2_right"] is None


def test_a_second_annotation_of_a_clip_is_reported_and_not_counted(copy):
    second = copy / "annotations/VA_Set/Validation_Set/video1.txt"
    second.parent.mkdir(parents=True)
    shutil.copy(copy / "VA_Estimation_Challenge/Train_Set/video1.txt", second)
    clips, [problem] = affwild2.read(scan(copy), "va")
    assert [clip.split for clip in clips if clip.name == "video1"] == ["train"]
    assert problem.path == second and "a second VA annotation of video1, not used" in problem.what


def test_images_past_the_last_line_are_left_out(copy):
    shutil.copy(copy / "cropped_aligned/video1/00001.jpg", copy / "cropped_aligned/video1/00151.jpg")
    [clip] = [clip for clip in affwild2.read(scan(copy), "va")[0] if clip.name == "video1"]
    assert clip.frames == len(clip.crops.present) == 150


def test_an_unusable_file_is_reported_and_the_rest_is_read(copy):
    path = copy / "VA_Estimation_Challenge/Train_Set/video1.txt"
    path.write_text("valence\n0\n")
    clips, [problem] = affwild2.read(scan(copy), "va")
    assert len(clips) == 4 and problem.level == "error" and problem.path == path and ":1: the header" in problem.what


def test_a_clip_without_crops_stays_and_is_reported(copy):
    shutil.rmtree(copy / "cropped_aligned/video3")
    clips, [problem] = affwild2.read(scan(copy), "va")
    assert len(clips) == 5 and problem.level == "warning" and problem.path.stem == "video3"


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_a_missing_or_empty_folder_is_an_error(tmp_path, make):
    make(tmp_path / "data")
    with pytest.raises(InputError, match="data"):
        scan(tmp_path / "data")


def test_clips_of_a_list_have_no_labels(drawn):
    clips = listed_clips(scan(drawn), {"video1": np.array([2, 9]), "unknown": np.array([3])}, "va")
    assert [(clip.name, clip.frames, clip.split) for clip in clips] == [("video1", 9, "test"), ("unknown", 3, "test")]
    assert clips[0].crops.present.sum() == 9 and clips[1].crops is None and clips[0].labels() == {}


# multi-task


def test_multi_task_rows_find_their_frames(drawn):
    clips, problems = mtl.read(scan(drawn))
    assert problems == []
    by_name = {clip.name: clip for clip in clips}
    seen = 0
    for line in (drawn / "MTL_Challenge/training_set_annotations.txt").read_text().splitlines()[1:]:
        image, *values = line.split(",")
        name, file = image.split("/")
        clip, frame = by_name[name], int(file[:5]) - 1
        va = clip.valence_arousal[frame]
        assert np.isnan(va).all() if values[0] == "-5.000" else np.allclose(va, [float(v) for v in values[:2]])
        assert clip.expression[frame] == int(values[2])
        assert clip.action_units[frame].tolist() == [int(v) for v in values[3:]]
        seen += 1
    labelled = [np.isfinite(clip.valence_arousal[:, 0]) | (clip.expression >= 0) for clip in clips]
    assert sum(clip.split == "train" for clip in clips) == 4 and sum(map(np.sum, labelled)) >= 0.9 * seen


@pytest.mark.parametrize("name", ["train_set.txt", "training_set_annotations.txt"])
def test_multi_task_files_of_every_edition(tmp_path, name):
    row = ",".join(["video1/00003.jpg", "0.1", "-0.2", "4", *"010101010101"])
    touch(tmp_path / "MTL_Challenge" / name, f"image,valence,arousal,expression,aus\n{row}\n")
    [clip], _ = mtl.read(scan(tmp_path))
    assert (clip.name, clip.frames, clip.source) == ("video1", 3, "mtl")
    assert clip.labelled().tolist() == [False, False, True]
    assert clip.expression.tolist() == [-1, -1, 4] and clip.action_units[2].tolist() == [0, 1] * 6


def test_bad_multi_task_rows_are_named(tmp_path):
    good = ",".join(["v/00001.jpg", "0", "0", "0", *"0" * 12])
    rows = [
        "header",
        good,
        good.replace("00001", "00003") + ",1",
        good.replace("00001", "1"),
        "v/00002.jpg,9,0,0" + ",0" * 12,
        good,
    ]
    path = touch(tmp_path / "MTL_Challenge/train_set.txt", "\n".join(rows) + "\n")
    [clip], problems = mtl.read(scan(tmp_path))
    assert clip.frames == 3
    found = {problem.line: problem.what for problem in problems if problem.line}
    assert "16 values, expected 15" in found[3] and "clip/00001.jpg" in found[4]
    assert "lie in [-1, 1]" in found[5] and "stands already in line 2" in found[6]
    assert all(problem.path == path for problem in problems)
    for header in (good, "image,arousal,valence,expression,aus", "image,expression,valence,arousal,aus"):
        touch(tmp_path / "MTL_Challenge/train_set.txt", f"{header}\n{good}\n")
        assert "train_set.txt:1: expected the header image,valence,arousal" in mtl.read(scan(tmp_path))[1][0].what


def test_a_second_multi_task_text_of_a_split_is_reported_and_not_counted(tmp_path):
    rows = "image,valence,arousal,expression,aus\n" + ",".join(["v/00001.jpg", "0", "0", "0", *"0" * 12])
    first = touch(tmp_path / "a/MTL_Challenge/train_set.txt", rows)
    second = touch(tmp_path / "b/training_set_annotations.txt", rows)
    clips, problems = mtl.read(scan(tmp_path))
    assert len(clips) == 1 and problems[-1].path == second and str(first) in problems[-1].what


# LSD


@pytest.fixture
def lsd_folder(tmp_path, drawn):
    image = next((drawn / "cropped_aligned/video1").glob("*.jpg"))
    for split in ("training_set_synthetic_images", "validation_set_real_images"):
        for name in ("ANGRER", "DISGUST", "FEAR", "HAPPINESS", "SADNESS", "SURPRISE"):
            for number in range(2):
                path = touch(tmp_path / "lsd" / split / name / f"{name.lower()}_{number}.jpg")
                shutil.copy(image, path)
    for number in (10, 0, 2):
        shutil.copy(image, touch(tmp_path / f"lsd/test_set_images/{number}.jpg"))
    return tmp_path / "lsd"


def test_lsd_folders(lsd_folder):
    clips, problems = lsd.read(scan(lsd_folder))
    assert problems == []
    for clip in clips:
        if clip.split != "test":
            folder = clip.crops.folder.name
            name = {"ANGRER": "Anger"}.get(folder, folder.capitalize())
            assert [EXPRESSIONS[k] for k in clip.expression] == [name] * 2
            assert all(clip.crops.path(frame).exists() for frame in range(2))
    [test] = [clip for clip in clips if clip.split == "test"]
    assert test.crops.names == ("0.jpg", "2.jpg", "10.jpg") and (test.expression == -1).all()


def test_anger_may_be_spelt_right_and_a_missing_class_is_reported(lsd_folder):
    train = lsd_folder / "training_set_synthetic_images"
    (train / "ANGRER").rename(train / "ANGER")
    assert lsd.read(scan(lsd_folder))[1] == []
    shutil.rmtree(train / "FEAR")
    [problem] = lsd.read(scan(lsd_folder))[1]
    assert "train split has no folder FEAR" in problem.what


def test_sets_are_read_together(drawn):
    clips, _ = read_sets(scan(drawn), ("va", "mtl"))
    assert {clip.source for clip in clips} == {"va", "mtl"}
