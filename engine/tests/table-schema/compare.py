"""Frictionless on the cases of cases.json: the rows that it finds wrong have to be those that we reject.

usage: compare.py PENSTOCK     (needs frictionless 5)
"""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from frictionless import Resource, Schema, system

CASES = Path(__file__).with_name("cases.json")


def schema_of(case: dict) -> dict:
    fields = [{"name": "id", "type": "any"}, {"name": "x", **case["field"]}]
    return {"fields": fields, **case.get("schema", {})}


def theirs(folder: Path, schema: dict) -> set[int]:
    with system.use_context(trusted=True):
        resource = Resource(path=str(folder / "case.csv"), schema=Schema.from_descriptor(schema), format="csv")
        report = resource.validate()
    errors = report.flatten(["type", "rowNumber", "note"])
    broken = [error for error in errors if error[1] is None]
    if broken or report.errors:
        raise SystemExit(f"frictionless can't use the case: {broken or report.errors}")
    return {row for _, row, _ in errors}


def ours(folder: Path, penstock: str) -> set[int]:
    command = [penstock, "process", "case.csv", "--recipe", "case.yml", "--rejects", "bad.ndjson"]
    told = ["--delimiter", ",", "--quote", '"', "--encoding", "utf-8", "--header-lines", "1", "--comment", "none"]
    subprocess.run([*command, *told, "--preamble-lines", "0"], cwd=folder, check=True, capture_output=True)
    lines = (folder / "bad.ndjson").read_text().splitlines()
    return {json.loads(line)["line"] for line in lines}


def main() -> None:
    penstock = str(Path(sys.argv[1]).resolve())
    cases = json.loads(CASES.read_text())
    different = 0
    for case in cases:
        schema = schema_of(case)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with (folder / "case.csv").open("w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["id", "x"])
                writer.writerows(enumerate(case["values"]))
            (folder / "case.json").write_text(json.dumps(schema))
            (folder / "case.yml").write_text("match: '**'\nschema: case.json\n")
            # The header is the first line, and no value has a line's end in it.
            expected = {at + 2 for at in case["wrong"]}
            found = {"expected": expected, "frictionless": theirs(folder, schema), "penstock": ours(folder, penstock)}
        if len(set(map(frozenset, found.values()))) > 1:
            different += 1
            print(f"{case['name']}: " + ", ".join(f"{who} {sorted(rows)}" for who, rows in found.items()))
    print(f"{len(cases) - different} of {len(cases)} cases: frictionless and penstock find the same rows wrong")
    raise SystemExit(1 if different else 0)


main()
