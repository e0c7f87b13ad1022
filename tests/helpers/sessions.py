"""Rows that nobody had to be filmed for, and an origin of them that is no file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sentio.affect.analysis.options import Options
from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS
from sentio.affect.media import Info
from sentio.affect.table import AU_COLUMNS, FURTHER_COLUMNS, P_COLUMNS
from sentio.core.results import Schema

THRESHOLDS = [0.5] * len(ACTION_UNITS)


@dataclass
class Session:
    """An `Origin` without a file, unless it is given one."""

    folder: Path
    name: str = "camera"
    path: Path | None = None
    info: Info = field(default_factory=lambda: Info("camera", True, False, rate=25.0, size=(320, 240)))
    options: Options = field(default_factory=lambda: Options(detector="haar"))
    told: dict[str, Any] = field(default_factory=dict)

    def header(self, schema: Schema) -> dict[str, Any]:
        model = {"name": "tests", "thresholds": THRESHOLDS}
        return schema.describe({"source": self.name, "model": model, "media": {}} | self.told)


def scored(time_s: float, person: int | None = 0, *, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """A row with values in all columns that a model fills, random but the same for the same seed."""
    random = np.random.default_rng(seed)
    chances = random.dirichlet(np.ones(len(EXPRESSIONS)))
    row = {"file": "camera", "time_s": time_s, "person": person, "quality": float(random.uniform(0.5, 1))}
    row |= {"valence": float(random.uniform(-1, 1)), "arousal": float(random.uniform(-1, 1))}
    row |= {"expression": EXPRESSIONS[int(chances.argmax())]} | dict(zip(P_COLUMNS, chances.tolist(), strict=True))
    row |= {name: float(random.uniform()) for name in (*AU_COLUMNS, *FURTHER_COLUMNS)}
    return row | changes


def nobody(time_s: float, reason: str = "no face", **changes: Any) -> dict[str, Any]:
    """A row of a frame without a face."""
    return {"file": "camera", "time_s": time_s, "reason": reason} | changes


def random_rows(frames: int, *, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Of no person, one or two in each frame, with gaps, uneven steps and a voice that comes and goes."""
    random = np.random.default_rng(seed)
    time_s, seen = 3.0, random.integers(0, 4, frames)
    for frame in range(frames):
        voice: dict[str, Any] = {}
        if frame % 50 > 10:
            voice = {"speech": float(random.uniform())}
        if frame % 50 > 25:
            voice |= {"voice_valence": -0.3, "voice_arousal": 0.4, "voice_expression": EXPRESSIONS[frame % 3]}
        people: Iterable[int] = {0: (), 1: (0,), 2: (7,), 3: (0, 7)}[int(seen[frame // 4])]
        rows = [scored(time_s, person, seed=frame // 5 + person) for person in people] or [nobody(time_s)]
        if frame % 9 == 0 and people:
            rows[0]["reason"] = "small"
        for row in rows:
            if voice and "person" in row and frame % 50 > 15:
                row["speaking"] = voice["speech"] * float(random.uniform())
            row["modality"] = ("face" if "person" in row else "none") if "voice_expression" not in voice else "both"
        yield from ({**row, "frame": frame, **voice} for row in rows)
        time_s += 0.04 if frame % 7 else 0.12
