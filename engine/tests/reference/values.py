"""Holds what DuckDB and pyarrow read of the clean files in a folder to the input's values, typed by Python itself."""

import csv
import datetime
import sys
from pathlib import Path

import duckdb
import pyarrow
import pyarrow.csv
import pyarrow.dataset
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
    "place": (str, "VARCHAR", pyarrow.string()),
}

# By what the partitions are, and what their readers are told of that.
PARTITIONED = pyarrow.schema([("place", pyarrow.string()), ("year", pyarrow.int32())])
HIVE = "hive_partitioning = true, hive_types = {'place': VARCHAR, 'year': INTEGER}"

# What JSON has a type for.
PLAIN = {"id", "amount", "ok"}


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


def partitions(folder, wanted):
    """What both read of a folder of partitions: rows in any order."""
    kind = folder.name.split("-")[0]
    rows = sorted(wanted, key=repr)
    glob = f"{folder}/*/*/*"
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    casts = ", ".join(f'"{name}"::{kind} AS "{name}"' for name, (_, kind, _) in COLUMNS.items())
    if kind == "parquet":
        source = f"(SELECT {names} FROM read_parquet('{glob}', {HIVE}))"
    elif kind == "csv":
        source = f"(SELECT {casts} FROM read_csv('{glob}', header = true, all_varchar = true, {HIVE}))"
    else:
        inside = [name for name in COLUMNS if name not in PARTITIONED.names]
        kinds = ", ".join(f"'{name}': '{COLUMNS[name][1] if name in PLAIN else 'VARCHAR'}'" for name in inside)
        source = f"(SELECT {casts} FROM read_json('{glob}', columns = {{{kinds}}}, {HIVE}))"
    same(sorted(duck(source), key=repr), rows, f"duckdb, {folder.name}")

    hive = pyarrow.dataset.partitioning(PARTITIONED, flavor="hive")
    if kind == "parquet":
        found = arrow(pyarrow.dataset.dataset(folder, format="parquet", partitioning=hive).to_table(list(COLUMNS)))
    else:
        found = [
            tuple(value if name in PARTITIONED.names or name in plain else typed(name, value) for name, value in row)
            for plain, row in texts(folder, kind, hive)
        ]
    same(sorted(found, key=repr), rows, f"pyarrow, {folder.name}")


def texts(folder, kind, hive):
    """Rows of text as pyarrow reads them, each with the columns that have a type already."""
    plain = PLAIN if kind == "ndjson" else set()
    schema = pyarrow.schema(
        [
            (name, kind if name in plain or name in PARTITIONED.names else pyarrow.string())
            for name, (_, _, kind) in COLUMNS.items()
        ]
    )
    if folder.name not in ("csv-none", "csv-gzip", "ndjson-none"):
        # pyarrow's datasets unpack nothing but gzip, and that of CSV alone.
        folder = unpacked(folder)
    if kind == "csv":
        lines = pyarrow.csv.ParseOptions(newlines_in_values=True)
        read = pyarrow.dataset.CsvFileFormat(parse_options=lines)
    else:
        read = pyarrow.dataset.JsonFileFormat()
    table = pyarrow.dataset.dataset(folder, schema=schema, format=read, partitioning=hive).to_table()
    for row in table.to_pylist():
        yield plain, [(name, row[name]) for name in COLUMNS]


def unpacked(folder):
    to = folder.with_name(f"{folder.name}-unpacked")
    for file in folder.glob("*/*/*"):
        place = to / file.relative_to(folder).with_suffix("")
        place.parent.mkdir(parents=True, exist_ok=True)
        with pyarrow.input_stream(file, compression="detect") as packed:
            place.write_bytes(packed.read())
    return to


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
    kinds = ", ".join(f"'{name}': '{kind if name in PLAIN else 'VARCHAR'}'" for name, (_, kind, _) in COLUMNS.items())
    casts = ", ".join(f'"{name}"::{kind} AS "{name}"' for name, (_, kind, _) in COLUMNS.items())
    same(duck(f"(SELECT {casts} FROM read_json('{lines}', columns = {{{kinds}}}))"), wanted, "duckdb, ndjson")
    schema = pyarrow.schema(
        [(name, kind if name in PLAIN else pyarrow.string()) for name, (_, _, kind) in COLUMNS.items()]
    )
    options = pyarrow.json.ParseOptions(explicit_schema=schema)
    table = pyarrow.json.read_json(lines, parse_options=options)
    rows = [
        tuple(row[name] if name in PLAIN else typed(name, row[name]) for name in COLUMNS) for row in table.to_pylist()
    ]
    same(rows, wanted, "pyarrow, ndjson")
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    for path in folders:
        partitions(path, wanted)
    print(
        f"DuckDB and pyarrow read the input's values of {len(files) + 1} files and {len(folders)} folders of partitions"
    )


main()
