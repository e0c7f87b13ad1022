"""Tracks over time: held to rules that are written out, for frames of any rate, with gaps, one by one."""

from dataclasses import dataclass
from math import nan

import numpy as np
import pytest

import tiny_models
from sentio.affect.analysis.temporal import (
    BRIDGED_S,
    CausalTrack,
    Clock,
    OfflineTrack,
    TemporalModel,
    columns_of,
)
from sentio.affect.heard import ANSWERS
from sentio.core.errors import WeightsError


@dataclass
class Mean:
    """Answers with the mean of a window's faces, and remembers what it was shown."""

    names = ("valence_arousal",)
    length: int = 100
    hop: int = 50
    dim: int = 2
    hears: bool = False

    def __post_init__(self):
        self.shown = []

    def start(self):
        return {}

    def run(self, inputs):
        self.shown.append(inputs)
        valid, features = inputs["valid"][0], inputs["features"][0]
        assert not features[~valid].any()
        mean = features[valid].mean(0)
        return {"valence_arousal": np.tile(mean, (1, len(valid), 1)).astype(np.float32)}


class Last(Mean):
    """Causal: answers with the face, and the number and time of those remembered."""

    length = hop = 0

    def start(self):
        return {"state_count": np.zeros(1), "state_time_s": np.zeros(1)}

    def run(self, inputs):
        said = [inputs["features"][0, 0], inputs["state_count"][0]]
        return {
            "valence_arousal": np.array([said], np.float32),
            "next_count": inputs["state_count"] + 1,
            "next_time_s": inputs["time_s"],
        }


def pushed(track, times, faces):
    """All moments, in order: the face of each frame, (D,), or None."""
    moments = [moment for time_s, face in zip(times, faces, strict=True) for moment in track.push(time_s, face)]
    return moments + track.flush()


def series(count, seed=0):
    return list(np.random.default_rng(seed).normal(size=(count, 2)).astype(np.float32))


@pytest.mark.parametrize(("rate", "start_s"), [(30, 0.0), (30, 1234.5), (25, 0.5), (60, 0.0), (10, 0.0), (29.97, 7.0)])
def test_frames_lie_between_their_slots(rate, start_s) -> None:
    clock = Clock(start_s)
    times = [start_s + k / rate for k in range(200)]
    assert [clock.slot(time_s) for time_s in times] == [int(np.floor(k * 30 / rate + 0.5 + 1e-9)) for k in range(200)]
    assert np.allclose([clock.position(time_s) for time_s in times], np.arange(200) * 30 / rate)


@pytest.mark.parametrize("count", [1, 2, 50, 99, 100, 101, 149, 150, 151, 333])
def test_overlapping_windows_are_averaged_and_the_last_one_ends_with_the_last_face(count) -> None:
    faces = series(count)
    moments = pushed(OfflineTrack(Mean(), 0.0), [k / 30 for k in range(count)], faces)
    sums, number, done = np.zeros((count, 2)), np.zeros(count), 0
    for first in range(0, max(count - 100, 0), 50):  # full windows, known to be so when a frame behind them comes
        sums[first : first + 100] += np.mean(faces[first : first + 100], 0)
        number[first : first + 100] += 1
        done = first + 50
    sums[done:] += np.mean(faces[max(0, count - 100) :], 0)
    number[done:] += 1
    found = np.array([moment.values["valence_arousal"] for moment in moments])
    assert [moment.time_s for moment in moments] == [k / 30 for k in range(count)]
    assert np.allclose(found, sums / number[:, None], atol=1e-6)


def test_a_frame_waits_for_one_window_and_memory_does_not_grow() -> None:
    track, given = OfflineTrack(Mean(), 0.0), 0
    for k, face in enumerate(series(2000)):
        given += len(track.push(k / 30, face))
        assert k + 1 - given <= 101
        assert len(track._faces) <= 201 and len(track._sums) <= 151
    assert given + len(track.flush()) == 2000


@pytest.mark.parametrize("rate", [5, 10, 24, 25, 29.97, 48, 60, 120])
def test_other_rates_see_the_slots_of_thirty_a_second(rate) -> None:
    """A face that moves steadily with time: a model that answers with its own slot is on that line at every rate."""

    class Own(Mean):
        def run(self, inputs):
            self.shown.append(inputs)
            filled = np.flatnonzero(inputs["valid"][0])
            line = np.stack([np.interp(np.arange(100), filled, inputs["features"][0, filled, k]) for k in (0, 1)], -1)
            return {"valence_arousal": line[None].astype(np.float32)}

    times = [3 + k / rate for k in range(int(6 * rate))]
    graph = Own()
    moments = pushed(OfflineTrack(graph, 3.0), times, [np.array([t, -t], np.float32) for t in times])
    found = np.array([moment.values["valence_arousal"] for moment in moments])
    assert len(found) == len(times) and np.abs(found[:, 0] - times).max() <= 0.5 / 30 + 0.5 / rate
    share = np.mean([shown["valid"].mean() for shown in graph.shown[:2]])
    assert share == pytest.approx(min(1, rate / 30), abs=0.02)
    assert all(np.allclose(shown["time_s"][0], np.arange(100) / 30) for shown in graph.shown)


def test_frames_between_two_faces_are_bridged_and_those_behind_the_last_one_are_not() -> None:
    faces = series(150)
    faces[40:70] = faces[120:] = [None] * 30
    moments = pushed(OfflineTrack(Mean(), 0.0), [k / 30 for k in range(150)], faces)
    assert [moment.values is not None for moment in moments] == [True] * 120 + [False] * 30


def test_a_frame_in_a_gap_is_decided_when_the_face_is_back() -> None:
    track = OfflineTrack(Mean(), 0.0)
    for k, face in enumerate(series(50)):
        track.push(k / 30, face)
    for k in range(50, 105):
        assert all(moment.time_s < 50 / 30 for moment in track.push(k / 30, None))
    moments = track.push(105 / 30, series(1)[0]) + track.flush()
    assert all(moment.values is not None for moment in moments) and moments[-1].time_s == 105 / 30


def test_a_causal_track_decides_at_once_and_remembers_slots() -> None:
    track = CausalTrack(Last(), 5.0)
    faces = series(120)
    for k, face in enumerate(faces):  # 60 frames a second
        (moment,) = track.push(5 + k / 60, face)
        face_said, remembered = moment.values["valence_arousal"]
        assert face_said == face[0]
        assert remembered == (1 + k // 2 if k else 0)  # the slots 0, 1, 2, ... begin with the frames 0, 1, 3, 5, ...
    assert track.push(7.0, None)[0].values is None and track.flush() == []


def test_a_window_is_told_the_voice_of_the_faces_that_fill_it() -> None:
    """At 25 frames a second one slot in six is empty; behind a gap of the voice nothing is heard."""
    graph = Mean(hears=True)
    track, faces = OfflineTrack(graph, 0.0), series(75)
    voices = {k: np.full(ANSWERS, k + 1, np.float32) for k in range(75) if not 20 <= k < 40}
    for k, face in enumerate(faces):
        track.push(k / 25, None if k == 50 else face, None if k == 50 else voices.get(k))
    track.flush()
    (shown,) = graph.shown
    assert shown["voice"].shape == (1, 100, ANSWERS) and shown["voice"].dtype == np.float32
    filled = {round(k * 30 / 25 + 1e-9): k for k in range(75) if k in voices and k != 50}
    assert set(np.flatnonzero(shown["heard"][0])) == set(filled)
    assert all((shown["voice"][0, slot] == k + 1).all() for slot, k in filled.items())
    assert not shown["voice"][~shown["heard"]].any() and (shown["valid"] | ~shown["heard"]).all()


def test_a_causal_model_is_told_the_voice_of_each_frame() -> None:
    graph = Last(hears=True)
    seen, track = [], CausalTrack(graph, 0.0)
    run, graph.run = graph.run, lambda inputs: seen.append(inputs) or run(inputs)
    voice = np.arange(ANSWERS, dtype=np.float32)
    for k, face in enumerate(series(4)):
        track.push(k / 30, face, voice if k % 2 else None)
    assert [inputs["heard"].tolist() for inputs in seen] == [[False], [True], [False], [True]]
    assert (seen[1]["voice"] == voice).all() and not seen[2]["voice"].any() and seen[2]["voice"].shape == (1, ANSWERS)
    track = CausalTrack(Last(), 0.0)
    track.push(0.0, series(1)[0], voice)  # what does not hear is told nothing


@pytest.fixture
def tiny(tmp_path):
    return lambda **given: TemporalModel(str(tiny_models.write_temporal(tmp_path, "mine", **given)))


def test_an_exported_model_tells_what_it_is(tiny) -> None:
    offline, causal = tiny().describe(), tiny(causal=True).describe()
    assert (offline["causal"], offline["delay_s"], offline["bridge_s"]) == (False, 3.333, BRIDGED_S)
    assert (causal["causal"], causal["delay_s"], causal["bridge_s"]) == (True, 0.0, 0.0)
    assert offline["thresholds"] == [0.4] * 12 and len(offline["sha256"]) == 64
    assert isinstance(tiny().track(0.0), OfflineTrack) and isinstance(tiny(causal=True).track(0.0), CausalTrack)


def test_answers_are_columns_and_the_expression_the_most_probable(tiny) -> None:
    face = np.random.default_rng(0).normal(size=48).astype(np.float32)
    (moment,) = tiny(causal=True).track(0.0).push(0.0, face)
    columns = columns_of(moment.values)
    assert len(columns) == 2 + 8 + 1 + 12
    best = max((name for name in columns if name.startswith("p_")), key=columns.get)
    assert columns["expression"].lower() == best.removeprefix("p_")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"outputs": ()}, "outputs"),
        ({"details": {}}, "length"),
        ({"details": {"length": 100, "hop": 101}}, "hop"),
        ({"details": {"length": "100", "hop": 50}}, "detail length is '100'"),
        ({"details": {"length": 10**9, "hop": 50}}, "length"),
        ({"details": {"length": 100, "hop": 50, "bridge_s": nan}}, "detail bridge_s is nan"),
        ({"kinds": {}}, "kinds"),
        ({"inputs": ["features"]}, "over time"),
    ],
)
def test_another_kind_of_model_is_refused(tmp_path, monkeypatch, change, what) -> None:
    write = tiny_models._write

    def changed(*given, **named):
        if "inputs" in change:
            given = (*given[:4], {"features": [1, 100, 48]}, given[5])
            return write(*given[:2], [], [], given[4], {"features": [1, 100, 48]}, **named)
        return write(*given, **named | {key: value for key, value in change.items() if key != "outputs"})

    monkeypatch.setattr(tiny_models, "_write", changed)
    given = {"outputs": change["outputs"]} if "outputs" in change else {}
    card = tiny_models.write_temporal(tmp_path, "mine", **given)
    with pytest.raises(WeightsError, match=what):
        TemporalModel(str(card))
