"""Result folders: whole or not there, redone only when need be; batches, full disks and interruptions."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from media import steady, write_media
from sentio.affect.analysis import sources
from sentio.affect.analysis.options import Options
from sentio.affect.results import folder as folders
from sentio.affect.results.folder import RECORD, Analysis
from sentio.affect.results.outputs import DEFAULT, OUTPUTS
from sentio.core import jobs, writers
from sentio.core.errors import DiskFullError, InputError
from sentio.core.results import Table
from sessions import Session

pytestmark = pytest.mark.usefixtures("tiny_models")
HAAR = Options(detector="haar")
ALL = replace(HAAR, landmarks=True, crops=True)


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    return write_media(tmp_path_factory.mktemp("clip") / "clip.mp4", times=steady(6))


@pytest.fixture
def folder(tmp_path, clip) -> Path:
    """Three good videos, one broken one, a picture among them, an image sequence."""
    root = tmp_path / "videos"
    for name in ("b.mp4", "a.mp4", "deep/c.mkv"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, root / name)
    (root / "broken.mp4").write_bytes(b"not a video at all")
    (root / "pictures").mkdir()
    for name in ("cover", "pictures/1", "pictures/2", "pictures/10"):
        cv2.imwrite(str(root / f"{name}.png"), np.full((40, 40, 3), 9, np.uint8))
    return root


def run(folder, out, *names, options=HAAR, resume=False) -> jobs.Summary:
    analysis = Analysis(out, options, names or DEFAULT, resume)
    return jobs.run(sources.find([folder]), analysis, out, title="analyze", show=False)


def done(summary) -> list[str]:
    return sorted(Path(outcome.source).name for outcome in summary.of("done"))


def test_one_bad_file_does_not_stop_the_others(folder, tmp_path) -> None:
    out = tmp_path / "out"
    summary = run(folder, out)
    assert {Path(outcome.source).name: outcome.record["rows"] for outcome in summary.of("done")} == {
        "a.mp4": 6, "b.mp4": 6, "c.mkv": 6, "cover.png": 1, "pictures": 3,
    }  # fmt: skip
    assert [Path(entry["file"]).name for entry in summary.failed] == ["broken.mp4"]
    assert not (out / "broken.mp4.sentio").exists()
    assert len(Table.read(out / "deep/c.mkv.sentio/affect.parquet")) == 6
    assert "a.mp4.sentio: 6 rows, 6 frames, 0 persons" in summary.text(folders.line)


def test_resume_asks_for_what_is_missing_only_and_a_new_result_replaces_all_of_the_old(tmp_path, clips, clip) -> None:
    def state(options: Options) -> str:
        return Analysis(tmp_path, options, ("csv",), resume=True)(jobs.Job(clip, Path("a.sentio"))).state

    folder = tmp_path / "a.sentio"
    assert [state(HAAR), state(HAAR)] == ["done", "skipped"]
    assert [state(ALL), state(ALL), state(HAAR)] == ["done", "skipped", "skipped"]
    (folder / "landmarks.csv").unlink()
    assert [state(HAAR), state(ALL)] == ["skipped", "done"]
    (folder / "cropped_aligned/old").mkdir()
    Analysis(tmp_path, ALL, ("csv",)).write(folder, clip)
    assert list((folder / "cropped_aligned").iterdir()) == []
    Analysis(tmp_path, HAAR, ("csv",)).write(folder, clip)
    assert {path.name for path in folder.iterdir()} == {"affect.csv", "affect.csv.header.json", RECORD}


def test_crops_that_cannot_be_written_leave_the_old_result(tmp_path, clips, monkeypatch) -> None:
    options = replace(ALL, end=0.2)
    Analysis(tmp_path, options).write(tmp_path / "a", clips / "pair.mp4")
    before = {path: path.read_bytes() for path in (tmp_path / "a").rglob("*.*") if path.is_file()}
    assert len([path for path in before if path.suffix == ".jpg"]) == 10

    def full(path, content) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskFullError):
        Analysis(tmp_path, options).write(tmp_path / "a", clips / "pair.mp4")
    assert {path: path.read_bytes() for path in (tmp_path / "a").rglob("*.*") if path.is_file()} == before


def test_resume_redoes_only_what_is_not_whole_or_has_changed(folder, tmp_path) -> None:
    out = tmp_path / "out"
    run(folder, out)
    (out / "a.mp4.sentio" / RECORD).unlink()
    (out / "b.mp4.sentio" / "affect.csv").unlink()
    write_media(folder / "deep/c.mkv", times=steady(4))
    again = run(folder, out, resume=True)
    assert done(again) == ["a.mp4", "b.mp4", "c.mkv"]
    assert [Path(outcome.source).name for outcome in again.of("skipped")] == ["cover.png", "pictures"]
    assert done(run(folder, out, resume=True)) == []
    assert done(run(folder, out, "csv", resume=True)) == [], "the table that is asked for is there"
    assert len(done(run(folder, out, "jsonl", resume=True))) == 5
    left = sorted(path.name for path in (out / "a.mp4.sentio").iterdir())
    assert left == ["affect.jsonl", "affect.jsonl.header.json", "run.json"]


def test_resume_redoes_what_another_detector_or_schema_has_made(folder, tmp_path) -> None:
    out = tmp_path / "out"
    run(folder, out)
    for name, key in (("a", "detector"), ("b", "schema_version")):
        record = out / f"{name}.mp4.sentio" / RECORD
        written = json.loads(record.read_text())
        other = written[key] | {"provenance": "other weights"} if key == "detector" else written[key] - 1
        record.write_text(json.dumps(written | {key: other}))
    assert done(run(folder, out, resume=True)) == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    "options", [Options("haar", start=9.0), Options("haar", start=0.22), Options("haar", end=-1.0)]
)
def test_a_stretch_without_a_row_is_an_error_that_leaves_the_old_table(tmp_path, clip, options) -> None:
    Analysis(tmp_path, HAAR).write(tmp_path / "a", clip)
    before = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    with pytest.raises(InputError, match="nothing to read from"):
        Analysis(tmp_path, options).write(tmp_path / "a", clip)
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before


def test_sound_too_short_for_a_score_is_an_error(tmp_path) -> None:
    sound = np.zeros(100, np.float32)
    path = write_media(tmp_path / "a.wav", sound=sound, sound_rate=16_000, sound_codec="pcm_s16le")
    with pytest.raises(InputError, match="too short for a score"):
        Analysis(tmp_path, HAAR).write(tmp_path / "a", path)
    assert not (tmp_path / "a").exists()


def test_a_full_disk_ends_the_run_and_leaves_nothing_half(folder, tmp_path, monkeypatch) -> None:
    written = writers.CsvWriter.write

    def full(self, batch):
        if len(list((tmp_path / "out").glob("*/run.json"))) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        written(self, batch)

    monkeypatch.setattr(writers.CsvWriter, "write", full)
    (folder / "broken.mp4").unlink()
    summary = run(folder, tmp_path / "out")
    assert [outcome.state for outcome in summary.outcomes] == ["done", "failed", "untried", "untried", "untried"]
    assert "disk is full" in summary.failed[0]["error"]
    assert [path.name for path in (tmp_path / "out").glob("*.sentio")] == ["a.mp4.sentio"]
    assert not list((tmp_path / "out").rglob(".sentio-*"))


@pytest.fixture
def small_disk(tmp_path) -> Path:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("may not mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)  # tables that were read may still be mapped


def test_a_disk_that_is_really_full(small_disk, tmp_path, clip) -> None:
    for number in range(40):
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(clip, tmp_path / f"in/{number:02}.mp4")
    summary = run(tmp_path / "in", small_disk)
    whole, failed = summary.of("done"), summary.of("failed")
    assert whole and len(failed) == 1 and summary.of("untried")
    assert all(len(Table.read(Path(outcome.record["result"]) / "affect.parquet")) == 6 for outcome in whole)
    assert {path.name for path in small_disk.glob("*.sentio")} == {Path(o.record["result"]).name for o in whole}
    with pytest.raises(DiskFullError, match="free|full"):
        run(tmp_path / "in", small_disk)


def test_a_disk_that_fills_at_the_very_end_leaves_the_old_result(tmp_path, clip, monkeypatch) -> None:
    Analysis(tmp_path, HAAR).write(tmp_path / "a", clip)
    before = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}

    def full(path, value) -> None:
        raise DiskFullError("full", "free some")

    monkeypatch.setattr(folders, "write_json", full)  # of the record, when the tables are written
    with pytest.raises(DiskFullError):
        Analysis(tmp_path, HAAR).write(tmp_path / "a", clip)
    with pytest.raises(DiskFullError):
        Analysis(tmp_path, HAAR).write(tmp_path / "b", clip)
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_the_result_of_another_file_is_neither_replaced_nor_taken_for_its_own(tmp_path, resume) -> None:
    """Of the same name, size and time of change, as after unpacking an archive."""
    for place, level in (("one", 0.1), ("two", 0.2)):
        (tmp_path / place).mkdir()
        sound = np.full(16_000, level, np.float32)
        write_media(tmp_path / place / "take.wav", sound=sound, sound_rate=16_000, sound_codec="pcm_s16le")
        os.utime(tmp_path / place / "take.wav", (1, 1))
    assert done(run(tmp_path / "one/take.wav", tmp_path / "out")) == ["take.wav"]
    summary = run(tmp_path / "two/take.wav", tmp_path / "out", resume=resume)
    [failure] = summary.failed
    assert "holds the result of another file" in failure["error"] and "one/take.wav" in failure["error"]
    assert run(tmp_path / "one/take.wav", tmp_path / "out", resume=resume).whole
    (tmp_path / "one").rename(tmp_path / "moved")
    assert len(run(tmp_path / "moved/take.wav", tmp_path / "out", resume=True).of("skipped")) == 1, "moved, the same"


def test_names_that_are_no_text(tmp_path, clip) -> None:
    name = os.fsdecode(b"caf\xe9")
    (tmp_path / "in").mkdir()
    try:
        (tmp_path / f"in/{name}.mp4").write_bytes(b"no media")
    except OSError:
        pytest.skip("this file system has only names that are text")
    shutil.copy(clip, tmp_path / f"in/{name} 2.mp4")
    summary = run(tmp_path / "in", tmp_path / "out")
    assert [outcome.record["rows"] for outcome in summary.of("done")] == [6]
    assert json.loads((tmp_path / "out/failed.json").read_text()) == summary.failed
    assert Path(summary.failed[0]["file"]).exists(), "the path comes back as it was"
    assert len(Table.read(tmp_path / "out" / f"{name} 2.mp4.sentio" / "affect.parquet")) == 6
    assert done(run(tmp_path / "in", tmp_path / "out", resume=True)) == []


def test_links_that_lead_nowhere_fail_alone(folder, tmp_path) -> None:
    (folder / "dangling.mp4").symlink_to(folder / "nothing.mp4")
    paths = [folder / "dangling.mp4", folder / "b.mp4", folder / "missing.mp4"]
    analysis = Analysis(tmp_path / "out", HAAR)
    summary = jobs.run(sources.find(paths), analysis, tmp_path / "out", title="analyze", show=False)
    assert [outcome.state for outcome in summary.outcomes] == ["done", "failed", "failed"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.slow
def test_interrupted_batch_leaves_whole_files_only(tmp_path, number) -> None:
    """A long video is killed half-way; then --resume completes the batch and skips what was done."""
    (tmp_path / "in").mkdir()
    write_media(tmp_path / "in/1.mp4", times=steady(5))
    write_media(tmp_path / "in/2.mp4", times=steady(1500), size=(320, 180))
    command = [sys.executable, "-m", "sentio", "analyze", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    command += ["--detector", "haar", "--crops"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "out").glob("2.mp4.sentio/.sentio-*")):  # the second table has been begun
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.01)
    child.send_signal(number)
    message = child.communicate()[1]
    if number == signal.SIGINT:
        assert child.returncode == 130 and "interrupted" in message
        assert not list((tmp_path / "out").rglob(".sentio-*"))
    assert len(Table.read(tmp_path / "out/1.mp4.sentio/affect.parquet")) == 5
    assert [path.name for path in (tmp_path / "out/2.mp4.sentio").glob("[!.]*")] == []
    write_media(tmp_path / "in/2.mp4", times=steady(7))
    command += ["--resume", "--json"]
    summary = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert [Path(name).name for name in summary["skipped"]] == ["1.mp4"]
    assert [entry["rows"] for entry in summary["done"]] == [7]
    assert summary["schema"] == "sentio.affect" and "columns" not in summary["done"][0]
    assert not list((tmp_path / "out").rglob(".sentio-*")), "what a killed run left is cleared away"


def test_what_a_file_does_not_suit_is_left_out_and_said(folder, tmp_path) -> None:
    out = tmp_path / "out"
    summary = run(folder / "cover.png", out, "csv", "vtt", "textgrid")
    [outcome] = summary.of("done")
    assert outcome.record["outputs"] == ["affect.csv"] and outcome.record["left_out"] == ["vtt", "textgrid"]
    assert "no vtt, textgrid, not made of such a file" in summary.text(folders.line)
    assert not list(out.glob("*/*.vtt"))
    assert run(folder / "cover.png", out, "csv", "vtt", resume=True).of("skipped"), "it would be left out again"
    assert not run(folder / "cover.png", out, "csv", "eaf", resume=True).of("skipped"), "not known to be left out"
    for source in ("pictures", "b.mp4"):
        [outcome] = run(folder / source, out, "csv", "vtt").of("done")
        assert outcome.record["left_out"] == [] and (out / f"{source}.sentio/affect.vtt").exists()


def test_rows_of_no_file_are_written_in_the_same_way(tmp_path) -> None:
    session, once_more = Session(tmp_path / "a"), replace(OUTPUTS[-1], name="once more", rereads=True)
    choice = folders.choose(("parquet", "vtt", "plot"), HAAR, session.info, None)
    assert [output.name for output in choice.outputs] == ["parquet", "vtt", "plot"] and not choice.left_out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "OUTPUTS", (*OUTPUTS, once_more))
        assert folders.choose(("csv", "once more"), HAAR, session.info, None).left_out == ("once more",)
        assert folders.choose(("csv", "once more"), HAAR, session.info, Path("a.mp4")).left_out == ()
    with folders.writing(session.folder, choice, session, lambda: {"rows": 2}) as write_row:
        for number in range(2):
            write_row({"file": "camera", "frame": number, "time_s": number / 30, "reason": "no face"})
        assert not [path for path in session.folder.iterdir() if not path.name.startswith(".sentio-")]
    assert {path.name for path in session.folder.iterdir()} == {"affect.parquet", "affect.vtt", "affect.svg", RECORD}
    assert Table.read(session.folder / "affect.parquet")["time_s"].tolist() == [0, 1 / 30]
    record = json.loads((session.folder / RECORD).read_text())
    assert record["file"] is record["input"] is None and record["rows"] == 2
