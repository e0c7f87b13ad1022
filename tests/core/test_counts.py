import pytest

from sentio.core.counts import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1200, "1,200 files"), (-1, "-1 files")]
)
def test_a_noun_agrees_with_its_number(number, text) -> None:
    assert counted(number, "file") == text


def test_an_irregular_plural_is_given() -> None:
    assert [counted(number, "vertex", "vertices") for number in (1, 2)] == ["1 vertex", "2 vertices"]
