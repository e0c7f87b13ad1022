"""Jobs one after the other: shares, failures, full disks, names that differ."""

import json
import os
from itertools import permutations
from pathlib import Path

import pytest

from sentio.core import jobs
from sentio.core.errors import DiskFullError, InputError, OutputError, RecipeError
from sentio.core.jobs import Job, Outcome, Shard, distinct

TROUBLES = {"bad": InputError("bad", "mend it"), "full": DiskFullError("no space"), "stop": KeyboardInterrupt()}


def work(job: Job, share_done) -> Outcome:
    """Fails, breaks, fills the disk or is interrupted, by the job's name."""
    name = job.source.stem
    share_done(0.5)
    if name in TROUBLES:
        raise TROUBLES[name]
    return Outcome(str(job.source), "done", {"name": name, "share": 1 // (name != "defect")})


def run(out: Path, *names: str, **options) -> jobs.Summary:
    found = [Job(Path(name), Path(name)) for name in names]
    return jobs.run(found, work, out, title="test", show=False, **options)


def test_a_failure_or_a_defect_does_not_stop_the_others(tmp_path) -> None:
    summary = run(tmp_path, "a", "bad", "defect", "b")
    assert [outcome.state for outcome in summary.outcomes] == ["done", "failed", "failed", "done"]
    assert summary.failed[0] == {"file": "bad", "error": "bad", "fix": "mend it"}
    assert "ZeroDivisionError" in summary.failed[1]["error"] and "Traceback" in summary.failed[1]["fix"]
    assert json.loads((tmp_path / "failed.json").read_text()) == summary.failed and not summary.whole
    assert summary.text(lambda record: record["name"]).endswith("2 done, 0 skipped, 2 failed")
    assert run(tmp_path, "a").whole and not (tmp_path / "failed.json").exists()


def test_a_refusal_known_before_is_a_failure(tmp_path) -> None:
    refused = Job(Path("x"), Path("x"), InputError("x does not exist"))
    summary = jobs.run([refused, Job(Path("a"), Path("a"))], work, tmp_path, title="test", show=False)
    assert [outcome.state for outcome in summary.outcomes] == ["failed", "done"]


@pytest.mark.parametrize(
    ("source", "error", "told"),
    [
        ("x.mp4", "x.mp4 does not exist.", "x.mp4 does not exist."),
        ("a/x.mp4", "Cannot read a/x.mp4: is a folder.", "Cannot read a/x.mp4: is a folder."),
        ("x.mp4", "There is no x.mp4.", "There is no x.mp4."),
        ("x.mp4", "The file is empty.", "x.mp4: The file is empty."),
        ("x.mp4", "other/x.mp4 is in the way.", "x.mp4: other/x.mp4 is in the way."),
        ("x", "x.mp4 is in the way.", "x: x.mp4 is in the way."),
    ],
)
def test_a_failed_file_is_named_once(source, error, told) -> None:
    summary = jobs.Summary((Outcome(source, "failed", error=error, fix="Mend it."),))
    assert summary.text(str).splitlines()[:2] == [f"failed: {told}", "  Mend it."]


def test_a_full_disk_ends_the_run_with_what_is_whole(tmp_path) -> None:
    summary = run(tmp_path, "a", "bad", "full", "b", "c")
    assert [outcome.state for outcome in summary.outcomes] == ["done", "failed", "failed", "untried", "untried"]
    assert summary.to_dict()["untried"] == ["b", "c"] and not summary.whole
    assert "2 not tried, for the disk is full" in summary.text(str)


def test_an_output_folder_that_cannot_be_written_is_refused_before_work(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    tried: list[Job] = []
    for out in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(OutputError, match="file"):
            jobs.run([Job(Path("a"), Path("a"))], lambda job, _: tried.append(job), out, title="test", show=False)
    assert tried == []


def test_failures_are_listed_also_after_an_interruption(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "bad", "stop", "a")
    assert [entry["file"] for entry in json.loads((tmp_path / "failed.json").read_text())] == ["bad"]


@pytest.mark.parametrize("content", ["{}[", "{}", '[{"mine": 1}]', '"text"'])
def test_a_file_of_the_same_name_is_not_replaced(tmp_path, content) -> None:
    (tmp_path / "failed.json").write_text(content)
    with pytest.raises(OutputError, match="in the way"):
        run(tmp_path, "a")
    assert (tmp_path / "failed.json").read_text() == content


def test_shards_cover_all_jobs_once_and_list_failures_apart(tmp_path) -> None:
    found = [Job(Path(str(k)), Path(str(k))) for k in range(8)]
    parts = [list(Shard.parse(f"{i}/3").of(found)) for i in (1, 2, 3)]
    assert sorted((job for part in parts for job in part), key=str) == sorted(found, key=str)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    run(tmp_path, "a", "bad", shard=Shard(2, 2))
    assert (tmp_path / "failed-2-of-2.json").is_file()


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2"])
def test_wrong_shards_are_refused(text) -> None:
    with pytest.raises(RecipeError, match="shard"):
        Shard.parse(text)


def test_names_differ_whatever_their_order() -> None:
    pairs = [(Path(f"{os.sep}{place}"), Path("x")) for place in ("a/b/x", "c/b/x", "c/d/x")]
    expected = {pairs[0]: Path("a/b/x"), pairs[1]: Path("c/b/x"), pairs[2]: Path("d/x")}
    for given in permutations(pairs):
        assert dict(zip(given, distinct(given), strict=True)) == expected


def test_a_long_batch_is_named_quickly_and_once() -> None:
    names = distinct((Path(f"/videos/{k}/x.mp4"), Path("x.mp4")) for k in range(20_000))
    assert len(set(names)) == 20_000
