"""Compares Penstock with other programs and with a bare copy, on this machine, in one run.

It builds Penstock, installs the others in pinned versions under target/bench, generates a CSV, and measures:

  files     CPU, file to file: penstock, xan, polars, DuckDB and Python's csv; plain and gzip in
  s3        CPU, S3 to S3: the processor beside a bare copy by the same SDK (the S3 runs here, no account)
  memory    peak memory of the processor, and of the command from a pipe
  formats   peak memory of the processor by a recipe, in every format that there is
  recipes   CPU of recipes, file to file, beside the same file without one
  tracing   what spans cost: CPU on a large file, and time on each invocation
  generate  CPU of making files: loadtest generate beside tpchgen-cli
  start     the processor's size, and how long it takes until it asks for its first event

What is compared takes turns, round by round. Each target stands beside its figure, met or NOT met; the exit
code says only whether the measuring worked.
"""

import argparse
import contextlib
import re
import signal
import sys
import time
from pathlib import Path

import formats
import generator
import memory
import startup
import throughput
import tools
import tracing
from report import Table, targets_table
from tools import BENCH, ROOT, Failed

SECTIONS = ["files", "s3", "memory", "formats", "recipes", "tracing", "generate", "start"]
DOCS = ROOT / "docs" / "benchmarks.md"

EXAMPLES = """\
examples:
  just bench                                all of it: 1 GB, 3 rounds
  just bench --size 100MB --rounds 1        a quick try: a few minutes once everything is built
  just bench --full                         also 32 GiB and 64 GB, every format at 8 GiB, and the profile that is
                                            deployed: an hour and a half
  just bench --only start --dist

It needs Rust, Python 3.10 or newer with venv, Linux, and three times --size of disk. Leave the machine alone
meanwhile. A run of everything with at least the default size and rounds writes docs/benchmarks.md, any other
target/bench/benchmarks.md.

exit codes: 0 measured, whatever the figures; 1 failed; 2 wrong usage; 128 + n ended by signal n
"""


def size(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]*(B|[KMG]i?B)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 100MB, 1GB or 2GiB")
    return text


def in_bytes(text: str) -> int:
    number, unit = re.fullmatch(r"([0-9]+)(.*)", text).groups()
    powers = {"": 0, "B": 0, "K": 1, "M": 2, "G": 3}
    return int(number) * (1024 if "i" in unit else 1000) ** powers[unit[:1]]


def rounds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rounds, 1 to 100")
    return int(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--size", type=size, default="1GB", help="bytes of CSV (default: 1GB)")
    parser.add_argument("--rounds", type=rounds, default=3, help="runs of each (default: 3)")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=SECTIONS,
        default=SECTIONS,
        metavar="SECTION",
        help="only these sections, see above",
    )
    parser.add_argument("--full", action="store_true", help="memory at 32 GiB and 64 GB, formats at 8 GiB, too; implies --dist")
    parser.add_argument(
        "--dist", action="store_true", help="build the profile that is deployed, for its size"
    )
    parser.add_argument(
        "--binaries",
        type=Path,
        metavar="DIR",
        help="measure penstock, loadtest and processor in DIR, build nothing",
    )
    given = parser.parse_args()
    if given.binaries and (given.dist or given.full):
        parser.error("--binaries builds nothing: it goes with neither --dist nor --full")
    given.binaries = given.binaries and given.binaries.resolve()
    return given


BEGAN = time.monotonic()


def say(text: str) -> None:
    """A line about what is being done, with the time since the beginning."""
    minutes, seconds = divmod(int(time.monotonic() - BEGAN), 60)
    print(f"[{minutes:3}:{seconds:02}] {text}", file=sys.stderr, flush=True)


def measure_all(given: argparse.Namespace) -> tuple[list, list]:
    """Tables and targets of every section that was asked for."""
    dist = given.dist or (given.full and "start" in given.only)
    binaries = tools.build(given.binaries, dist, say)
    # The quickest first: what can't be measured there is known before an hour has passed.
    starts = startup.cold_start(binaries, say) if "start" in given.only else None
    tables, targets = [], []
    if {"files", "s3", "recipes"} & set(given.only):
        generated = throughput.generate(binaries.loadtest, given.size, say)
    if "files" in given.only:
        xan, python = tools.install(say)
        found, judged = throughput.files(binaries, xan, python, generated, given.rounds, say)
        tables += found
        targets += judged
    if "s3" in given.only:
        budget = max(memory.LIMITS)
        table, target = throughput.buckets(binaries, generated, given.size, budget, given.rounds, say)
        tables.append(table)
        targets.append(target)
    sizes = ["64MiB", "1GiB" if in_bytes(given.size) >= 10**9 else "256MiB"]
    if "memory" in given.only:
        lengths = [*sizes, memory.LONG] if given.full else sizes
        found, judged = memory.processor(binaries, lengths, given.rounds, given.full, say)
        piped, target = memory.pipe(binaries, given.size, given.rounds, say)
        tables += [*found, piped]
        targets += [*judged, target]
    if "formats" in given.only:
        found, judged = formats.peaks(binaries, sizes, given.rounds, given.full, say)
        tables += found
        targets += judged
    if "recipes" in given.only:
        table, target = formats.costs(binaries, generated, given.rounds, say)
        tables.append(table)
        targets.append(target)
    if "tracing" in given.only:
        table, judged = tracing.cost(binaries, given.rounds, say)
        tables.append(table)
        targets += judged
    if "generate" in given.only:
        tpchgen = tools.install_generator(say)
        table, judged = generator.rows(binaries, tpchgen, given.size, given.rounds, say)
        tables.append(table)
        targets += judged
    if starts:
        table, judged = starts
        tables.append(table)
        targets += judged
    return tables, targets


def markdown(machine: list, tables: list) -> str:
    text = "# Benchmarks\n\n`just bench` measures this and writes this page; its `--help` says how.\n\n"
    text += Table("What it was measured on", ["", ""], [list(line) for line in machine], words=2).markdown()
    return text + "\n" + "\n".join(table.markdown() for table in tables)


def main() -> None:
    given = arguments()
    BENCH.mkdir(parents=True, exist_ok=True)
    machine = tools.machine()
    tables, targets = measure_all(given)
    if {"files", "s3"} & set(given.only):
        next(table for table in reversed(tables) if "$ per TB" in table.columns).notes.append(
            throughput.PRICE
        )
    tables = [targets_table(targets), *tables]

    whole = set(given.only) == set(SECTIONS) and in_bytes(given.size) >= 10**9 and given.rounds >= 3
    page = DOCS if whole and not given.binaries else BENCH / "benchmarks.md"
    page.write_text(markdown(machine, tables), encoding="utf-8")

    width = max(len(name) for name, _ in machine)
    print("\n".join(f"{name:<{width}}  {value}" for name, value in machine), end="\n\n")
    # The verdicts stand last on a terminal, where one looks first.
    print("\n".join(table.text() for table in [*tables[1:], tables[0]]), flush=True)
    say(f"written to {page.relative_to(ROOT)}")


if __name__ == "__main__":
    # Ended by a signal it cleans up as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        main()
    except Failed as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            sys.stderr.close()
        sys.exit(141)
