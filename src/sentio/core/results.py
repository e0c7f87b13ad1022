"""Result tables: columns with units, a versioned schema, a header that says where every number comes from."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentio.core.counts import counted
from sentio.core.errors import InputError, MissingExtraError, OutputError
from sentio.core.writers import HEADER_KEY, WRITERS, ParquetWriter, atomic_path, write_json

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

FLUSH_ROWS = 4096
"""Rows kept in memory before they go to the writers: minutes of video, a few hundred kB."""


@dataclass(frozen=True)
class Column:
    """One column: ``kind`` is an Arrow type name, ``unit`` is empty for names and plain counts."""

    name: str
    kind: str
    unit: str
    about: str


@dataclass(frozen=True)
class Schema:
    """Named, versioned list of columns; the version rises when a column changes its meaning."""

    name: str
    version: int
    columns: tuple[Column, ...]

    def arrow(self) -> "pa.Schema":
        """The Arrow schema, with units in the fields' metadata."""
        import pyarrow as pa

        return pa.schema(
            pa.field(c.name, pa.type_for_alias(c.kind), metadata={"unit": c.unit, "about": c.about})
            for c in self.columns
        )

    def describe(self, header: dict[str, Any]) -> dict[str, Any]:
        """``header`` with the schema's name and version in front and the columns behind."""
        columns = {c.name: {k: v for k, v in asdict(c).items() if k != "name"} for c in self.columns}
        described = {"schema": self.name, "schema_version": self.version, **header, "columns": columns}
        plain: dict[str, Any] = json.loads(json.dumps(described, allow_nan=False))  # as it will be read back
        return plain


class Table:
    """A finished result table.

    Attributes:
        arrow: the rows as a ``pyarrow.Table``.
        header: provenance: schema, versions, models and their hashes, options, units.
    """

    def __init__(self, arrow: "pa.Table", header: dict[str, Any]) -> None:
        self.arrow = arrow
        self.header = header

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    def __getitem__(self, name: str) -> "np.ndarray[Any, Any]":
        """Column ``name`` as NumPy; a null number is NaN, a null text None."""
        if name not in self.arrow.column_names:
            raise InputError(f"No column {name!r}.", f"There are: {', '.join(self.arrow.column_names)}.")
        values: np.ndarray[Any, Any] = self.arrow[name].to_numpy()
        return values

    def to_pandas(self) -> "pd.DataFrame":
        """The rows as a pandas DataFrame, the header in its ``attrs``; a null number is NaN.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "to_pandas() needs pandas, which is not installed.", "Run: pip install pandas"
            ) from error
        frame = self.arrow.to_pandas()
        frame.attrs.update(self.header)
        return frame

    def __repr__(self) -> str:
        size = f"{counted(len(self), 'row')}, {counted(self.arrow.num_columns, 'column')}"
        return f"<{self.header.get('schema', 'table')}: {size}>"

    @classmethod
    def read(cls, path: Path | str) -> "Table":
        """Open a Parquet result.

        Raises:
            InputError: it is missing, damaged, or no result of this package.
        """
        import pyarrow as pa
        import pyarrow.parquet

        try:
            with pa.memory_map(os.fsencode(path)) as mapped:
                file = pyarrow.parquet.ParquetFile(mapped)
                header = (file.metadata.metadata or {}).get(HEADER_KEY.encode())
                table = file.read()
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"Cannot read the table {path}: {error}.") from error
        if header is None:
            raise InputError(f"{path} is a Parquet file, but no table written by sentio.")
        return cls(table, json.loads(header))

    def write(self, path: Path | str) -> None:
        """Write to ``path`` in the format its suffix names: .parquet, .csv or .jsonl."""
        with open_writers([Path(path)], self.arrow.schema, lambda: self.header) as write:
            for batch in self.arrow.to_batches(max_chunksize=FLUSH_ROWS):
                write(batch)


@contextmanager
def open_writers(
    paths: Iterable[Path], schema: "pa.Schema", header: Callable[[], dict[str, Any]]
) -> Iterator[Callable[["pa.RecordBatch"], None]]:
    """Give a function that writes a record batch to every path; a file appears when all went well, or not at all.

    CSV and JSON Lines have no place for the header: it lies beside them as ``NAME.SUFFIX.header.json``.

    Args:
        paths: files, whose suffixes name the formats.
        schema: of the batches.
        header: called at the end, when all that it tells is known.

    Raises:
        OutputError: unknown suffix, no permission.
        DiskFullError: no space is left.
    """
    paths = list(paths)
    with ExitStack() as stack:
        writers = []
        for path in paths:
            if path.suffix not in WRITERS:
                raise OutputError(f"Unknown table format {path.name!r}.", f"Use one of: {', '.join(WRITERS)}.")
            writer = WRITERS[path.suffix](stack.enter_context(atomic_path(path)), schema)
            stack.callback(writer.close)
            writers.append(writer)

        def write(batch: "pa.RecordBatch") -> None:
            for writer in writers:
                writer.write(batch)

        yield write
        described = header()
        for path, writer in zip(paths, writers, strict=True):
            if isinstance(writer, ParquetWriter):
                writer.describe(json.dumps(described))
            else:
                write_json(path.with_name(path.name + ".header.json"), described)


class RowBuffer:
    """Collects rows column by column and hands them on in batches, so that memory does not grow with length."""

    def __init__(self, schema: "pa.Schema", write: Callable[["pa.RecordBatch"], None]) -> None:
        self._schema = schema
        self._write = write
        self._columns: dict[str, list[Any]] = {name: [] for name in schema.names}
        self._waiting = 0
        self.rows = 0

    def append(self, row: dict[str, Any]) -> None:
        """Add one row; a column that is left out is null."""
        for name, values in self._columns.items():
            values.append(row.get(name))
        self._waiting += 1
        self.rows += 1
        if self._waiting >= FLUSH_ROWS:
            self.flush()

    def fill(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add all rows, and hand on what is waiting at the end."""
        for row in rows:
            self.append(row)
        self.flush()

    def flush(self) -> None:
        """Hand the waiting rows on."""
        import pyarrow as pa

        if self._waiting:
            self._write(pa.RecordBatch.from_pydict(self._columns, schema=self._schema))
            for values in self._columns.values():
                values.clear()
            self._waiting = 0
