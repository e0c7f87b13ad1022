"""Text as surveyors, spreadsheets and scanners write it."""

from pathlib import Path

import numpy as np
import pytest

from sentio.core.errors import InputError, OutputError
from sentio.points.io import Cloud, read_cloud, write_cloud

WANTED = np.array([[412345.5, 2.25, -1.0], [412346.0, 3.5, 0.125]])

DECIMAL_COMMAS = {
    "semicolons": "412345,5;2,25;-1,0\n412346;3,5;0,125\n",
    "spaces": "412345,5 2,25 -1,0\n412346 3,5 0,125\n",
    "tabs": "412345,5\t2,25\t-1,0\n412346\t3,5\t0,125\n",
    "names": "x;y;z\n412345,5;2,25;-1,0\n412346;3,5;1,25E-1\n",
    "later lines": "412345,5;2,25;-1\n412346,0;3,5;0,125\n",
}


@pytest.mark.parametrize("name", DECIMAL_COMMAS)
def test_decimal_commas_are_read_where_they_are_plain(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(DECIMAL_COMMAS[name])
    cloud = read_cloud(tmp_path / "a.csv")
    np.testing.assert_array_equal(cloud.points, WANTED)
    assert cloud.source.notes == ("Numbers have decimal commas.",)


def test_commas_that_delimit_stay(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1, 2, 3\n4,5,6\n")
    cloud = read_cloud(tmp_path / "a.csv")
    np.testing.assert_array_equal(cloud.points, [[1, 2, 3], [4, 5, 6]])
    assert cloud.source.notes == ()


BAD = {
    "between commas": ("412345,50,2,05,1,00\n412346,00,3,50,0,12\n", "seem to have decimal commas"),
    "half as many names": ("x,y,z\n412345,5,2,5,1,1\n412346,1,3,5,4,1\n", "seem to have decimal commas"),
    "thousands": ("412.345,5;2,25;-1\n412.346,0;3,5;1\n", "both points and commas"),
    "grid": ("ncols 3\nnrows 2\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2 3\n4 5 6\n", "Esri grid"),
    "text": ("a label 1 2 3\na label 4 5 6\n", "No line begins with three numbers"),
    "short": ("4\n1 2 3\n4 5 6\n", "4 points announced, 2 present"),
    "longer": ("1 2 3\n4 5 6 7\n", "columns changed from 3 to 4 at row 2.$"),
    "endless count": ("9" * 5000 + "\n1 2 3\n", "no table of numbers"),
    "endless field": ("a" * 200_000 + ",b\n", "cannot be taken apart"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named(name: str, tmp_path: Path) -> None:
    text, reason = BAD[name]
    (tmp_path / "a.asc").write_text(text)
    with pytest.raises(InputError, match=reason):
        read_cloud(tmp_path / "a.asc")


ASC = {
    "CloudCompare": "//X Y Z R G B\n2\n1 2 3 9 8 7\n4 5 6 6 5 4\n",
    "scanner": "# Cyclone\n# 2024-05-01 points\n1 2 3 9 8 7\n4 5 6 6 5 4\n",
    "free text": "Survey of 3 May 2024\nfor the town hall\n\n1 2 3 9 8 7\n4 5 6 6 5 4\n",
    "a digit that is none": "\u00b2\n1 2 3 9 8 7\n4 5 6 6 5 4\n",
    "units": "X[m],Y[m],Z[m],Red,Green,Blue\n1,2,3,9,8,7\n4,5,6,6,5,4\n",
    "surveyor": "Northing\tEasting\tElevation\tR\tG\tB\n2\t1\t3\t9\t8\t7\n5\t4\t6\t6\t5\t4\n",
}


@pytest.mark.parametrize("name", ASC)
def test_headers_of_asc(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.asc").write_text(ASC[name], encoding="utf-8")
    cloud = read_cloud(tmp_path / "a.asc")
    np.testing.assert_array_equal(cloud.points, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(cloud.attributes["colour"], [[9, 8, 7], [6, 5, 4]])


PTS = {
    "points": ("2\n1 2 3\n4 5 6\n", {}),
    "intensity": ("2\r\n1.5 2 3 -1907\r\n4 5 6 2047\r\n", {"intensity": [-1907, 2047]}),
    "colours": ("2\n1 2 3 9 8 7\n4 5 6 6 5 4\n", {"colour": [[9, 8, 7], [6, 5, 4]]}),
    "all": ("2 \n1 2 3 -9 9 8 7\n4 5 6 8 6 5 4\n", {"intensity": [-9, 8], "colour": [[9, 8, 7], [6, 5, 4]]}),
    "two scans": ("1\n1 2 3 0.25\n1\n4 5 6 0.5\n", {"intensity": [0.25, 0.5]}),
}


@pytest.mark.parametrize("name", PTS)
def test_pts(name: str, tmp_path: Path) -> None:
    text, attributes = PTS[name]
    (tmp_path / "a.pts").write_text(text, newline="")
    cloud = read_cloud(tmp_path / "a.pts")
    np.testing.assert_array_equal(cloud.points[1], [4, 5, 6])
    assert set(cloud.attributes) == set(attributes)
    for key, values in attributes.items():
        np.testing.assert_array_equal(cloud.attributes[key], values)
    write_cloud(cloud, tmp_path / "b.pts")
    again = read_cloud(tmp_path / "b.pts")
    np.testing.assert_array_equal(again.points, cloud.points)
    for key, values in cloud.attributes.items():
        np.testing.assert_array_equal(again.attributes[key], values)
        assert again.attributes[key].dtype == values.dtype


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 2 3\n4 5 6\n", "not the number of points"),
        ("3\n1 2 3\n4 5 6\n", "the number of points is 3, present are 2"),
        ("1\n1 2 3\n4 5 6\n", "the number of points is 1, present are 2"),
        ("0\n", "no points"),
        ("2\n1 2 3\n4 5\n", "no table"),
        ("9" * 20 + "\n1 2 3\n", "9{20}, present are 1"),
        ("9" * 5000 + "\n1 2 3\n", "9{20}, present are 1"),
        ("2\n1 2\n3 4\n", "A line holds 2 values"),
    ],
)
def test_a_pts_that_is_none(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.pts").write_text(text)
    with pytest.raises(InputError, match=reason):
        read_cloud(tmp_path / "a.pts")


def test_pts_has_no_place_for_more(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no place for the attribute 'nx'"):
        write_cloud(Cloud(np.eye(3), {"normals": np.eye(3)}), tmp_path / "a.pts")
