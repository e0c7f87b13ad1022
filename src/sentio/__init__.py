"""Sentio reads affect from faces and voices, frame by frame, and turns sparse point clouds into dense ones."""

import os
from importlib import import_module
from typing import Any

__version__ = "0.2.0"

# Read by libraries when they load: no telemetry, and idle threads that sleep rather than spin.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOMES = {
    "analyze": "sentio.affect.analysis.pipeline",
    "stream": "sentio.affect.analysis.stream",
    "upsample": "sentio.points.upsample",
    "load": "sentio.core.weights",
    "models": "sentio.core.catalogue",
    "SentioError": "sentio.core.errors",
    "Table": "sentio.core.results",
}
"""Public names and their modules, imported on first use so that ``import sentio`` stays quick."""

__all__ = ["SentioError", "Table", "__version__", "analyze", "load", "models", "stream", "upsample"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sentio' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
