"""sentio upsample: many clouds, refusals before work begins, what is written."""

import errno
import json
import os
import shutil
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from sentio import cli
from sentio.cli.upsample import Format
from sentio.core import jobs
from sentio.points import files, preview
from sentio.points.io import FORMATS, READ_ONLY, Cloud, read_cloud, write_cloud


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """Two clouds, one of them in a folder below, and a damaged one."""
    (tmp_path / "scans/deep").mkdir(parents=True)
    for seed, name in enumerate(("scans/a.xyz", "scans/deep/b.csv")):
        flat = np.random.default_rng(seed).random((300, 3)) * [1, 1, 0]
        np.savetxt(tmp_path / name, flat, delimiter="," if name.endswith("csv") else " ")
    (tmp_path / "scans/c.ply").write_bytes(b"ply\nbroken")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def idle(monkeypatch):
    """Fails if anything is computed."""
    monkeypatch.setattr(files, "upsample", lambda *_, **__: pytest.fail("it computed"))


def run(capsys, *arguments: str) -> tuple[int, dict]:
    code = cli.main(["upsample", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_folder_is_walked_and_one_bad_file_does_not_stop_the_rest(scans, capsys) -> None:
    code, summary = run(capsys, "scans", "--ratio", "1.5")
    assert code == 1
    assert [entry["target"] for entry in summary["done"]] == ["scans/a.dense.xyz", "scans/deep/b.dense.csv"]
    assert [entry["file"] for entry in summary["failed"]] == ["scans/c.ply"]
    assert len(read_cloud("scans/deep/b.dense.csv").points) == 450


def test_results_lie_in_out_as_their_sources_do(scans, capsys) -> None:
    np.savetxt("a.xyz", np.random.default_rng(5).random((50, 3)))
    code, summary = run(capsys, "scans", "a.xyz", "--points", "400", "--out", "dense")
    targets = [entry["target"] for entry in summary["done"]]
    here = scans.name  # two would be a.dense.xyz
    assert code == 1
    assert targets == ["dense/scans/a.dense.xyz", "dense/deep/b.dense.csv", f"dense/{here}/a.dense.xyz"]
    assert json.loads(Path("dense/failed.json").read_text()) == summary["failed"]
    assert all(Path(target).is_file() for target in targets)


def test_two_clouds_that_no_folder_tells_apart_are_refused(scans, idle, capsys) -> None:
    for name in ("x.ply", "x.obj"):
        Path(name).touch()
    for out in ([], ["--out", "dense"]):
        _, summary = run(capsys, "x.ply", "x.obj", *out)
        assert ["would be the result of 2 clouds" in entry["error"] for entry in summary["failed"]] == [True, True]


def test_a_quoted_pattern_is_expanded(scans, capsys) -> None:
    code, summary = run(capsys, "scans/*/*.csv", "scans/?.xyz", "--ratio", "1")
    assert code == 0
    assert [entry["source"] for entry in summary["done"]] == ["scans/deep/b.csv", "scans/a.xyz"]
    assert not Path("failed.json").exists() and not Path("scans/failed.json").exists()


def test_results_are_not_read_again_and_not_overwritten(scans, capsys) -> None:
    run(capsys, "scans", "--ratio", "1")
    before = (scans / "scans/a.dense.xyz").read_bytes()
    code, summary = run(capsys, "scans", "--ratio", "2")
    assert code == 1 and summary["done"] == [] and len(summary["failed"]) == 3
    assert "--overwrite" in summary["failed"][0]["fix"]
    assert (scans / "scans/a.dense.xyz").read_bytes() == before
    _, summary = run(capsys, "scans", "--ratio", "2", "--overwrite")
    assert [entry["points_after"] for entry in summary["done"]] == [600, 600]


def test_failures_and_results_are_told_in_lines(scans, capsys) -> None:
    assert cli.main(["upsample", "scans", "--ratio", "1.5"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("scans/a.dense.xyz: 300 -> 450 points")
    assert lines[-2].startswith("failed: Cannot use scans/c.ply: ") and lines[-1] == "2 done, 0 skipped, 1 failed"


def test_points_without_a_place_are_said_to_be_left_out(scans, capsys) -> None:
    Path("a.xyz").write_text(Path("scans/a.xyz").read_text() + "nan 0 0\n")
    assert cli.main(["upsample", "a.xyz", "--ratio", "1"]) == 0
    assert "\n  1 point was left out: a coordinate was not finite.\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--out", "x.foo"], "no known format"),
        (["--out", "scans/a.xyz"], "is a source itself"),
        (["--out", "there.ply"], "exists"),
        (["--out", "there.ply/x.ply"], "cannot be written to"),
        (["--format", "nuscenes", "--out", "x.obj"], "only read"),
        (["--out", "x.e57"], "only read"),
        (["--out", "x.copc.laz"], "COPC is read, but not written"),
    ],
)
def test_targets_are_looked_at_first(arguments, told, scans, idle, capsys) -> None:
    (scans / "there.ply").touch()
    code, summary = run(capsys, "scans/a.xyz", *arguments)
    assert code == 1 and told in summary["failed"][0]["error"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["scans/a.xyz", "--preview", "p.svg"], ".png, .jpg, .jpeg, .webp"),
        (["scans/a.xyz", "--preview", "p"], "no suffix"),
        (["scans/a.xyz", "--view", "there.html"], "there.html exists"),
        (["scans/a.xyz", "--view", "v.htm"], "end in .html"),
        (["scans/a.xyz", "--view", "scans/a.xyz"], "end in .html"),
        (["c.png", "--preview", "c.png", "--overwrite"], "is the source already"),
        (["c.html", "--view", "./c.html", "--overwrite"], "is the source already"),
        (["scans/a.xyz", "--out", "p.png", "--preview", "p.png"], "is the result already"),
        (["scans/a.xyz", "--out", "v.html", "--view", "v.html"], "is the result already"),
        (["scans/a.xyz", "--preview", "folder.png", "--overwrite"], "folder.png is a folder"),
        (["scans/a.xyz", "--attention", "there.html", "--overwrite"], "there.html is no folder"),
        (["scans/a.xyz", "--ratio", "inf"], "finite number"),
        (["scans", "--out", "there.html/below"], "there.html"),
        (["scans", "--preview", "p.png"], "is for one cloud"),
        (["scans", "--out", "x.ply"], "is one file"),
        (["scans/a.xyz", "scans/deep/b.csv", "--out", "there.html"], "is one file"),
        ([], "Nothing to read"),
    ],
)
def test_what_cannot_be_written_is_refused_first(arguments, told, scans, idle, capsys) -> None:
    (scans / "folder.png").mkdir()
    for name in ("there.html", "c.png", "c.html"):
        (scans / name).touch()
    assert cli.main(["upsample", *arguments]) == 1
    assert told in capsys.readouterr().err


def test_missing_packages_are_found_first(scans, idle, capsys, monkeypatch) -> None:
    for package in ("plotly.offline", "laspy"):
        monkeypatch.setitem(sys.modules, package, None)
    assert cli.main(["upsample", "scans/a.xyz", "--view", "v.html"]) == 1
    assert 'pip install ".[view]"' in capsys.readouterr().err
    code, summary = run(capsys, "scans/a.xyz", "--out", "x.laz")
    assert code == 1 and 'pip install ".[points]"' in summary["failed"][0]["fix"]


@pytest.mark.parametrize("suffix", preview.PICTURES)
def test_the_preview_is_what_its_suffix_says(suffix, scans, capsys, monkeypatch) -> None:
    monkeypatch.setattr(preview, "PANEL", (160, 120))
    code, _ = run(capsys, "scans/a.xyz", "--ratio", "1", "--preview", f"p{suffix}")
    data = (scans / f"p{suffix}").read_bytes()
    kinds = {".png": data[1:4] == b"PNG", ".webp": data[8:12] == b"WEBP"}
    assert code == 0 and kinds.get(suffix, data[:2] == b"\xff\xd8")
    assert cv2.imread(str(scans / f"p{suffix}")).shape == (120 + preview.STRIP, 320, 3)


def test_an_interrupt_leaves_whole_files_only(scans, capsys, monkeypatch) -> None:
    real = files.write_cloud

    def interrupted(cloud, path, **options) -> None:
        if path.name == "b.dense.csv":
            raise KeyboardInterrupt
        real(cloud, path, **options)

    monkeypatch.setattr(files, "write_cloud", interrupted)
    assert cli.main(["upsample", "scans", "--ratio", "1"]) == 130
    left = sorted(path.name for path in (scans / "scans").rglob("*") if path.is_file())
    assert left == ["a.dense.xyz", "a.xyz", "b.csv", "c.ply"]


def test_ctrl_c_ends_the_run_before_anything_of_the_next_cloud_is_written(scans, capsys, monkeypatch) -> None:
    real = files.read_cloud

    def read(path, **options):
        if path.name == "b.csv":
            os.kill(os.getpid(), signal.SIGINT)
        return real(path, **options)

    monkeypatch.setattr(files, "read_cloud", read)
    assert cli.main(["upsample", "scans", "--ratio", "1"]) == 130
    left = sorted(path.name for path in (scans / "scans").rglob("*") if path.is_file())
    assert left == ["a.dense.xyz", "a.xyz", "b.csv", "c.ply"]


def test_a_full_disk_ends_the_run_with_a_summary(scans, capsys, monkeypatch) -> None:
    def full(cloud, path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(FORMATS, "csv", FORMATS["csv"]._replace(write=full))
    code, summary = run(capsys, "scans/a.xyz", "scans/deep/b.csv", "scans", "--ratio", "1")
    assert code == 1 and [entry["source"] for entry in summary["done"]] == ["scans/a.xyz"]
    assert ["disk is full" in entry["error"] for entry in summary["failed"]] == [True]
    assert summary["untried"] == ["scans/c.ply"]


def test_an_exception_in_one_cloud_is_a_failure_of_that_cloud(scans, capsys, monkeypatch) -> None:
    real = files.upsample

    def upsample(points, ratio, **options):
        if options["count"] is None and points[0, 0] == read_cloud("scans/a.xyz").points[0, 0]:
            raise MemoryError("no room")
        return real(points, ratio, **options)

    monkeypatch.setattr(files, "upsample", upsample)
    code, summary = run(capsys, "scans", "--ratio", "1")
    assert code == 1 and [entry["source"] for entry in summary["done"]] == ["scans/deep/b.csv"]
    assert "MemoryError" in summary["failed"][0]["error"] and "Traceback" in summary["failed"][0]["fix"]


def test_a_result_beyond_the_memory_is_refused_first(scans, idle, capsys) -> None:
    code, summary = run(capsys, "scans/a.xyz", "--ratio", "1e9")
    assert code == 1 and summary["done"] == []
    assert "300,000,000,000 points would take about 120,000 GB" in summary["failed"][0]["error"]


def test_what_the_target_has_no_place_for_is_refused_first(scans, idle, capsys) -> None:
    write_cloud(Cloud(np.random.default_rng(0).random((50, 3)), {"weight": np.ones(50)}), "a.ply")
    for name in ("x.bin", "x.pts"):
        code, summary = run(capsys, "a.ply", "--out", name)
        assert code == 1 and "no place for the attribute 'weight'" in summary["failed"][0]["error"]
    assert sorted(path.name for path in Path().iterdir()) == ["a.ply", "scans"]


def test_a_result_beyond_the_disk_is_refused_first(scans, idle, capsys, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20 + 5))
    code, summary = run(capsys, "scans/a.xyz", "--points", "100000", "--out", "new/a.xyz")
    assert code == 1 and "MiB; 1 MiB are free" in summary["failed"][0]["error"]
    assert not Path("new").exists()


BAD = {
    "a.stl": (b"\x7f" * 900, "2,139,062,143 triangles announced, 16 present"),
    "b.bin": (np.random.default_rng(0).bytes(1600), "no records of KITTI or nuScenes"),
    "c.las": (b"LASF" + b"\0" * 300, "damaged"),
    "d.csv": (b"1,05,2,5,3,5\n2,05,2,5,3,5\n", "decimal commas"),
    "e.e57": (b"ASTM-E57", "no E57 file"),
    "f.xyz": (b"1 2 3\n" * 9, "without two different ones"),
    "g.xyz": (b"1e200 2 3\n1 2 3\n", "reach 1e+200"),
    "h.xyz": (b"1e-310 0 0\n0 0 0\n", "within 1e-310"),
    "i.xyz": (b"1e17 0 0\n100000000000000016 0 0\n", "can hardly tell"),
    "j.pts": (b"999999999999\n1 2 3\n", "is 999999999999, present are 1"),
}


def test_each_bad_file_of_a_folder_is_listed_with_its_reason(scans, capsys) -> None:
    for name, (data, _) in BAD.items():
        (scans / "scans" / name).write_bytes(data)
    code, summary = run(capsys, "scans", "--ratio", "1.5", "--out", "dense")
    listed = {Path(entry["file"]).name: entry["error"] for entry in json.loads(Path("dense/failed.json").read_text())}
    assert code == 1 and len(summary["done"]) == 2
    assert set(listed) == {"c.ply", *BAD}
    assert [name for name, (_, reason) in BAD.items() if reason not in listed[name]] == []


def test_formats_that_are_only_read_give_others(scans, capsys) -> None:
    pye57, copclib = pytest.importorskip("pye57"), pytest.importorskip("copclib")
    points = np.random.default_rng(0).random((200, 3)) * [5, 5, 0.1]
    with pye57.E57("hall.e57", mode="w") as file:
        file.write_scan_raw(dict(zip(("cartesianX", "cartesianY", "cartesianZ"), points.T, strict=True)))
    config = copclib.CopcConfigWriter(6, copclib.Vector3(0.001, 0.001, 0.001), copclib.Vector3(0, 0, 0), "")
    writer, records = copclib.FileWriter("town.copc.laz", config), copclib.Points(config.las_header)
    for row in points:
        record = records.CreatePoint()
        record.x, record.y, record.z = row
        records.AddPoint(record)
    writer.AddNode(copclib.VoxelKey(0, 0, 0, 0), records)
    writer.Close()
    code, summary = run(capsys, "hall.e57", "town.copc.laz", "--ratio", "2")
    assert code == 0
    assert [entry["target"] for entry in summary["done"]] == ["hall.dense.ply", "town.dense.laz"]
    for entry in summary["done"]:
        assert entry["input_kept"] and len(read_cloud(entry["target"]).points) == 400
        np.testing.assert_allclose(read_cloud(entry["target"]).points[:200], points, atol=0.0006)


def test_a_finer_scale_is_told(scans, capsys) -> None:
    laspy = pytest.importorskip("laspy")
    header = laspy.LasHeader(version="1.2", point_format=0)
    header.scales = [1.0] * 3
    las = laspy.LasData(header)
    las.x, las.y, las.z = np.random.default_rng(0).integers(0, 20, (300, 3)).T
    las.write("a.las")
    assert cli.main(["upsample", "a.las"]) == 0
    assert "not 1 as in the source" in capsys.readouterr().out
    code, summary = run(capsys, "a.las", "--out", "b.ply")
    assert code == 0 and summary["done"][0]["notes"] == []


def test_progress_names_the_cloud(scans, monkeypatch) -> None:
    told = []

    @contextmanager
    def progress(title, *, show):
        yield lambda done, total, what="": told.append((done, total, what))

    monkeypatch.setattr(jobs, "progress", progress)
    files.upsample_files([scans / "scans"], None, files.Options(ratio=1.0))
    assert told[0] == (0, 3, "a.xyz") and told[-1][:2] == (3, 3)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)


def test_the_formats_of_the_help_are_those_there_are() -> None:
    assert set(Format.__args__) == {*FORMATS, *READ_ONLY}


def test_attributes_are_carried_and_the_input_kept(scans, capsys) -> None:
    flat = np.c_[np.random.default_rng(1).random((400, 2)), np.zeros(400)]
    np.savetxt("flat.csv", np.c_[flat, flat[:, 0]], delimiter=",", header="x,y,z,height", comments="")
    code, summary = run(capsys, "flat.csv", "--ratio", "2.5", "--keep-input")
    assert code == 0 and summary["done"][0]["input_kept"] and summary["done"][0]["points_after"] == 1000
    dense = read_cloud("flat.dense.csv")
    assert np.abs(dense.attributes["height"] - dense.points[:, 0]).max() < 0.05
