"""Where results go."""

from pathlib import Path

import pytest

from sentio.core.errors import OutputError
from sentio.points.files import Summary, check_target, default_target, find, plan


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("scan.ply", "scan.dense.ply"),
        ("a/chair.OFF", "a/chair.dense.ply"),
        ("sweep.pcd.bin", "sweep.dense.pcd.bin"),
        ("scan", "scan.dense"),
        ("a.b.xyz", "a.b.dense.xyz"),
    ],
)
def test_the_default_target(source, target) -> None:
    assert default_target(Path(source)) == Path(target)


def test_folders_are_walked_in_order_without_results_and_hidden_files(tmp_path) -> None:
    for name in ("b.ply", "a.xyz", "a.dense.xyz", ".hidden.ply", "notes.md", "sub/c.bin", ".git/d.ply"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    summary = Summary()
    found = find([tmp_path, tmp_path / "a.xyz"], summary)
    assert [source.name for source, _ in found] == ["a.xyz", "b.ply", "c.bin"] and summary.failed == []
    (tmp_path / "empty").mkdir()
    assert find([tmp_path / "empty"], summary) == [] and "holds no cloud" in summary.failed[0]["error"]


def test_out_is_a_file_for_one_cloud_and_a_folder_otherwise(tmp_path) -> None:
    one, two = (tmp_path / "a.xyz", tmp_path), (tmp_path / "in/b.xyz", tmp_path)
    assert plan([one], tmp_path / "x.ply")[0].target == tmp_path / "x.ply"
    assert plan([one], tmp_path / "x")[0].target == tmp_path / "x/a.dense.xyz"
    assert [job.target for job in plan([one, two], tmp_path / "v1.2")] == [
        tmp_path / "v1.2/a.dense.xyz",
        tmp_path / "v1.2/in/b.dense.xyz",
    ]
    with pytest.raises(OutputError, match="one file"):
        plan([one, two], tmp_path / "x.ply")


def test_a_target_below_a_file_cannot_be_written(tmp_path) -> None:
    (tmp_path / "file").touch()
    check_target(tmp_path / "new/deep/x.ply", overwrite=False)
    with pytest.raises(OutputError, match="cannot be written to"):
        check_target(tmp_path / "file/x.ply", overwrite=True)
    with pytest.raises(OutputError, match="exists"):
        check_target(tmp_path / "file", overwrite=False)
