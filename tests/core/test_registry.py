"""The registry finds systems by reading files, and the house's imports go one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from sentio.core import registry
from sentio.core.errors import RecipeError

SOURCE = Path(registry.__file__).resolve().parents[1]
FORBIDDEN = {
    "core": ("sentio.affect", "sentio.points", "sentio.cli"),
    "affect": ("sentio.points", "sentio.cli"),
    "points": ("sentio.affect", "sentio.cli"),
}


def imported_names(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("domain", FORBIDDEN)
def test_imports_go_one_way(domain) -> None:
    files = list((SOURCE / domain).rglob("*.py"))
    assert files
    for file in files:
        for name in imported_names(file):
            assert not name.startswith(FORBIDDEN[domain]), f"{file} imports {name}"


def test_nothing_imports_a_model_file() -> None:
    for file in SOURCE.rglob("*.py"):
        if file.parent.name != "models":
            for name in imported_names(file):
                assert not name.startswith(registry.MODEL_PACKAGES), f"{file} imports {name}"


def test_every_entry_can_be_built_by_its_name() -> None:
    pytest.importorskip("torch", reason="needs the train extra")
    assert registry.entries()
    for name, entry in registry.entries().items():
        cls = registry.method(name)
        assert cls.name == name
        assert cls.__module__ == entry.module
        assert entry.summary.endswith(".")
        assert isinstance(registry.build(name).config, cls.Config)


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(RecipeError, match="Choose one of: ") as error:
        registry.build("capnte")
    assert all(name in str(error.value) for name in registry.entries())


def test_listing_and_help_need_nothing_heavy() -> None:
    heavy = ["torch", "cv2", "av", "scipy", "pyarrow", "onnxruntime", "transformers", "lightning", "pandas"]
    code = (
        "import sys, sentio\n"
        "assert 'numpy' not in sys.modules, 'numpy'\n"
        "from sentio.core import catalogue\n"
        "assert catalogue.models()\n"
        f"print([name for name in {heavy} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
