"""Files of other tools, written here as those tools write them, read into our columns."""

import csv
import json

import numpy as np
import pytest

from sentio.affect.foreign import read
from sentio.core.errors import InputError

OPENFACE_UNITS = [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45]
OPENFACE = [
    *("frame", "face_id", "timestamp", "confidence", "success", "gaze_0_x", "pose_Tx", "pose_Rx", "pose_Ry", "pose_Rz"),
    *(f"{axis}_{k}" for axis in "xy" for k in range(68)),
    *(f"X_{k}" for k in range(68)),
    *(f"AU{unit:02d}_r" for unit in OPENFACE_UNITS),
    *(f"AU{unit:02d}_c" for unit in sorted([*OPENFACE_UNITS, 28])),
]


def write(path, header, rows, separator=","):
    """As a table of text; what a row lacks is 0."""
    lines = [separator.join(header)]
    lines += [separator.join(str(row.get(name, 0)) for name in header) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def openface(tmp_path, rows, separator=", "):
    square = {f"x_{k}": 100 + k for k in range(68)} | {f"y_{k}": 50 + 2 * k for k in range(68)}
    whole = [{"frame": 1, "timestamp": 0.0, "confidence": 0.98, "success": 1} | square | row for row in rows]
    return write(tmp_path / "clip.csv", OPENFACE, whole, separator)


@pytest.mark.parametrize("separator", [",", ", "])  # the older versions put spaces
def test_openface(tmp_path, separator) -> None:
    rows = [{"AU12_r": 2.5, "AU12_c": 1, "AU45_r": 5.0}, {"frame": 2, "timestamp": 0.04, "success": 0}]
    (study,) = read(openface(tmp_path, rows, separator))
    smiling, lost = study.rows
    assert study.tool == "OpenFace"
    assert (smiling["frame"], smiling["time_s"], smiling["person"]) == (0, 0.0, 0)
    assert (smiling["au_12"], smiling["au_12_intensity"], smiling["au_45_intensity"]) == (1, 0.5, 1)
    assert [smiling[f"face_{side}"] for side in "xywh"] == [100, 50, 67, 134]
    assert smiling["face_score"] == 0.98
    assert lost == {"frame": 1, "time_s": 0.04, "reason": "no face"}
    assert {"gaze_0_x", "pose_Tx", "X_0", "AU28_c"} <= set(study.left_out)
    assert not {"pose_Rx", "x_0", "AU01_r", "AU12_c", "frame"} & set(study.left_out)


def rotation(x, y, z):
    """Rx Ry Rz, x to the right, y down, z away."""
    a, b, c = np.cos([x, y, z])
    d, e, f = np.sin([x, y, z])
    about_x = np.array([[1, 0, 0], [0, a, -d], [0, d, a]])
    about_y = np.array([[b, 0, e], [0, 1, 0], [-e, 0, b]])
    return about_x @ about_y @ np.array([[c, -f, 0], [f, c, 0], [0, 0, 1]])


@pytest.mark.parametrize("angles", [(0.3, 0, 0), (0, 0.2, 0), (0, 0, 0.1), (-0.1, -0.4, -0.2)])
def test_the_head_of_openface_turns_as_ours(tmp_path, angles) -> None:
    """Where the nose points and which eye is lower follow from the rotation itself."""
    (study,) = read(openface(tmp_path, [dict(zip(("pose_Rx", "pose_Ry", "pose_Rz"), angles, strict=True))]))
    row = study.rows[0]
    nose = rotation(*angles) @ [0, 0, -1]  # of somebody who faces the camera
    eyes = rotation(*angles) @ [1, 0, 0]  # from the right eye, which is left in the picture, to the left one
    assert np.sign(row["pose_yaw"]) == np.sign(round(nose[0], 9))  # to the viewer's right
    assert np.sign(row["pose_pitch"]) == np.sign(round(nose[1], 9))  # down
    assert np.sign(row["pose_roll"]) == -np.sign(round(eyes[1], 9))  # counter-clockwise: the left eye goes up
    assert np.allclose(np.radians([row["pose_pitch"], -row["pose_yaw"], -row["pose_roll"]]), angles)


def test_openface_of_several_faces(tmp_path) -> None:
    (study,) = read(openface(tmp_path, [{"frame": 2, "face_id": 1}, {"frame": 1}, {"frame": 2, "face_id": 0}]))
    assert [(row["frame"], row["person"]) for row in study.rows] == [(0, 0), (1, 0), (1, 1)]


def test_openface_of_a_picture(tmp_path) -> None:
    header = ["face", "confidence", "pose_Rx", "AU01_r", "AU01_c"]
    (study,) = read(write(tmp_path / "a.csv", header, [{"face": 0}, {"face": 1, "AU01_r": 1}], ", "))
    assert [(row["person"], row["time_s"], row["au_1_intensity"]) for row in study.rows] == [(0, 0, 0), (1, 0, 0.2)]


PYFEAT = [
    *("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore", "x_0", "Pitch", "AU01", "AU12", "AU43"),
    *("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "input", "frame", "approx_time"),
    "Identity",
]


def test_pyfeat(tmp_path) -> None:
    face = {"FaceRectX": 3.5, "FaceRectWidth": 80, "FaceScore": 0.9, "AU12": 0.7, "happiness": 0.8, "neutral": 0.2}
    rows = [
        face | {"input": "/tapes/a.mp4", "frame": 0, "Identity": "Person_0"},
        face | {"input": "/tapes/a.mp4", "frame": 0, "Identity": "Person_3"},
        {"FaceRectX": "", "input": "/tapes/a.mp4", "frame": 1},
    ]
    (study,) = read(write(tmp_path / "fex.csv", PYFEAT, rows))
    first, other, lost = study.rows
    assert (study.tool, study.media, study.has_times) == ("Py-Feat", "a.mp4", False)
    assert (first["person"], other["person"]) == (0, 3)
    assert (first["expression"], first["p_happiness"], first["au_12"], first["face_x"]) == ("Happiness", 0.8, 0.7, 3.5)
    assert "p_other" not in first
    assert lost == {"frame": 1, "reason": "no face"}
    assert set(study.left_out) == {"x_0", "Pitch", "AU43", "approx_time"}


def test_pyfeat_of_pictures(tmp_path) -> None:
    rows = [{"FaceRectX": 1, "input": name, "frame": k} for k, name in enumerate(["a.jpg", "b.jpg"])]
    one, other = read(write(tmp_path / "fex.csv", PYFEAT, rows))
    assert (one.media, other.media) == ("a.jpg", "b.jpg")
    assert [row["time_s"] for study in (one, other) for row in study.rows] == [0, 0]


def test_faces_without_identity_are_counted_in_their_frame(tmp_path) -> None:
    rows = [{"FaceRectX": 1, "input": "a.mp4", "frame": frame} for frame in (0, 0, 1)]
    (study,) = read(write(tmp_path / "fex.csv", PYFEAT[:-1], rows))
    assert [row["person"] for row in study.rows] == [0, 1, 0]


def test_libreface(tmp_path) -> None:
    header = ["", "frame_idx", "frame_time_in_ms", "path_to_frame", "au_1", "au_12_intensity", "au_12", "lm_mp_0_x"]
    header.append("facial_expression")
    rows = [
        {"frame_idx": 0, "au_12": 1, "au_12_intensity": 4, "facial_expression": "Happiness"},
        {"frame_idx": 1, "frame_time_in_ms": 33.333, "facial_expression": "Contempt"},
        {"frame_idx": 2, "frame_time_in_ms": 66.667, "au_1": "", "au_12": "", "au_12_intensity": ""}
        | {"facial_expression": ""},
    ]
    (study,) = read(write(tmp_path / "out.csv", header, rows))
    happy, other, lost = study.rows
    assert (happy["au_12_intensity"], happy["au_12"], happy["expression"]) == (0.8, 1, "Happiness")
    assert (other["time_s"], other["expression"]) == (0.033333, "Other")
    assert lost == {"frame": 2, "time_s": 0.066667, "reason": "no face"}
    assert set(study.left_out) == {"path_to_frame", "lm_mp_0_x"}


def hume_face(frame, score, **more):
    emotions = [{"name": "Joy", "score": score}, {"name": "Awe", "score": 0.1}]
    emotions += [
        {"name": f"Surprise ({kind})", "score": value} for kind, value in (("positive", 0.2), ("negative", 0.4))
    ]
    box = {"x": 1.0, "y": 2.0, "w": 30.0, "h": 40.0}
    return {"frame": frame, "time": frame / 3, "prob": 0.99, "box": box, "emotions": emotions} | more


def hume(tmp_path, files):
    predictions = [
        {"file": name, "models": {"face": {"metadata": None, "grouped_predictions": groups}, "prosody": {"x": 1}}}
        for name, groups in files.items()
    ]
    path = tmp_path / "predictions.json"
    source = {"type": "url", "url": "https://example.org/a.zip"}
    path.write_text(json.dumps([{"source": source, "results": {"predictions": predictions, "errors": []}}]))
    return path


def test_hume(tmp_path) -> None:
    facs = [{"name": "AU12 Lip Corner Puller", "score": 0.6}, {"name": "AU43 Eye Closure", "score": 0.1}]
    groups = [
        {"id": "face_0", "predictions": [hume_face(0, 0.5, facs=facs), hume_face(3, 0.6)]},
        {"id": "face_1", "predictions": [hume_face(3, 0.7)]},
    ]
    (study,) = read(hume(tmp_path, {"in/a.mp4": groups}))
    assert [(row["frame"], row["person"], row["time_s"]) for row in study.rows] == [(0, 0, 0), (3, 0, 1), (3, 1, 1)]
    first = study.rows[0]
    assert (first["p_happiness"], first["p_surprise"], first["au_12"], first["face_h"]) == (0.5, 0.4, 0.6, 40)
    assert "expression" not in first and "p_neutral" not in first
    assert set(study.left_out) == {"Awe", "AU43 Eye Closure", "model prosody"}


def test_faces_that_hume_does_not_tell_apart_are_counted(tmp_path) -> None:
    groups = [{"id": "unknown", "predictions": [hume_face(0, 0.5), hume_face(0, 0.4), hume_face(1, 0.3)]}]
    one, other = read(hume(tmp_path, {"a.jpg": groups, "b.jpg": groups[:0]}))
    assert [row["person"] for row in one.rows] == [0, 1, 0]
    assert other.rows == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "of no tool that is known: OpenFace, Py-Feat, LibreFace, Hume"),
        ("a,b\n1,2\n", "of no tool that is known"),
        ("[1, 2", "is no JSON that can be read"),
        ('{"a": 1}', "no predictions of Hume"),
        ('[{"results": {"predictions": [{"file": "a", "models": {"face": {"grouped_predictions": [{}]}}}]}}]', "'id'"),
        ("[" * 100_000, "is no JSON"),
        ("frame,confidence,AU01_r\n1,1\n", "line 2: 2 fields under 3 columns"),
        ("frame,confidence,AU01_r\nx,1,1\n", "frame is 'x'"),
        ("frame,confidence,AU01_r\n0,1,1\n", "frame is '0', which is no whole number from 1 on"),
        ("frame,confidence,AU01_r\n1e30,1,1\n", "frame is '1e30'"),
        ("frame,confidence,AU01_r\n", "holds no row of OpenFace"),
        ("a," + "b" * 200_000 + "\n1,2\n", "field larger than field limit"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, text, told) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=told):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01binary", b"frame,confidence,AU01_r\n1,1,\xff\n"])
def test_bytes_that_are_no_text_are_told(tmp_path, content) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match="is no table of text"):
        read(tmp_path / "a.csv")


def test_a_table_of_a_spreadsheet_is_read(tmp_path) -> None:
    """With a byte order mark, Windows' line ends and quotes."""
    path = tmp_path / "a.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        writer.writerows([["frame", "timestamp", "confidence", "success", "AU01_r"], [1, 0.0, 0.9, 1, 2.5], []])
    assert read(path)[0].rows[0]["au_1_intensity"] == 0.5


@pytest.mark.parametrize("field", ["frame", "time", "prob"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e300", "1" * 400, '"x"'])
def test_numbers_that_can_be_none_are_told(tmp_path, field, value) -> None:
    face = hume_face(0, 0.5) | {field: "HERE"}
    path = hume(tmp_path, {"a.mp4": [{"id": "a", "predictions": [face]}]})
    path.write_text(path.read_text().replace('"HERE"', value))
    with pytest.raises(InputError, match="is JSON, but no predictions of Hume"):
        read(path)


def test_numbers_out_of_range_are_none(tmp_path) -> None:
    columns = {"confidence": "1e300", "face_id": "1e30", "pose_Rx": "-1e12", "AU12_c": "1"}
    row = read(openface(tmp_path, [columns]))[0].rows[0]
    assert (row["person"], row["au_12"]) == (0, 1)
    assert not {"face_score", "pose_pitch"} & row.keys()


@pytest.mark.parametrize(
    ("value", "found"),
    [("1.3", None), ("-0.1", None), ("85", None), ("seen", None), ("1.0000001", 1.0), ("-1e-9", 0.0), ("1", 1.0)],
)
def test_a_score_out_of_range_is_left_empty_and_told_by_line_and_column(tmp_path, value, found) -> None:
    (study,) = read(openface(tmp_path, [{"frame": 1}, {"frame": 2, "AU12_c": value, "AU01_c": "nan"}]))
    assert study.rows[1].get("au_12") == found and study.rows[1]["au_2"] == 0
    told = [] if found is not None else [f"line 3: AU12_c is {value}, not from 0 to 1"]
    assert list(map(str, study.faults)) == told


def test_scores_of_every_tool_are_held_to_their_range(tmp_path) -> None:
    face = {"FaceRectX": 1, "input": "a.mp4", "frame": 0, "AU12": 1.5, "anger": 2, "happiness": 0.7, "valence": -1.5}
    (fex,) = read(write(tmp_path / "fex.csv", [*PYFEAT, "valence"], [face]))
    assert [fault.column for fault in fex.faults] == ["valence", "AU12", "anger"]
    assert fex.rows[0]["expression"] == "Happiness" and not {"valence", "au_12", "p_anger"} & fex.rows[0].keys()
    header = ["frame_idx", "frame_time_in_ms", "au_1", "facial_expression", "face_detection_score"]
    (libre,) = read(
        write(tmp_path / "out.csv", header, [{"au_1": -1, "facial_expression": "Fear", "face_detection_score": 7}])
    )
    assert [fault.column for fault in libre.faults] == ["au_1", "face_detection_score"]
    groups = [{"id": "a", "predictions": [hume_face(3, 1.5, prob=2)]}]
    one, other = read(hume(tmp_path, {"a.mp4": groups, "b.mp4": groups}))
    assert list(map(str, one.faults))[:2] == [
        "frame 3: prob is 2, not from 0 to 1",
        "frame 3: Joy is 1.5, not from 0 to 1",
    ]
    assert one.faults == other.faults and "p_happiness" not in one.rows[0] and one.rows[0]["p_surprise"] == 0.4


@pytest.mark.parametrize(
    ("told", "name"), [("..\\..\\a.mp4", "a.mp4"), ("/b/c\0\x1b[.mp4", "c[.mp4"), ("a\ud800", "a"), ("\n", None)]
)
def test_names_of_media_are_those_of_files(tmp_path, told, name) -> None:
    path = hume(tmp_path, {told: [{"id": "a", "predictions": [hume_face(0, 0.5)]}]})
    assert [study.media for study in read(path)] == [name]


def test_a_source_that_the_tool_could_not_read_is_passed_over(tmp_path) -> None:
    path = hume(tmp_path, {"a.mp4": [{"id": "a", "predictions": [hume_face(0, 0.5)]}]})
    unread = {"source": {}, "results": None, "error": "no such file"}
    path.write_text(json.dumps([unread, *json.loads(path.read_text())]))
    assert [study.media for study in read(path)] == ["a.mp4"]
