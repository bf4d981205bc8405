"""CPU: file to file beside other programs, and S3 to S3 beside a bare copy."""

import functools
from dataclasses import dataclass
from pathlib import Path

from measure import MIB, Run, interleave, measure
from report import Table, Target, of_rounds
from tools import BENCH, Binaries, Failed

GB = 1e9

# Lambda on arm64, us-east-1: dollars for a GB-second, and the MB that come with a whole vCPU.
DOLLARS_GB_SECOND = 0.0000133334
VCPU_MB = 1769

PRICE = (
    "$ per TB = CPU seconds per GB × 1000 × 1769 / 1024 × $0.0000133334: Lambda's arm64 price for a "
    "GB-second, with 1,769 MB, which is one vCPU. It supposes a function that is busy all the time on a "
    "vCPU as fast as a core here."
)

POLARS = """
import sys, polars
polars.scan_csv(sys.argv[1], infer_schema=False).sink_csv(sys.argv[2])
"""

DUCKDB = """
import sys, duckdb
source, target = (path.replace("'", "''") for path in sys.argv[1:])
duckdb.sql(f"COPY (SELECT * FROM read_csv('{source}', all_varchar=true)) TO '{target}' (HEADER)")
"""

PYTHON = """
import csv, gzip, sys
source, target = sys.argv[1:]
opened = gzip.open if source.endswith(".gz") else open
text = {"encoding": "utf-8", "newline": ""}
with opened(source, "rt", **text) as lines, open(target, "w", **text) as out:
    csv.writer(out, lineterminator="\\n").writerows(csv.reader(lines))
"""


@dataclass
class Input:
    """The file that is read, and what must be in it."""

    plain: Path
    gzipped: Path
    text_bytes: int
    lines: int


def dollars_per_tb(cpu_per_gb: float) -> str:
    return f"{cpu_per_gb * 1000 * VCPU_MB / 1024 * DOLLARS_GB_SECOND:.3f}"


def count_lines(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(MIB), b""))


def generate(loadtest: Path, size: str, say) -> Input:
    """The file, plain and as one gzip member: made once, kept under target/bench."""
    paths = [BENCH / f"trips-{size}.csv", BENCH / f"trips-{size}.csv.gz"]
    for path, compression in zip(paths, ("none", "gzip"), strict=True):
        if path.exists():
            continue
        say(f"generating {path.name}")
        unfinished = path.with_suffix(".unfinished")
        command = [loadtest, "rows", "--size", size, "--compression", compression]
        try:
            with open(unfinished, "wb") as file:
                run = measure(command, stdout=file)
            if run.error:
                raise Failed(f"generate {path.name}: {run.error}")
            unfinished.rename(path)
        finally:
            unfinished.unlink(missing_ok=True)
    return Input(*paths, text_bytes=paths[0].stat().st_size, lines=count_lines(paths[0]))


def files(binaries: Binaries, xan: Path, python: Path, given: Input, rounds: int, say) -> tuple[list, list]:
    """File to file, plain and gzipped; what is written is plain, so that all do the same work."""
    tables, targets = [], []
    for kind, source in (("plain", given.plain), ("gzip", given.gzipped)):
        say(f"file to file, {kind} in, plain out")
        output = BENCH / "out.csv"
        commands = {
            "penstock": [binaries.penstock, "process", source, "-o", output, "--json"],
            "xan": [xan, "select", "*", source, "-o", output],
            "polars": [python, "-c", POLARS, source, output],
            "DuckDB": [python, "-c", DUCKDB, source, output],
            "Python csv": [python, "-c", PYTHON, source, output],
        }
        contenders = {
            name: functools.partial(_to_file, command, output, given) for name, command in commands.items()
        }
        runs = interleave(rounds, contenders, say)
        title = f"File to file, {kind} in, plain out"
        tables.append(_table(title, "program", runs, given.text_bytes, "penstock"))
        targets += _file_targets(kind, runs)
    tables[0].notes.append(
        f"{given.lines - 1:,} rows of 9 columns, {given.text_bytes / 1e6:,.0f} MB of text. Every field is "
        "text to all of them, and each output was found to have as many rows as the input; Penstock's "
        "receipt adds up. A GB is 10⁹ bytes of text, whatever the compression."
    )
    if given.text_bytes < GB:
        tables[0].notes.append("A file this small says as much of how long the programs take to start.")
    return tables, targets


def _to_file(command: list, output: Path, given: Input) -> Run:
    try:
        run = measure(command)
        if not run.error:
            run.error = _complaint(run, output, given)
        return run
    finally:
        output.unlink(missing_ok=True)


def _complaint(run: Run, output: Path, given: Input) -> str:
    """What is wrong with the output; nothing if nothing is."""
    lines = count_lines(output)
    if lines != given.lines:
        return f"{lines:,} lines came out of {given.lines:,}"
    if run.output.startswith("{"):
        counts, sums = run.document["counts"], run.document["bytes"]
        set_aside = counts["rows_rejected"] + counts["rows_filtered"]
        adds_up = counts["rows_in"] == counts["rows_out"] + set_aside == given.lines - 1
        if not adds_up or sum(sums["spans"].values()) != sums["decompressed"]:
            return "the receipt does not add up"
    return ""


def _file_targets(kind: str, runs: dict) -> list:
    penstock, xan = runs["penstock"], runs["xan"]
    limit = 1.5 if kind == "plain" else 1.0
    what, at_most = f"CPU, {kind} file to file", f"≤ {limit} × xan"
    if penstock.error or xan.error:
        targets = [Target.of(what, at_most, penstock.error or xan.error, False)]
    else:
        ratio = penstock.cpu / xan.cpu
        targets = [Target.of(what, at_most, f"{ratio:.2f} ×", ratio <= limit)]
        if kind == "plain":
            targets.append(Target.of(f"{what} (aim)", "< xan", f"{ratio:.2f} ×", ratio < 1))
    for name in ("polars", "DuckDB", "Python csv"):
        error = penstock.error or runs[name].error
        ratio = 0 if error else penstock.cpu / runs[name].cpu
        targets.append(Target.of(what, f"< {name}", error or f"{ratio:.2f} ×", not error and ratio < 1))
    return targets


def buckets(
    binaries: Binaries, given: Input, size: str, budget: int, rounds: int, say
) -> tuple[Table, Target]:
    """S3 to S3 beside a bare copy, with the engine alone for scale."""
    say("S3 to S3, plain")
    sim = [binaries.loadtest, "sim", "--size", size, "--json"]
    processor, copy, engine = "processor, S3 → S3", "bare copy, S3 → S3", "engine, file → nowhere"
    contenders = {
        processor: functools.partial(simulate, [*sim, "--memory-budget", budget]),
        copy: functools.partial(simulate, [*sim, "--copy"]),
        engine: functools.partial(measure, [binaries.penstock, "process", given.plain]),
    }
    runs = interleave(rounds, contenders, say)
    table = _table("S3 to S3, plain", "what", runs, given.text_bytes, copy)
    table.notes.append(
        "The S3 is a process of its own on the same machine, spoken to over HTTP without TLS; its CPU is "
        f"not counted. The processor has a budget of {budget} MiB. The copy has 3 ranges of 8 MiB and 3 "
        "parts in flight, by the same SDK with the same settings. The engine alone is `penstock process` "
        "without an output."
    )
    what, limit = "CPU, S3 → S3", "≤ copy + 1.3 × engine"
    error = runs[processor].error or runs[copy].error or runs[engine].error
    if error:
        return table, Target.of(what, limit, error, False)
    gigabytes = given.text_bytes / GB
    most = (runs[copy].cpu + 1.3 * runs[engine].cpu) / gigabytes
    seen = runs[processor].cpu / gigabytes
    return table, Target.of(what, limit, f"{seen:.2f} of {most:.2f} s/GB", seen <= most)


# As serverless.yml sets it for the processor.
DEPLOYED = ["env", "MALLOC_ARENA_MAX=1"]


def simulate(command: list) -> Run:
    """A run of `loadtest sim`, which counts its own CPU, without the S3's."""
    run = measure([*DEPLOYED, *command])
    if not run.error:
        found = run.document
        run.cpu, run.wall, run.rss = found["cpu_seconds"], found["seconds"], found["peak_memory_bytes"]
    return run


def _table(title: str, first: str, runs: dict, text_bytes: int, base: str) -> Table:
    gigabytes = text_bytes / GB
    rounds = max(len(done.runs) for done in runs.values())
    of_base = f"× {base.split(',')[0]}'s CPU"
    columns = [first, "CPU s/GB", "min – max", "wall s", "MB/s", "peak RSS MiB", of_base, "$ per TB"]
    table = Table(f"{title}: {of_rounds('median', rounds)}", columns)
    for name, done in runs.items():
        if done.error:
            table.rows.append([name, "failed", *[""] * (len(columns) - 2)])
            table.notes.append(f"{name} failed: {done.error}")
            continue
        low, high = done.cpu_range
        table.rows.append(
            [
                name,
                f"{done.cpu / gigabytes:.2f}",
                f"{low / gigabytes:.2f} – {high / gigabytes:.2f}",
                f"{done.wall:.2f}",
                f"{text_bytes / 1e6 / done.wall:,.0f}",
                f"{done.rss / MIB:,.0f}",
                "" if runs[base].error else f"{done.cpu / runs[base].cpu:.2f}",
                dollars_per_tb(done.cpu / gigabytes),
            ]
        )
    return table
