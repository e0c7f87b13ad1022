"""The jobs of a run on a Ray cluster: workers that keep their models, a job at a time each, on a disk that all share.

Nothing but paths and outcomes goes through Ray. A worker that is lost costs the job it had in hand, which is done
again; a file that fails is an outcome like any other. Ray is imported only when a cluster is asked for.
"""

import importlib
import os
import signal
import socket
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sentio.core.crew import Crew, Portable, sight
from sentio.core.errors import ClusterError, require
from sentio.core.jobs import Each, Job, Outcome, Told, attempt, in_turn
from sentio.core.runtime import usable_cores

AUTO = "auto"
LOOPBACK = "127.0.0.1"
STORE_BYTES = 80 << 20
"""Object store of a cluster that is started here, nearly the least that Ray takes: only paths and outcomes go there."""
ANSWER_S = 5.0
"""Seconds in which an address must answer."""
QUIET = {"log_to_driver": False, "logging_level": "ERROR"}
"""Ray's own messages are not ours to pass on."""


@contextmanager
def workplace(address: str | None, *, gpus: float = 0, show: bool = True) -> Iterator[Each[Portable]]:
    """Where the jobs of a run are done: here one after the other, or on a Ray cluster.

    Args:
        address: of the cluster, as HOST:PORT; ``auto`` for the one that ``RAY_ADDRESS`` names or that runs on this
            machine, or else one that is started here, on the loopback interface, for this run; None for no cluster.
        gpus: what each worker asks for, beside one CPU.
        show: say which cluster it is.

    Raises:
        MissingExtraError: Ray is not installed.
        ClusterError: there is no such cluster, or it has another version of Ray or Python, or no GPU.
    """
    if address is None:
        yield in_turn
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = require("ray", "scale")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        where = _join(ray, address)
        there = ray.cluster_resources()
        if show:
            nodes, cores = len(ray.nodes()), there.get("CPU", 0)
            print(f"ray: {where}: {nodes} machine{'s' * (nodes > 1)}, {cores:g} CPUs", file=sys.stderr)
        if gpus and not there.get("GPU"):
            raise ClusterError("The Ray cluster has no GPU.", "Leave the device out, or add a machine that has one.")
        yield partial(_spread, ray, gpus)
    finally:
        ray.shutdown()
        with suppress(ValueError):  # not the main thread, where Ray sets one of its own
            signal.signal(signal.SIGTERM, handler)


def _join(ray: Any, address: str) -> str:
    """Connect to a cluster or start one; says which."""
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS") or AUTO
    if address == AUTO and not (address := _running()):
        return _start(ray)
    _refuse_silent(address)
    try:
        found = ray.init(address, **QUIET).address_info["gcs_address"]
    except (ConnectionError, RuntimeError, ValueError, SystemExit) as error:
        what = f"The Ray cluster at {address} cannot be joined: {' '.join(str(error).split())}"
        raise ClusterError(what, "All machines need the same versions of Ray and Python.") from error
    return f"joined the cluster at {found}"


def _running() -> str:
    """The address of a cluster of this machine, empty if there is none.

    One that another run has started for itself is none: Ray looks for it beyond the loopback interface, for minutes.
    """
    services: Any = importlib.import_module("ray._private.services")
    try:
        found: str = services.canonicalize_bootstrap_address(AUTO)
        _refuse_silent(found)
    except (ConnectionError, ClusterError):
        return ""
    return found


def _refuse_silent(address: str) -> None:
    """Refuse an address at which nobody answers, for which Ray would wait for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except (OSError, ValueError) as error:
        fix = "Give HOST:PORT as `ray start --head` printed it, and run this on a machine of the cluster."
        raise ClusterError(f"No Ray cluster answers at {address!r}: {error}.", fix) from error


def _start(ray: Any) -> str:
    """Start a cluster of this machine alone, which no other machine can reach."""
    # Ray turns 127.0.0.1 into an address that others can reach, but for what it takes for granted on a Mac.
    constants: Any = importlib.import_module("ray._private.ray_constants")
    before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = False
    os.environ[constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    try:
        options = {"num_cpus": usable_cores(), "object_store_memory": STORE_BYTES, "include_dashboard": False}
        ray.init("local", _node_ip_address=LOOPBACK, **options, **QUIET)
    except Exception as error:  # Ray has no class of its own for this
        fix = "See what `ray start --head` says."
        raise ClusterError(f"Ray cannot be started on this machine: {' '.join(str(error).split())}", fix) from error
    finally:
        constants.ENABLE_RAY_CLUSTER = before
        del os.environ[constants.ENABLE_RAY_CLUSTERS_ENV_VAR]
    if (bound := ray.util.get_node_ip_address()) != LOOPBACK:
        fix = "Start a cluster yourself with `ray start --head`, and give its address."
        raise ClusterError(f"Ray {ray.__version__} would open this machine to others, at {bound}.", fix)
    return f"started a cluster on this machine, at {LOOPBACK}"


def _spread(
    ray: Any, gpus: float, jobs: Sequence[Job], work: Portable, out: Path | None, told: Told, /
) -> Generator[tuple[int, Outcome], None, None]:
    """Do jobs on the workers of a cluster; see :class:`Each`."""
    refused = {number: attempt(work, job, lambda share: None) for number, job in enumerate(jobs) if job.refusal}
    yield from refused.items()
    rest = {number: job for number, job in enumerate(jobs) if number not in refused}
    if rest:
        with sight(rest.values(), work, out) as seen, closing(Crew(ray, gpus, rest, work, out, seen)) as crew:
            yield from crew.outcomes(lambda done, name: told(len(refused) + done, name))
