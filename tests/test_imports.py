"""The house's imports, by reading every file: one way, no circles, no model file but through the registry."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sentio
from draw_house import imports, modules

SOURCE = Path(sentio.__file__).resolve().parent
ROOMS = ("cli", "affect", "points", "core")
"""A room imports what stands to its right, and itself; ``affect`` and ``points`` never meet."""
MAY = {
    "affect.experiments": {"evaluate", "training", "protocol", "data", "backbones", "synth", "media", "faces"},
    "affect.models": {"method", "evaluate", "training", "protocol", "backbones", "synth", "faces", "losses"},
    "affect.method": {"evaluate", "training", "backbones"},
    "affect.trained": {"analysis", "training", "protocol", "data", "backbones", "faces", "media"},
    "affect.evaluate": {"training", "protocol", "data"},
    "affect.training": {"protocol", "data", "synth", "backbones", "faces"},
    "affect.protocol": {"data"},
    "affect.data": {"backbones", "media"},
    "affect.backbones": set(),
    "affect.losses": set(),
    "affect.synth": {"faces", "media"},
    "affect.live": {"results", "analysis", "faces", "media", "table"},
    "affect.results": {"analysis", "faces", "foreign", "media", "table"},
    "affect.analysis": {"faces", "media", "table"},
    "affect.faces": set(),
    "affect.foreign": set(),
    "affect.media": set(),
    "affect.table": set(),
    "affect.batch": set(),
    "affect.heard": set(),
    "affect.labels": set(),
}
"""What each part of ``affect`` may import besides labels, batch, heard and ``core``: a method evaluates itself, so that
models stand above evaluate."""
SHARED = {"labels", "batch", "heard"}
POINTS = ("experiments", "models", "method", "queries", "training", "evaluate")
"""Parts of ``points``, from above; the rest is below them."""
MODELS = ("sentio.affect.models", "sentio.points.models")
STANDS_ON = {
    "_temporal": {"face", "masked"},
    "offline": {"_temporal", "masked"},
    "causal": {"_temporal"},
    "_audiovisual": {"_temporal", "face", "masked", "softprompt"},
    "offline_av": {"_audiovisual", "offline", "masked"},
    "causal_av": {"_audiovisual", "causal"},
    "multitask": {"_label_sets"},
}
"""Model files that are made of others; all the rest are leaves."""
WITHOUT_TORCH = (
    "sentio",
    "sentio.affect.analysis",
    "sentio.affect.results",
    "sentio.affect.live",
    "sentio.affect.media",
    "sentio.affect.faces",
    "sentio.affect.protocol.readback",
    "sentio.points.upsample",
)


FILES = modules()
IMPORTS = {module: imports(file, FILES) - {module} for module, file in FILES.items()}


def room(module: str) -> str:
    """``affect.data`` for a module of it, ``core`` for all of core."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2]) if parts[:1] == ["affect"] else (parts or ["sentio"])[0]


def pairs() -> list[tuple[str, str]]:
    return [(one, other) for one, found in IMPORTS.items() for other in sorted(found) if other in FILES]


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_nothing_imports_relatively(file) -> None:
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    assert all(node.level == 0 for node in nodes if isinstance(node, ast.ImportFrom))


def test_rooms_are_entered_one_way() -> None:
    for one, other in pairs():
        a, b = one.split(".")[1:2], other.split(".")[1:2]
        if a and b and a[0] in ROOMS and b[0] in ROOMS:
            assert ROOMS.index(a[0]) <= ROOMS.index(b[0]), f"{one} imports {other}"
            assert {a[0], b[0]} != {"affect", "points"}, f"{one} imports {other}"


@pytest.mark.parametrize("part", sorted({room(module) for module in FILES if room(module).startswith("affect.")}))
def test_affect_goes_one_way(part) -> None:
    allowed = MAY[part] | SHARED | {part.removeprefix("affect.")}
    for one, other in pairs():
        if room(one) == part and room(other).startswith("affect."):
            assert room(other).removeprefix("affect.") in allowed, f"{one} imports {other}"


def test_points_go_one_way() -> None:
    def height(module: str) -> int:
        part = module.split(".")[2] if module.count(".") > 1 else ""
        return POINTS.index(part) if part in POINTS else len(POINTS)

    for one, other in pairs():
        if one.startswith("sentio.points.") and other.startswith("sentio.points."):
            assert height(one) <= height(other), f"{one} imports {other}"


def test_nothing_imports_a_model_file() -> None:
    for one, found in IMPORTS.items():
        room_of_models, _, file = one.rpartition(".")
        for other in found:
            others, _, other_file = other.rpartition(".")
            if others in MODELS:
                stands_on = STANDS_ON.get(file, set()) if room_of_models == others else set()
                assert other_file in stands_on, f"{one} imports {other}"


def test_there_are_no_circles() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a circle: {' -> '.join((*path[path.index(module) :], module))}"
        if module not in done:
            for other in sorted(IMPORTS[module] & FILES.keys()):
                visit(other, (*path, module))
            done.add(module)

    for module in FILES:
        visit(module, ())


@pytest.mark.parametrize("start", WITHOUT_TORCH)
def test_inference_names_no_torch(start) -> None:
    """What can be reached from here, by imports that a function may make later."""
    reached, waiting = (
        set(),
        [name for name in FILES if name == start or (name.startswith(start + ".") and start != "sentio")],
    )
    lazy = {"sentio.core.weights"}  # its load() is for training; the registry names model files only by text
    while waiting:
        module = waiting.pop()
        if module in reached:
            continue
        reached.add(module)
        heavy = {name for name in IMPORTS[module] if name.split(".")[0] in ("torch", "lightning", "transformers")}
        assert not heavy, f"{start} reaches {module}, which imports {', '.join(heavy)}"
        if module not in lazy:
            waiting += [name for name in IMPORTS[module] if name in FILES]


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_inference_loads_no_torch(module) -> None:
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
