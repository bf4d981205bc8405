#!/usr/bin/env python3
"""Scores `penstock process` on Pollock, a benchmark of CSV files with one fault each (Vitagliano et al., VLDB 2023).

    pollock.py DIR [PENSTOCK]

DIR is a copy of the benchmark's repository: its polluted files, their clean versions, the parameters that say how each
is written, its weights, and its own code, which does the scoring. Nothing of it is kept here. Each file is processed
four times: told its dialect or not, by the default policies, which set bad rows aside, or by those that mend them.
"""

import collections
import concurrent.futures
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MEASURES = [f"{part} {measure}" for part in ("header", "record", "cell") for measure in ("precision", "recall", "f1")]

# As the benchmark's own README gives them: simple and weighted.
PUBLISHED = {
    "DuckDB 1.2, told": (9.961, 9.599),
    "SQLite 3.39.0": (9.955, 9.375),
    "UniVocity 2.9.1": (9.939, 7.936),
    "Pandas 1.4.3": (9.895, 9.431),
    "Python csv 3.10.5": (9.721, 9.436),
    "CleverCSV 0.7.4": (9.193, 9.453),
    "DuckDB 1.2, finding it itself": (9.075, 8.439),
}

MENDING = ["--ragged", "pad,truncate-empty", "--stray-quotes", "repair"]

WAYS = {
    "Penstock, told": (True, []),
    "Penstock, told, mending": (True, MENDING),
    "Penstock, finding it itself": (False, []),
    "Penstock, finding it itself, mending": (False, MENDING),
}


def flags(parameters):
    """What the benchmark's parameters say, as flags. An escape that is the quote means doubled quotes."""
    quote = parameters["quotechar"] or '"'
    escape = {"": "none", quote: "doubled"}.get(parameters["escapechar"], parameters["escapechar"])
    return [
        "--delimiter", parameters["delimiter"] or ",",
        "--quote", quote,
        "--escape", escape,
        "--encoding", parameters["encoding"],
        "--header-lines", str(parameters["header_lines"]),
        "--preamble-lines", str(parameters["preamble_lines"]),
    ]


def load(penstock, benchmark, name, way, output):
    """Processes one file. A failure is written down as the benchmark wants it."""
    told, policies = WAYS[way]
    parameters = json.loads((benchmark / f"polluted_files/parameters/{name}_parameters.json").read_text())
    source = benchmark / "polluted_files/csv" / name
    command = [penstock, "process", source, "-o", output, "--json", *policies, *(flags(parameters) if told else [])]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode != 0:
        output.write_text(f"Application Error\n{ran.stderr}")
        return
    dialect = json.loads(ran.stdout)["dialect"]
    if dialect and not dialect["header"]:
        # Names that were made are no part of the file; its clean version has none.
        lines = output.read_text().split("\n", 1)
        output.write_text(lines[1] if len(lines) > 1 else "")


def evaluate(penstock, benchmark, way, name):
    """The ten measures of one file."""
    metrics = scoring(benchmark)
    clean = benchmark / "polluted_files/clean" / name
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output.csv"
        load(penstock, benchmark, name, way, output)
        success = metrics.successful_csv(output)
        measured = metrics.header_record_cell_measures_csv(clean, output) if success else [0] * len(MEASURES)
    return name, [float(success), *map(float, measured)]


@functools.cache
def scoring(benchmark):
    """The benchmark's own code; what a cell is worth is asked once for each value."""
    sys.path.insert(0, str(benchmark))
    from pollock import metrics

    metrics.normalize_cell = functools.cache(metrics.normalize_cell)
    return metrics


def score(penstock, benchmark, way, names, weights):
    """Prints which files lose points, and returns the simple and the weighted score."""
    with concurrent.futures.ProcessPoolExecutor() as pool:
        measured = dict(pool.map(functools.partial(evaluate, penstock, benchmark, way), names, chunksize=32))
    points = {name: sum(values) for name, values in measured.items()}
    simple = sum(points.values()) / len(points)
    weighted = sum(points[name] * weights[name] for name in names) / sum(weights[name] for name in names)
    print(f"\n{way}: {simple:.3f} simple, {weighted:.3f} weighted. What files of each kind lose, the most first:")
    lost = collections.defaultdict(list)
    for name, reached in points.items():
        if reached < 9.9995:
            lost[kind(name)].append((10 - reached, name))
    for of_kind in sorted(lost.values(), key=lambda losses: -sum(loss for loss, _ in losses)):
        total, (worst, name) = sum(loss for loss, _ in of_kind), max(of_kind)
        parts = [part for part, value in zip(["success", *MEASURES], measured[name]) if value < 0.9995]
        print(f"  {total:8.3f} in {len(of_kind):4} files; {worst:.3f} in {name} ({', '.join(parts)})")
    return simple, weighted


def kind(name):
    """A file's kind: its name without the place of the fault."""
    return "row_" + name.split("_")[1] + name.split("_")[2][:5] if name.startswith("row_") else name


def main():
    benchmark = Path(sys.argv[1]).resolve()
    penstock = os.path.abspath(sys.argv[2] if len(sys.argv) > 2 else "target/release/penstock")
    weights = json.loads((benchmark / "pollock_weights.json").read_text())
    names = sorted(name for name in os.listdir(benchmark / "polluted_files/csv") if name in weights)
    if len(names) != len(weights):
        print(f"{len(names)} of the benchmark's {len(weights)} files are there", file=sys.stderr)
    ours = {way: score(penstock, benchmark, way, names, weights) for way in WAYS}
    print(f"\n{'':40} simple  weighted")
    for system, (simple, weighted) in sorted({**PUBLISHED, **ours}.items(), key=lambda row: -row[1][0]):
        print(f"{system:40} {simple:6.3f}  {weighted:8.3f}")


if __name__ == "__main__":
    main()
