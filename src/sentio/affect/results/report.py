"""report.html: a page of one file, which opens without a network: its video, its timeline, its summary."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import numpy as np

from sentio.affect.analysis.rows import Row
from sentio.affect.analysis.speaking import SPEAKS
from sentio.affect.labels import EXPRESSIONS, UNITS_BY_NUMBER
from sentio.affect.media import Info
from sentio.affect.results.colours import CLASSES, CURVES, CURVES_ON_DARK
from sentio.affect.results.elan import link
from sentio.affect.results.episodes import Episode, unit_thresholds
from sentio.affect.results.origin import Origin
from sentio.affect.results.report_tables import facts, person_name, tables
from sentio.affect.results.summary import Summary
from sentio.affect.results.timeline import STEPS, Timeline, Track
from sentio.affect.table import AFFECT
from sentio.core.errors import InputError
from sentio.core.writers import atomic_path

PERSONS = 12
"""Persons that are drawn, those seen most often [CHOSEN]; the tables have all."""
EMBEDDED = 100_000_000
"""Bytes of the largest file that a page holds itself [CHOSEN]: browsers take a text of a third more at once."""
PIECE = 3 << 18
"""Bytes that are written at a time; whole groups of three, so that their base64 can be joined."""
TICK_S = 1e-4
"""What times are counted in."""
SCRIPTS = ("data.js", "lanes.js", "timeline.js", "now.js", "page.js")
FOLDER = resources.files("sentio") / "assets/report"


@contextmanager
def write_report(path: Path, origin: Origin) -> Iterator[Callable[[Row], None]]:
    """Give a function that takes the rows in order of time; the page is written at the end.

    Until then a row takes a byte for each value that is drawn, some 40 in all.

    Raises:
        InputError: the video is to be embedded, and too large.
        OutputError: the page cannot be written.
    """
    embedded = _embedded(origin)
    timeline, summary = Timeline(), Summary(unit_thresholds(origin.header(AFFECT)))

    def push(row: Row) -> None:
        timeline.push(row)
        summary.push(row)

    yield push
    timeline.flush()
    summary.flush()
    header = origin.header(AFFECT)
    data = {"media": _media(origin, embedded is not None), **_data(timeline, summary, header, origin.info)}
    words = {"facts": escape(facts(summary, origin.info)), "summary": tables(summary, origin, header)}
    before, after = _page(origin.name, data, words).split("<!--embedded-->")
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(before)
        if embedded is not None:
            with embedded.open("rb") as media:
                while piece := media.read(PIECE):
                    file.write(base64.b64encode(piece).decode())
        file.write(after)


def _embedded(origin: Origin) -> Path | None:
    """The file that the page is to hold, if it can be held.

    Raises:
        InputError: it is too large.
    """
    if not origin.options.embed_video or origin.path is None or not origin.path.is_file():
        return None
    if (size := origin.path.stat().st_size) > EMBEDDED:
        what = f"{origin.path} has {size / 1e6:.0f} MB, and a report holds a video of {EMBEDDED / 1e6:.0f} MB at most."
        raise InputError(what, "Leave out --embed-video: the report then plays the file where it lies.")
    return origin.path


def _media(origin: Origin, embedded: bool) -> dict[str, Any] | None:
    """What is played beside the drawing; None if there is no file to play."""
    if origin.path is None or not origin.path.is_file():
        return None
    info = origin.info
    return {
        "source": None if embedded else quote(link(origin.path, origin.folder).encode(errors="surrogateescape"), "/:"),
        "pictures": info.has_video,
        "kind": ", ".join(filter(None, (info.format.split(",")[0], info.codec, info.audio_codec))),
    }


def _data(timeline: Timeline, summary: Summary, header: Mapping[str, Any], info: Info) -> dict[str, Any]:
    """All that is drawn."""
    times = timeline.times
    start_s = float(times[0]) if len(times) else 0.0
    most = sorted(timeline.persons, key=lambda person: (-len(timeline.persons[person]), person))[:PERSONS]
    heard = any(timeline.voice.columns.get("speech", b""))
    return {
        "begin": info.begin_s,
        "first": info.start_s,
        "start": start_s,
        "end": start_s + summary.seconds,
        "tick": TICK_S,
        "times": _text(np.rint((times - start_s) / TICK_S).astype("<u4").tobytes()),
        "steps": STEPS,
        "expressions": EXPRESSIONS,
        "units": UNITS_BY_NUMBER,
        "reasons": timeline.reasons,
        "speaks": SPEAKS,
        "persons": [
            {
                "number": person,
                "name": person_name(header, person),
                **_track(timeline.persons[person]),
                "episodes": _spans(summary.episodes, person),
                "speaks_s": summary.persons[person].speaks_s,
            }
            for person in sorted(most)
        ],
        "voice": _track(timeline.voice) if heard else None,
        "nobody": [[round(e.start_s, 4), round(e.end_s, 4)] for e in summary.episodes if e.person is None],
        "events": [[event["time_s"], str(event["label"])] for event in header.get("events") or ()],
    }


def _track(track: Track) -> dict[str, Any]:
    """Frames as runs [first, number], since most follow one another."""
    frames = np.frombuffer(bytes(track.frames), np.uint32).astype(np.int64)
    begins = np.flatnonzero(np.diff(frames, prepend=-2) != 1)
    counts = np.diff(begins, append=len(frames))
    runs = np.stack([frames[begins], counts], axis=1).tolist()  # (R, 2)
    return {"runs": runs, "columns": {name: _text(values) for name, values in track.columns.items()}}


def _spans(episodes: list[Episode], person: int) -> dict[str, list[list[float]]]:
    spans: dict[str, list[list[float]]] = {}
    for episode in episodes:
        if episode.person == person:
            spans.setdefault(episode.kind, []).append([round(episode.start_s, 4), round(episode.end_s, 4)])
    return spans


def _text(values: bytes | bytearray) -> str:
    return base64.b64encode(values).decode()


def _page(title: str, data: dict[str, Any], words: dict[str, str]) -> str:
    """The page; scripts and styles are allowed by their hashes alone, so that nothing in a name can be run."""
    style = _colours() + (FOLDER / "page.css").read_text(encoding="utf-8")
    parts = "".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'"use strict";\n{{\n{parts}}}\n'
    policy = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "media-src": "'self' file: blob:",
    }
    template = Template((FOLDER / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title),
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        style=style,
        script=script,
        **words,
        data=json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _colours() -> str:
    """The colours of what is read, as variables of the style."""
    classes = "".join(f"--{name}:{colour};" for name, colour in CLASSES.items())
    light, dark = ("".join(f"--{name}:{colour};" for name, colour in of.items()) for of in (CURVES, CURVES_ON_DARK))
    return f":root{{{classes}{light}}}\n@media (prefers-color-scheme: dark){{:root{{{dark}}}}}\n"
