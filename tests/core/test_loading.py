"""How many processes load, and that it makes no difference to what is loaded."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from safetensors.torch import load_file  # noqa: E402

from sentio.core import loading  # noqa: E402
from sentio.core.loading import choose_workers, size_of  # noqa: E402

GB = 1 << 30


@pytest.mark.parametrize(
    ("seconds", "batch", "cores", "room", "expected"),
    [
        (1.9, 1, 64, GB, 0),  # sooner loaded than processes have begun
        (60.0, 1, 1, GB, 0),
        (60.0, 1, 2, GB, 1),
        (60.0, 1, 6, GB, 5),
        (60.0, 1, 64, GB, loading.MOST),
        (60.0, GB // 6, 64, GB, 3),  # two batches of each fit
        (60.0, GB, 64, GB, 0),
        (60.0, 200_000_000, 16, 32 << 20, 0),  # as small as the shared memory of a container
    ],
)
def test_as_many_processes_as_pay_and_fit(seconds, batch, cores, room, expected):
    assert choose_workers(seconds, batch, cores=cores, room=room) == expected


def test_the_room_is_a_part_of_what_the_machine_has():
    assert 0 < loading.room() < 1 << 50


@dataclasses.dataclass
class Two:
    a: torch.Tensor
    b: torch.Tensor | None


def test_the_size_of_a_batch_is_that_of_what_it_holds():
    assert size_of(Two(torch.zeros(3, 2), None)) == 24
    assert size_of({"x": np.zeros(5, np.uint8), "y": [torch.zeros(2, dtype=torch.int64), "text"]}) == 21


class Squares(torch.utils.data.Dataset):
    """``asked`` in this process."""

    def __init__(self):
        self.asked = []

    def __getitem__(self, index):
        self.asked.append(index)
        return torch.tensor(index**2)


@pytest.mark.parametrize(("chosen", "here"), [(0, True), (2, False)])
def test_what_is_chosen_loads(monkeypatch, chosen, here):
    """One item in this process to measure by; then all of them here, or all of them elsewhere."""
    asked = {}
    monkeypatch.setattr(loading, "usable_cores", lambda: 3)
    monkeypatch.setattr(loading, "choose_workers", lambda seconds, batch, **rest: asked.update(batch=batch) or chosen)
    data, state = Squares(), torch.get_rng_state()
    found = list(loading.batches(data, [[0, 3], [2, 1], [4]], torch.stack, None))
    assert [batch.tolist() for batch in found] == [[0, 9], [4, 1], [16]]
    assert asked == {"batch": 2 * 8} and torch.equal(torch.get_rng_state(), state)
    assert data.asked == ([0, 0, 3, 2, 1, 4] if here else [0])


def test_processes_of_a_run_share_the_cores_of_their_machine(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "6")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setattr(loading, "usable_cores", lambda: 12)
    monkeypatch.setattr(loading, "choose_workers", lambda seconds, batch, *, cores, room: cores)
    assert loading.measured_workers(Squares(), [[0, 1]], torch.stack) == 4


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_number_that_was_given_wins(monkeypatch, workers):
    monkeypatch.setattr(loading, "measured_workers", lambda *_: pytest.fail("measured all the same"))
    data = Squares()
    assert torch.cat(list(loading.batches(data, [range(5), range(5, 7)], torch.stack, workers))).tolist() == [
        k**2 for k in range(7)
    ]
    assert bool(data.asked) == (workers == 0)


@pytest.mark.slow
def test_training_validation_and_evaluation_do_not_depend_on_it(tmp_path):
    from method_data import drawn
    from sentio.core import runs
    from sentio.core.config import from_dict

    drawn(tmp_path / "data")
    plan = {
        "system": "fer-tuned", "model": {"encoder": "small"}, "data": {"sets": ["va"], "validation_hop": 4},
        "fit": {"steps": 3, "batch_size": 8, "lr": 1e-4, "device": "cpu"}, "evaluation": {"resamples": 0},
    }  # fmt: skip
    told = []
    for workers in (0, 3):
        plan["fit"]["workers"] = workers
        torch.manual_seed(0)
        run = tmp_path / str(workers)
        runs.train(from_dict(runs.Recipe, plan), tmp_path / "data", run)
        report = runs.evaluate(run, tmp_path / "data", [f"evaluation.workers={workers}"], device="cpu")
        learnt = {name: value.tolist() for name, value in load_file(run / "best.safetensors").items()}
        told.append([learnt, (run / "metrics.json").read_text(), report.scores])
    assert told[0] == told[1]


ENDS_IN_THE_MIDDLE = """
import torch
from sentio.core import loading

batches = loading.batches(torch.arange(100.0), [[row] for row in range(100)], torch.stack, 2)
print(next(batches).item())
raise RuntimeError("ended")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes that load are forked on Linux alone")
def test_an_error_in_the_middle_ends_python_and_the_processes_that_load():
    ended = subprocess.run([sys.executable, "-c", ENDS_IN_THE_MIDDLE], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1 and ended.stdout == "0.0\n"
    assert ended.stderr.rstrip().endswith("RuntimeError: ended")
