"""Episodes against a plain reading of their rule, which sees all of a file at once."""

from collections import Counter
from itertools import chain, groupby

import numpy as np
import pytest

from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS, FRAME_RATE
from sentio.affect.results.episodes import EXPRESSION, FACE, FIT, VOICE, Episode, Episodes, unit_thresholds
from sentio.core.errors import WeightsError

STEP = 1 / 64
"""Times are multiples of it, so that sums of them are exact."""


def read(rows: list[dict], thresholds: dict[str, float] | None = None, shortest_s: float = 0.25) -> list[Episode]:
    episodes = Episodes(thresholds or {}, shortest_s)
    found = [episode for row in rows for episode in episodes.push(row)]
    return found + episodes.flush()


def one(found: list[Episode], kind: str, person: int | None = 0) -> list[tuple[str, float, float]]:
    return [(e.label, e.start_s, e.end_s) for e in found if (e.kind, e.person) == (kind, person)]


def course(labels: str, step: float = 1 / 8) -> list[dict]:
    """A row for every letter: the first letter of an expression, a dash for none, a point for nobody."""
    names = {name[0]: name for name in EXPRESSIONS if name != "Surprise"} | {"-": None}
    return [
        {"time_s": k * step, "reason": "no face"}
        if letter == "."
        else {"time_s": k * step, "person": 0, "expression": names[letter]}
        for k, letter in enumerate(labels)
    ]


def plainly(frames: list[tuple[float, float, str | None, float | None]], shortest_s: float) -> list[tuple]:
    """Episodes of frames (start, end, label, value) that follow one another: label, start, end, mean of the value."""

    def seconds(part):
        return part[-1][1] - part[0][0]

    def most(part):
        share: Counter = Counter()
        for start, end, label, _ in part:
            share[label] += end - start
        return max(share, key=share.get)

    runs = [list(run) for _, run in groupby(frames, key=lambda frame: frame[2])]
    parts = []
    for holds, group in groupby(runs, key=lambda run: seconds(run) >= shortest_s):
        group = list(group)
        parts += group if holds else [list(chain(*group))]
    if len(parts) > 1 and seconds(parts[0]) < shortest_s:
        labels, parts = [parts[1][0][2]], [parts[0] + parts[1], *parts[2:]]
    else:
        labels = [most(parts[0])]
    for part in parts[1:]:
        labels.append(most(part) if seconds(part) >= shortest_s else labels[-1])
    stretches = []
    for label, group in groupby(zip(labels, parts, strict=True), key=lambda pair: pair[0]):
        inside = [frame for _, part in group for frame in part]
        if label is not None:
            known = [(end - start, value) for start, end, _, value in inside if value is not None]
            mean = sum(length * value for length, value in known) / sum(length for length, _ in known)
            stretches.append((label, inside[0][0], inside[-1][1], pytest.approx(mean)))
    return stretches


@pytest.mark.parametrize("seed", range(40))
def test_any_course_is_what_the_rule_says(seed) -> None:
    random = np.random.default_rng(seed)
    count, shortest_s = int(random.integers(1, 150)), STEP * int(random.integers(0, 40))
    times = np.cumsum(random.integers(1, 12, count)) * STEP - 1  # of a variable rate
    ends = np.append(times[1:], times[-1] + (times[-1] - times[-2] if count > 1 else 1 / FRAME_RATE))
    rows, seen = [], {0: [], 1: []}
    states = dict.fromkeys(seen, (True, "Fear", 0.9))
    for start, end in zip(times.tolist(), ends.tolist(), strict=True):
        here = []
        for person, frames in seen.items():
            if random.random() < 0.25:
                states[person] = (random.random() < 0.8, random.choice([None, *EXPRESSIONS[:3]]), random.random())
            present, expression, au = states[person]
            row = {"person": person, "expression": expression, "valence": random.random(), "au_4": au, "quality": 0.5}
            if present:
                here.append({"time_s": start, **row})
            frames.append((start, end, row if present else None))
        rows += here or [{"time_s": start, "reason": "no face"}]
    found = read(rows, {"AU4": 0.5}, shortest_s)
    for person, frames in seen.items():
        for kind, label, column in (
            (EXPRESSION, lambda row: row["expression"], "valence"),
            ("AU4", lambda row: "AU4" if row["au_4"] >= 0.5 else None, "au_4"),
            (FACE, lambda row: FIT, "quality"),
        ):
            course = [(start, end, row and label(row), row and row[column]) for start, end, row in frames]
            got = [e for e in found if (e.kind, e.person) == (kind, person)]
            assert [(e.label, e.start_s, e.end_s, e.means[column]) for e in got] == plainly(course, shortest_s)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("NNNNHHHH", "N4 H4"),
        ("NNNNHNNNN", "N9"),  # what flashes up does not count, and what is lost for a moment goes on
        ("HNNNN", "N5"),
        ("NNNNH", "N5"),
        ("NNNN.NNNN", "N9"),  # nor is it the end when a face is missed once
        ("NNNN..NNNN", "N4 .2 N4"),
        ("..NNNN.....N", ".2 N4 .6"),
        ("N....NNNN", ".5 N4"),
        (".NN", "N3"),
        ("HF", "H2"),  # seen for less than the shortest length
        ("HFHA", "H4"),  # nothing holds
        ("NNNNHAHNNNN", "N4 H3 N4"),  # flicker of its own
        ("NNNNHNNHHHH", "N7 H4"),
        ("----HHHH", "-4 H4"),
    ],
)
def test_what_flickers_has_a_place(labels, expected) -> None:
    found, frame = [], 0
    for part in expected.split():
        length = int(part[1:])
        if part[0] not in ".-":
            found.append((part[0], frame / 8, (frame + length) / 8))
        frame += length
    episodes = one(read(course(labels), shortest_s=0.25), EXPRESSION)
    assert [(label[0], start, end) for label, start, end in episodes] == found


def test_a_lone_frame_has_no_rate() -> None:
    assert one(read(course("H")), EXPRESSION) == [("Happiness", 0, 1 / FRAME_RATE)]


@pytest.mark.parametrize("first", range(6, 36))
def test_rounded_stamps_reach_the_shortest_length(first) -> None:
    """Six frames of thirty a second may be 0.19999999999999996 s."""
    rows = [
        {"time_s": round(k / 30, 6), "person": 0, "expression": "Fear" if first <= k < first + 6 else "Anger"}
        for k in range(first + 13)
    ]
    assert [label for label, *_ in one(read(rows, shortest_s=0.2), EXPRESSION)] == ["Anger", "Fear", "Anger"]


def test_a_last_frame_lasts_as_long_as_the_one_before() -> None:
    rows = [{"time_s": t, "person": 0, "expression": "Fear"} for t in (0.0, 1.0, 4.0)]
    assert one(read(rows), EXPRESSION) == [("Fear", 0.0, 7.0)]


def test_the_voice_is_of_the_file() -> None:
    says = {"voice_expression": "Anger", "voice_valence": -0.5, "voice_arousal": 0.5, "speech": 1.0}
    rows = [{"time_s": k / 4, "reason": "no picture"} | (says if 4 <= k < 8 else {"speech": 0.1}) for k in range(12)]
    found = read(rows)
    assert one(found, VOICE, None) == [("Anger", 1.0, 2.0)]
    assert one(found, FACE, None) == [("no picture", 0.0, 3.0)]
    assert [e.means for e in found if e.kind == VOICE] == [{"voice_valence": -0.5, "voice_arousal": 0.5}]
    crowd = [row | {"person": person, "reason": None} for row in rows for person in (0, 1)]
    assert one(read(crowd), VOICE, None) == [("Anger", 1.0, 2.0)]


def test_reasons_are_stretches_too() -> None:
    rows = [
        {"time_s": k / 4, "person": 3, "reason": "profile" if k >= 4 else None, "quality": k / 10} for k in range(8)
    ]
    found = read(rows)
    assert one(found, FACE, 3) == [(FIT, 0.0, 1.0), ("profile", 1.0, 2.0)]
    assert [e.means["quality"] for e in found] == pytest.approx([0.15, 0.55])


def test_a_threshold_is_reached_at_its_value() -> None:
    rows = [{"time_s": k / 4, "person": 0, "au_12": 0.5, "au_12_intensity": 0.25} for k in range(4)]
    assert one(read(rows, {"AU12": 0.5, "AU4": 0.1}), "AU12") == [("AU12", 0.0, 1.0)]
    assert one(read(rows, {"AU12": 0.5001}), "AU12") == [] == one(read(rows), "AU12")
    means = [e.means for e in read(rows, {"AU12": 0.5}) if e.kind == "AU12"]
    assert means == [{"au_12": 0.5, "au_12_intensity": 0.25}]


def test_thresholds_come_from_the_header() -> None:
    assert unit_thresholds({"model": {"thresholds": [0.1] * 12}}) == dict.fromkeys(ACTION_UNITS, 0.1)
    assert unit_thresholds({"model": None}) == unit_thresholds({"model": {"name": "mine"}}) == unit_thresholds({}) == {}
    both = {"model": {"thresholds": [0.1] * 12}, "temporal": {"thresholds": [0.2] * 12}}
    assert unit_thresholds(both) == dict.fromkeys(ACTION_UNITS, 0.2)
    assert unit_thresholds(both | {"temporal": None}) == dict.fromkeys(ACTION_UNITS, 0.1)
    for wrong in ([0.1] * 3, "many", 0.5, [None] * 12):
        with pytest.raises(WeightsError, match="12 numbers"):
            unit_thresholds({"model": {"thresholds": wrong}})


def test_nothing_comes_of_nothing() -> None:
    assert Episodes({}).flush() == []
