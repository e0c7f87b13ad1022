"""``sentio doctor``: what this installation can do, what is missing and how to get it."""

import json as json_format
import platform
import re
from importlib import metadata
from typing import Any

from sentio import __version__
from sentio.core import weights
from sentio.core.bench import installed_version, machine
from sentio.core.counts import counted
from sentio.core.errors import InputError, SentioError, WeightsError

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
    """Look at versions, providers, decoders, weights and extras; the same installation gives the same report.

    Returns:
        A JSON object; ``problems`` lists what is broken and the ``fix`` (an absent extra is no problem).

    Raises:
        InputError: the package is not installed, only its source is there.
    """
    needed = _requirements()
    dependencies = {name: installed_version(name) for name in needed.pop("")}
    decoders = _decoders()
    states, damaged = _weights()
    return {
        "sentio": __version__,
        "python": platform.python_version(),
        "machine": machine(),
        "dependencies": dependencies,
        "onnx_providers": _providers(),
        "decoders": decoders,
        "weights": states,
        "extras": {extra: _state(extra, packages) for extra, packages in needed.items()},
        "problems": [
            {"what": error.what, "fix": error.fix} for error in [*_absent(dependencies), *_lacking(decoders), *damaged]
        ],
    }


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


def _absent(dependencies: dict[str, str | None]) -> list[SentioError]:
    absent = [name for name, version in dependencies.items() if version is None]
    return [InputError(f"The package {name} is not installed.", f"Run: pip install {name}") for name in absent]


def _providers() -> list[str]:
    try:
        import onnxruntime
    except ImportError:
        return []  # told as a dependency that is not installed
    return sorted(onnxruntime.get_available_providers())


def _decoders() -> dict[str, bool]:
    try:
        import av
    except ImportError:
        return {}
    return {name: name in av.codecs_available for name in DECODERS}


def _lacking(decoders: dict[str, bool]) -> list[SentioError]:
    names = ", ".join(name for name, there in decoders.items() if not there)
    fix = "Run: pip install --force-reinstall --only-binary av av"
    return [InputError(f"This build of PyAV cannot decode {names}.", fix)] if names else []


def _weights() -> tuple[dict[str, str], list[SentioError]]:
    states: dict[str, str] = {}
    problems: list[SentioError] = []
    for name, card in weights.cards().items():
        states[name] = "ok"
        for kind, file in card.files.items():
            if file.url and not weights.is_present(name, kind):
                states[name] = f"not fetched; run: sentio models fetch {name}"
                continue
            try:
                weights.locate(name, kind)
            except WeightsError as error:
                states[name] = "damaged"
                problems.append(error)
    return states, problems


def _state(extra: str, packages: list[str]) -> str:
    missing = [package for package in packages if installed_version(package) is None]
    return f'without {", ".join(missing)}; run: pip install ".[{extra}]"' if missing else "ok"


def doctor(*, json: bool = False) -> int:
    """Show what this installation can do, and how to mend it.

    Shown are versions, decoders, weights and extras; then what is broken, and the command that mends it. The exit code
    is 1 if something is broken; an extra or weights that were never installed are no fault.

    Args:
        json: print JSON.

    Examples:
        sentio doctor
    """
    report = examine()
    print(json_format.dumps(report, indent=2) if json else _text(report))
    return 1 if report["problems"] else 0


def _text(report: dict[str, Any]) -> str:
    hardware = report["machine"]
    lacking = [name for name, there in report["decoders"].items() if not there]
    lines = [
        f"sentio {report['sentio']}, Python {report['python']}, {hardware['system']}",
        f"{hardware['processor']}, {counted(hardware['usable_cores'], 'usable core')}",
        f"ONNX Runtime: {', '.join(report['onnx_providers']) or 'none'}",
        f"decoders: {len(report['decoders']) - len(lacking)} of {len(DECODERS)}",
    ]
    for title in ("dependencies", "weights", "extras"):
        width = max(map(len, report[title]))
        lines += ["", f"{title}:", *(f"  {key:{width}}  {value or 'none'}" for key, value in report[title].items())]
    problems = [f"  {problem['what']}\n    {problem['fix']}" for problem in report["problems"]]
    return "\n".join([*lines, "", "problems:" if problems else "problems: none", *problems])
