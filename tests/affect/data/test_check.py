import json
import shutil

import av
import numpy as np
import pytest

from corner import Corner
from sentio.affect.data.check import check
from sentio.affect.data.extraction import extract_faces
from sentio.affect.data.features import FeatureStore
from sentio.affect.data.tree import scan


def whats(report, level=None):
    return [problem.what for problem in report.problems if level in (None, problem.level)]


@pytest.mark.slow
def test_a_sound_folder(drawn):
    report = check(drawn, images=None)
    assert report.problems == [] and report.usable()
    assert (report.crop_folders, report.videos) == (5, 4)
    assert report.images == sum(1 for _ in (drawn / "cropped_aligned").rglob("*.jpg"))
    [part] = [part for part in report.sets if (part.source, part.split) == ("expr", "train")]
    lines = [
        line
        for path in (drawn / "EXPR_Recognition_Challenge/Train_Set").glob("*.txt")
        for line in path.read_text().splitlines()[1:]
    ]
    assert part.frames == len(lines) and part.clips == 4
    assert part.labelled["expression"] == sum(line != "-1" for line in lines)
    assert part.balance["expression"]["Happiness"] == lines.count("4")
    assert 0 < part.usable["expression"] < part.labelled["expression"]


@pytest.mark.slow
def test_text_and_json_tell_the_same(drawn):
    report = check(drawn)
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["images"] == report.images and len(values["sets"]) == len(report.sets)
    text = report.to_text()
    assert f"{report.images} images" in text and "EXPR train: 4 clips" in text and "0 errors, 0 warnings" in text


def test_every_spoilt_file_is_named_and_the_rest_is_counted(copy):
    va = copy / "VA_Estimation_Challenge/Train_Set"
    lines = (va / "video1.txt").read_text().splitlines()
    (va / "video1.txt").write_text("\n".join([*lines[:7], "a,b", *lines[8:]]) + "\n")
    (va / "video3.txt").write_text("wrong\n")
    (copy / "cropped_aligned/video1/00001.jpg").write_bytes(b"no image")
    (copy / "cropped_aligned/video1/00002.jpg").write_bytes(b"")
    shutil.copytree(copy / "cropped_aligned/video3", copy / "cropped_aligned/video9")
    shutil.copy(copy / "cropped_aligned/video4/00001.jpg", copy / "cropped_aligned/video4/00170.jpg")
    shutil.rmtree(copy / "cropped_aligned/video2_left")
    (copy / "batch1/video3.mp4").write_bytes(b"not a video")
    report = check(copy, images=None)
    assert not report.usable()
    found = "\n".join(map(str, report.problems))
    for part in (
        "video1.txt:8: 'a,b' is not made of numbers",
        "video3.txt:1: the header is 'wrong'",
        "00001.jpg: the image cannot be decoded",
        "00002.jpg: the image cannot be decoded",
        "video9: a crop folder without annotation",
        "images go up to 170, the VA annotation has 151 lines",
        "video2_left.txt: there is no crop folder",
        "error: " + str(copy / "batch1/video3.mp4"),
    ):
        assert part in found, part
    assert {part.source for part in report.sets} == {"va", "expr", "au", "mtl"}


def test_files_that_are_no_frames_images_are_named_and_not_used(copy, tmp_path):
    folder = copy / "cropped_aligned/video1"
    for name in ("00000", "0", "0000007", "1" * 20):
        shutil.copy(next(folder.glob("00*.jpg")), folder / f"{name}.jpg")
    assert "4 files not named as frames are (00001.jpg), the first: 0.jpg" in whats(check(copy), "warning")
    tree = scan(copy)
    assert set(tree.numbers("video1")) <= set(range(1, 151))
    store = FeatureStore(tmp_path / "store", Corner())
    assert extract_faces(store, {"video1": folder}) == []
    assert store.open("video1").times.min() >= 0


def test_a_video_without_sound_or_of_another_length(copy):
    path = copy / "batch1/video1.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width = stream.height = 112
        for _ in range(100):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((112, 112, 3), np.uint8), format="bgr24")))
        container.mux(stream.encode())
    found = whats(check(copy), "warning")
    assert "the video has no sound" in found
    assert any("VA annotation of video1 has 150 lines, about 100 frames" in what for what in found)


def test_missing_and_unused_videos(copy):
    (copy / "batch1/video1.mp4").rename(copy / "batch1/other.mp4")
    found = whats(check(copy))
    assert "there is no video of video1" in found and "a video without annotation" in found


def test_images_are_sampled_evenly(copy):
    for path in (copy / "cropped_aligned").rglob("*.jpg"):
        path.write_bytes(b"")
    damaged = [what for what in whats(check(copy, images=50)) if "decoded" in what]
    assert 40 <= len(damaged) <= 50
    assert not [what for what in whats(check(copy, images=0)) if "decoded" in what]
