"""Draw the house: rooms of the package as boxes, imports between them as arrows, from the source alone.

    python tools/draw_house.py docs/architecture.svg

Each room stands above all rooms that it imports. An arrow that follows from two others is left out, so that the
picture stays readable; an arrow that runs upwards, were there one, would be red.
"""

import argparse
import ast
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from sentio.core.writers import write_text

SOURCE = Path(__file__).resolve().parents[1] / "src" / "sentio"
WIDTH, BOX, GAP, ROW, TOP = 1180, (150, 46), 14, 92, 24
LIFTED = ("method", "evaluate", "trained", "training", "queries")
"""Files of a domain that stand above others of it: rooms of their own."""
FOLDED = ("io",)
"""Folders that lean on the files beside them: one room with these."""
FILL = {"core": "#e3e7ee", "affect": "#dbeafe", "points": "#dcfce7", "cli": "#fef3c7"}


@dataclass
class Room:
    """A folder of the package, or the files that lie directly in ``affect`` or ``points``, but for `LIFTED`."""

    name: str
    files: int = 0
    lines: int = 0
    uses: set[str] = field(default_factory=set)


def room_of(module: str) -> str:
    """``sentio.affect.media.audio`` is in ``affect/media``, ``sentio.points.upsample`` in ``points``."""
    parts = module.split(".")[1:]
    if not parts or parts[0] not in ("affect", "points"):
        return parts[0] if parts else "sentio"
    own = len(parts) > 1 and parts[1] not in FOLDED and (parts[1] in LIFTED or SOURCE.joinpath(*parts[:2]).is_dir())
    return "/".join(parts[:2]) if own else parts[0]


def modules() -> dict[str, Path]:
    """All modules of the package by their dotted names."""
    files = {
        ".".join(("sentio", *file.relative_to(SOURCE).with_suffix("").parts)): file for file in SOURCE.rglob("*.py")
    }
    return {name.removesuffix(".__init__"): file for name, file in sorted(files.items())}


def imports(file: Path, known: Collection[str]) -> set[str]:
    """Modules that a file imports anywhere in it, in functions too; ``known`` are those of this package."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else str(node.module) for name in full}
    return found


def rooms() -> dict[str, Room]:
    """All rooms with what they use; ``sentio/__init__`` is the front door and no room."""
    found: dict[str, Room] = {}
    known = modules()
    for module, file in known.items():
        if file.parent == SOURCE:
            continue
        room = found.setdefault(room_of(module), Room(room_of(module)))
        room.files += 1
        room.lines += len(file.read_text(encoding="utf-8").splitlines())
        room.uses |= {room_of(other) for other in imports(file, known) if other in known} - {room.name}
    for room in found.values():
        room.uses &= found.keys()
    return found


def levels(house: dict[str, Room]) -> dict[str, int]:
    """Height of each room: one more than the highest that it uses; a circle ends the search. The door is on top."""
    height: dict[str, int] = {}

    def climb(name: str, above: tuple[str, ...] = ()) -> int:
        if name not in height:
            below = [climb(other, (*above, name)) for other in house[name].uses if other not in above]
            height[name] = 1 + max(below, default=-1)
        return height[name]

    for name in house:
        climb(name)
    height["cli"] = 1 + max(height.values())
    return height


def needed(house: dict[str, Room]) -> set[tuple[str, str]]:
    """Arrows that do not follow from others."""

    def reach(name: str, seen: set[str]) -> set[str]:
        for other in house[name].uses - seen:
            seen.add(other)
            reach(other, seen)
        return seen

    through = {name: set[str]().union(*(reach(o, set()) for o in room.uses)) for name, room in house.items()}
    return {(name, other) for name, room in house.items() for other in room.uses - through[name]}


def draw(house: dict[str, Room]) -> str:
    """The picture as SVG."""
    height = levels(house)
    rows: dict[int, list[str]] = defaultdict(list)
    for name in sorted(house):
        rows[height[name]].append(name)
    top = max(rows)
    place = {}
    for level, names in rows.items():
        span = len(names) * BOX[0] + (len(names) - 1) * GAP
        for column, name in enumerate(names):
            place[name] = ((WIDTH - span) / 2 + column * (BOX[0] + GAP), TOP + (top - level) * ROW)
    arrows = [_arrow(place[a], place[b]) for a, b in sorted(needed(house))]
    boxes = [_box(house[name], *place[name]) for name in sorted(house)]
    size = TOP * 2 + top * ROW + BOX[1]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {size}" font-family="sans-serif">'
    tip = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#64748b"/></marker></defs>'
    )
    return "\n".join([head, tip, f'<rect width="{WIDTH}" height="{size}" fill="white"/>', *arrows, *boxes, "</svg>\n"])


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    x0, y0, x1, y1 = start[0] + BOX[0] / 2, start[1] + BOX[1], end[0] + BOX[0] / 2, end[1]
    colour, bend = ("#64748b", (y1 - y0) / 2) if y1 > y0 else ("#dc2626", 40)
    return (
        f'<path d="M{x0:.0f},{y0:.0f} C{x0:.0f},{y0 + bend:.0f} {x1:.0f},{y1 - bend:.0f} {x1:.0f},{y1 - 2:.0f}" '
        f'fill="none" stroke="{colour}" stroke-width="1.3" marker-end="url(#tip)"/>'
    )


def _box(room: Room, x: float, y: float) -> str:
    fill = FILL[room.name.split("/")[0]]
    middle = x + BOX[0] / 2
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="6" fill="{fill}" stroke="#94a3b8"/>'
        f'<text x="{middle:.0f}" y="{y + 20:.0f}" font-size="14" text-anchor="middle">{escape(room.name)}</text>'
        f'<text x="{middle:.0f}" y="{y + 37:.0f}" font-size="11" text-anchor="middle" fill="#475569">'
        f"{room.files} {'file' if room.files == 1 else 'files'}, {room.lines:,} lines</text>"
    )


def main() -> None:
    """The command of the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, help="SVG file to write")
    write_text(parser.parse_args().picture, draw(rooms()))


if __name__ == "__main__":
    main()
