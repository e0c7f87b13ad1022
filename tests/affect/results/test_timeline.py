"""Rows as bytes: each value comes back, and a row takes few of them."""

import tracemalloc

import numpy as np
import pytest

from sentio.affect.labels import EXPRESSIONS
from sentio.affect.results.timeline import LEVELS, STEPS, VOICE_LEVELS, Timeline, quantise
from sentio.core import results
from sessions import random_rows, scored


def packed(rows) -> Timeline:
    timeline = Timeline()
    for row in rows:
        timeline.push(row)
    timeline.flush()
    return timeline


def restored(byte: int, least: float, greatest: float) -> float | None:
    return least + (byte - 1) / STEPS * (greatest - least) if byte else None


@pytest.mark.parametrize("flush", [1, 3, 4096])
def test_every_value_comes_back(monkeypatch, flush) -> None:
    """However the rows are cut into batches, also amid a frame."""
    monkeypatch.setattr(results, "FLUSH_ROWS", flush)
    rows = list(random_rows(200))
    timeline = packed(rows)
    clock = sorted({row["time_s"] for row in rows})
    assert timeline.times.tolist() == clock
    assert set(timeline.persons) == {0, 7} and set(timeline.reasons) == {"small", "no face"}
    for person, track in timeline.persons.items():
        own = [row for row in rows if row.get("person") == person]
        frames = np.frombuffer(bytes(track.frames), np.uint32)
        assert [clock[frame] for frame in frames] == [row["time_s"] for row in own] and len(track) == len(own)
        for name, levels in LEVELS.items():
            for byte, row in zip(track.columns[name], own, strict=True):
                assert restored(byte, *levels) == pytest.approx(row.get(name), abs=(levels[1] - levels[0]) / 508 + 1e-9)
        labels = [EXPRESSIONS[byte - 1] for byte in track.columns["expression"]]
        assert labels == [row["expression"] for row in own]
        reasons = [timeline.reasons[byte - 1] if byte else None for byte in track.columns["reason"]]
        assert reasons == [row.get("reason") for row in own]
    of_frames = {row["time_s"]: row for row in rows}
    for name, levels in VOICE_LEVELS.items():
        for byte, time_s in zip(timeline.voice.columns[name], clock, strict=True):
            assert restored(byte, *levels) == pytest.approx(of_frames[time_s].get(name), abs=0.004)


def test_the_ends_of_the_range_and_nothing_are_told_apart() -> None:
    values = np.array([-1.0, 0.0, 1.0, np.nan, 1.5, -7.0])
    assert quantise(values, -1, 1).tolist() == [1, 128, 255, 0, 255, 1]


def test_a_file_without_rows() -> None:
    assert packed([]).times.tolist() == [] and not packed([]).persons


def test_memory_grows_by_few_bytes_a_row() -> None:
    timeline, row, sizes = Timeline(), scored(0.0), []
    tracemalloc.start()
    for number in range(3 * 8192):
        timeline.push(row | {"time_s": number / 30})
        if number % 8192 == 8191:
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[2] - sizes[1] < 100 * 8192
