"""The registry finds systems by reading files."""

import subprocess
import sys

import pytest

from sentio.core import registry
from sentio.core.errors import RecipeError


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
