"""PTS, the text of Leica's scanners: the number of points, then a line for each, x y z intensity red green blue.

Several scans in one file follow each other, each with its own number. Intensities are whole numbers from -2048 to 2047
or what another program has put there; they are kept as they are.
"""

from pathlib import Path

from sentio.core.errors import InputError, OutputError
from sentio.points.io.cloud import AXES, COLOURS, Cloud, Source, from_columns
from sentio.points.io.text import COUNT, guess_names, narrow, read_table

COLOUR = COLOURS[0][:3]
NAMES = {4: (*AXES, "intensity"), 6: (*AXES, *COLOUR), 7: (*AXES, "intensity", *COLOUR)}


def read_pts(data: bytes) -> Cloud:
    """Read the points of all scans of a PTS file."""
    lines = [line for line in data.decode("ascii", errors="replace").splitlines() if line.strip()]
    counts = [number for number, line in enumerate(lines) if len(line.split()) == 1]
    if not counts or counts[0] != 0:
        raise InputError("The first line is not the number of points.", "If the points begin there, name it .xyz.")
    for start, end in zip(counts, [*counts[1:], len(lines)], strict=True):
        announced, present = lines[start].strip(), end - start - 1
        if not COUNT.fullmatch(announced) or int(announced) != present:
            raise InputError(f"The file is damaged: the number of points is {announced[:20]}, present are {present}.")
    rows = [line for line in lines if len(line.split()) > 1]
    if not rows:
        raise InputError("There are no points.")
    table = read_table(rows)
    names = NAMES.get(table.shape[1]) or guess_names(table)
    sample = zip(names, table.T, rows[0].split(), strict=True)
    return from_columns({name: narrow(values, word) for name, values, word in sample}, Source("pts"))


def write_pts(cloud: Cloud, path: Path) -> None:
    """Write one scan.

    Raises:
        OutputError: the cloud has an attribute other than intensity and colours of 8 bits.
    """
    columns = cloud.columns()
    names = [name for name in NAMES[7] if name in columns]
    if extra := [name for name in columns if name not in names and name != "alpha"]:
        raise OutputError(f"pts has no place for the attribute {extra[0]!r}.", "Write a .ply file.")
    with path.open("w", encoding="ascii") as file:
        file.write(f"{len(cloud.points)}\n")
        for row in zip(*(columns[name].tolist() for name in names), strict=True):
            file.write(" ".join(map(repr, row)) + "\n")
