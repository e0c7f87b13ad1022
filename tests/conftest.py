"""What every test relies on: one thread, known random numbers, the clips here and the data beside the checkout."""

import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest

# Before anything imports torch, and for the processes that tests start. Two workers on two cores need no more, and sums
# are added up in the same order on every machine. Whoever sets it keeps it: the tests hold with any number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

CLIPS = Path(__file__).parent / "clips"
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_runtest_setup() -> None:
    """Every test and the fixtures made for it begin with the same random numbers, in whatever order tests run."""
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):  # not part of the small installation
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def clips() -> Path:
    """Folder of rendered people; its README says what they do."""
    return CLIPS


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real faces, voices, clips and clouds beside the checkout; without it the test is skipped."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"needs the data folder {SHARED.name}/data beside the checkout")
    return SHARED
