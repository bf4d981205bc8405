"""Recipes: the processor's peak memory in every format that they write, and what they cost."""

import functools
import statistics
from dataclasses import dataclass
from pathlib import Path

import memory
from measure import MIB, Run, interleave, measure
from report import Table, Target, of_rounds
from throughput import GB, Input, count_lines, simulate
from tools import BENCH, Binaries

RECIPES = Path(__file__).resolve().parent / "recipes"

# A recipe that masks wants a key; nothing that is made here is kept.
KEY = ["env", "MASK_KEY=sixteen bytes or more"]

# Of a budget in MiB, what a row group's values have, as processor/src/context.rs has it.
ROW_GROUP = {128: 4, 1769: 55}

# MiB of rows that a budget lets partitions hold, as processor/src/budget.rs has it: a seventh.
HELD = {1769: 252}

# How often a row group's bytes may be there at once: its values, what they are encoded to, and what is handed on.
TIMES_IN_MEMORY = 3

# What a recipe may cost: times the CPU of the same file without one.
COST_LIMIT = 2.0


@dataclass
class Format:
    """Something that a recipe makes of the trips: a file in recipes/, and how its memory is to be."""

    recipe: str
    # Whether whole row groups gather in memory, above what other formats take.
    has_row_groups: bool = False
    # The one budget that it is tried with, where rows of so many partitions are to be held: with less they become more objects
    # than a receipt lists.
    partitioned_with: int | None = None
    # How many times as much text the smallest size has. Its object is to fill the buffers, and its values a few row groups.
    times: int = 1

    def limit(self, budget: int) -> int:
        """MiB that may be resident."""
        more = TIMES_IN_MEMORY * ROW_GROUP[budget] if self.has_row_groups else 0
        more += HELD[budget] if self.partitioned_with else 0
        return memory.LIMITS[budget] + more


# Whatever else a recipe can write is one more line here.
FORMATS = {
    "CSV": Format("csv.yml"),
    "CSV, gzip": Format("csv-gzip.yml", times=2),
    "TSV": Format("tsv.yml"),
    "NDJSON": Format("ndjson.yml"),
    "NDJSON, zstd": Format("ndjson-zstd.yml"),
    "Parquet, zstd": Format("parquet.yml", has_row_groups=True, times=3),
    "CSV, 1,590 partitions": Format("csv-partitioned.yml", partitioned_with=1769, times=3),
}

# One that takes minutes.
LONG = "8GiB"
SPREAD = 0.1

# From the cheapest on; each has what the one above it has, but for the last two, which add to the second.
COSTS = {
    "plain": None,
    "select, rename, 5 typed columns": "typed.yml",
    "the same, and an HMAC column": "typed-hash.yml",
    "the same without, and a CEL filter": "typed-filter.yml",
}


def peaks(binaries: Binaries, sizes: list, rounds: int, full: bool, say) -> tuple[list, list]:
    """Peak RSS of the processor in every format. Sizes above the smallest are sent once: they take their time."""
    sizes = [*sizes, LONG] if full else sizes
    tables, targets = [], []
    for budget in memory.LIMITS:
        formats = {name: made for name, made in FORMATS.items() if made.partitioned_with in (None, budget)}
        cells = {}
        for size in sizes:
            say(f"formats, {size}, budget of {budget} MiB")
            contenders = {
                name: functools.partial(
                    simulate, _command(binaries, made, _text(size, made, sizes), budget)
                )
                for name, made in formats.items()
                # So many partitions of it, in no order, become too many objects.
                if size != LONG or not made.partitioned_with
            }
            cells[size] = interleave(rounds if size == sizes[0] else 1, contenders, say)
        table = Table(
            f"Formats: the processor's peak RSS in MiB by a recipe, budget of {budget} MiB",
            ["output", *sizes, "spread", "limit", "CPU s/GB"],
        )
        for name, made in formats.items():
            of_format = [cells[size][name] for size in sizes if name in cells[size]]
            figures = [memory.mib(cells[size][name]) if name in cells[size] else "" for size in sizes]
            spread = memory.spread_of(of_format)
            shown = "" if spread is None else f"{spread:.1%}"
            table.rows.append([name, *figures, shown, str(made.limit(budget)), _cpu(of_format[-1])])
            table.notes += [f"{name} failed: {error}" for error in {runs.error for runs in of_format} if error]
            targets.append(_target(name, made, budget, sizes, of_format))
        tables.append(table)
    tables[0].notes.append(
        "Every column is typed by a schema. The spread is how far the largest median is above the smallest, whatever the "
        "size, which is that of the text; of the smallest, "
        + ", ".join(f"{name} gets {made.times} times as much" for name, made in FORMATS.items() if made.times > 1)
        + ", so that buffers and row groups are full. Parquet's limit "
        f"is that of the other formats and {TIMES_IN_MEMORY} row groups: its values, what they are encoded to, and what is "
        "handed on. The partitions', whose rows are in no order, is that and what the budget lets them hold, a seventh of it; with "
        f"less, or of {LONG}, they become more objects than a receipt lists, and the file fails."
    )
    return tables, targets


def _command(binaries: Binaries, made: Format, size: str, budget: int) -> list:
    recipe = ["--recipe", RECIPES / made.recipe]
    return [*KEY, binaries.loadtest, "sim", "--json", "--memory-budget", budget, "--size", size, *recipe]


def _text(size: str, made: Format, sizes: list) -> str:
    return memory.times(size, made.times) if size == sizes[0] else size


def _cpu(runs) -> str:
    if runs.error:
        return "failed"
    return f"{statistics.median(run.document['cpu_seconds_per_gb'] for run in runs.runs):.1f}"


def _target(name: str, made: Format, budget: int, sizes: list, of_format: list) -> Target:
    """The limit and the spread in one."""
    limit = made.limit(budget)
    what = f"peak RSS, {name} by a recipe, {sizes[0]} to {sizes[len(of_format) - 1]}, budget {budget} MiB"
    at_most = f"≤ {limit} MiB, spread ≤ {SPREAD:.0%}"
    error = next((runs.error for runs in of_format if runs.error), "")
    if error:
        return Target.of(what, at_most, error, False)
    highest, spread = max(runs.rss for runs in of_format), memory.spread_of(of_format)
    figure = f"{highest / MIB:.1f} MiB, {spread:.1%}"
    return Target.of(what, at_most, figure, highest <= limit * MIB and spread <= SPREAD)


def costs(binaries: Binaries, given: Input, rounds: int, say) -> tuple[Table, Target]:
    """CPU of `penstock process` by recipes, beside the same without one."""
    say("recipes, file to file")
    output = BENCH / "out.csv"
    plain = [*KEY, binaries.penstock, "process", given.plain, "-o", output, "--json"]
    contenders = {
        name: functools.partial(_to_file, plain if recipe is None else [*plain, "--recipe", RECIPES / recipe], output, given)
        for name, recipe in COSTS.items()
    }
    runs = interleave(rounds, contenders, say)
    table = Table(
        f"Recipes, file to file: {of_rounds('median', rounds)}",
        ["recipe", "CPU s/GB", "min – max", "× plain's CPU", "min – max", "ns a row"],
        notes=[
            "The recipes are loadtest/bench/recipes/. Each ratio is of the runs of one round."
        ],
    )
    gigabytes, rows = given.text_bytes / GB, given.lines - 1
    base, name = runs["plain"], list(COSTS)[1]
    for recipe, done in runs.items():
        if done.error or base.error:
            table.rows.append([recipe, "failed" if done.error else "", *[""] * 4])
            table.notes += [f"{recipe} failed: {done.error}"] if done.error else []
            continue
        low, high = done.cpu_range
        ratios = _ratios(done, base)
        table.rows.append(
            [
                recipe,
                f"{done.cpu / gigabytes:.2f}",
                f"{low / gigabytes:.2f} – {high / gigabytes:.2f}",
                f"{statistics.median(ratios):.2f}",
                f"{min(ratios):.2f} – {max(ratios):.2f}",
                f"{done.cpu / rows * 1e9:,.0f}",
            ]
        )
    what, at_most = f"CPU, {name}", f"≤ {COST_LIMIT:.0f} × plain"
    error = base.error or runs[name].error
    if error:
        return table, Target.of(what, at_most, error, False)
    ratio = statistics.median(_ratios(runs[name], base))
    return table, Target.of(what, at_most, f"{ratio:.2f} ×", ratio <= COST_LIMIT)


def _ratios(done, base) -> list:
    return [run.cpu / plain.cpu for run, plain in zip(done.runs, base.runs, strict=True)]


def _to_file(command: list, output: Path, given: Input) -> Run:
    try:
        run = measure(command)
        if not run.error:
            counts, lines = run.document["counts"], count_lines(output)
            if not counts["rows_in"] == counts["rows_out"] == lines - 1 == given.lines - 1:
                run.error = f"{lines:,} lines came out of {given.lines:,}"
        return run
    finally:
        output.unlink(missing_ok=True)
