"""What the rows say is in the picture, where they say it."""

import numpy as np
import pytest

from sentio.affect.labels import ACTION_UNITS
from sentio.affect.results import drawing as drawing_module
from sentio.affect.results.canvas import Canvas, rgb
from sentio.affect.results.colours import PERSONS, WARNING, of_person
from sentio.affect.results.drawing import Drawing, enlargement, unit_of

GREY = 120


@pytest.fixture
def said(monkeypatch) -> list[tuple[str, float, float, str]]:
    """Every text with its place and its colour."""
    found = []
    write = Canvas.text

    def note(self, x, y, text, size, colour, *, align=0.0) -> None:
        found.extend([(text, x, y, colour)] if text else [])
        write(self, x, y, text, size, colour, align=align)

    monkeypatch.setattr(Canvas, "text", note)
    return found


def row(person: int | None = 0, box=(300, 200, 160, 200), **columns) -> dict:
    where = dict(zip(("face_x", "face_y", "face_w", "face_h"), box, strict=True)) if person is not None else {}
    return {"frame": 0, "time_s": 0.0, "person": person, **where, **columns}


def scored(person: int = 0, box=(300, 200, 160, 200), **columns) -> dict:
    scores = {"valence": 0.62, "arousal": -0.31, "expression": "Happiness", "p_happiness": 0.84}
    return row(person, box, **{**scores, "au_6": 0.8, "au_12": 0.97, "au_4": 0.1, **columns})


def draw(*rows, size=(1280, 720), **options) -> np.ndarray:
    picture = np.full((size[1], size[0], 3), GREY, np.uint8)
    drawn = Drawing(**options).draw(picture, rows)
    assert (picture == GREY).all()  # the picture itself is left alone
    return drawn


def near(picture, x, y, colour, within=3) -> bool:
    """Whether some pixel close to a place has a colour."""
    part = picture[max(0, y - within) : y + within + 1, max(0, x - within) : x + within + 1].astype(int)
    return bool((np.abs(part - rgb(colour)).max(-1) < 30).any())


@pytest.mark.parametrize("size", [(1280, 720), (3840, 2160), (320, 240), (1080, 1920), (96, 64), (333, 251)])
def test_the_box_lies_where_the_row_says(size, said):
    box = (0.25 * size[0], 0.3 * size[1], 0.2 * size[0], 0.3 * size[1])
    picture, factor = draw(scored(0, box), size=size), enlargement(*size)
    assert picture.shape == (factor * size[1], factor * size[0], 3)
    left, top, width, height = (factor * value for value in box)
    edges = [(left, top + height / 2), (left + width, top + height / 2), (left + width / 2, top)]
    assert all(near(picture, round(x), round(y), of_person(0)) for x, y in edges)
    assert (picture[round(top + height / 2), round(left + width / 2)] == GREY).all()


def test_everything_that_a_row_says_is_written(said):
    draw(scored())
    texts = [text for text, *_ in said]
    assert texts == [
        "person 0",
        "Happiness",
        "0.84",
        "valence",
        "+0.62",
        "arousal",
        "-0.31",
        "AU6",
        "0.80",
        "AU12",
        "0.97",
    ]


def test_sizes_follow_the_picture():
    assert enlargement(1280, 720) == enlargement(640, 480) == 1
    assert enlargement(320, 240) == 2 and enlargement(64, 48) == 10
    assert unit_of(1280, 720) == 1 and unit_of(3840, 2160) == 3
    assert unit_of(1080, 1920) == pytest.approx(1.8)  # a telephone's picture has the room of its width


def test_bars_are_as_long_as_the_scores():
    def bar(value: float) -> tuple[int, int]:
        picture = draw(scored(valence=value, arousal=0.0)).astype(int)
        blue = np.abs(picture - rgb("#6cb2f0")).max(-1) < 8
        columns = np.flatnonzero(blue[:, 470:].any(0))
        return (int(columns.min()), int(columns.max()) + 1) if len(columns) else (0, 0)

    middle = bar(1.0)[0]
    whole = bar(1.0)[1] - middle
    assert bar(0.5)[1] - middle == pytest.approx(whole / 2, abs=2)
    assert middle - bar(-1.0)[0] == pytest.approx(whole, abs=3)
    assert bar(0.0)[1] - bar(0.0)[0] <= 1


def test_action_units_are_those_beyond_their_thresholds(said):
    units = dict(zip((f"au_{unit[2:]}" for unit in ACTION_UNITS), np.linspace(0.3, 0.8, 12).tolist(), strict=True))
    draw(scored(**units), thresholds={"AU1": 0.2, "AU26": 0.9})
    listed = [text for text, *_ in said if text.startswith("AU")]
    assert listed == ["AU15", "AU23", "AU24", "AU25"]  # the strongest four but AU26, which is below its threshold
    said.clear()
    draw(scored(au_6=0.1, au_12=0.1))
    assert "no action unit" in [text for text, *_ in said]
    said.clear()
    draw(scored(au_6=None, au_12=None, au_4=None))
    assert not [text for text, *_ in said if "AU" in text or "unit" in text]


def test_persons_differ_in_colour_and_have_their_names(said):
    picture = draw(scored(0, (200, 200, 150, 180)), scored(1, (800, 200, 150, 180)), names={1: "Ada"})
    for text, x, y, _ in said:
        if text in ("person 0", "Ada"):
            assert near(picture, round(x) - 12, round(y) - 5, PERSONS[text == "Ada"], 1)  # the chip before the name
    assert {"person 0", "Ada"} <= {text for text, *_ in said}
    assert near(picture, 200, 290, PERSONS[0]) and near(picture, 800, 290, PERSONS[1])
    assert len(set(PERSONS)) == len(PERSONS) and of_person(len(PERSONS)) == PERSONS[0]


def test_a_frame_without_a_face_says_why(said):
    picture = draw(row(None, reason="no face"))
    assert [(text, colour) for text, _, _, colour in said] == [("no face", WARNING)]
    assert (picture[300:, 200:] == GREY).all()


def test_a_doubtful_face_says_why_and_its_box_is_broken(said):
    picture = draw(scored(reason="blurred"))
    assert ("blurred", WARNING) in [(text, colour) for text, _, _, colour in said]
    edge = np.abs(picture[230:370, 300].astype(int) - rgb(of_person(0))).max(-1) < 30
    assert 0.2 < edge.mean() < 0.8


def test_a_face_without_scores_has_a_box_and_a_name(said):
    draw(row())
    assert [text for text, *_ in said] == ["person 0"]


def test_a_person_whose_face_is_bridged_keeps_the_panel(said):
    drawing, picture = Drawing(), np.full((720, 1280, 3), GREY, np.uint8)
    drawing.draw(picture, [scored()])
    before = said[0]
    said.clear()
    drawn = drawing.draw(picture, [scored(box=(None,) * 4, reason="no face, bridged")])
    assert said[0] == before and said[1][0] == "no face, bridged"
    assert not near(drawn, 300, 300, of_person(0), 6)


def test_the_voice_stands_below(said):
    draw(scored(speech=0.97, voice_expression="Anger", voice_valence=-0.5, voice_arousal=0.25))
    below = [text for text, _, y, _ in said if y > 600]
    assert below == ["voice", "Anger", "speech", "0.97", "valence", "-0.50", "arousal", "+0.25"]
    said.clear()
    draw(scored(speech=0.02))
    assert [text for text, _, y, _ in said if y > 600] == ["voice", "silent", "speech", "0.02", "valence", "arousal"]


def test_who_speaks_is_marked_at_the_box_and_in_the_panel(said):
    left, right = (200, 200, 150, 180), (800, 200, 150, 180)
    picture = draw(scored(0, left, speaking=0.49), scored(1, right, speaking=0.5))
    [(_, x, y, _)] = [of for of in said if of[0] == "speaks"]
    [(_, _, line, _)] = [of for of in said if of[0] == "person 1"]
    assert y == line and x > 900, "at the end of the line of the name"
    below = picture[380 + 5 : 380 + 10]  # the mark reaches below the box, whose line does not
    assert not (below[:, 240:310] != GREY).any() and (below[:, 840:910] != GREY).any(-1).any(1).all()
    assert near(picture[:, 840:910], 35, 382, PERSONS[1], 6)
    said.clear()
    draw(*(scored(n, (40 + 200 * n, 100 + 60 * n, 60, 70), speaking=0.9 * (n == 2)) for n in range(6)))
    assert {text for text, *_ in said if "speaks" in text} == {"person 2 speaks: Happiness"}


def test_many_faces_have_a_line_each(said):
    rows = [scored(number, (40 + 200 * number, 100 + 60 * number, 60, 70)) for number in range(6)]
    draw(*rows)
    assert sorted(text for text, *_ in said) == [f"person {number}: Happiness" for number in range(6)]


def test_a_frame_without_rows_is_left_as_it_is():
    assert (draw() == GREY).all()
    assert (drawing_module.Drawing().draw(np.zeros((1, 1, 3), np.uint8), []) == 0).all()
