"""What a training run wrote down while it went."""

import csv
from pathlib import Path

import numpy as np


def logged(run: Path, name: str) -> np.ndarray:
    """The values of one name, such as "train/loss", in the order of their steps."""
    with (run / "logs" / "metrics.csv").open() as file:
        return np.array([float(row["value"]) for row in csv.DictReader(file) if row["name"] == name])
