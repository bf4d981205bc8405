"""CPU of making rows: `loadtest generate` beside the fastest generator of CSV that was found, in one run."""

import functools
import os
import subprocess
from pathlib import Path

from measure import MIB, Run, interleave, measure
from report import Table, Target, of_rounds
from tools import Binaries, Failed

GB = 1e9

# What a core makes in a second, at least.
LIMIT_GB = 1.0

PROFILES = ["taxi", "orders", "events", "wide", "narrow"]


def rows(binaries: Binaries, tpchgen: Path, size: str, rounds: int, say) -> tuple[Table, list]:
    """Plain text by one thread, into a pipe that is read and forgotten; gzip by one thread."""
    say("making rows, one thread")
    make = [binaries.loadtest, "generate", "--size", size, "--threads", "1"]
    commands = {f"loadtest, {name}": [*make, "--profile", name] for name in PROFILES}
    commands["loadtest, taxi, gzip"] = [*make, "--compression", "gzip"]
    commands["tpchgen-cli, lineitem"] = _tpchgen(tpchgen, "lineitem")
    commands["tpchgen-cli, orders"] = _tpchgen(tpchgen, "orders")
    sizes = {name: _size(command) for name, command in commands.items()}
    contenders = {name: functools.partial(_nowhere, command) for name, command in commands.items()}
    runs = interleave(rounds, contenders, say)
    table = Table(
        f"Making rows, by one thread: {of_rounds('median', rounds)}",
        ["program", "MB", "CPU s", "min – max", "GB a CPU s", "peak RSS MiB"],
        notes=[
            "Into /dev/null. Bytes are those of the file that is made, compressed or not. tpchgen-cli makes TPC-H's "
            "tables as CSV, at scale factor 1."
        ],
    )
    speeds = {}
    for name, done in runs.items():
        if done.error:
            raise Failed(f"{name}: {done.error}")
        speeds[name] = sizes[name] / GB / done.cpu
        table.rows.append(
            [
                name,
                f"{sizes[name] / 1e6:,.0f}",
                f"{done.cpu:.2f}",
                "{:.2f} – {:.2f}".format(*done.cpu_range),
                f"{speeds[name]:.2f}",
                f"{done.rss / MIB:.0f}",
            ]
        )
    ours = speeds["loadtest, taxi"]
    theirs = max(speed for name, speed in speeds.items() if name.startswith("tpchgen"))
    return table, [
        Target.of("making taxi rows", f"≥ {LIMIT_GB:.0f} GB a CPU s", f"{ours:.2f}", ours >= LIMIT_GB),
        Target.of("the same, beside tpchgen-cli", f"≥ {theirs:.2f} GB a CPU s", f"{ours:.2f}", ours >= theirs),
    ]


def _tpchgen(program: Path, table: str) -> list:
    return [program, "csv", "-s", "1", "--tables", table, "--stdout", "--num-threads", "1"]


def _nowhere(command: list) -> Run:
    with open(os.devnull, "wb") as nowhere:
        return measure(command, stdout=nowhere)


def _size(command: list) -> int:
    """Bytes that it makes."""
    size = 0
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as made:
        while chunk := made.stdout.read(MIB):
            size += len(chunk)
    if made.returncode != 0:
        raise Failed(f"{command[0]}: exit code {made.returncode}")
    return size
