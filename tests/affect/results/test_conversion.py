"""Other tools' files become result folders."""

import json

import pytest

from media import write_media
from sentio.cli import main
from sentio.core.results import Table

PYFEAT = "FaceRectX,FaceRectY,FaceRectWidth,FaceRectHeight,FaceScore,AU01,AU12,happiness,neutral,input,frame\n"


def openface(path, frames=20, rate=10.0):
    lines = ["frame, face_id, timestamp, confidence, success, AU12_r, AU12_c, AU28_c"]
    lines += [f"{k + 1}, 0, {k / rate:.3f}, 0.9, 1, {k / 4}, {int(k > 9)}, 0" for k in range(frames)]
    path.write_text("\n".join(lines) + "\n")
    return path


def pyfeat(path, frames=5):
    lines = [f"10,10,50,50,0.9,0.1,0.8,0.7,0.3,clip.mp4,{k}" for k in range(frames)]
    path.write_text(PYFEAT + "\n".join(lines) + "\n")
    return path


def test_an_old_study_becomes_a_result_folder(tmp_path, capsys) -> None:
    source = openface(tmp_path / "clip.csv")
    assert main(["convert", str(source), "--out", str(tmp_path / "out"), "--plot", "--formats", "parquet,csv,eaf"]) == 0
    folder = tmp_path / "out/clip.csv.sentio"
    names = {"affect.parquet", "affect.csv", "affect.csv.header.json", "affect.eaf", "affect.svg", "report.html"}
    assert {path.name for path in folder.iterdir()} == names | {"run.json"}
    table = Table.read(folder / "affect.parquet")
    assert table["time_s"].tolist() == [k / 10 for k in range(20)]
    assert table["au_12_intensity"][10] == pytest.approx(0.5)
    assert set(table["modality"]) == {"face"}
    converted = table.header["converted"]
    assert (converted["tool"], converted["left_out"]) == ("OpenFace", ["AU28_c"])
    assert table.header["media"]["rate"] == pytest.approx(10)
    assert "20 rows from OpenFace, 1 column has no place here" in capsys.readouterr().out


def test_scores_out_of_range_are_counted_and_named(tmp_path, capsys) -> None:
    source = pyfeat(tmp_path / "fex.csv")
    lines = source.read_text().splitlines()
    lines[2], lines[4] = lines[2].replace(",0.8,", ",1.7,"), lines[4].replace(",0.7,", ",70,")
    source.write_text("\n".join(lines))
    assert main(["convert", str(source), "--fps", "5", "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "2 scores out of range are left empty (run.json); line 3: AU12 is 1.7, not from 0 to 1\n" in told
    record = json.loads((tmp_path / "fex.csv.sentio/run.json").read_text())["converted"]["out_of_range"]
    assert record["count"] == 2 and record["first"][1] == "line 5: happiness is 70, not from 0 to 1"
    table = Table.read(tmp_path / "fex.csv.sentio/affect.parquet")
    assert table.arrow["au_12"].is_null().to_pylist() == [False, True, False, False, False]


def test_episodes_of_converted_action_units_are_annotated(tmp_path) -> None:
    source = openface(tmp_path / "clip.csv")
    assert (
        main(["convert", str(source), "--out", str(tmp_path), "--formats", "textgrid", "--no-report", "--quiet"]) == 0
    )
    annotations = (tmp_path / "clip.csv.sentio/affect.TextGrid").read_text()
    assert "AU12" in annotations


def test_times_come_from_the_video(tmp_path) -> None:
    """Frames of a video are not evenly spaced, and their times are its own."""
    stamps = [0.0, 0.04, 0.2, 0.24, 0.5]
    video = write_media(tmp_path / "clip.mkv", times=stamps)
    source = pyfeat(tmp_path / "fex.csv")
    assert main(["convert", str(source), "--video", str(video), "--out", str(tmp_path), "--quiet"]) == 0
    table = Table.read(tmp_path / "fex.csv.sentio/affect.parquet")
    assert table["time_s"] == pytest.approx(stamps, abs=1e-3)
    assert set(table["file"]) == {"clip.mkv"}
    assert "clip.mkv" in (tmp_path / "fex.csv.sentio/report.html").read_text()


def test_times_come_from_the_rate(tmp_path) -> None:
    assert main(["convert", str(pyfeat(tmp_path / "fex.csv")), "--fps", "25", "--out", str(tmp_path), "--quiet"]) == 0
    table = Table.read(tmp_path / "fex.csv.sentio/affect.parquet")
    assert table["time_s"] == pytest.approx([k / 25 for k in range(5)])


def test_a_result_for_each_file_that_is_told_of(tmp_path) -> None:
    lines = [f"10,10,50,50,0.9,0.1,0.8,0.7,0.3,{name},{k}" for k, name in enumerate(("in/a.jpg", "on/a.jpg", "b.jpg"))]
    (tmp_path / "fex.csv").write_text(PYFEAT + "\n".join(lines) + "\n")
    assert main(["convert", str(tmp_path / "fex.csv"), "--out", str(tmp_path), "--quiet"]) == 0
    found = sorted(path.parent.relative_to(tmp_path) for path in tmp_path.rglob("affect.parquet"))
    assert [str(path) for path in found] == [
        "fex.csv.sentio/0/a.jpg.sentio",
        "fex.csv.sentio/1/a.jpg.sentio",
        "fex.csv.sentio/b.jpg.sentio",
    ]


def test_one_bad_file_does_not_stop_the_others(tmp_path) -> None:
    openface(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("nothing,known\n")
    assert main(["convert", str(tmp_path / "*.csv"), "--out", str(tmp_path / "out"), "--quiet"]) == 1
    assert (tmp_path / "out/a.csv.sentio/affect.parquet").exists()
    (failure,) = json.loads((tmp_path / "out/failed.json").read_text())
    assert "of no tool that is known" in failure["error"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "keeps no times of frames"),
        (["--fps", "0"], "0 is no rate"),
        (["--video", "missing.mp4"], "missing.mp4 is no file"),
        (["--video", "SHORT"], "tells of frame 4"),
    ],
)
def test_what_cannot_be_converted_is_told(tmp_path, capsys, flags, told) -> None:
    short = write_media(tmp_path / "short.mp4", times=[0.0, 0.04])
    flags = [str(short) if flag == "SHORT" else flag for flag in flags]
    assert main(["convert", str(pyfeat(tmp_path / "fex.csv")), "--out", str(tmp_path), *flags]) == 1
    said = capsys.readouterr()
    assert told in said.out + said.err


def test_one_video_is_not_of_several_files(tmp_path, capsys) -> None:
    video = write_media(tmp_path / "clip.mp4", times=[0.0, 0.04, 0.08, 0.12, 0.16])
    for name in ("a.csv", "b.csv"):
        pyfeat(tmp_path / name)
    assert main(["convert", str(tmp_path / "*.csv"), "--video", str(video), "--out", str(tmp_path / "out")]) != 0
    assert "One video cannot be what several files are about" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_conversion_replaces_its_own_result_alone(tmp_path, capsys) -> None:
    (tmp_path / "other").mkdir()
    for source, code in ((openface(tmp_path / "clip.csv"), 0), (openface(tmp_path / "clip.csv", 3), 0)):
        assert main(["convert", str(source), "--out", str(tmp_path / "out"), "--quiet"]) == code
    assert len(Table.read(tmp_path / "out/clip.csv.sentio/affect.parquet")) == 3
    other = openface(tmp_path / "other/clip.csv")
    assert main(["convert", str(other), "--out", str(tmp_path / "out")]) == 1
    assert "holds another result" in capsys.readouterr().out
    assert len(Table.read(tmp_path / "out/clip.csv.sentio/affect.parquet")) == 3
