"""A person's rest: what it is made of, and that it is taken as told, for files, streams and live."""

import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media import steady, write_media
from sentio.affect.analysis.baseline import FEWEST, SHIFTED, Baseline, Span, parse, rest_of, taken
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.pipeline import analyze
from sentio.affect.analysis.stream import Stream
from sentio.affect.media import open_media
from sentio.affect.results.folder import Analysis
from sentio.core.errors import InputError, RecipeError
from sentio.core.jobs import Job


def row(time_s, person=0, valence=0.2, au=0.5, **more):
    return {"time_s": time_s, "person": person, "valence": valence, "au_4": au, "au_4_intensity": au / 2} | more


def through(baseline, rows):
    return [out for row in rows for out in baseline.push(row)] + baseline.flush()


@pytest.mark.parametrize(
    ("text", "span"),
    [("0:10", Span(0.0, 10.0)), ("2.5:4", Span(2.5, 4.0)), ("8", Span(None, 8.0)), ("rest.mp4", None), ("a:b", None)],
)
def test_what_is_a_stretch(text, span) -> None:
    assert parse(text) == span


@pytest.mark.parametrize("text", ["5:5", "6:5", "0:301", "0", "301"])
def test_no_stretch(text) -> None:
    with pytest.raises(RecipeError, match=r"no stretch between 0 and 300 s"):
        Options(baseline=text)


def test_a_baseline_that_is_nowhere_is_refused_before_work() -> None:
    with pytest.raises(RecipeError, match="neither a stretch of time nor a file"):
        Options(baseline="missing.mp4")


unit = st.floats(0, 1, width=32)


@settings(deadline=None)
@given(st.lists(unit, min_size=2, max_size=9), unit)
def test_what_is_taken_keeps_order_and_range(values, rest) -> None:
    """In [0, 1], 0 at rest and below, 1 stays 1 if there is room, and nothing changes places."""
    out = [taken(value, rest, 0.0) for value in sorted(values)]
    assert out == sorted(out)
    assert all(0 <= value <= 1 for value in out)
    assert taken(rest, rest, 0.0) == 0
    assert rest == 1 or taken(1.0, rest, 0.0) == pytest.approx(1)


@settings(deadline=None)
@given(st.floats(-1, 1), st.floats(-0.99, 0.99))
def test_valence_keeps_its_ends(value, rest) -> None:
    assert [taken(end, rest, -1.0) for end in (-1.0, rest, 1.0)] == pytest.approx([-1, 0, 1])
    assert np.sign(taken(value, rest, -1.0)) == np.sign(value - rest)


def test_rest_is_the_median_of_fit_frames() -> None:
    values = [0.1, 0.9, 0.2, 0.3, 0.25, 0.1]
    rows = [row(k, au=value) for k, value in enumerate(values)]
    rows += [row(9, au=0.99, reason="blurred"), {"time_s": 10, "person": 0}]
    rest = rest_of(rows)
    assert rest["au_4"] == pytest.approx(statistics.median(values))
    assert rest_of(rows[: FEWEST - 1]) is None


def test_of_a_stretch_all_rows_know_the_rest() -> None:
    """Those before its end wait for it; others than the columns told of do not change."""
    rows = [row(k / 10, valence=0.2 if k < 20 else 0.6, arousal=0.3, expression="Anger") for k in range(40)]
    out = through(Baseline(Span(0.5, 1.5)), rows)
    assert [r["time_s"] for r in out] == [r["time_s"] for r in rows]
    assert [r["valence"] for r in out] == pytest.approx([0.0] * 20 + [0.5] * 20)
    assert [r["au_4"] for r in out] == [0.0] * 40
    assert {(r["arousal"], r["expression"]) for r in out} == {(0.3, "Anger")}
    assert [r["valence"] for r in rows][:2] == [0.2, 0.2]  # what was pushed is left alone


def test_rows_wait_for_the_end_of_the_stretch_and_no_longer() -> None:
    baseline = Baseline(Span(0.0, 1.0))
    assert [len(baseline.push(row(k / 10))) for k in range(12)] == [0] * 10 + [11, 1]
    assert baseline.flush() == []


def test_a_file_that_ends_within_the_stretch_keeps_its_rows() -> None:
    assert [r["valence"] for r in through(Baseline(Span(0.0, 9.0)), [row(k) for k in range(6)])] == [0.0] * 6


def test_causal_rows_do_not_wait() -> None:
    baseline = Baseline(Span(0.0, 1.0), causal=True)
    out = [baseline.push(row(k / 10)) for k in range(12)]
    assert [len(rows) for rows in out] == [1] * 12
    assert [rows[0]["valence"] for rows in out] == [None] * 10 + [0.0] * 2


def test_each_person_has_an_own_rest() -> None:
    rows = [row(k / 10, person, valence=rest) for k in range(20) for person, rest in ((0, 0.1), (1, -0.3))]
    rows += [row(2.0, 0, valence=0.55), row(2.0, 1, valence=0.35), row(2.0, 2, valence=0.5)]
    one, other, late = through(Baseline(Span(0.0, 2.0)), rows)[-3:]
    assert (one["valence"], other["valence"]) == pytest.approx((0.5, 0.5))
    assert late["valence"] is None and late["au_4"] is None


def test_the_first_seconds_in_view_are_of_each_person() -> None:
    """The second comes later, and has time of an own; rows are decided at once."""
    baseline = Baseline(Span(None, 1.0))
    first = [baseline.push(row(k / 10)) for k in range(15)]
    assert [rows[0]["valence"] for rows in first] == [None] * 10 + [0.0] * 5
    second = [baseline.push(row(5 + k / 10, person=1))[0]["valence"] for k in range(12)]
    assert second == [None] * 10 + [0.0] * 2
    assert set(baseline.describe()) == {"0", "1"}


def test_rows_of_nobody_pass() -> None:
    nobody = {"time_s": 0.0, "reason": "no face"}
    assert through(Baseline(Span(None, 1.0)), [nobody]) == [nobody]


@pytest.mark.usefixtures("tiny_models")
class TestFiles:
    @pytest.mark.parametrize(
        "chosen", [{"baseline": "0:0.5"}, {"baseline": "0.5"}, {"baseline": "0:0.5", "causal": True}]
    )
    def test_a_stream_gives_what_a_file_gives(self, clips, chosen) -> None:
        options = Options(detector="builtin", model="face", **chosen)
        table = analyze(clips / "turning.mp4", options=options)
        stream = Stream(options)
        with open_media(clips / "turning.mp4") as media:
            rows = [row for frame in media for row in stream.push(frame)] + stream.flush()
        assert len(rows) == len(table)
        values = [np.nan if row.get("valence") is None else np.float32(row["valence"]) for row in rows]
        assert np.array_equal(values, table["valence"], equal_nan=True)
        assert table.header["baseline"] == stream.describe()["baseline"]

    def test_the_table_is_the_plain_one_with_its_rest_taken(self, clips) -> None:
        options = Options(detector="builtin", model="face")
        plain = analyze(clips / "turning.mp4", options=options)
        with_rest = analyze(clips / "turning.mp4", options=replace(options, baseline="0:300"))
        for name in SHIFTED:
            rest = with_rest.header["baseline"]["0"][name]
            own = plain["person"] == 0
            expected = [taken(v, rest, -1.0 if name == "valence" else 0.0) for v in plain[name][own].tolist()]
            assert with_rest[name][own] == pytest.approx(np.array(expected), abs=1e-6)

    def test_a_file_of_the_person_at_rest(self, clips) -> None:
        options = Options(detector="builtin", model="face", baseline=str(clips / "turning.mp4"))
        table = analyze(clips / "turning.mp4", options=options)
        fit = np.array([reason is None for reason in table["reason"]])
        assert np.nanmedian(table["au_12"][fit]) == pytest.approx(0, abs=1e-6)
        assert set(table.header["baseline"]) == {"all"}

    def test_a_result_is_made_anew_with_a_baseline_that_was_changed(self, clips, tmp_path) -> None:
        rest = shutil.copy(clips / "turning.mp4", tmp_path / "rest.mp4")
        options = Options(detector="builtin", model="face", baseline=str(rest))
        analysis = Analysis(tmp_path / "out", options, ("csv",), resume=True)
        job = Job(clips / "turning.mp4", Path("a.sentio"))
        assert [analysis(job).state, analysis(job).state] == ["done", "skipped"]
        rest.write_bytes(write_media(tmp_path / "other.mp4", times=steady(6)).read_bytes())
        with pytest.raises(InputError, match="shows no face"):
            analysis(job)

    def test_a_file_without_a_face_is_no_rest(self, clips, tmp_path) -> None:
        empty = write_media(tmp_path / "empty.mp4", times=steady(6))
        options = Options(detector="builtin", model="face", baseline=str(empty))
        with pytest.raises(InputError, match="shows no face for long enough"):
            analyze(clips / "turning.mp4", options=options)

    def test_a_stream_reads_no_files(self, clips) -> None:
        with pytest.raises(InputError, match="none is read here"):
            Stream(Options(baseline=str(clips / "turning.mp4")))
