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
    "zstd, 8 MiB window": ("trips", "zstd"),
}

# MiB that the processor is told it may count on, and the most that it may then have resident.
LIMITS = {128: 64, 1769: 96}
SPREAD = 0.05
PIPE_LIMIT = 32

# The largest, sent once, and with the deployed budget only.
HUGE = "64GB"


def processor(binaries: Binaries, sizes: list, rounds: int, full: bool, say) -> tuple[Table, list]:
    """Peak RSS of the processor. The largest sizes, with `full`, are sent once."""
    columns = ["input", *[f"{size}, {budget} MiB" for budget in LIMITS for size in sizes]]
    table = Table(f"Memory: the processor's peak RSS in MiB, by size of input and memory budget: highest of {rounds}", columns)
    cells = {}
    for budget in LIMITS:
        for size in sizes:
            say(f"memory, {size}, budget {budget} MiB")
            contenders = {}
            for kind, (shape, compression) in KINDS.items():
                command = [binaries.loadtest, "sim", "--json", "--size", size, "--memory-budget", budget]
                command += ["--shape", shape, "--compression", compression]
                contenders[kind] = functools.partial(simulate, command)
            cells[budget, size] = interleave(1 if _is_long(size) else rounds, contenders, say)
    for kind in KINDS:
        row = [cells[budget, size][kind] for budget in LIMITS for size in sizes]
        table.rows.append([kind, *[_mib(runs) for runs in row]])
        table.notes += [f"{kind} failed: {error}" for error in sorted({runs.error for runs in row}) if error]
    targets = []
    for budget, limit in LIMITS.items():
        runs = {(kind, size): cells[budget, size][kind] for kind in KINDS for size in sizes}
        targets.append(_highest(budget, limit, runs))
        targets.append(_spread(budget, sizes, cells))
    if full:
        say(f"memory, {HUGE}")
        command = [binaries.loadtest, "sim", "--json", "--size", HUGE, "--memory-budget", max(LIMITS)]
        run = simulate(command)
        say(f"  {run.error or f'{run.cpu:.2f} CPU seconds, {run.wall:.2f} s, {run.rss / MIB:.1f} MiB'}")
        figure = run.error or f"{run.rss / MIB:.1f} MiB, {run.cpu / 64:.2f} s/GB, {run.wall:.0f} s"
        met = not run.error and run.rss <= LIMITS[max(LIMITS)] * MIB
        limit = f"≤ {LIMITS[max(LIMITS)]} MiB"
        targets.append(Target.of(f"peak RSS, {HUGE}, {max(LIMITS)} MiB budget", limit, figure, met))
    return table, targets


def _is_long(size: str) -> bool:
    return size == "32GiB"


def _mib(runs: Runs) -> str:
    return "failed" if runs.error else f"{runs.rss / MIB:.1f}"


def _highest(budget: int, limit: int, runs: dict) -> Target:
    what, at_most = f"peak RSS, {budget} MiB budget", f"≤ {limit} MiB"
    failed = [kind for (kind, _), done in runs.items() if done.error]
    if failed:
        return Target.of(what, at_most, f"{failed[0]} failed", False)
    (kind, size), worst = max(runs.items(), key=lambda item: item[1].rss)
    return Target.of(what, at_most, f"{worst.rss / MIB:.1f} MiB ({kind}, {size})", worst.rss <= limit * MIB)


def _spread(budget: int, sizes: list, cells: dict) -> Target:
    """How much the largest peak of a kind is above its smallest, whatever the size."""
    what = f"peak RSS, {sizes[0]} to {sizes[-1]}, {budget} MiB budget"
    limit = f"within {SPREAD:.0%}"
    spreads = {}
    for kind in KINDS:
        of_kind = [cells[budget, size][kind] for size in sizes]
        if any(runs.error for runs in of_kind):
            return Target.of(what, limit, f"{kind} failed", False)
        medians = [runs.median_rss for runs in of_kind]
        spreads[kind] = max(medians) / min(medians) - 1
    kind, worst = max(spreads.items(), key=lambda item: item[1])
    return Target.of(what, limit, f"{worst:.1%} ({kind}; trips {spreads['trips']:.1%})", worst <= SPREAD)


def pipe(binaries: Binaries, size: str, rounds: int, say) -> tuple[Table, Target]:
    """Peak RSS of `penstock process -`."""
    say("memory, penstock process - from a pipe")
    contenders = {kind: functools.partial(_piped, binaries, size, *of) for kind, of in KINDS.items()}
    runs = interleave(rounds, contenders, say)
    table = Table(f"Memory: penstock process - from a pipe, {size} of text", ["input", "peak RSS MiB", "CPU s/GB"])
    for kind, done in runs.items():
        if done.error:
            table.rows.append([kind, "failed", ""])
            table.notes.append(f"{kind} failed: {done.error}")
        else:
            text = done.runs[0].document["bytes"]["decompressed"]
            table.rows.append([kind, _mib(done), f"{done.cpu / (text / GB):.2f}"])
    what, limit = "peak RSS, penstock process - from a pipe", f"≤ {PIPE_LIMIT} MiB"
    failed = [kind for kind, done in runs.items() if done.error]
    if failed:
        return table, Target.of(what, limit, f"{failed[0]} failed", False)
    kind, worst = max(runs.items(), key=lambda item: item[1].rss)
    figure = f"{worst.rss / MIB:.1f} MiB ({kind})"
    return table, Target.of(what, limit, figure, worst.rss <= PIPE_LIMIT * MIB)


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
        run.rss = run.document["peak_memory_bytes"]
    return run
