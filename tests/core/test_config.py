"""Recipes: what goes in comes out, and every mistake is named."""

from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentio.core.config import from_dict, override, read_json, to_dict
from sentio.core.errors import RecipeError


@dataclass(frozen=True)
class Inner:
    width: int = 8
    rate: float = 0.5


@dataclass(frozen=True)
class Outer:
    name: str
    mode: Literal["a", "b"] = "a"
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[float, float] = (0.0, 1.0)
    limit: int | None = None
    inner: Inner = field(default_factory=Inner)
    table: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name is empty")


names = st.text(min_size=1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
outers = st.builds(
    Outer,
    name=names,
    mode=st.sampled_from(["a", "b"]),
    sizes=st.lists(st.integers()).map(tuple),
    pair=st.tuples(numbers, numbers),
    limit=st.none() | st.integers(),
    inner=st.builds(Inner, width=st.integers(), rate=numbers),
    table=st.dictionaries(names, numbers),
)


@given(outers)
def test_round_trip_through_json(tmp_path_factory: pytest.TempPathFactory, outer: Outer) -> None:
    import json

    assert from_dict(Outer, json.loads(json.dumps(to_dict(outer)))) == outer


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "x", "nmae": 1}, r"unknown key 'nmae'[\s\S]*name, mode, sizes"),
        ({}, "name"),
        ({"name": 3}, r"recipe\.name: expected str, found 3"),
        ({"name": "x", "mode": "c"}, r"recipe\.mode: 'c' is not valid[\s\S]*a, b"),
        ({"name": "x", "sizes": [1, "2"]}, r"recipe\.sizes\[1\]: expected int"),
        ({"name": "x", "pair": [1]}, "expected 2 values, found 1"),
        ({"name": "x", "limit": "many"}, r"recipe\.limit: expected int"),
        ({"name": "x", "inner": {"width": True}}, r"recipe\.inner\.width: expected int, found True"),
        ({"name": "x", "inner": {"widht": 2}}, r"recipe\.inner: unknown key 'widht'"),
        ({"name": "x", "table": {"k": "v"}}, r"recipe\.table\.k: expected float"),
        ({"name": ""}, "name is empty"),
        ([], "expected an object"),
    ],
)
def test_mistakes_are_named(values, message) -> None:
    with pytest.raises(RecipeError, match=message):
        from_dict(Outer, values)


def test_override_sets_single_values_and_leaves_the_original() -> None:
    values = {"fit": {"lr": 0.1}, "model": "x"}
    changed = override(values, ["fit.lr=0.01", "fit.sizes=[1,2]", "model=capnet", "new.key=true"])
    assert changed == {"fit": {"lr": 0.01, "sizes": [1, 2]}, "model": "capnet", "new": {"key": True}}
    assert values == {"fit": {"lr": 0.1}, "model": "x"}


@pytest.mark.parametrize("setting", ["fit.lr", "=3", "model.name=3"])
def test_override_refuses_nonsense(setting) -> None:
    with pytest.raises(RecipeError):
        override({"model": "x"}, [setting])


def test_read_names_the_file(tmp_path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"a": ')
    array = tmp_path / "array.json"
    array.write_text("[1]")
    for path in (broken, array, tmp_path / "missing.json"):
        with pytest.raises(RecipeError, match=path.name):
            read_json(path)
