"""Memory: the processor's peak for every kind of input, size and budget, and the command's from a pipe."""

import functools
import subprocess

from measure import MIB, Run, Runs, interleave, measure
from report import Table, Target
from throughput import GB, simulate
from tools import Binaries

# Shape and compression.
KINDS = {
    "trips": ("trips", "none"),
    "fields of 512 KiB": ("long-fields", "none"),
    "10,000 columns": ("wide", "none"),
    "gzip": ("trips", "gzip"),
    "zstd": ("trips", "zstd"),
}

# MiB that the processor is told it may count on, and the most that it may then have resident.
LIMITS = {128: 64, 1769: 96}
SPREAD = 0.05
PIPE_LIMIT = 32

# What takes minutes is sent once, and only the plain rows are; the largest with the deployed budget only.
HUGE = "64GB"
LONG = "32GiB"
LONG_KIND = "trips"

# How much more text the smallest compressed input gets, so that the object is as large as the others.
COMPRESSED = 3


def processor(binaries: Binaries, sizes: list, rounds: int, full: bool, say) -> tuple[list, list]:
    """Peak RSS of the processor. The largest sizes, with `full`, are sent once."""
    tables, targets = [], []
    for budget, limit in LIMITS.items():
        cells = {}
        for size in sizes:
            say(f"memory, {size}, budget of {budget} MiB")
            contenders = {
                kind: functools.partial(
                    simulate, _command(binaries, _text(size, of[1], size == sizes[0]), budget, *of)
                )
                for kind, of in KINDS.items()
                if size != LONG or kind == LONG_KIND
            }
            cells[size] = interleave(1 if size == LONG else rounds, contenders, say)
        title = f"Memory: the processor's peak RSS in MiB, budget of {budget} MiB"
        title += "" if rounds == 1 else f": highest of {rounds} rounds"
        table = Table(title, ["input", *sizes, "spread"])
        of_kinds = {kind: [cells[size][kind] for size in sizes if kind in cells[size]] for kind in KINDS}
        spreads = {kind: spread_of(of_kind) for kind, of_kind in of_kinds.items()}
        for kind, of_kind in of_kinds.items():
            figures = [mib(runs) for runs in of_kind] + [""] * (len(sizes) - len(of_kind))
            table.rows.append([kind, *figures, "" if spreads[kind] is None else f"{spreads[kind]:.1%}"])
            table.notes += [f"{kind} failed: {error}" for error in {runs.error for runs in of_kind} if error]
        tables.append(table)
        peaks = {f"{kind}, {size}": runs for size in sizes for kind, runs in cells[size].items()}
        targets.append(_highest(f"peak RSS, budget {budget} MiB", limit, peaks))
        targets.append(_spread(f"its spread, {sizes[0]} to {sizes[-1]}, budget {budget} MiB", spreads))
    tables[0].notes.append(
        "The spread is how far the largest median is above the smallest, whatever the size. The size is "
        f"that of the text; the smallest gzip and zstd have {COMPRESSED} times as much, so that the object "
        "fills the buffers too. zstd's window is 8 MiB. The budget is MEMORY_BUDGET_MIB; the function as "
        "deployed has 1769."
    )
    if full:
        targets.append(_huge(binaries, say))
    return tables, targets


def _huge(binaries: Binaries, say) -> Target:
    """One run of the largest size."""
    budget = max(LIMITS)
    say(f"memory, {HUGE}, budget of {budget} MiB")
    run = simulate(_command(binaries, HUGE, budget, "trips", "none"))
    say(f"  {run.error or f'{run.cpu:.2f} CPU seconds, {run.wall:.2f} s, {run.rss / MIB:.1f} MiB'}")
    figure = run.error or f"{run.rss / MIB:.1f} MiB, {run.cpu / 64:.2f} CPU s/GB, {run.wall:.0f} s"
    met = not run.error and run.rss <= LIMITS[budget] * MIB
    return Target.of(f"peak RSS, {HUGE}, budget {budget} MiB", f"≤ {LIMITS[budget]} MiB", figure, met)


def _text(size: str, compression: str, is_smallest: bool) -> str:
    """Bytes of text for an input of this size."""
    return size if compression == "none" or not is_smallest else times(size, COMPRESSED)


def times(size: str, factor: int) -> str:
    number = size.rstrip("KMGiB")
    return f"{int(number) * factor}{size.removeprefix(number)}"


def _command(binaries: Binaries, size: str, budget: int, shape: str, compression: str) -> list:
    of_input = ["--size", size, "--shape", shape, "--compression", compression]
    return [binaries.loadtest, "sim", "--json", "--memory-budget", budget, *of_input]


def spread_of(sizes: list) -> float | None:
    if any(runs.error for runs in sizes):
        return None
    medians = [runs.median_rss for runs in sizes]
    return max(medians) / min(medians) - 1


def mib(runs: Runs) -> str:
    return "failed" if runs.error else f"{runs.rss / MIB:.1f}"


def _highest(what: str, limit: int, peaks: dict) -> Target:
    good = {name: runs.rss for name, runs in peaks.items() if not runs.error}
    failed = [name for name in peaks if name not in good]
    if not good:
        return Target.of(what, f"≤ {limit} MiB", "all failed", False)
    worst = max(good, key=good.get)
    figure = f"{good[worst] / MIB:.1f} MiB ({worst})" + (f"; failed: {failed[0]}" if failed else "")
    return Target.of(what, f"≤ {limit} MiB", figure, not failed and good[worst] <= limit * MIB)


def _spread(what: str, spreads: dict) -> Target:
    good = {kind: found for kind, found in spreads.items() if found is not None}
    failed = [kind for kind in spreads if kind not in good]
    if not good:
        return Target.of(what, f"≤ {SPREAD:.0%}", "all failed", False)
    worst = max(good, key=good.get)
    figure = f"{good[worst]:.1%} ({worst})" + (f"; failed: {failed[0]}" if failed else "")
    return Target.of(what, f"≤ {SPREAD:.0%}", figure, not failed and good[worst] <= SPREAD)


def pipe(binaries: Binaries, size: str, rounds: int, say) -> tuple[Table, Target]:
    """Peak RSS of `penstock process -`."""
    say("memory, penstock process - from a pipe")
    contenders = {kind: functools.partial(_piped, binaries, size, *of) for kind, of in KINDS.items()}
    runs = interleave(rounds, contenders, say)
    table = Table(
        f"Memory: penstock process - from a pipe, {size} of text", ["input", "peak RSS MiB", "CPU s/GB"]
    )
    for kind, done in runs.items():
        if done.error:
            table.rows.append([kind, "failed", ""])
            table.notes.append(f"{kind} failed: {done.error}")
        else:
            text = done.runs[0].document["bytes"]["decompressed"]
            table.rows.append([kind, mib(done), f"{done.cpu / (text / GB):.2f}"])
    return table, _highest("peak RSS, process - from a pipe", PIPE_LIMIT, runs)


def _piped(binaries: Binaries, size: str, shape: str, compression: str) -> Run:
    rows = [binaries.loadtest, "rows", "--size", size, "--shape", shape, "--compression", compression]
    with subprocess.Popen(rows, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as source:
        try:
            command = [binaries.penstock, "process", "-", "-o", "/dev/null", "--json"]
            run = measure(command, stdin=source.stdout)
        finally:
            # Where it failed early, nobody reads the rest.
            source.stdout.close()
    if not run.error:
        run.rss = max(run.rss, run.document["peak_memory_bytes"])
    return run
