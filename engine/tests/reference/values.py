"""Holds what DuckDB and pyarrow read of the clean files in a folder to the input's values, typed by Python itself."""

import csv
import datetime
import sys
from pathlib import Path

import duckdb
import pyarrow
import pyarrow.json
import pyarrow.parquet

UTC = datetime.timezone.utc


def at_greenwich(text):
    return datetime.datetime.fromisoformat(text).astimezone(UTC)


# Each column: how Python reads its text; its type to DuckDB and to pyarrow.
COLUMNS = {
    "id": (int, "BIGINT", pyarrow.int64()),
    "amount": (float, "DOUBLE", pyarrow.float64()),
    "ok": ({"true": True, "false": False}.__getitem__, "BOOLEAN", pyarrow.bool_()),
    "day": (datetime.date.fromisoformat, "DATE", pyarrow.date32()),
    "clock": (datetime.time.fromisoformat, "TIME", pyarrow.time64("us")),
    "at": (at_greenwich, "TIMESTAMP WITH TIME ZONE", pyarrow.timestamp("us", "UTC")),
    "local": (datetime.datetime.fromisoformat, "TIMESTAMP", pyarrow.timestamp("us")),
    "year": (int, "INTEGER", pyarrow.int32()),
    "month": (str, "VARCHAR", pyarrow.string()),
    "word": (str, "VARCHAR", pyarrow.string()),
}


def typed(name, text):
    return None if text in (None, "") else COLUMNS[name][0](text)


def expected(folder):
    with open(folder / "input.csv", encoding="utf-8", newline="") as file:
        return [tuple(typed(name, row[name]) for name in COLUMNS) for row in csv.DictReader(file)]


def same(found, wanted, what):
    assert len(found) == len(wanted), f"{what}: {len(found)} rows of {len(wanted)}"
    for number, (ours, theirs) in enumerate(zip(found, wanted)):
        assert repr(ours) == repr(theirs), f"{what}, row {number}: {ours} is not {theirs}"


def duck(source):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    types = [(row[0], row[1]) for row in connection.execute(f"DESCRIBE FROM {source}").fetchall()]
    assert types == [(name, kind) for name, (_, kind, _) in COLUMNS.items()], types
    # Without an offset, as DuckDB's Python wants another package for one.
    chosen = ", ".join(f'"{name}"::TIMESTAMP' if name == "at" else f'"{name}"' for name in COLUMNS)
    rows = connection.execute(f"SELECT {chosen} FROM {source}").fetchall()
    place = list(COLUMNS).index("at")
    utc = lambda row: tuple(  # noqa: E731
        value.replace(tzinfo=UTC) if at == place and value else value for at, value in enumerate(row)
    )
    return [utc(row) for row in rows]


def arrow(table):
    schema = pyarrow.schema([(name, kind) for name, (_, _, kind) in COLUMNS.items()])
    assert table.schema.remove_metadata() == schema, table.schema
    utc = lambda value: value.astimezone(UTC) if getattr(value, "tzinfo", None) else value  # noqa: E731
    return [tuple(utc(row[name]) for name in COLUMNS) for row in table.to_pylist()]


def main():
    folder = Path(sys.argv[1])
    wanted = expected(folder)
    files = sorted(folder.glob("*.parquet"))
    assert len(files) == 4, files
    for file in files:
        assert pyarrow.parquet.ParquetFile(file).num_row_groups > 1, file
        same(arrow(pyarrow.parquet.read_table(file)), wanted, f"pyarrow, {file.name}")
        same(duck(f"'{file}'"), wanted, f"duckdb, {file.name}")
    lines = folder / "rows.ndjson"
    # What JSON has no type for is a text there, and cast by whoever reads.
    plain = {"id", "amount", "ok"}
    kinds = ", ".join(f"'{name}': '{kind if name in plain else 'VARCHAR'}'" for name, (_, kind, _) in COLUMNS.items())
    casts = ", ".join(f'"{name}"::{kind} AS "{name}"' for name, (_, kind, _) in COLUMNS.items())
    same(duck(f"(SELECT {casts} FROM read_json('{lines}', columns = {{{kinds}}}))"), wanted, "duckdb, ndjson")
    schema = pyarrow.schema(
        [(name, kind if name in plain else pyarrow.string()) for name, (_, _, kind) in COLUMNS.items()]
    )
    options = pyarrow.json.ParseOptions(explicit_schema=schema)
    table = pyarrow.json.read_json(lines, parse_options=options)
    rows = [
        tuple(row[name] if name in plain else typed(name, row[name]) for name in COLUMNS) for row in table.to_pylist()
    ]
    same(rows, wanted, "pyarrow, ndjson")
    print(f"DuckDB and pyarrow read the input's values of {len(files) + 1} files")


main()
