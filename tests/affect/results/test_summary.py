"""What is said of a whole file, against the same counted naively."""

import math
from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from sentio.affect.labels import ACTION_UNITS
from sentio.affect.results.episodes import Episodes
from sentio.affect.results.summary import Summary
from sessions import nobody, random_rows, scored

HALF = dict.fromkeys(ACTION_UNITS, 0.5)


def summed(rows, thresholds=HALF) -> Summary:
    summary = Summary(thresholds)
    for row in rows:
        summary.push(row)
    summary.flush()
    return summary


def test_lengths_means_and_labels_are_those_of_a_naive_count() -> None:
    rows = list(random_rows(300))
    summary = summed(rows)
    clock = sorted({row["time_s"] for row in rows})
    steps = [later - earlier for earlier, later in pairwise(clock)]
    length = dict(zip(clock, [*steps, steps[-1]], strict=True))
    assert summary.seconds == pytest.approx(sum(length.values()))
    empty = [row for row in rows if "person" not in row]
    assert summary.nobody == {"no face": pytest.approx(sum(length[row["time_s"]] for row in empty))}
    for person, share in summary.persons.items():
        own = [row for row in rows if row.get("person") == person]
        assert share.seconds == pytest.approx(sum(length[row["time_s"]] for row in own))
        unfit = sum(length[row["time_s"]] for row in own if row.get("reason"))
        assert share.unfit == {"small": pytest.approx(unfit)}
        assert share.fit_s == pytest.approx(share.seconds - unfit)
        for column in ("quality", "valence", "arousal"):
            mean = sum(row[column] * length[row["time_s"]] for row in own) / share.seconds
            assert share.means[column] == pytest.approx(mean)
        labels = defaultdict(float)
        for row in own:
            labels[row["expression"]] += length[row["time_s"]]
        assert share.labels == pytest.approx(labels)
        spoken = sum(length[row["time_s"]] for row in own if row.get("speaking", 0) >= 0.5)
        assert share.speaks_s == pytest.approx(spoken) and spoken > 0.1
    assert summary.modalities == Counter(row["modality"] for row in rows)
    heard = {row["time_s"]: row for row in rows if "speech" in row}
    assert summary.voice.seconds == pytest.approx(sum(length[time_s] for time_s in heard))
    speech = sum(row["speech"] * length[time_s] for time_s, row in heard.items()) / summary.voice.seconds
    assert summary.voice.means["speech"] == pytest.approx(speech)
    spoken = sum(length[time_s] for time_s, row in heard.items() if "voice_expression" in row)
    assert sum(summary.voice.labels.values()) == pytest.approx(spoken)


def test_action_units_are_counted_by_their_episodes() -> None:
    rows = list(random_rows(300, seed=1))
    summary, episodes = summed(rows), Episodes(HALF)
    found = [episode for row in rows for episode in episodes.push(row)] + episodes.flush()
    for person, share in summary.persons.items():
        for unit in ACTION_UNITS:
            own = [episode for episode in found if (episode.person, episode.kind) == (person, unit)]
            number, seconds = share.episodes.get(unit, (0, 0.0))
            assert number == len(own)
            assert seconds == pytest.approx(sum(episode.end_s - episode.start_s for episode in own))
    assert any(share.episodes for share in summary.persons.values())
    gaps = [episode for episode in found if episode.person is None and episode.kind == "face"]
    assert [episode for episode in summary.episodes if episode.person is None] == gaps
    assert not summed(rows, {}).persons[0].episodes, "without thresholds nothing counts as seen"


def test_a_single_frame_lasts_as_long_as_one_of_thirty() -> None:
    summary = summed([scored(2.0)])
    assert summary.seconds == summary.persons[0].seconds == pytest.approx(1 / 30)


def test_what_a_model_does_not_tell_has_no_mean() -> None:
    bare = {"person": 0, "quality": 0.5}
    summary = summed([{**bare, "time_s": 0.0}, {**bare, "time_s": 0.1}, nobody(0.2)])
    assert summary.persons[0].speaks_s is None and not summary.modalities
    assert summary.persons[0].means == {"quality": 0.5} and not summary.persons[0].labels
    assert summary.voice.seconds == 0 and not math.isnan(summary.seconds)
    assert summed([]).seconds == 0
