"""Files that appear whole or not at all, and one class for each table format."""

import base64
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

from sentio.core.counts import counted
from sentio.core.errors import DiskFullError, OutputError

if TYPE_CHECKING:
    import pyarrow as pa


HEADER_KEY = "sentio"
TEMPORARY = ".sentio-"
"""How the names of unfinished files begin; only a killed process leaves any."""
MARK = os.urandom(4).hex()
"""Of this process, in the names of its unfinished files: whoever knows that it is gone may take them away."""
FULL = (errno.ENOSPC, errno.EDQUOT)
LEAST_FREE = 1 << 20
"""Bytes that must be free before work begins: room for the small files that tell how it ended."""


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it is synced and renamed to it, on any failure removed.

    Raises:
        OutputError: the folder cannot be written.
        DiskFullError: no space is left.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"{TEMPORARY}{MARK}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # at the end, for some libraries make the file anew
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if temporary is not None and not temporary.exists() and error.errno not in FULL:
            what, fix = "its unfinished file was taken away", "Let one run at a time write to a folder."
            raise OutputError(f"Cannot write {path}: {what}.", fix) from error
        raise output_error(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def output_error(path: Path, error: OSError) -> OutputError:
    """What the system's refusal to write means for the user."""
    if error.errno in FULL:
        return DiskFullError(f"Cannot write {path}: the disk is full.", "Free some space, then go on.")
    fix = "Check the folder's permissions."
    if isinstance(error, FileExistsError | NotADirectoryError):
        fix = "A file stands where a folder is needed; choose another place."
    return OutputError(f"Cannot write {path}: {error.strerror or error}.", fix)


@contextmanager
def refusals_told(path: Path) -> Iterator[None]:
    """What the system refuses within is told as :func:`output_error` of ``path`` tells it.

    Raises:
        OutputError, DiskFullError: in the place of any OSError.
    """
    try:
        yield
    except OSError as error:
        raise output_error(path, error) from error


def try_folder(folder: Path) -> None:
    """See that files can be written to a folder, which is made if need be, before work is put into them.

    Raises:
        OutputError: they cannot.
        DiskFullError: less than `LEAST_FREE` bytes are free.
    """
    with refusals_told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(prefix=TEMPORARY, dir=folder) as trial:
            trial.write(b"trial")
    if (free := shutil.disk_usage(folder).free) < LEAST_FREE:
        raise DiskFullError(
            f"Only {counted(free, 'byte is', 'bytes are')} free in {folder}.",
            "Free some space or choose another --out.",
        )


def write_text(path: Path | str, text: str) -> None:
    """Write a small text file atomically; bytes of a file name that are no UTF-8 become ``\\udcXX``."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path | str, value: Any) -> None:
    """Write a JSON file atomically, indented, with a final newline."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system lets a folder be opened."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _open(path: Path) -> "pa.NativeFile":
    """Arrow takes a path as text only, and a file name need not be text."""
    import pyarrow as pa

    return pa.OSFile(os.fsencode(path), "wb")


class ParquetWriter:
    """Apache Parquet; the header lies in the file's metadata and in that of the schema."""

    extension: ClassVar[str] = ".parquet"

    def __init__(self, path: Path, schema: "pa.Schema") -> None:
        import pyarrow.parquet

        self._file, self._schema = _open(path), schema
        self._writer = pyarrow.parquet.ParquetWriter(self._file, schema, compression="zstd", store_schema=False)

    def write(self, batch: "pa.RecordBatch") -> None:
        self._writer.write_batch(batch)

    def describe(self, header: str) -> None:
        # Arrow reads its schema from this key. It is written here, for the header is known only at the end.
        schema = self._schema.with_metadata({HEADER_KEY: header}).serialize()
        self._writer.add_key_value_metadata({HEADER_KEY: header, "ARROW:schema": base64.b64encode(schema)})

    def close(self) -> None:
        with self._file:
            self._writer.close()


class CsvWriter:
    """Comma-separated values, plain: one line of names, then the rows; an empty field is a null."""

    extension: ClassVar[str] = ".csv"

    def __init__(self, path: Path, schema: "pa.Schema") -> None:
        import pyarrow.csv

        options = pyarrow.csv.WriteOptions(quoting_style="needed")
        self._file = _open(path)
        self._writer = pyarrow.csv.CSVWriter(self._file, schema, write_options=options)

    def write(self, batch: "pa.RecordBatch") -> None:
        self._writer.write_batch(batch)

    def close(self) -> None:
        with self._file:
            self._writer.close()


class JsonLinesWriter:
    """One JSON object a row; a null field is written as null."""

    extension: ClassVar[str] = ".jsonl"

    def __init__(self, path: Path, schema: "pa.Schema") -> None:
        self._file: IO[str] = path.open("w", encoding="utf-8")

    def write(self, batch: "pa.RecordBatch") -> None:
        for row in batch.to_pylist():
            self._file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

    def close(self) -> None:
        self._file.close()


TableWriter = ParquetWriter | CsvWriter | JsonLinesWriter
WRITERS: dict[str, type[TableWriter]] = {
    writer.extension: writer for writer in (ParquetWriter, CsvWriter, JsonLinesWriter)
}
