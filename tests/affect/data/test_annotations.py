import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentio.affect.data import annotations
from sentio.affect.labels import ACTION_UNITS, ACTION_UNITS_ABAW1, EXPRESSIONS
from sentio.core.errors import InputError

VA = "valence,arousal"
EXPR = ",".join(EXPRESSIONS)
AU = ",".join(ACTION_UNITS)
nan = np.nan


def write(path, *lines, end="\n"):
    file = path / "video1.txt"
    file.write_text(end.join(lines) + end, newline="")
    return file


def test_valence_arousal(tmp_path):
    values, problems = annotations.read(write(tmp_path, VA, "0.5,-0.25", "-5,-5", "-5.0,0.1", "1,-1"), "va")
    np.testing.assert_array_equal(values, np.float32([[0.5, -0.25], [nan, nan], [nan, nan], [1, -1]]))
    assert problems == []


def test_expression_of_either_edition(tmp_path):
    values, problems = annotations.read(write(tmp_path, EXPR, "0", "7", "-1", "-1.0"), "expr")
    assert values.tolist() == [0, 7, -1, -1] and problems == []
    values, problems = annotations.read(write(tmp_path, EXPR.removesuffix(",Other"), "6", "7"), "expr")
    assert values.tolist() == [6, -1]
    assert problems[0].line == 3 and "integer from 0 to 6" in problems[0].what


def test_action_units(tmp_path):
    row = "0,1,0,0,0,0,1,0,0,0,0,1"
    values, problems = annotations.read(write(tmp_path, AU, row, ",".join(["-1"] * 12), "-1" + row[1:]), "au")
    assert values[0].tolist() == [0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert (values[1] == -1).all() and values[2, 0] == -1 and values[2, 1] == 1 and problems == []


def test_the_eight_action_units_of_abaw1_find_their_places(tmp_path):
    values, problems = annotations.read(write(tmp_path, ",".join(ACTION_UNITS_ABAW1), "1,0,1,0,1,0,1,1"), "au")
    named = dict(zip(ACTION_UNITS, values[0].tolist(), strict=True))
    assert named == {"AU1": 1, "AU2": 0, "AU4": 1, "AU6": 0, "AU12": 1, "AU15": 0, "AU25": 1} | dict.fromkeys(
        ("AU7", "AU10", "AU23", "AU24", "AU26"), -1
    )
    assert problems == []


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("x,0.1", "'x,0.1' is not made of numbers"),
        ("0.1", "1 value, expected 2"),
        ("0.1,0.2,0.3", "3 values, expected 2"),
        ("", "1 value, expected 2"),
        ("nan,0.1", "lie in [-1, 1] or are -5"),
        ("0.1,inf", "lie in [-1, 1] or are -5"),
        ("1.5,0", "lie in [-1, 1] or are -5"),
    ],
)
def test_a_bad_line_is_named_and_the_others_keep_their_frames(tmp_path, bad, message):
    path = write(tmp_path, VA, "0.1,0.1", bad, "0.3,0.3", "0.4,0.4")
    values, [problem] = annotations.read(path, "va")
    np.testing.assert_array_equal(values[:, 0], np.float32([0.1, nan, 0.3, 0.4]))
    assert (problem.path, problem.line, problem.level) == (path, 3, "warning") and message in problem.what


@pytest.mark.parametrize(
    ("task", "lines", "message"),
    [
        ("va", ["arousal,valence", "0,0"], ":1: the header is 'arousal,valence'"),
        ("va", ["0.1,0.2", "0.3,0.4"], ":1: the header is '0.1,0.2'"),
        ("expr", [VA, "0"], "the header is"),
        ("au", [EXPR, "0"], "the header is"),
    ],
)
def test_another_header_is_an_error(tmp_path, task, lines, message):
    with pytest.raises(InputError, match=message):
        annotations.read(write(tmp_path, *lines), task)


def test_empty_missing_and_binary_files_are_errors(tmp_path):
    with pytest.raises(InputError, match="empty"):
        annotations.read(write(tmp_path, ""), "va")
    with pytest.raises(InputError, match="Cannot read"):
        annotations.read(tmp_path / "none.txt", "va")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="Cannot read"):
        annotations.read(tmp_path / "binary.txt", "va")


def test_windows_line_ends_byte_order_mark_and_spaces(tmp_path):
    path = write(tmp_path, "\ufeffvalence, arousal", "0.1, 0.2", " -5,-5 ", end="\r\n")
    values, problems = annotations.read(path, "va")
    np.testing.assert_array_equal(values, np.float32([[0.1, 0.2], [nan, nan]]))
    assert problems == []


def test_a_header_alone_is_a_clip_of_no_frames(tmp_path):
    assert annotations.read(write(tmp_path, AU), "au")[0].shape == (0, 12)


def test_many_bad_lines_are_counted_not_listed(tmp_path):
    _, problems = annotations.read(write(tmp_path, VA, *["x,x"] * 500), "va")
    assert len(problems) == 21 and problems[-1].what == "480 more lines like these"


BAD = ["", "a,b", "0.5", "nan,0"]
PAIR = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(lambda pair: f"{pair[0]!r},{pair[1]!r}")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.just("-5,-5"), st.sampled_from(BAD), PAIR), min_size=1, max_size=19))
def test_every_line_has_its_frame_whatever_the_others_hold(tmp_path_factory, lines):
    lines = [*lines, "0.5,0.5"]
    path = write(tmp_path_factory.mktemp("a"), VA, *lines)
    values, problems = annotations.read(path, "va")
    assert len(values) == len(lines)
    bad = {problem.line for problem in problems}
    for number, (line, value) in enumerate(zip(lines, values, strict=True), start=2):
        if line in BAD:
            assert np.isnan(value).all() and number in bad
        elif line == "-5,-5":
            assert np.isnan(value).all() and number not in bad
        else:
            np.testing.assert_allclose(value, [float(part) for part in line.split(",")], atol=1e-6)
