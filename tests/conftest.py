"""Fixtures that every test may use."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real faces, voices, clips and clouds beside the checkout; without it the test is skipped."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"needs the data folder {SHARED.name}/data beside the checkout")
    return SHARED
