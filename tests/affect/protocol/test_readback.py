import numpy as np
import pytest

from sentio.affect.protocol.readback import validate
from sentio.cli import main

FRAMES = {"b_left": np.arange(1, 7), "a": np.arange(1, 6)}
IMAGES = [f"{name}/{number:05d}.jpg" for name, numbers in FRAMES.items() for number in numbers]
HEADERS = {
    "va": "image_location,valence,arousal",
    "expr": "image_location,Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other",
    "au": "image_location,AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26",
}
ROWS = {"va": "0.25,-1e-3", "expr": "7", "au": ",".join("01" * 6)}


def sound(track="va"):
    """The lines of a submission without fault."""
    return [HEADERS[track], *(f"{image},{ROWS[track]}" for image in IMAGES)]


def faults(path, lines, track="va", *, listed=True):
    path.write_text("\n".join(lines) + "\n")
    return list(validate(path, track, 6, FRAMES if listed else None))


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("track", HEADERS)
def test_a_sound_submission_has_no_fault(tmp_path, track, listed):
    assert faults(tmp_path / "x.txt", sound(track), track, listed=listed) == []


ANYWAY = {
    "header": (lambda lines: ["image,valence,arousal", *lines[1:]], 1, "the header is"),
    "mark": (lambda lines: ["\ufeff" + lines[0], *lines[1:]], 1, "the header is '\\ufeffimage_location"),
    "twice": (lambda lines: [*lines, lines[1]], 13, "answered before, in line 2"),
    "empty": (lambda lines: [*lines[:3], "", *lines[3:]], 4, "an empty line"),
    "range": (lambda lines: [lines[0], "b_left/00001.jpg,0,-5", *lines[2:]], 2, "'-5' is no number in [-1, 1]"),
    "nan": (lambda lines: [lines[0], "b_left/00001.jpg,nan,0", *lines[2:]], 2, "'nan' is no number in [-1, 1]"),
    "letters": (lambda lines: [lines[0], "b_left/00001.jpg,x,0", *lines[2:]], 2, "'x' is no number in [-1, 1]"),
    "digits": (lambda lines: [lines[0], "b_left/00001.jpg,\u0660.5,0", *lines[2:]], 2, "is no number in [-1, 1]"),
    "python": (lambda lines: [lines[0], "b_left/00001.jpg,0.1_5,0", *lines[2:]], 2, "'0.1_5' is no number in [-1, 1]"),
    "comma": (lambda lines: [lines[0], "b_left/00001.jpg,0,25,0", *lines[2:]], 2, "3 values, expected 2"),
    "fields": (lambda lines: [lines[0], "b_left/00001.jpg,0", *lines[2:]], 2, "1 value, expected 2"),
}
LISTED = {
    "missing": (lambda lines: lines[:3] + lines[4:], None, "b_left: 1 frame missing: 00003"),
    "many": (
        lambda lines: [lines[0], lines[2], *lines[6:8]],
        None,
        "b_left: 4 frames missing: 00001, 00003 to 00005",
    ),
    "order": (
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        3,
        "b_left/00001.jpg stands after b_left/00002",
    ),
    "unknown": (lambda lines: [*lines, "c/00001.jpg,0,0"], 13, "'c/00001.jpg' was not asked for"),
}


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("fault", ANYWAY)
def test_a_fault_of_form_is_named_with_its_line_with_and_without_a_list(tmp_path, fault, listed):
    edit, line, message = ANYWAY[fault]
    [found] = faults(tmp_path / "x.txt", edit(sound()), listed=listed)
    assert message in found.what and found.line == line and found.level == "error"


@pytest.mark.parametrize("fault", LISTED)
def test_what_a_list_asks_for_is_held_to_it(tmp_path, fault):
    edit, line, message = LISTED[fault]
    found = faults(tmp_path / "x.txt", edit(sound()))[0]
    assert message in found.what and found.line == line and found.level == "error"


def test_missing_frames_are_told_by_clip_and_stretch(tmp_path):
    path, asked = tmp_path / "x.txt", {"a": np.arange(1, 31), "b": np.arange(1, 3)}
    given = [f"a/{number:05d}.jpg,0,0" for number in range(1, 31, 2)]
    path.write_text("\n".join([HEADERS["va"], *given]) + "\n")
    one, other = validate(path, "va", 6, asked)
    assert one.what == "a: 15 frames missing: 00002, 00004, 00006, 00008, 00010 and 10 more stretches"
    assert other.what == "b: 2 frames missing: 00001 to 00002"


def test_frames_stay_missing_where_one_is_answered_twice(tmp_path):
    lines = sound()
    twice, missing = faults(tmp_path / "x.txt", [*lines[:2], lines[1], *lines[3:]])
    assert twice.line == 3 and missing.what == "b_left: 1 frame missing: 00002"


def test_without_a_list_an_odd_order_is_a_warning_and_a_name_must_be_a_frames(tmp_path):
    path = tmp_path / "x.txt"
    lines = sound()
    [found] = faults(path, [lines[0], lines[2], lines[1], *lines[3:]], listed=False)
    assert found.level == "warning" and found.line == 3
    [found] = faults(path, [*lines, "c/1.jpg,0,0"], listed=False)
    assert found.what == "'c/1.jpg' is not of the form clip/00001.jpg"
    [found] = faults(path, lines[:1], listed=False)
    assert found.what == "no frame is answered for"


@pytest.mark.parametrize(("value", "good"), [("7", True), ("8", False), ("-1", False), ("3.0", False), (" 3", False)])
def test_classes_are_whole_numbers(tmp_path, value, good):
    lines = sound("expr")
    found = faults(tmp_path / "x.txt", [lines[0], f"{IMAGES[0]},{value}", *lines[2:]], "expr")
    assert [fault.what for fault in found] == ([] if good else [f"{value!r} is not one of 0 to 7"])


def write_videos(folder, counts):
    folder.mkdir()
    for name, count in counts.items():
        (folder / f"{name}.txt").write_text("valence,arousal\n" + "0.5,0\n" * count)
    return folder


def test_every_video_of_a_folder_is_read(tmp_path):
    folder = write_videos(tmp_path / "out", {"a": 5, "b_left": 7, "c": 1})
    (folder / "d.txt").write_text("valence,arousal\n0.5\n")
    whats = [fault.what for fault in validate(folder, "va", 3, FRAMES | {"e": np.arange(3)})]
    expected = ["7 frames, expected 6", "this video is missing", *["a video that was not asked for"] * 2]
    assert whats == expected
    assert [fault.what for fault in validate(folder, "va", 3, ["a", "d", "b_left", "c"])] == ["1 value, expected 2"]
    assert [fault.what for fault in validate(folder, "va", 3)] == ["1 value, expected 2"]


def test_a_file_in_the_place_of_a_folder_and_the_reverse(tmp_path):
    (tmp_path / "x.txt").write_text("")
    assert "no folder" in next(validate(tmp_path / "x.txt", "va", 3)).what
    assert "this is a folder" in next(validate(tmp_path, "va", 6)).what
    assert "missing" in next(validate(tmp_path / "none.txt", "va", 6)).what
    (tmp_path / "empty").mkdir()
    assert "no text" in next(validate(tmp_path / "empty", "va", 2)).what


def test_the_command_prints_the_first_faults_and_counts_all(tmp_path, capsys):
    path, listed = tmp_path / "va.txt", tmp_path / "list.txt"
    listed.write_text("\n".join(["image_location", *IMAGES]))
    command = ["submission", "check", str(path), "--track", "va", "--edition", "6"]
    path.write_text("\n".join(sound()) + "\n")
    assert main([*command, "--images", str(listed)]) == 0
    assert capsys.readouterr().out == f"{path}: 0 errors, 0 warnings\n"
    path.write_text(HEADERS["va"] + "\n" + "".join(f"z/{k:05d}.jpg,2,0\n" for k in range(1, 31)))
    assert main([*command, "--images", str(listed)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 21 and out[-1] == f"{path}: 62 errors, 0 warnings"
    assert main(command) == 1
    assert "Without --images" in capsys.readouterr().out


def test_the_command_counts_the_frames_of_listed_videos(drawn, tmp_path, capsys):
    listed = tmp_path / "videos.txt"
    listed.write_text("video1\nvideo2_right\n")
    folder = write_videos(tmp_path / "out", {"video1": 150, "video2_right": 149})
    command = ["submission", "check", str(folder), "--track", "va", "--edition", "2", "--images", str(listed)]
    assert main(command) == 0
    assert main([*command, "--data", str(drawn)]) == 1
    assert "video2_right.txt:150: 149 frames, expected 150" in capsys.readouterr().out
