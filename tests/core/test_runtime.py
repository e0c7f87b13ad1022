"""Threads, seeds, telemetry, the stage timer, optional packages."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from sentio.core import bench, errors, runtime


def test_telemetry_is_off_before_anything_loads() -> None:
    code = "import os, sentio; print(os.environ['ORT_DISABLE_TELEMETRY'], os.environ['OMP_WAIT_POLICY'])"
    env = {key: value for key, value in os.environ.items() if not key.startswith(("ORT_", "OMP_"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.split() == ["1", "PASSIVE"]


def test_same_seed_same_numbers() -> None:
    first = (runtime.seed_everything(7).normal(size=3), np.random.rand(3))
    second = (runtime.seed_everything(7).normal(size=3), np.random.rand(3))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_stage_timer_adds_up() -> None:
    timer = bench.StageTimer()
    for _ in range(3):
        with timer.stage("sleep"):
            time.sleep(0.01)
    with pytest.raises(ValueError), timer.stage("fail"):
        raise ValueError
    summary = timer.summary()
    assert summary["sleep"]["calls"] == 3
    assert summary["sleep"]["seconds"] >= 0.03
    assert summary["fail"]["calls"] == 1


def test_report_is_json_with_the_machine(tmp_path, capsys) -> None:
    for number in (1, 2):
        bench.report("b", {"fps": number}, tmp_path / "history.jsonl")
    printed = capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["figures"]["fps"] for line in lines] == [1, 2]
    assert lines[0]["machine"]["packages"]["numpy"] == np.__version__
    assert '"fps": 2' in printed


def test_missing_extra_says_what_to_install() -> None:
    with pytest.raises(errors.MissingExtraError, match=r'pip install "\.\[view\]"'):
        errors.require("no_such_package_at_all", "view")
    assert errors.require("json", "view") is json


def test_a_broken_package_is_not_called_missing(tmp_path, monkeypatch) -> None:
    (tmp_path / "broken_package.py").write_text("import no_such_package_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_package_at_all"):
        errors.require("broken_package", "view")


def test_errors_survive_a_process_boundary() -> None:
    import copy

    error = copy.copy(errors.InputError("what", "fix"))  # goes through the same reduction
    assert (type(error), error.what, error.fix) == (errors.InputError, "what", "fix")


def test_a_process_that_shares_its_machine_keeps_to_one_core() -> None:
    code = "import cv2; from sentio.core.runtime import *; share_cores(); print(usable_cores(), cv2.getNumThreads())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]
