"""Runs programs and says what they took: CPU seconds, seconds on the wall, peak resident memory."""

import json
import os
import resource
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024

# How often a program's memory is looked at while it runs.
LOOK_SECONDS = 0.01


@dataclass
class Run:
    """What one run took. `error` says why it failed, and is empty where it did not."""

    cpu: float = 0.0
    wall: float = 0.0
    rss: int = 0
    error: str = ""
    output: str = ""

    @property
    def document(self) -> dict:
        """The JSON document that it printed."""
        return json.loads(self.output)


def measure(command, *, stdin=None, stdout=None) -> Run:
    """Runs `command` to its end and keeps what it prints, unless `stdout` is a file for it.

    The CPU of the children that it waited for is counted as its own.
    """
    floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or output,
            stderr=errors,
        )
        ended = threading.Event()
        seen = [0]
        watch = threading.Thread(target=_watch, args=(child.pid, ended, seen))
        watch.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            child.wait()
            raise
        finally:
            ended.set()
            watch.join()
        wall = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
        output.seek(0)
        # A child begins its life as a copy of this program, and the kernel counts that in. What is above this
        # program's own peak is exact; what is below was seen while it ran.
        peak = usage.ru_maxrss * 1024
        return Run(
            cpu=usage.ru_utime + usage.ru_stime,
            wall=wall,
            rss=peak if peak > floor else seen[0],
            error="" if child.returncode == 0 else _last_words(child.returncode, said),
            output=output.read().decode(errors="replace"),
        )


def _last_words(code: int, said: list) -> str:
    what = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    return said[-1].removeprefix("error: ") if said and code > 0 else what


def _watch(pid: int, ended: threading.Event, seen: list) -> None:
    status = Path(f"/proc/{pid}/status")
    while not ended.wait(LOOK_SECONDS):
        try:
            lines = status.read_text().splitlines()
        except OSError:
            return
        for line in lines:
            if line.startswith("VmHWM:"):
                seen[0] = max(seen[0], int(line.split()[1]) * 1024)


@dataclass
class Runs:
    """The same thing several times."""

    runs: list

    @property
    def error(self) -> str:
        return next((run.error for run in self.runs if run.error), "")

    @property
    def cpu(self) -> float:
        return statistics.median(run.cpu for run in self.runs)

    @property
    def cpu_range(self) -> tuple:
        return min(run.cpu for run in self.runs), max(run.cpu for run in self.runs)

    @property
    def wall(self) -> float:
        return statistics.median(run.wall for run in self.runs)

    @property
    def rss(self) -> int:
        """The highest: a limit holds in every run."""
        return max(run.rss for run in self.runs)

    @property
    def median_rss(self) -> float:
        return statistics.median(run.rss for run in self.runs)


def interleave(rounds: int, contenders: dict, say) -> dict:
    """Runs every contender once a round, in turns, so that what disturbs the machine disturbs all.

    `contenders` gives each name a function that makes a `Run`. One that fails is not tried again.
    """
    runs = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            if any(run.error for run in runs[name]):
                continue
            run = contenders[name]()
            runs[name].append(run)
            took = f"{run.cpu:.2f} CPU seconds, {run.wall:.2f} s, {run.rss / MIB:.0f} MiB"
            say(f"  round {number + 1} of {rounds}: {name}: {run.error or took}")
    return {name: Runs(done) for name, done in runs.items()}
