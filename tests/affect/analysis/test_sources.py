"""What is found in folders, patterns and lists of paths, and how its results are named."""

from pathlib import Path

import pytest

from sentio.affect.analysis import sources
from sentio.core.jobs import Job


@pytest.fixture
def folder(tmp_path) -> Path:
    """Videos, pictures among them, a sequence of pictures, and what must be passed over."""
    root = tmp_path / "videos"
    names = ("b.mp4", "a.mp4", "cover.JPG", "deep/c.mkv", ".hidden.mp4", "old.mp4.sentio/d.mp4", "notes.txt")
    for name in (*names, "pictures/1.png", "pictures/2.png", "pictures/10.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def named(jobs: list[Job], root: Path) -> dict[str, str]:
    return {str(job.source.relative_to(root)): str(job.result) for job in jobs}


def test_folders_are_walked_and_single_pictures_among_videos_are_read_too(folder) -> None:
    assert named(sources.find([folder]), folder) == {
        "a.mp4": "a.mp4.sentio",
        "b.mp4": "b.mp4.sentio",
        "cover.JPG": "cover.JPG.sentio",
        "deep/c.mkv": "deep/c.mkv.sentio",
        "pictures": "pictures.sentio",
    }


def test_a_folder_of_pictures_has_its_own_name_also_as_a_dot(folder, monkeypatch) -> None:
    assert [str(job.result) for job in sources.find([folder / "pictures"])] == ["pictures.sentio"]
    monkeypatch.chdir(folder / "pictures")
    assert [str(job.result) for job in sources.find([Path()])] == ["pictures.sentio"]


def test_patterns_are_expanded_once(folder) -> None:
    assert [job.source.name for job in sources.find([folder / "?.mp4", folder / "a.mp4"])] == ["a.mp4", "b.mp4"]
    assert len(sources.find([folder / "**/*.mkv"])) == 1


@pytest.mark.parametrize("missing", ["nothing.mp4", "*.nothing", f"{'a' * 300}.mp4"])
def test_what_is_missing_is_a_job_that_fails(folder, missing) -> None:
    jobs = sources.find([folder / missing, folder / "a.mp4"])
    refused = [job for job in jobs if job.refusal]
    assert len(jobs) == 2 and len(refused) == 1
    assert "does not exist" in refused[0].refusal.what and refused[0].source.name == missing


def test_a_folder_without_media_is_a_job_that_fails(folder, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    jobs = sources.find([tmp_path / "empty", folder])
    assert [job.source.name for job in jobs if job.refusal and "no videos" in job.refusal.what] == ["empty"]
    assert len(jobs) == 6


def test_results_carry_the_whole_name(tmp_path) -> None:
    for name in ("x.mp4", "x.mkv", "two\nlines.mp4"):
        (tmp_path / name).touch()
    found = {str(job.result) for job in sources.find([tmp_path])}
    assert found == {"x.mkv.sentio", "x.mp4.sentio", "two\nlines.mp4.sentio"}


def test_equal_names_have_results_of_their_own_whatever_the_order(tmp_path) -> None:
    places = [tmp_path / name for name in ("one/x.mp4", "two/x.mp4", "one/deep/x.mp4", "y.mp4")]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    expected = {
        places[0]: Path("one/x.mp4.sentio"),
        places[1]: Path("two/x.mp4.sentio"),
        places[2]: Path("deep/x.mp4.sentio"),
        places[3]: Path("y.mp4.sentio"),
    }
    for given in (places, places[::-1]):
        assert {job.source: job.result for job in sources.find(given)} == expected
    assert len({job.result for job in sources.find([tmp_path / "one", tmp_path / "two"])}) == 3


def test_a_source_named_in_two_ways_is_read_once(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    assert len(sources.find([Path("a.mp4"), folder / "a.mp4", Path("deep/../a.mp4")])) == 1


def test_links_in_circles_are_walked_once(folder) -> None:
    whole = sources.find([folder])
    (folder / "loop").symlink_to(folder)
    (folder / "deep/up").symlink_to(folder / "pictures")
    assert len(sources.find([folder])) == len(whole)


def test_a_folder_that_may_not_be_read_is_a_job(folder, monkeypatch) -> None:
    listed = Path.iterdir

    def iterdir(path: Path):
        if path.name == "deep":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert [job.source.name for job in sources.find([folder])].count("deep") == 1
