"""``sentio doctor``: what this installation can do, what is missing and how to get it."""

import importlib.util
import platform
from importlib import metadata
from typing import Any

from sentio import __version__
from sentio.core import weights
from sentio.core.bench import installed_version, machine
from sentio.core.errors import WeightsError

DECODERS = (
    "h264",
    "hevc",
    "vp9",
    "av1",
    "mpeg1video",
    "mpeg4",
    "mjpeg",
    "gif",
    "aac",
    "mp3",
    "opus",
    "flac",
    "pcm_s16le",
)
EXTRAS = {
    "train": (
        "torch",
        "safetensors",
        "lightning",
        "transformers",
        "tensorboard",
        "kornia",
        "numba",
        "soundfile",
        "soxr",
    ),
    "points": ("trimesh", "laspy", "point_cloud_utils"),
    "view": ("plotly",),
}
"""Extras of this package and the modules that each one brings."""


def examine() -> dict[str, Any]:
    """Look at versions, providers, threads, decoders, weights and extras.

    Returns:
        A JSON object; ``problems`` lists, as sentences, what is broken (an absent extra is no problem).
    """
    report: dict[str, Any] = {"sentio": __version__, "python": platform.python_version(), "machine": machine()}
    report["dependencies"] = {name: installed_version(name) for name in _hard_dependencies()}
    report["onnx_providers"] = _providers()
    report["decoders"] = _decoders()
    report["weights"], damaged = _weights()
    report["extras"] = {extra: _missing(modules) for extra, modules in EXTRAS.items()}
    absent = [name for name, version in report["dependencies"].items() if version is None]
    undecodable = [name for name, there in report["decoders"].items() if not there]
    report["problems"] = damaged + [f"The package {name} is not installed." for name in absent]
    if undecodable:
        report["problems"].append(f"The decoders {', '.join(undecodable)} are missing from this build of PyAV.")
    return report


def _hard_dependencies() -> list[str]:
    lines = metadata.requires("sentio") or []
    return [line.split(">")[0].split("[")[0].split("<")[0].strip() for line in lines if "extra ==" not in line]


def _providers() -> list[str]:
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def _decoders() -> dict[str, bool]:
    import av

    return {name: name in av.codecs_available for name in DECODERS}


def _weights() -> tuple[dict[str, str], list[str]]:
    states, problems = {}, []
    for name, card in weights.cards().items():
        present = [kind for kind in card.files if weights.is_present(name, kind)]
        try:
            for kind in present:
                weights.locate(name, kind)
            states[name] = "ok" if present else f"not fetched; run: sentio models fetch {name}"
        except WeightsError as error:
            states[name] = "damaged"
            problems.append(str(error))
    return states, problems


def _missing(modules: tuple[str, ...]) -> list[str]:
    return [module for module in modules if importlib.util.find_spec(module) is None]
