"""ONNX Runtime sessions, threads and seeds: everything about how the machine is used."""

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def onnx_session(model: Path | bytes, *, threads: int = 1) -> Any:
    """An ONNX Runtime session on the CPU.

    One thread by default: the stages of a pipeline run side by side, and threads of their own would fight over the
    same cores.

    Args:
        model: a file, or its bytes.
        threads: threads inside one operator.

    Returns:
        ``onnxruntime.InferenceSession``.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


_alone = True


def share_cores() -> None:
    """Let this process keep to one core, for others of a cluster have theirs.

    It is for a process that has not begun to work. What follows ``OMP_NUM_THREADS`` is led by that.
    """
    import cv2

    global _alone
    _alone = False
    cv2.setNumThreads(1)


def usable_cores() -> int:
    """Cores this process may use (its affinity, not the machine's count), or 1 after `share_cores`."""
    if not _alone:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seed_everything(seed: int) -> "np.random.Generator":
    """Seed Python, NumPy and, when it is loaded, torch; returns a NumPy generator of the same seed."""
    import sys

    import numpy as np

    random.seed(seed)
    np.random.seed(seed % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
    return np.random.default_rng(seed)
