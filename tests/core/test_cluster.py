"""Jobs on a Ray cluster of two nodes on this machine: the same results as here, whatever is lost on the way."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors import safe_open

import trying_work
from media import steady, write_media
from sentio.affect.synth.moving_picture import MovingPicture, generate
from sentio.core import cluster as clusters
from sentio.core import crew, jobs
from sentio.core.cluster import workplace
from sentio.core.errors import ClusterError, MissingExtraError, OutputError
from sentio.core.jobs import Job, Summary
from sentio.points.io import Cloud, write_cloud
from trying_work import Copying

pytestmark = pytest.mark.slow
SETTINGS = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # all on the loopback interface, as on a Mac
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONPATH": os.pathsep.join([str(Path(trying_work.__file__).parent), *sys.path]),
}
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False, "node_ip_address": "127.0.0.1"}


def two_nodes() -> Any:
    from ray.cluster_utils import Cluster

    for _ in range(3):  # Ray gives a node 30 s to start, and has no way to give it more on a busy machine
        with contextlib.suppress(Exception):
            cluster = Cluster(initialize_head=True, head_node_args=NODE)
            cluster.add_node(**NODE)
            return cluster
    raise AssertionError("Ray starts no cluster here.")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """That of a cluster of two nodes with a CPU each."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in SETTINGS.items():
            patch.setenv(key, value)
        pytest.importorskip("ray", reason="needs the extra scale")
        cluster = two_nodes()
        yield cluster.address
        cluster.shutdown()


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    return tmp_path


def run(folder: Path, address: str | None, texts: dict[str, str], **changes) -> Summary:
    """Copy files of these texts."""
    for name, text in texts.items():
        (folder / "in" / name).write_text(text)
    found = [Job(folder / "in" / name, Path(name)) for name in texts]
    work = Copying(folder / "out", **changes)
    with workplace(address, show=False) as each:
        return jobs.run(found, work, work.out, title="copy", show=False, each=each)


def states(summary: Summary) -> dict[str, str]:
    return {Path(outcome.source).name: outcome.state for outcome in summary.outcomes}


def tries(folder: Path, name: str) -> int:
    return len(list((folder / "out/began").glob(f"{name}.*")))


def left_over(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".sentio-*") if path.exists()]


def when(condition, act) -> threading.Thread:
    """Act as soon as something is so."""

    def watch() -> None:
        while not condition():
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_results_failures_and_their_order_are_those_of_a_run_here(folder, address) -> None:
    texts = {f"{k}.txt": "bad" if k == 3 else f"text {k}" for k in range(8)}
    here = run(folder, None, texts)
    failures = (folder / "out/failed.json").read_bytes()
    shutil.rmtree(folder / "out")
    there = run(folder, address, texts)
    assert there == here and (folder / "out/failed.json").read_bytes() == failures
    assert [(folder / "out" / name).read_text() for name in texts if name != "3.txt"] == [
        text for text in texts.values() if text != "bad"
    ]
    assert tries(folder, "3.txt") == 1, "what cannot be read is not tried again"
    workers = {path.read_text() for path in (folder / "out/began").iterdir()}
    assert str(os.getpid()) not in workers and not left_over(folder)


def test_the_file_of_a_lost_worker_is_done_again(folder, address) -> None:
    began = folder / "out/began/a.txt.1"
    killer = when(began.exists, lambda: os.kill(int(began.read_text()), signal.SIGKILL))
    summary = run(folder, address, {"a.txt": "slow at first", "b.txt": "text", "c.txt": "text"})
    killer.join()
    assert summary.whole and tries(folder, "a.txt") == 2
    assert (folder / "out/a.txt").read_text() == "slow at first" and not left_over(folder)


def test_a_file_that_costs_every_worker_fails_and_the_others_are_done(folder, address) -> None:
    summary = run(folder, address, {"a.txt": "deadly", "b.txt": "text", "c.txt": "text"})
    assert states(summary) == {"a.txt": "failed", "b.txt": "done", "c.txt": "done"}
    assert tries(folder, "a.txt") == crew.TRIES and f"{crew.TRIES} workers were lost" in summary.failed[0]["error"]
    assert not left_over(folder)


def test_a_full_disk_ends_the_run(folder, address) -> None:
    summary = run(folder, address, {f"{k}.txt": "full" for k in range(9)})
    found = list(states(summary).values())
    assert 1 <= found.count("failed") <= 2 and found.count("untried") == 9 - found.count("failed")


def test_an_interruption_stops_what_is_in_hand_and_lists_what_failed(folder, address, monkeypatch) -> None:
    monkeypatch.setattr(crew, "GRACE_S", 2.0)
    began = [folder / "out/began" / f"{name}.txt.1" for name in "bc"]
    killer = when(lambda: all(map(Path.exists, began)), lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        run(folder, address, {"a.txt": "bad", "b.txt": "endless", "c.txt": "deaf"})
    killer.join()
    assert not left_over(folder) and not list((folder / "out").glob("*.txt"))
    workers = {int(path.read_text()) for path in began}
    assert len(workers) == 2, "one on each machine"
    while any(map(psutil.pid_exists, workers)):  # for a moment, until the last is gone
        time.sleep(0.02)
    assert [entry["error"] for entry in json.loads((folder / "out/failed.json").read_text())]


def printed(*words: object, code: int = 0) -> str:
    """What a command prints."""
    done = subprocess.run([sys.executable, "-m", "sentio", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout


def sentio(*words: object, code: int = 0) -> dict:
    """Its JSON."""
    return json.loads(printed(*words, "--json", code=code))


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the records of runs, which tell the time that they took."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "run.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def stored(folder: Path) -> dict[str, tuple[dict, bytes]]:
    """Headers, whose order is that of chance, and vectors of all files of features."""
    files: dict[str, tuple[dict, bytes]] = {}
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, "numpy") as file:
            values = b"".join(file.get_tensor(name).tobytes() for name in sorted(file.keys()))
            files[str(path.relative_to(folder))] = file.metadata(), values
    return files


def timeless(summary: dict) -> list[dict]:
    """What it tells of the files that are done, but for the time that they took."""
    return [
        {key: value for key, value in record.items() if key not in ("seconds", "stages")} for record in summary["done"]
    ]


def test_videos_are_read_to_the_same_bits_and_resumed(folder, address, clips, monkeypatch) -> None:
    for name in ("talking", "pair", "empty"):
        shutil.copy(clips / f"{name}.mp4", folder / "in")
    (folder / "in/broken.mp4").write_bytes(b"no video")
    monkeypatch.chdir(folder)  # so that paths are relative, as they are mostly given
    asked = ("analyze", "in", "--end", 0.5, "--landmarks", "--out", "out")
    here = sentio(*asked, code=1)
    wanted = contents(folder / "out")
    shutil.rmtree("out")
    first = sentio(*asked, "--shard", "1/2", "--ray", address, code=1)
    rest = sentio(*asked, "--resume", "--ray", address, code=1)
    (folder / "out/failed-1-of-2.json").unlink()
    assert contents(folder / "out") == wanted
    assert rest["skipped"] == [record["file"] for record in first["done"]] and rest["failed"] == here["failed"]
    records = sorted(timeless(first) + timeless(rest), key=lambda record: record["file"])
    assert records == timeless(here) and len(records) == 3


def test_clouds_are_made_denser_to_the_same_bits(folder, address) -> None:
    random = np.random.default_rng(0)
    for name in ("a.xyz", "b.ply", "deep/c.xyz"):
        (folder / "in" / name).parent.mkdir(exist_ok=True)
        write_cloud(Cloud(random.normal(size=(200, 3))), folder / "in" / name)
    (folder / "in/bad.xyz").write_text("none")
    asked = ("upsample", folder / "in", "--ratio", 2, "--overwrite", "--out", folder / "out")
    here = sentio(*asked, code=1)
    wanted = contents(folder / "out")
    shutil.rmtree(folder / "out")
    there = sentio(*asked, "--ray", address, code=1)
    assert timeless(there) == timeless(here) and there["failed"] == here["failed"]
    assert contents(folder / "out") == wanted


def test_features_are_extracted_to_the_same_bits(folder, address) -> None:
    generate(folder / "in", MovingPicture(videos=3, seconds=1, seed=3))
    video = next((folder / "in").rglob("*.mp4"))
    asked = ("features", folder / "in", "--visual", "face", "--audio", "voice", "--out", folder / "out")
    stores = printed(*asked)
    wanted = stored(folder / "out")
    shutil.rmtree(folder / "out")
    assert printed(*asked, "--ray", address) == stores
    assert stored(folder / "out") == wanted and len(wanted) > 4
    video.write_bytes(b"no video")
    assert f"error: {video} is not" in printed(*asked, "--ray", address, code=1)


def test_ctrl_c_leaves_whole_results_and_the_run_is_resumed(folder, address) -> None:
    write_media(folder / "in/1.mp4", times=steady(5))
    write_media(folder / "in/2.mp4", times=steady(1500), size=(320, 180))
    words = ["analyze", folder / "in", "--out", folder / "out", "--detector", "haar", "--crops", "--ray", address]
    command = [sys.executable, "-m", "sentio", *map(str, words)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (list(folder.glob("out/2.mp4.sentio/.sentio-*")) and (folder / "out/1.mp4.sentio/run.json").exists()):
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does, to all that it has started
    message = child.communicate()[1]
    assert child.returncode == 130 and "interrupted" in message and "Traceback" not in message
    assert [path.name for path in (folder / "out").iterdir()] == ["1.mp4.sentio"] and not left_over(folder)
    write_media(folder / "in/2.mp4", times=steady(7))
    summary = sentio(*words, "--resume")
    assert [Path(name).name for name in summary["skipped"]] == ["1.mp4"]
    assert [entry["rows"] for entry in summary["done"]] == [7]


def test_what_workers_do_not_see_is_refused_before_work(folder, address) -> None:
    open_folder = os.open(folder / "in", os.O_RDONLY)
    for mine in ("in", "out"):
        (folder / "in/a.txt").write_text("text")
        seen = Path(f"/proc/self/fd/{open_folder}")  # no other process has it
        if not seen.is_dir():
            pytest.skip("needs /proc")
        source, out = (seen, folder / "out") if mine == "in" else (folder / "in", seen / "out")
        with (
            workplace(address, show=False) as each,
            pytest.raises(ClusterError, match="does not see what this machine has in /proc/self"),
        ):
            jobs.run([Job(source / "a.txt", Path("a"))], Copying(out), out, title="copy", show=False, each=each)
    os.close(open_folder)
    assert not (folder / "out/began").exists() and not left_over(folder)


def test_workers_of_another_kind_are_refused_before_work(folder, address, monkeypatch) -> None:
    with pytest.raises(ClusterError, match="it has other weights than this machine"):
        run(folder, address, {"a.txt": "text"}, weights="process")
    monkeypatch.setattr(crew, "__version__", "9.9")
    with pytest.raises(ClusterError, match=r"it has sentio \S+, and this machine 9\.9"):
        run(folder, address, {"a.txt": "text"})
    assert not (folder / "out/began").exists()


def test_what_is_in_the_way_is_refused_before_work(folder, address) -> None:
    (folder / "out/failed.json").write_text('{"mine": 1}')
    with pytest.raises(OutputError, match="in the way"):
        run(folder, address, {"a.txt": "text"})


def test_a_cluster_of_another_version_is_refused(address, monkeypatch) -> None:
    monkeypatch.setattr(sys.modules["ray"], "__version__", "1.0")
    with pytest.raises(ClusterError, match="cannot be joined: Version mismatch"), workplace(address):
        pass


def test_gpus_that_are_not_there_are_refused(address) -> None:
    with pytest.raises(ClusterError, match="no GPU"), workplace(address, gpus=1):
        pass


def test_addresses_without_a_cluster_are_refused_at_once(monkeypatch) -> None:
    pytest.importorskip("ray", reason="needs the extra scale")
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", silent)
    for wrong in (silent, "auto", "nonsense", "ray://127.0.0.1:x"):
        with pytest.raises(ClusterError, match="No Ray cluster answers"), workplace(wrong):
            pass


def test_without_ray_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"\[scale\]"), workplace("auto"):
        pass


def test_auto_joins_the_cluster_of_this_machine_and_says_so(address, monkeypatch, capfd) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with workplace("auto"):
        pass
    assert f"ray: joined the cluster at {address}: 2 machines, 2 CPUs" in capfd.readouterr().err


def test_auto_passes_over_a_cluster_that_another_run_has_for_itself(address, monkeypatch) -> None:
    """With Ray's own settings its address is not 127.0.0.1, where nothing of it listens."""
    services = pytest.importorskip("ray._private.services")
    monkeypatch.setattr(services, "get_ray_address_from_environment", lambda *_: address)  # others may be there, too
    assert clusters._running() == address
    monkeypatch.setattr(services, "resolve_ip_for_localhost", lambda host: "127.0.0.2")
    assert clusters._running() == ""


def test_a_cluster_that_is_started_listens_to_this_machine_alone() -> None:
    ray = pytest.importorskip("ray", reason="needs the extra scale")
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    try:
        assert clusters._start(ray).endswith("127.0.0.1")
        mine = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
        ports = [
            link.laddr.ip
            for process in (psutil.Process(), *mine)
            for link in process.net_connections("inet")
            if link.status == psutil.CONN_LISTEN
        ]
    finally:
        ray.shutdown()
    assert len(ports) > 3 and {ip.removeprefix("::ffff:") for ip in ports} == {"127.0.0.1"}
