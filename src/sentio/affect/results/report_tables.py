"""The words and tables of a report: what it says without its drawings, as HTML."""

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import fields
from html import escape
from typing import Any

from sentio.affect.analysis.options import Options
from sentio.affect.analysis.rows import BRIDGED
from sentio.affect.analysis.speaking import SPEAKS
from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS
from sentio.affect.media import Info
from sentio.affect.results.origin import Origin
from sentio.affect.results.summary import Share, Summary
from sentio.core.counts import counted

USE = """<p>The scores say <strong>what a viewer would perceive</strong> in these pictures and this voice, not what
somebody feels, wants or thinks. They are no lie detector, no diagnosis, no measure of attention, honesty, suitability
or danger, and they identify nobody. Faces differ with people, culture, age and health; a resting face can be read as
anger or sadness, and a mild smile overlooked. Leave out what is marked as not fit, and ask the people whom you record.
</p>"""

MODALITIES = {"face": "the face alone", "both": "face and voice", "voice": "the voice alone", "none": "neither"}


def facts(summary: Summary, info: Info) -> str:
    """One line about the file."""
    width, height = info.size
    size = f"{width} x {height}, " if width else ""  # of other tools' results it may not be known
    rate = round(info.rate, 2)
    pictures = f"{size}{rate:g} {'frame' if rate == 1 else 'frames'} a second" if info.has_video else "no pictures"
    people = counted(len(summary.persons), "person") if info.has_video else ""
    sound = "with sound" if info.has_audio else "no sound"
    return ", ".join(filter(None, (clock(summary.seconds), pictures, people, sound)))


def person_name(header: Mapping[str, Any], number: int) -> str:
    """What a person was called while recorded, else by the number; not escaped."""
    return (header.get("names") or {}).get(str(number)) or f"person {number}"


def tables(summary: Summary, origin: Origin, header: Mapping[str, Any]) -> str:
    """All sections below the drawing; every name in them is escaped."""
    people = [(person_name(header, number), summary.persons[number]) for number in sorted(summary.persons)]
    sections = {
        "Persons": _persons(people) if people else "<p>No face was found.</p>",
        "Action units": _units(people) if any(share.episodes for _, share in people) else "",
        "Voice": _voice(summary) if summary.voice.seconds else "",
        "Gaps and losses": _gaps(summary, people, header.get("media") or {}),
        "How it was made": _provenance(origin, header),
        "Responsible use": USE,
    }
    return "\n".join(
        f"<section><h2>{title}</h2>\n{content}\n</section>" for title, content in sections.items() if content
    )


def _persons(people: list[tuple[str, Share]]) -> str:
    heads = ["person", "in sight", "face fit", "quality", "valence", "arousal", *EXPRESSIONS]
    told = any(share.speaks_s is not None for _, share in people)
    rows = [
        [
            name,
            clock(share.sight_s),
            percent(share.fit_s, share.sight_s),
            *(_mean(share, column) for column in ("quality", "valence", "arousal")),
            *(_part(share, label) for label in EXPRESSIONS),
            *(["" if share.speaks_s is None else clock(share.speaks_s)] if told else []),
        ]
        for name, share in people
    ]
    about = "Means over time; under each expression the part of the time in which it was the most probable one."
    if told:
        about += f" Speaks: the time in which this is the one who speaks, by a probability of {SPEAKS} or more."
    return _table([*heads, *(["speaks"] if told else [])], rows, about)


def _units(people: list[tuple[str, Share]]) -> str:
    rows = [[name, *(_episodes(share.episodes.get(unit)) for unit in ACTION_UNITS)] for name, share in people]
    about = "How often each was seen for 0.2 s or longer, and for how long in all."
    return _table(["person", *ACTION_UNITS], rows, about)


def _voice(summary: Summary) -> str:
    voice, counts, rows = summary.voice, summary.modalities, summary.modalities.total()
    heads = ["sound", "speech", "valence", "arousal", *EXPRESSIONS]
    means = [_mean(voice, column) for column in ("speech", "voice_valence", "voice_arousal")]
    cells = [clock(voice.seconds), *means, *(_part(voice, label) for label in EXPRESSIONS)]
    about = "Whoever speaks; speech is a probability. Means, and parts of the time in which an expression was read."
    parts = [f"{words} in {percent(count, rows)}" for name, words in MODALITIES.items() if (count := counts[name])]
    if parts:
        about += f" What the rows rest on: {', '.join(parts)}."
    return _table(heads, [cells], about)


def _gaps(summary: Summary, people: list[tuple[str, Share]], media: Mapping[str, Any]) -> str:
    found = [("nobody", reason, seconds) for reason, seconds in summary.nobody.items()]
    found += [(name, reason, seconds) for name, share in people for reason, seconds in share.unfit.items()]
    rows = [[who, reason, clock(seconds), percent(seconds, summary.seconds)] for who, reason, seconds in found]
    about = "Time in which no face is fit to be read, and why."
    if any(reason == BRIDGED for _, reason, _ in found):
        about += " Bridged: the face was lost, and its scores follow from the frames around it."
    heads = ["who", "reason", "time", "of the file"]
    parts = [_table(heads, rows, about, "small")] if rows else ["<p>Every face is fit.</p>"]
    for what, losses in (("Pictures", media.get("damage")), ("Sound", media.get("sound_damage"))):
        if losses:
            parts.append(f"<p>{what} lost or repaired: {escape(str(losses))}.</p>")
    return "\n".join(parts)


def _provenance(origin: Origin, header: Mapping[str, Any]) -> str:
    media = header.get("media") or {}
    models = {key: header.get(key) for key in ("detector", "model", "temporal", "voice")}
    told = {
        "file": origin.name,
        "command": command(origin),
        "sentio": f"{header.get('sentio')}, table {header.get('schema')} version {header.get('schema_version')}",
        **{key: _said(value) for key, value in models.items() if value},
        "options": _said(header.get("options")),
        "media": _said({key: value for key, value in media.items() if not key.endswith(("losses", "damage"))}),
    }
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>\n" for name, value in told.items() if value)
    return f"<dl>\n{items}</dl>"


def command(origin: Origin) -> str:
    """What to type to read the file in the same way again; empty if there is no file."""
    if origin.path is None:
        return ""
    words = ["sentio", "analyze", origin.name]
    for field in fields(Options):
        value = getattr(origin.options, field.name)
        if value != field.default:
            flag = f"--{field.name.replace('_', '-')}"
            words += [flag] if value is True else [flag, str(value)]
    return shlex.join(words)


def _said(value: Any) -> str:
    """A dictionary as text: its entries, and what is nested as JSON."""
    if not isinstance(value, Mapping):
        return "" if value is None else str(value)
    return ", ".join(f"{key}: {item if isinstance(item, str) else json.dumps(item)}" for key, item in value.items())


def _mean(share: Share, column: str) -> str:
    if column not in share.means:
        return ""
    value = share.means[column]
    return f"{value:.2f}" if column in ("quality", "speech") else f"{round(value, 2) + 0.0:+.2f}"


def _part(share: Share, label: str) -> str:
    return percent(share.labels[label], sum(share.labels.values())) if label in share.labels else ""


def _episodes(counted: tuple[int, float] | None) -> str:
    return f"{counted[0]}x, {clock(counted[1])}" if counted else ""


def percent(part: float, whole: float) -> str:
    """A share in whole percent; what is there but less than half of one is not nothing."""
    share = 100 * part / whole if whole else 0.0
    return "< 1 %" if 0 < share < 0.5 else f"{share:.0f} %"


def clock(seconds: float) -> str:
    """A length of time: 12.3 s, 4:05, 1:02:03."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours = f"{whole // 3600}:{whole // 60 % 60:02d}" if whole >= 3600 else f"{whole // 60}"
    return f"{hours}:{whole % 60:02d}"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]], about: str, style: str = "") -> str:
    """Rows with a name in front; wide tables scroll by themselves."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    lines = "".join(f"<tr>{_line(list(row))}</tr>\n" for row in rows)
    body = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}</tbody>"
    return f'<div class="table {style}" tabindex="0"><table><caption>{escape(about)}</caption>\n{body}</table></div>'


def _line(cells: list[str]) -> str:
    return f'<th scope="row">{escape(cells[0])}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in cells[1:])
