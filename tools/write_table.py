"""Write docs/table.md, the columns of the result tables with units and ranges, from the schemas themselves.

python tools/write_table.py docs/table.md
"""

import argparse
from pathlib import Path

from sentio.affect.table import AFFECT, LANDMARKS
from sentio.core.results import Column, Schema
from sentio.core.writers import write_text

HEAD = """# The table

One row for every decoded frame and person; a frame without a face has one row with a reason. The same columns come from
`sentio analyze`, `sentio live` and `sentio convert`; a column without a value is null (NaN in NumPy and pandas). Every
table has a header with these units, the versions, the models and their hashes: `table.header` in Python,
`affect.csv.header.json` beside a CSV. More about what the columns mean stands
[elsewhere](analyze.md#the-table).
"""
FOOT = """
## Header

| key | what it tells |
|---|---|
| `schema`, `schema_version` | the name of this list of columns; the version rises when a column changes its meaning |
| `source` | the file |
| `sentio`, `options` | the version, and all options of the reading |
| `detector`, `model`, `temporal`, `voice` | what found and scored: name, hash, causal or not, thresholds, `intervals` |
| `media` | what the file holds, and what of it was damaged |
| `baseline` | each person's rest, where one was taken away |
| `converted` | the tool and file, of a table that `sentio convert` made |
| `columns` | kind, unit and meaning of every column |
"""


def page() -> str:
    """The whole page."""
    tables = "".join(
        f"\n## {title}\n\n`{schema.name}`, version {schema.version}\n\n{_rows(schema)}"
        for title, schema in (("`affect.parquet`", AFFECT), ("`landmarks.parquet`", LANDMARKS))
    )
    return HEAD + tables + FOOT


def _rows(schema: Schema) -> str:
    lines = [f"| `{c.name}` | {c.kind} | {c.unit or ''} | {c.about} |" for c in _shortened(schema.columns)]
    return "\n".join(["| column | kind | unit, range | meaning |", "|---|---|---|---|", *lines, ""])


def _shortened(columns: tuple[Column, ...]) -> list[Column]:
    """Of the points, the first of each axis stands for all."""
    return [column for column in columns if not column.name.startswith(("x_", "y_")) or column.name.endswith("_0")]


def main() -> None:
    """The command of the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="Markdown file to write")
    write_text(parser.parse_args().page, page())


if __name__ == "__main__":
    main()
