"""``sentio doctor``: what this installation can do, what is missing and how to get it."""

import json as json_format
import platform
import re
from functools import cache
from importlib import metadata
from typing import Any

from sentio import __version__
from sentio.cli.output import lines
from sentio.core import weights
from sentio.core.bench import installed_version, machine
from sentio.core.errors import InputError, WeightsError
from sentio.core.runtime import probe_threads

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


def examine() -> dict[str, Any]:
    """Look at versions, providers, threads, decoders, weights and extras.

    Returns:
        A JSON object; ``problems`` lists, as sentences, what is broken (an absent extra is no problem).

    Raises:
        InputError: the package is not installed, only its source is there.
    """
    report: dict[str, Any] = {"sentio": __version__, "python": platform.python_version(), "machine": machine()}
    needed = _requirements()
    report["dependencies"] = {name: installed_version(name) for name in needed.pop("")}
    report["onnx_providers"] = _providers()
    report["decoders"] = _decoders()
    report["weights"], damaged = _weights()
    report["quickest_threads"] = None if damaged else _quickest_threads()
    report["extras"] = {extra: _state(extra, packages) for extra, packages in needed.items()}
    absent = [name for name, version in report["dependencies"].items() if version is None]
    undecodable = [name for name, there in report["decoders"].items() if not there]
    report["problems"] = damaged + [f"The package {name} is not installed." for name in absent]
    if undecodable:
        report["problems"].append(f"The decoders {', '.join(undecodable)} are missing from this build of PyAV.")
    return report


def _requirements() -> dict[str, list[str]]:
    """Packages by the extra that needs them; those that are always needed under the empty name."""
    needed: dict[str, list[str]] = {"": []}
    try:
        lines = metadata.requires("sentio") or []
    except metadata.PackageNotFoundError as error:
        raise InputError("sentio is not installed here.", "Run: pip install .") from error
    for line in lines:
        package, extra = re.match(r"[\w.-]+", line), re.search(r"extra == ['\"](.+?)['\"]", line)
        if package and package[0] != "sentio":
            needed.setdefault(extra[1] if extra else "", []).append(package[0])
    return needed


def _providers() -> list[str]:
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def _quickest_threads() -> int:
    """How many threads run the embedded network ``pu-mfa`` quickest here."""
    import numpy as np

    patches = np.random.default_rng(0).random((2, 256, 3), np.float32)
    opened = cache(lambda threads: weights.session("pu-mfa", threads=threads))
    return probe_threads(lambda threads: opened(threads).run(["fine"], {"sparse": patches}))


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


def _state(extra: str, packages: list[str]) -> str:
    missing = [package for package in packages if installed_version(package) is None]
    return f'without {", ".join(missing)}; run: pip install ".[{extra}]"' if missing else "ok"


def examine_installation(*, json: bool = False) -> int:
    """Show versions, threads, decoders, weights, what is missing and how to get it.

    Args:
        json: print JSON.
    """
    report = examine()
    print(json_format.dumps(report, indent=2) if json else lines(report))
    return 1 if report["problems"] else 0
