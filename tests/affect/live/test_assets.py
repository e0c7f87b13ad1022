"""The files of the page of `sentio live`, without a browser."""

import re
from html.parser import HTMLParser
from importlib.resources import files

from sentio.affect.analysis.speaking import SPEAKS
from sentio.affect.results.colours import CLASSES, CURVES, CURVES_ON_DARK, PERSONS

ASSETS = files("sentio") / "assets" / "live"
STYLE = (ASSETS / "live.css").read_text()


class _References(HTMLParser):
    """What an HTML page loads, and what it has within itself that a strict policy forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.forbidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        self.loaded += [str(names[name]) for name in ("src", "href") if name in names]
        self.forbidden += [name for name in names if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in names):
            self.forbidden.append(tag)


def test_colours_are_those_of_the_report() -> None:
    for name, colour in CLASSES.items():
        assert f"--{name.lower()}: {colour};" in STYLE
    for name, colour in CURVES.items():
        assert f"--{name}: light-dark({colour}, {CURVES_ON_DARK[name]});" in STYLE
    assert ", ".join(f'"{colour}"' for colour in PERSONS) in (ASSETS / "colours.js").read_text()


def test_who_speaks_is_told_from_the_same_probability_on() -> None:
    assert f"const SPEAKS = {SPEAKS};" in (ASSETS / "panels.js").read_text()


def test_page_loads_its_own_files_alone() -> None:
    page = _References()
    page.feed((ASSETS / "index.html").read_text())
    assert not page.forbidden
    assert page.loaded
    for path in page.loaded:
        assert ASSETS.joinpath(*path.removeprefix("assets/").split("/")).is_file(), path


def test_modules_import_modules_that_are_there() -> None:
    scripts = [path for path in ASSETS.iterdir() if path.name.endswith(".js")]
    assert len(scripts) > 10
    for script in scripts:
        text = script.read_text()
        for path in re.findall(r'from "\./([^"]+)"', text) + re.findall(r'"assets/([^"]+)"', text):
            assert (ASSETS / path).is_file(), (script.name, path)


def test_uplot_has_its_licence() -> None:
    assert "MIT License" in (ASSETS / "uplot" / "LICENSE").read_text()
