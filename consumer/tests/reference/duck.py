"""Reads a catalogue with the statements that docs/catalogue.md gives for DuckDB, and prints the rows of each as JSON."""

import json
import re
import sys

import duckdb

docs, folder = sys.argv[1:]
statements = re.findall(r"```sql duckdb\n(.*?)```", open(docs, encoding="utf-8").read(), re.S)
connection = duckdb.connect()
for statement in statements:
    statement = statement.replace("s3://<OutputBucketName>", folder)
    rows = connection.sql(statement)
    if not statement.startswith("CREATE"):
        print(json.dumps([dict(zip(rows.columns, row)) for row in rows.fetchall()], default=str))
