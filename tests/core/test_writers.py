"""Files appear whole or not at all; tables keep values, nulls, units and their header."""

import json
import re
import resource
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from sentio.core.errors import InputError, MissingExtraError, OutputError
from sentio.core.results import FLUSH_ROWS, Column, RowBuffer, Schema, Table, open_writers
from sentio.core.writers import atomic_path, try_folder, write_json

SCHEMA = Schema(
    "test",
    3,
    (
        Column("name", "string", "", "who"),
        Column("count", "int32", "", "how many"),
        Column("time_s", "float64", "s", "when"),
        Column("value", "float32", "", "what"),
    ),
)
ROWS = [
    {"name": 'comma, "quote"\nline', "count": 1, "time_s": 0.1 + 0.2, "value": 0.25},
    {"name": None, "time_s": 1e9 + 1e-6},
    {"name": "日本", "count": -5, "time_s": 2.0, "value": -1.0},
]


def write_rows(paths, rows, header=None) -> None:
    described = SCHEMA.describe(header or {"model": "none"})
    with open_writers(paths, SCHEMA.arrow(), lambda: described) as write:
        buffer = RowBuffer(SCHEMA.arrow(), write)
        for row in rows:
            buffer.append(row)
        buffer.flush()


def test_the_three_formats_hold_the_same_values(tmp_path) -> None:
    paths = [tmp_path / f"t{suffix}" for suffix in (".parquet", ".csv", ".jsonl")]
    write_rows(paths, ROWS)
    expected = [{"name": None, "count": None, "time_s": None, "value": None} | row for row in ROWS]
    assert Table.read(paths[0]).arrow.to_pylist() == expected
    assert [json.loads(line) for line in paths[2].read_text(encoding="utf-8").split("\n")[:-1]] == expected
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    convert = pyarrow.csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
    read = pyarrow.csv.read_csv(paths[1], parse_options=parse, convert_options=convert)
    assert read.to_pylist() == expected


def test_header_and_units_travel_with_every_format(tmp_path) -> None:
    paths = [tmp_path / f"t{suffix}" for suffix in (".parquet", ".csv", ".jsonl")]
    write_rows(paths, ROWS, {"model": "m", "weights": "abc"})
    header = Table.read(paths[0]).header
    assert (header["schema"], header["schema_version"], header["weights"]) == ("test", 3, "abc")
    assert header["columns"]["time_s"] == {"kind": "float64", "unit": "s", "about": "when"}
    for path in paths[1:]:
        assert json.loads(path.with_name(path.name + ".header.json").read_text()) == header
    assert Table.read(paths[0]).arrow.schema.field("time_s").metadata[b"unit"] == b"s"


def test_many_rows_pass_in_batches_and_in_order(tmp_path) -> None:
    path = tmp_path / "t.parquet"
    total = 2 * FLUSH_ROWS + 7
    write_rows([path], ({"count": i} for i in range(total)))
    table = Table.read(path)
    assert len(table) == total
    assert np.array_equal(table["count"], np.arange(total))
    assert np.isnan(table["value"]).all()


def test_table_rewrites_itself_with_its_header(tmp_path) -> None:
    write_rows([tmp_path / "a.parquet"], ROWS)
    table = Table.read(tmp_path / "a.parquet")
    table.write(tmp_path / "b.parquet")
    again = Table.read(tmp_path / "b.parquet")
    assert again.arrow.equals(table.arrow)
    assert again.header == table.header
    with pytest.raises(OutputError, match="xlsx"):
        table.write(tmp_path / "b.xlsx")
    with pytest.raises(InputError, match="No column"):
        table["valance"]


def test_foreign_or_damaged_tables_are_refused(tmp_path) -> None:

    foreign = tmp_path / "foreign.parquet"
    pyarrow.parquet.write_table(pa.table({"a": [1]}), foreign)
    write_rows([tmp_path / "cut.parquet"], ROWS)
    whole = (tmp_path / "cut.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    for name in ("foreign", "cut", "missing"):
        with pytest.raises(InputError, match=name):
            Table.read(tmp_path / f"{name}.parquet")


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path) -> None:
    path = tmp_path / "t.csv"
    write_rows([path], ROWS)
    before = path.read_bytes()
    with pytest.raises(RuntimeError), open_writers([path], SCHEMA.arrow(), dict) as write:
        write(pa.RecordBatch.from_pylist([{}], schema=SCHEMA.arrow()))
        raise RuntimeError
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.csv", "t.csv.header.json"]


def test_an_unfinished_file_that_another_run_takes_away_is_named(tmp_path) -> None:
    with pytest.raises(OutputError, match="one run at a time"), atomic_path(tmp_path / "a.csv") as temporary:
        temporary.unlink()


def test_full_disk_is_a_typed_error_and_leaves_nothing(tmp_path) -> None:
    """A file size limit stands in for a full disk: the write fails in the same way, half-way."""
    code = (
        "import resource, signal, sys; from pathlib import Path; from sentio.core.writers import write_text\n"
        "from sentio.core.errors import OutputError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try: write_text(Path(sys.argv[1]), 'x' * 100_000)\n"
        "except OutputError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "f")], capture_output=True, text=True, check=True)
    assert "Cannot write" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_killed_writer_leaves_the_old_file(tmp_path) -> None:
    path = tmp_path / "f.json"
    write_json(path, {"old": True})
    code = (
        "import os, signal, sys; from sentio.core.writers import atomic_path\n"
        "with atomic_path(sys.argv[1]) as t:\n  t.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)])
    assert done.returncode == -signal.SIGKILL
    assert json.loads(path.read_text()) == {"old": True}


def test_permissions_follow_the_umask(tmp_path) -> None:
    write_json(tmp_path / "f.json", {})
    (tmp_path / "plain").touch()
    assert (tmp_path / "f.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_unwritable_folder_is_a_typed_error(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write"), atomic_path(tmp_path / "file" / "below"):
        pass


def test_memory_of_the_buffer_does_not_grow(tmp_path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_rows([tmp_path / "t.parquet"], ({"count": i} for i in range(200_000)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


def test_a_table_for_pandas_or_a_word_where_it_is_not_installed(tmp_path, monkeypatch) -> None:
    write_rows([tmp_path / "t.parquet"], ROWS)
    table = Table.read(tmp_path / "t.parquet")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pandas", None)
        with pytest.raises(MissingExtraError, match="pandas"):
            table.to_pandas()
    pytest.importorskip("pandas")
    frame = table.to_pandas()
    assert list(frame.columns) == table.arrow.column_names and frame.attrs == table.header


def test_arrow_finds_the_header_in_the_schema_and_the_units_in_its_fields(tmp_path) -> None:
    write_rows([tmp_path / "t.parquet"], ROWS, {"model": "m"})
    schema = pyarrow.parquet.read_table(tmp_path / "t.parquet").schema
    assert json.loads(schema.metadata[b"sentio"])["model"] == "m"
    assert schema.field("time_s").metadata[b"unit"] == b"s"
    assert schema.equals(SCHEMA.arrow())


def test_a_folder_is_tried_before_work(tmp_path) -> None:
    try_folder(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match=f"Cannot write {re.escape(str(folder))}: ") as refused:
            try_folder(folder)
        assert "A file stands where a folder is needed" in str(refused.value)
