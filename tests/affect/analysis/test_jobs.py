"""Batches: what is found, shared, skipped, redone, reported; and what is left after an interruption."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from media import steady, write_media
from sentio.affect.analysis import jobs, pipeline
from sentio.affect.analysis.jobs import Batch, Shard
from sentio.core.errors import InputError, OutputError, RecipeError
from sentio.core.results import Table

pytestmark = pytest.mark.usefixtures("tiny_models")


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    return write_media(tmp_path_factory.mktemp("clip") / "clip.mp4", times=steady(6))


@pytest.fixture
def folder(tmp_path, clip) -> Path:
    """Two good videos, one broken one, an image sequence, and what must be passed over."""
    root = tmp_path / "videos"
    for name in ("b.mp4", "a.mp4", "deep/c.mkv", ".hidden.mp4", "old.sentio/d.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, root / name)
    (root / "broken.mp4").write_bytes(b"not a video at all")
    (root / "notes.txt").write_text("no media")
    (root / "pictures").mkdir()
    import cv2
    import numpy as np

    for number in (1, 2, 10):
        cv2.imwrite(str(root / f"pictures/{number}.png"), np.full((40, 40, 3), number, np.uint8))
    return root


def run(folder, out, **options) -> jobs.Summary:
    batch = Batch(out, pipeline.Options(detector="haar"), **options)
    return jobs.run(batch, jobs.find([folder]), show=False)


def test_find_walks_folders_and_names_results(folder) -> None:
    found = {str(job.source.relative_to(folder)): str(job.result) for job in jobs.find([folder])}
    assert found == {
        "a.mp4": "a.sentio",
        "b.mp4": "b.sentio",
        "broken.mp4": "broken.sentio",
        "deep/c.mkv": "deep/c.sentio",
        "pictures": "pictures.sentio",
    }


def test_find_expands_patterns_once(folder) -> None:
    assert [job.source.name for job in jobs.find([folder / "?.mp4", folder / "a.mp4"])] == ["a.mp4", "b.mp4"]
    assert len(jobs.find([folder / "**/*.mkv"])) == 1


@pytest.mark.parametrize("missing", ["nothing.mp4", "*.nothing"])
def test_find_names_what_is_missing(folder, missing) -> None:
    with pytest.raises(InputError, match="does not exist"):
        jobs.find([folder / missing])


def test_find_refuses_a_folder_without_media(tmp_path) -> None:
    with pytest.raises(InputError, match="no videos"):
        jobs.find([tmp_path])


def test_same_stem_keeps_the_suffix(tmp_path, clip) -> None:
    for name in ("x.mp4", "x.mkv", "y.mp4"):
        shutil.copy(clip, tmp_path / name)
    assert [str(job.result) for job in jobs.find([tmp_path])] == ["x.mkv.sentio", "x.mp4.sentio", "y.sentio"]


def test_same_name_in_two_folders_is_refused(tmp_path, clip) -> None:
    for name in ("one/x.mp4", "two/x.mp4"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(clip, tmp_path / name)
    assert len(jobs.find([tmp_path])) == 2
    with pytest.raises(InputError, match="different --out"):
        jobs.find([tmp_path / "one", tmp_path / "two"])


def test_a_source_named_in_two_ways_is_read_once(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    assert len(jobs.find([Path("a.mp4"), folder / "a.mp4", Path("deep/../a.mp4")])) == 1


def test_links_in_circles_are_walked_once(folder) -> None:
    whole = jobs.find([folder])
    (folder / "loop").symlink_to(folder)
    (folder / "deep/up").symlink_to(folder / "pictures")
    assert len(jobs.find([folder])) == len(whole)


def test_what_cannot_be_looked_at_fails_alone(folder, tmp_path, monkeypatch) -> None:
    (folder / "dangling.mp4").symlink_to(folder / "nothing.mp4")
    (folder / "a.mp4").unlink()
    (folder / "a.mp4").symlink_to(folder / "a.mp4")
    paths = [folder / "a.mp4", folder / "dangling.mp4", folder / "b.mp4"]
    summary = jobs.run(Batch(tmp_path / "out", pipeline.Options(detector="haar")), jobs.find(paths), show=False)
    assert len(summary.done) == 1 and len(summary.failed) == 2
    with pytest.raises(InputError, match="does not exist"):
        jobs.find([folder / f"{'a' * 300}.mp4"])
    listed = Path.iterdir

    def iterdir(path: Path):
        if path.name == "deep":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert ["may not be read" in entry["error"] for entry in run(folder, tmp_path / "all").failed].count(True) == 1


def test_names_that_are_no_text(tmp_path, clip) -> None:
    name = os.fsdecode(b"caf\xe9")
    (tmp_path / "in").mkdir()
    try:
        (tmp_path / f"in/{name}.mp4").write_bytes(b"no media")
    except OSError:
        pytest.skip("this file system has only names that are text")
    shutil.copy(clip, tmp_path / f"in/{name} 2.mp4")
    summary = run(tmp_path / "in", tmp_path / "out")
    assert [entry["rows"] for entry in summary.done] == [6]
    assert json.loads((tmp_path / "out/failed.json").read_text()) == summary.failed
    assert Path(summary.failed[0]["file"]).exists(), "the path comes back as it was"
    assert len(Table.read(tmp_path / "out" / f"{name} 2.sentio" / "affect.parquet")) == 6
    assert run(tmp_path / "in", tmp_path / "out", resume=True).done == []


def test_names_with_a_line_break_are_found(tmp_path, clip) -> None:
    shutil.copy(clip, tmp_path / "two\nlines.mp4")
    assert [str(job.result) for job in jobs.find([tmp_path])] == ["two\nlines.sentio"]


def test_a_long_batch_is_named_quickly_and_once(tmp_path) -> None:
    sources = {Path(f"{i}.mp4"): Path(f"{i}.mp4") for i in range(20_000)}
    assert len({job.result for job in jobs._named(sources)}) == 20_000


def test_shards_cover_all_jobs_once(folder) -> None:
    found = jobs.find([folder])
    parts = [list(Shard.parse(f"{i}/3").of(found)) for i in (1, 2, 3)]
    assert sorted((job for part in parts for job in part), key=str) == sorted(found, key=str)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2"])
def test_wrong_shards_are_refused(text) -> None:
    with pytest.raises(RecipeError, match="shard"):
        Shard.parse(text)


def test_one_bad_file_does_not_stop_the_others(folder, tmp_path) -> None:
    out = tmp_path / "out"
    summary = run(folder, out)
    assert [entry["rows"] for entry in summary.done] == [6, 6, 6, 3]
    assert [Path(entry["file"]).name for entry in summary.failed] == ["broken.mp4"]
    assert json.loads((out / "failed.json").read_text()) == summary.failed
    assert not (out / "broken.sentio").exists()
    assert len(Table.read(out / "deep/c.sentio/affect.parquet")) == 6
    assert "failed: " in summary.text() and "4 done, 0 skipped, 1 failed" in summary.text()


def test_a_clean_run_removes_the_old_list_of_failures(folder, tmp_path) -> None:
    out = tmp_path / "out"
    run(folder, out)
    (folder / "broken.mp4").unlink()
    run(folder, out)
    assert not (out / "failed.json").exists()


def test_resume_redoes_only_what_is_not_whole_or_has_changed(folder, tmp_path, clip) -> None:
    out = tmp_path / "out"
    run(folder, out)
    (out / "a.sentio" / pipeline.RECORD).unlink()
    (out / "b.sentio" / "affect.csv").unlink()
    write_media(folder / "deep/c.mkv", times=steady(4))
    again = run(folder, out, resume=True)
    assert sorted(Path(entry["file"]).name for entry in again.done) == ["a.mp4", "b.mp4", "c.mkv"]
    assert [Path(name).name for name in again.skipped] == ["pictures"]
    assert run(folder, out, resume=True).done == []
    assert len(run(folder, out, resume=True, formats=("jsonl",)).done) == 4
    assert sorted(path.name for path in (out / "a.sentio").iterdir()) == [
        "affect.jsonl",
        "affect.jsonl.header.json",
        "run.json",
    ]
    assert len(run(folder, out).done) == 4


def test_resume_redoes_what_another_detector_or_schema_has_made(folder, tmp_path) -> None:
    out = tmp_path / "out"
    run(folder, out)
    for name, key in (("a", "detector"), ("b", "schema_version")):
        record = out / f"{name}.sentio" / pipeline.RECORD
        written = json.loads(record.read_text())
        other = written[key] | {"provenance": "other weights"} if key == "detector" else written[key] - 1
        record.write_text(json.dumps(written | {key: other}))
    assert [Path(entry["file"]).name for entry in run(folder, out, resume=True).done] == ["a.mp4", "b.mp4"]


def test_output_that_cannot_be_written_is_a_typed_error(folder, tmp_path) -> None:
    (tmp_path / "file").touch()
    (folder / "broken.mp4").unlink()
    with pytest.raises(OutputError, match="file"):
        run(folder, tmp_path / "file")


def test_failures_are_listed_also_after_an_interruption(folder, tmp_path, monkeypatch) -> None:
    def stops_at_b(to, path, **options):
        raise KeyboardInterrupt if path.name == "b.mp4" else InputError("bad")

    monkeypatch.setattr(pipeline, "analyze_to", stops_at_b)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "out")
    assert [Path(entry["file"]).name for entry in json.loads((tmp_path / "out/failed.json").read_text())] == ["a.mp4"]


def test_a_defect_in_one_file_is_reported_and_the_rest_goes_on(folder, tmp_path, monkeypatch) -> None:
    whole = pipeline.analyze_to

    def fails_on_a(to, path, **options):
        if path.name == "a.mp4":
            raise ZeroDivisionError("oops")
        return whole(to, path, **options)

    monkeypatch.setattr(pipeline, "analyze_to", fails_on_a)
    summary = run(folder, tmp_path / "out")
    assert len(summary.done) == 3
    assert "ZeroDivisionError" in summary.failed[0]["error"] and "Traceback" in summary.failed[0]["fix"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.slow
def test_interrupted_batch_leaves_whole_files_only(tmp_path, number) -> None:
    """A long video is killed half-way; then --resume completes the batch and skips what was done."""
    (tmp_path / "in").mkdir()
    write_media(tmp_path / "in/1.mp4", times=steady(5))
    write_media(tmp_path / "in/2.mp4", times=steady(1500), size=(320, 180))
    command = [sys.executable, "-m", "sentio", "analyze", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    child = subprocess.Popen([*command, "--detector", "haar"], stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "out").glob("2.sentio/.sentio-*")):  # the second table has been begun
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.01)
    child.send_signal(number)
    message = child.communicate()[1]
    if number == signal.SIGINT:
        assert child.returncode == 130 and "interrupted" in message
        assert not list((tmp_path / "out").rglob(".sentio-*"))
    assert len(Table.read(tmp_path / "out/1.sentio/affect.parquet")) == 5
    assert [path.name for path in (tmp_path / "out/2.sentio").glob("[!.]*")] == []
    write_media(tmp_path / "in/2.mp4", times=steady(7))
    command += ["--detector", "haar", "--resume", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout)
    assert [Path(name).name for name in summary["skipped"]] == ["1.mp4"]
    assert [entry["rows"] for entry in summary["done"]] == [7]
    assert not list((tmp_path / "out").rglob(".sentio-*")), "what a killed run left is cleared away"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_output_is_a_failure_of_each_file(folder, tmp_path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o500)
    with pytest.raises(Exception, match="Cannot write"):
        run(folder, out)


@pytest.mark.parametrize("content", ["{}[", '[{"mine": 1}]', '"text"'])
def test_a_file_of_the_same_name_is_not_replaced(folder, tmp_path, content) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "failed.json").write_text(content)
    with pytest.raises(OutputError, match="in the way"):
        run(folder, out)
    assert (out / "failed.json").read_text() == content
