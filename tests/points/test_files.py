"""Which clouds there are, where results go, and what is refused beforehand."""

import math
from pathlib import Path

import pytest

from sentio.core.errors import InputError, OutputError, RecipeError
from sentio.points import files
from sentio.points.files import Options, check_size, check_target
from sentio.points.sources import Found, default_target, find, plan


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("scan.ply", "scan.dense.ply"),
        ("a/chair.OFF", "a/chair.dense.ply"),
        ("sweep.pcd.bin", "sweep.dense.pcd.bin"),
        ("hall.E57", "hall.dense.ply"),
        ("town.COPC.laz", "town.dense.laz"),
        ("scan", "scan.dense"),
        ("a.b.xyz", "a.b.dense.xyz"),
    ],
)
def test_the_default_target(source, target) -> None:
    assert default_target(Path(source)) == Path(target)


@pytest.fixture
def clouds(tmp_path, monkeypatch) -> Path:
    for name in ("b.ply", "a.xyz", "a.dense.xyz", ".hidden.ply", "notes.md", "sub/c.bin", ".git/d.ply"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_are_walked_in_order_without_results_and_hidden_files(clouds) -> None:
    found = find([clouds, clouds / "a.xyz"])
    assert [(cloud.source.name, cloud.refusal) for cloud in found] == [
        ("a.xyz", None),
        ("b.ply", None),
        ("c.bin", None),
    ]


def test_patterns_name_what_they_match_once(clouds) -> None:
    assert [cloud.source for cloud in find([Path("?.xyz"), Path("b.*"), Path("a.xyz")])] == [
        Path("a.xyz"),
        Path("b.ply"),
    ]
    assert [cloud.source.name for cloud in find([clouds / "*/c.*"])] == ["c.bin"]
    assert [cloud.source.name for cloud in find([Path("su*")])] == ["c.bin"]


@pytest.mark.parametrize(
    ("path", "told"), [("empty", "no cloud"), ("empty/.", "no cloud"), ("*.pcd", "not exist"), ("x.ply", "not exist")]
)
def test_what_names_no_cloud_is_refused_and_the_rest_is_not(clouds, path, told) -> None:
    _, jobs = plan(find([Path(path), Path("a.xyz")]), None)
    assert told in jobs[0].refusal.what and jobs[1].refusal is None and len(jobs) == 2


def test_an_empty_folder_in_which_one_stands_is_refused(clouds, monkeypatch) -> None:
    monkeypatch.chdir("empty")
    assert "no cloud" in plan(find([Path()]), None)[1][0].refusal.what


def test_out_is_a_file_for_one_cloud_and_a_folder_otherwise(tmp_path) -> None:
    one, two = Found(tmp_path / "a.xyz", Path("a.xyz")), Found(tmp_path / "in/b.xyz", Path("in/b.xyz"))
    (folder, jobs) = plan([one], tmp_path / "x.ply")
    assert folder is None and jobs[0].result == tmp_path / "x.ply"
    assert plan([one], tmp_path / "x")[1][0].result == Path("a.dense.xyz")
    folder, jobs = plan([one, two], tmp_path / "v1.2")
    assert folder == tmp_path / "v1.2"
    assert [job.result for job in jobs] == [Path("a.dense.xyz"), Path("in/b.dense.xyz")]
    with pytest.raises(OutputError, match="one file"):
        plan([one, two], tmp_path / "x.ply")


def test_equal_names_are_told_apart_in_one_folder(tmp_path) -> None:
    found = [Found(tmp_path / f"{name}/x.ply", Path("x.ply")) for name in ("one", "two")]
    _, jobs = plan(found, tmp_path / "out")
    assert [job.result for job in jobs] == [Path("one/x.dense.ply"), Path("two/x.dense.ply")]


@pytest.mark.parametrize(
    "options", [{"ratio": math.inf}, {"ratio": math.nan}, {"ratio": 0.0}, {"count": 0}, {"model": "x"}, {"format": "x"}]
)
def test_unknown_options_are_refused(options) -> None:
    with pytest.raises(RecipeError):
        Options(**options)


def test_what_the_memory_cannot_hold_is_refused_with_its_size(monkeypatch) -> None:
    monkeypatch.setattr(files, "_memory", lambda: 8 * 10**9)
    check_size(10**7, Options(ratio=2.0))
    check_size(300, Options(count=2 * 10**7))
    for options in (Options(ratio=1e9), Options(ratio=1e308), Options(count=3 * 10**11)):
        with pytest.raises(InputError, match=r"0 points would take about [\d,]+ GB of memory; here are 8 GB"):
            check_size(300, options)


def test_a_target_below_a_file_cannot_be_written(tmp_path) -> None:
    (tmp_path / "file").touch()
    check_target(tmp_path / "new/deep/x.ply", overwrite=False)
    with pytest.raises(OutputError, match="cannot be written to"):
        check_target(tmp_path / "file/x.ply", overwrite=True)
    with pytest.raises(OutputError, match="exists"):
        check_target(tmp_path / "file", overwrite=False)


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    check_target(tmp_path / "folder.png", overwrite=False, folder=True)
    with pytest.raises(OutputError, match="is a folder"):
        check_target(tmp_path / "folder.png", overwrite=True)
    with pytest.raises(OutputError, match="is no folder"):
        check_target(tmp_path / "file", overwrite=True, folder=True)
