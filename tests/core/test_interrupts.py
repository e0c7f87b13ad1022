import multiprocessing
import os
import signal
import sys

import pytest

from sentio.core.interrupts import leave_signals_to_the_parent


def echo(pipe) -> None:
    leave_signals_to_the_parent(0)
    pipe.send("ready")
    while True:
        pipe.send(pipe.recv())


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_the_first_signals_are_the_parents_and_a_second_sigterm_ends_a_worker() -> None:
    context = multiprocessing.get_context("fork")
    pipe, other = context.Pipe()
    worker = context.Process(target=echo, args=(other,), daemon=True)
    worker.start()
    assert pipe.recv() == "ready"
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(worker.pid, number)
        pipe.send(number)
        assert pipe.recv() == number
    os.kill(worker.pid, signal.SIGTERM)
    worker.join(30)
    assert worker.exitcode == -signal.SIGTERM
