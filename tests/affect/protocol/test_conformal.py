"""Conformal half widths against a naive rule, and by drawing people."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sentio.affect.protocol.conformal import covered, half_width

people = st.lists(st.lists(st.floats(0, 2), min_size=1, max_size=6), min_size=1, max_size=8)


@settings(deadline=None)
@given(people, st.floats(0.05, 0.95))
def test_against_a_naive_search(errors, coverage) -> None:
    """The smallest of all errors below which enough weight lies."""

    def weight(limit):
        return sum(sum(e <= limit for e in own) / len(own) for own in errors) / (len(errors) + 1)

    enough = [e for own in errors for e in own if weight(e) >= coverage - 1e-9]
    found = half_width([np.array(own) for own in errors], coverage)
    assert found == (min(enough) if enough else math.inf)


def test_of_one_frame_a_person_it_is_the_usual_split_conformal_quantile() -> None:
    errors = np.random.default_rng(0).permutation(99) / 100
    k = math.ceil(0.9 * 100)  # of 99 people and a new one
    assert half_width([np.array([e]) for e in errors], 0.9) == np.sort(errors)[k - 1]


def test_it_holds_for_people_who_were_not_there() -> None:
    """Over many draws of 19 people the mean coverage of a twentieth is what was asked for, or a little more."""
    random = np.random.default_rng(1)
    shares = []
    for _ in range(2000):
        spread = random.gamma(2.0, 0.2, size=20)  # some people are harder than others
        frames = [np.abs(random.normal(0, s, size=random.integers(5, 40))) for s in spread]
        shares.append(covered(frames[19:], half_width(frames[:19], 0.9)))
    assert 0.89 <= np.mean(shares) <= 0.96


def test_too_few_people_have_no_bound() -> None:
    assert half_width([np.array([0.1, 0.2])] * 8, 0.9) == math.inf
    assert half_width([np.array([0.1, 0.2])] * 9, 0.9) == 0.2


def test_frames_without_label_do_not_count() -> None:
    nan = math.nan
    assert half_width([np.array([0.1, nan]), np.array([nan])], 0.5) == 0.1
    assert covered([np.array([0.1, nan, 0.5]), np.array([nan])], 0.2) == 0.5
    assert math.isnan(covered([], 0.2))
