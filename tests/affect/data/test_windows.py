import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentio.affect.data.windows import Windows, latest

CAPNET = Windows(length=10, step=10, search=9)
masks = st.lists(st.booleans(), min_size=1, max_size=160).map(lambda bits: np.array(bits, bool))


def capnet_by_loop(present, labelled):
    """The rule as it is told, frame by frame."""
    found = {}
    for i in range(90, len(present)):
        entries = []
        for index in range(i - 90, i + 1, 10):
            candidates = [index - back for back in range(10) if index - back >= 0 and present[index - back]]
            entries.append(candidates[0] if candidates else None)
        if None not in entries and labelled[i]:
            found[i] = entries
    return found


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 260), st.sampled_from([0.0, 0.02, 0.3, 0.8]))
def test_capnet_sequences_equal_a_naive_loop(seed, frames, missing):
    rng = np.random.default_rng(seed)
    present, labelled = rng.random(frames) >= missing, rng.random(frames) < 0.9
    anchors = CAPNET.select(present, labelled)
    sources = CAPNET.sources(CAPNET.entries(anchors), CAPNET.lookup(present))
    assert dict(zip(anchors.tolist(), sources.tolist(), strict=True)) == capnet_by_loop(present, labelled)


def test_the_entries_before_the_current_one_end_a_third_of_a_second_earlier():
    entries = CAPNET.entries(np.array([200]))[0]
    assert entries.tolist() == [110, 120, 130, 140, 150, 160, 170, 180, 190, 200]
    for seconds, n in ((1, 3), (2, 6), (3, 9)):
        seen = entries[9 - n : 9]
        assert seen[-1] == 190 and len(seen) == 3 * seconds
    assert CAPNET.targets(np.array([200])).tolist() == [[200]]


def test_a_gap_of_nine_frames_is_bridged_and_one_of_ten_is_not():
    present = np.ones(101, bool)
    present[2:11] = False  # nine: entry 10 of anchor 100 is frame 1
    assert CAPNET.sources(CAPNET.entries(np.array([100])), CAPNET.lookup(present))[0, 0] == 1
    present[1] = False
    assert 100 not in CAPNET.select(present)


@given(masks, st.integers(0, 12))
def test_latest_equals_a_naive_loop(present, search):
    expected = []
    for k in range(len(present)):
        found = [j for j in range(k, max(k - search, 0) - 1, -1) if present[j]]
        expected.append(found[0] if found else -1)
    assert latest(present, search).tolist() == expected


@given(masks.filter(any))
def test_repeat_equals_a_naive_loop(present):
    where = np.flatnonzero(present)
    expected = [max([j for j in where if j <= k], default=where[0]) for k in range(len(present))]
    assert Windows(padding="repeat").lookup(present).tolist() == expected


def test_padding_of_a_beginning():
    present = np.ones(5, bool)
    present[2] = False
    start = np.array([1])
    for padding, expected in (("mask", [-1, -1, 0, 1]), ("repeat", [0, 0, 0, 1])):
        windows = Windows(length=4, padding=padding)
        assert windows.sources(windows.entries(start), windows.lookup(present)).tolist() == [expected]
    assert Windows(length=4, padding="drop").select(present).tolist() == []
    assert Windows(length=4, padding="mask").select(present).tolist() == [0, 1, 2, 3, 4]
    gap = Windows(length=2, padding="repeat")
    assert gap.sources(gap.entries(np.array([3])), gap.lookup(present)).tolist() == [[1, 3]]


def test_a_window_without_a_face_is_kept_where_its_sound_suffices():
    present, heard = np.arange(12) < 4, (np.arange(12) >= 6) & (np.arange(12) < 9)
    rule = Windows(length=2, hop=2, answers="all", padding="mask")
    assert rule.select(present).tolist() == [0, 2]
    assert rule.select(present, heard=heard).tolist() == [0, 2, 6, 8]
    assert rule.select(present, np.arange(12) == 9, heard).tolist() == [8]
    assert rule.select(present, heard=np.zeros(12, bool)).tolist() == [0, 2]
    strict = Windows(length=2, hop=2, answers="all", padding="drop")
    assert strict.select(present, heard=heard).tolist() == [0, 2]
    before = Windows(length=3, answers="newest", padding="mask")  # what lies outside the clip is not heard
    assert before.select(np.zeros(3, bool), heard=np.array([True, False, False])).tolist() == [0, 1, 2]
    assert before.select(np.zeros(3, bool), heard=np.array([False, False, True])).tolist() == [2]


def test_repeat_never_takes_a_later_frame_once_there_was_one():
    present = np.array([0, 1, 0, 0, 1, 0], bool)
    windows = Windows(length=1, padding="repeat")
    assert windows.sources(windows.entries(np.arange(6)), windows.lookup(present))[:, 0].tolist() == [1, 1, 1, 1, 4, 4]


def test_a_middle_answer_sees_as_much_future_as_past():
    windows = Windows(length=5, step=2, answers="middle", padding="mask")
    assert windows.entries(np.array([10])).tolist() == [[6, 8, 10, 12, 14]]
    assert windows.anchors(3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("frames", [1, 5, 60, 61, 90, 137])
@pytest.mark.parametrize("hop", [1, 30, 60])
def test_windows_that_answer_all_cover_the_clip(frames, hop):
    windows = Windows(length=60, hop=hop, answers="all", padding="mask")
    anchors = windows.anchors(frames)
    targets = windows.targets(anchors)
    inside = targets[(targets >= 0) & (targets < frames)]
    assert set(inside.tolist()) == set(range(frames))
    if frames >= 60:
        assert targets.max() == frames - 1
    assert len(set(anchors.tolist())) == len(anchors)


def test_windows_without_a_label_or_any_crop_are_left_out():
    present, labelled = np.ones(6, bool), np.array([1, 0, 1, 1, 0, 0], bool)
    assert Windows().select(present, labelled).tolist() == [0, 2, 3]
    windows = Windows(length=2, hop=2, answers="all", padding="mask")
    assert windows.select(present, labelled).tolist() == [0, 2]
    assert windows.select(np.zeros(6, bool)).tolist() == []
    long = Windows(length=9, answers="all", padding="mask")  # longer than the clip: its end has no label to lend
    assert long.select(present, np.zeros(6, bool)).tolist() == []


@pytest.mark.parametrize("wrong", [{"length": 0}, {"step": 0}, {"hop": 0}, {"search": -1}])
def test_impossible_rules_are_refused(wrong):
    with pytest.raises(ValueError, match="windows"):
        Windows(**wrong)


def test_an_empty_clip_has_no_windows():
    for answers in ("newest", "middle", "all"):
        assert len(Windows(answers=answers).select(np.zeros(0, bool), np.zeros(0, bool))) == 0
