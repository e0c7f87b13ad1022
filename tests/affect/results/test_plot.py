"""The picture of a table, read back: well-formed, true to the numbers, grey where there is nothing."""

import base64
from xml.etree import ElementTree

import cv2
import numpy as np
import pyarrow as pa
import pytest

from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS
from sentio.affect.results import plot
from sentio.affect.table import AFFECT, AU_COLUMNS, P_COLUMNS

SVG = "{http://www.w3.org/2000/svg}"


def table(rows: list[dict]) -> pa.Table:
    schema = AFFECT.arrow()
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)


def draw(rows: list[dict], path, **options) -> ElementTree.Element:
    plot.draw(table(rows), path, **options)
    return ElementTree.parse(path).getroot()


def texts(root) -> list[str]:
    return [text.text for text in root.iter(f"{SVG}text")]


def maps(root) -> list[np.ndarray]:
    """Values of each picture (rows, WIDTH), NaN where it lets the grey through."""
    found = []
    for image in root.iter(f"{SVG}image"):
        data = np.frombuffer(base64.b64decode(image.attrib["href"].partition(",")[2]), np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED).astype(float)
        value = (255 - pixels[..., 2]) / (255 - plot.DARK[2])
        found.append(np.where(pixels[..., 3] > 0, value, np.nan))
    return found


def row(moment: float, person: int | None, **scores) -> dict:
    return {"time_s": moment, "person": person, **scores}


def test_maps_hold_the_scores_at_their_times(tmp_path) -> None:
    random = np.random.default_rng(0)
    scores = random.uniform(0, 1, (40, 20))
    rows = []
    for k in range(40):
        here = not 10 <= k < 20
        values = dict(zip((*P_COLUMNS, *AU_COLUMNS), scores[k], strict=True)) if here else {}
        rows.append(row(k / 10, 0 if here else None, quality=0.5 if here else None, valence=0.1, arousal=0, **values))
    ground, quality, classes, units = maps(draw(rows, tmp_path / "a.svg"))
    drawn = np.concatenate([classes, units])
    expected = np.where((np.arange(40) // 10 == 1)[:, None], np.nan, scores).T
    middles = np.arange(12, 1000, 25)
    assert np.allclose(drawn[:, middles], expected, atol=0.01, equal_nan=True)
    assert (np.isnan(quality[0]) == (np.arange(1000) // 250 == 1)).all()
    assert (np.isnan(ground) == np.isnan(quality)).all()


def test_long_tables_are_averaged_by_pixel(tmp_path) -> None:
    values = np.random.default_rng(1).uniform(0, 1, 30_000)
    rows = [row(k / 30, 0, quality=value) for k, value in enumerate(values)]
    quality = maps(draw(rows, tmp_path / "a.svg"))[1][0]
    assert np.allclose(quality, values.reshape(1000, 30).mean(1), atol=0.02)
    assert (tmp_path / "a.svg").stat().st_size < 200_000


def test_curves_break_where_there_is_nobody(tmp_path) -> None:
    rows = [row(float(k), None if k == 2 else 0, valence=None if k == 2 else 0.5, arousal=-1.0) for k in range(4)]
    paths = [path.attrib for path in draw(rows, tmp_path / "a.svg").iter(f"{SVG}path")]
    valence = next(path["d"] for path in paths if path["stroke"] == plot.CURVES["valence"])
    starts = [part.split("h")[0] for part in valence.split("M")[1:]]
    assert [float(start.split()[0]) - plot.LEFT for start in starts] == [0, 750]
    middle = next(path["d"] for path in paths if path["stroke"] == "#999").split()[1].split("h")[0]
    assert float(starts[0].split()[1]) == pytest.approx(float(middle) - plot.CURVE / 4)


def test_the_voice_is_drawn_once_for_all_persons(tmp_path) -> None:
    rows = [row(k / 4, person, speech=k / 8, voice_valence=0.0) for k in range(8) for person in (0, 1)]
    root = draw(rows, tmp_path / "a.svg")
    assert texts(root).count("speech") == 1 and texts(root).count("quality") == 2
    assert [text for text in texts(root) if "person" in text] == [
        "person 0, in 8 of 8 frames",
        "person 1, in 8 of 8 frames",
    ]
    for names in (EXPRESSIONS, ACTION_UNITS):
        assert all(texts(root).count(name) == 2 for name in names)
    assert np.allclose(maps(root)[1][0, 62::125], np.arange(8) / 8, atol=0.01)


def test_crowds_stills_sounds_and_nothing_at_all(tmp_path) -> None:
    crowd = [row(moment, person) for person in range(12) for moment in range(1 if person == 3 else 2)]
    shown = texts(draw(crowd, tmp_path / "a.svg"))
    assert sum(text.startswith("person") for text in shown) == plot.PERSONS
    assert "4 more persons, seen less often: in the table only" in shown
    assert not any(text.startswith("person 3") for text in shown)
    assert "person 0, in 1 of 1 frame" in texts(draw([row(0.0, 0)], tmp_path / "b.svg"))
    sound = texts(draw([row(0.25, None, speech=0.5), row(0.5, None, speech=0.5)], tmp_path / "c.svg"))
    assert "speech" in sound and "no face" in sound
    assert "no face" in texts(draw([], tmp_path / "d.svg"))


def test_titles_are_text_and_nothing_else(tmp_path) -> None:
    root = draw([], tmp_path / "a.svg", title="<b>&\n\x00 ü.mp4")
    assert texts(root)[0].startswith("<b>& ü.mp4: ")


def bands(root) -> list[tuple[float, float, float, str]]:
    """Top, left, width and colour of what is drawn in the colours of classes, from the top."""
    rects = [rect.attrib for rect in root.iter(f"{SVG}rect") if rect.attrib["fill"] in plot.CLASSES.values()]
    return [(float(r["y"]), float(r["x"]) - plot.LEFT, float(r["width"]), r["fill"]) for r in rects]


def test_persons_have_their_names(tmp_path) -> None:
    rows = [row(k / 10, person) for k in range(4) for person in (0, 1)]
    written = texts(draw(rows, tmp_path / "a.svg", names={"1": "<b>Änne</b>\x07\n"}))
    assert {"person 0, in 4 of 4 frames", "<b>Änne</b>, in 4 of 4 frames"} <= set(written)


def test_expressions_are_a_band_in_the_colours_of_their_classes(tmp_path) -> None:
    names = ["Neutral"] * 2 + ["Happiness"] * 4 + [None] * 2 + ["Happiness"] * 2
    rows = [row(k / 5, None if name is None else 0, expression=name) for k, name in enumerate(names)]
    root = draw(rows, tmp_path / "a.svg")
    neutral, happy = plot.CLASSES["Neutral"], plot.CLASSES["Happiness"]
    assert [drawn[1:] for drawn in bands(root)] == [(0, 200, neutral), (200, 400, happy), (800, 200, happy)]
    assert "true" not in texts(root) and texts(root).count("expression") == 1


def test_what_is_true_is_dashed_beside_the_curves_and_a_band_above(tmp_path) -> None:
    """The truth is of the whole clip, the table of every second frame of a part of it."""
    rows = [row(k / 4, 0, valence=0.0, arousal=0.0, expression="Neutral") for k in range(4, 8)]
    moments = np.arange(24) / 8
    truth = pa.table({
        "time_s": moments,
        "valence": pa.array([0.5 if moment < 1.5 else None for moment in moments], pa.float64()),
        "arousal": moments / 10,
        "expression": ["Anger" if moment < 1.5 else "" for moment in moments],
    })  # fmt: skip
    root = draw(rows, tmp_path / "a.svg", truth=truth)
    dashed = [path.attrib for path in root.iter(f"{SVG}path") if "stroke-dasharray" in path.attrib]
    assert [path["stroke"] for path in dashed] == list(plot.CURVES.values())
    middle = float(next(path.attrib["d"] for path in root.iter(f"{SVG}path")).split()[1].split("h")[0])
    valence, arousal = ([float(part.split()[1]) for part in path["d"].split("h1")[:-1]] for path in dashed)
    assert len(valence) == 500 and set(valence) == {middle - plot.CURVE / 4}
    assert len(arousal) == 1000 and arousal[-1] == pytest.approx(middle - 0.175 * plot.CURVE / 2, abs=0.06)
    (above, *true), (below, *read) = bands(root)
    assert "true" in texts(root) and above < below
    assert true == [0, 500, plot.CLASSES["Anger"]] and read == [0, 1000, plot.CLASSES["Neutral"]]
