"""The mutation run: faults put into the sources of the template, one at a time. Each has to be caught.

Not by the golden template, which is updated together with a change; that it differs, too, shows that a fault had an
effect at all. A rule that no fault triggers could be one that never fires: that is an error as well.
"""

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from mutants import MUTANTS
from mutants.edit import Mutant
from package import ROOT, PackagingFailed, package, written
from rules import RULES
from scenarios import broken_rules

CFN_LINT = ROOT / "target" / "tools" / "bin" / "cfn-lint"

# The machine's cores, as CI has them.
WORKERS = 2


class Edited(Exception):
    """A fault that can't be put in any more: serverless.yml has changed, and the list has to follow."""


class Caught(NamedTuple):
    """What became of a mutant."""

    mutant: Mutant
    # Whether it was caught by what has to catch it.
    ok: bool
    # Whether the golden template would show it; none where it was not even packaged.
    shows: bool | None
    message: str


def put_in(mutant, sources):
    """Makes the fault's edit in a copy of the sources."""
    path = sources / mutant.file
    if not mutant.below:
        path.write_text(mutant.new, "utf-8")
        return
    source = path.read_text("utf-8")
    if source.count(mutant.below) != 1:
        raise Edited(f"{mutant.file} has {source.count(mutant.below)} times {mutant.below!r}, not once")
    start = source.index(mutant.below)
    at = source.find(mutant.old, start)
    if at < 0:
        raise Edited(f"{mutant.file} has no {mutant.old!r} below {mutant.below!r}")
    if mutant.new is None:
        path.write_text(without_block(source, at), "utf-8")
    else:
        path.write_text(source[:at] + mutant.new + source[at + len(mutant.old) :], "utf-8")


def without_block(source, at):
    """YAML without the line at a position and what is indented below it."""
    start = source.rfind("\n", 0, at) + 1
    first, *rest = source[start:].splitlines(keepends=True)
    depth = len(first) - len(first.lstrip())
    length = len(first)
    for line in rest:
        if line.strip() and len(line) - len(line.lstrip()) <= depth:
            break
        length += len(line)
    return source[:start] + source[start + length :]


def lint(template):
    """What cfn-lint says of a template."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        file.write(written(template))
        file.flush()
        command = [CFN_LINT, "--config-file", ROOT / ".cfnlintrc", "--format", "parseable", "-t", file.name]
        return subprocess.run(command, capture_output=True, text=True).stdout


def attempt(mutant, golden):
    """Puts a fault in, and sees who finds it."""
    try:
        template, provider = package(edit=lambda sources: put_in(mutant, sources))
    except PackagingFailed as failed:
        reasons = [line for line in str(failed).splitlines() if mutant.hint in line]
        ok = mutant.by == "osls" and bool(reasons)
        return Caught(mutant, ok, None, (reasons or str(failed).splitlines())[0].strip())
    shows = template != golden
    if mutant.by == "cfn-lint":
        lines = [line for line in lint(template).splitlines() if mutant.hint in line]
        return Caught(mutant, bool(lines), shows, lines[0].split(":", 5)[-1] if lines else "cfn-lint is content")
    broken = broken_rules(template, provider)
    found = [str(b) for b in broken if b.rule == mutant.by and mutant.hint in f"{b.resource}: {b.message}"]
    others = ", ".join(sorted({b.rule for b in broken})) or "no rule"
    return Caught(mutant, bool(found), shows, found[0] if found else f"caught by {others} instead")


def run():
    """Tries every fault and prints the table; the number of those that were not caught as they have to be."""
    began = time.monotonic()
    golden, provider = package()
    if standing := broken_rules(golden, provider):
        print("\n".join(map(str, standing)))
        return len(standing)
    # A fault that can't be put in is one that was not tried.
    with ThreadPoolExecutor(WORKERS) as pool:
        results = []
        for mutant, result in zip(MUTANTS, pool.map(lambda mutant: _attempted(mutant, golden), MUTANTS)):
            results.append(result)
            print(f"{'ok  ' if result.ok else 'FAIL'} {mutant.what:<52} {mutant.by}\n       {result.message[:150]}")
            sys.stdout.flush()
    survived = [result for result in results if not result.ok]
    idle = sorted({rule.__name__ for rule in RULES} - {result.mutant.by for result in results})
    for name in idle:
        print(f"FAIL no fault triggers the rule {name}")
    shown = [result.shows for result in results if result.shows is not None]
    print(
        f"{len(results)} faults: {len(results) - len(survived)} caught, {len(survived)} not; "
        f"{sum(shown)} of the {len(shown)} that osls packages change the golden template as well; "
        f"{time.monotonic() - began:.0f} s"
    )
    return len(survived) + len(idle)


def _attempted(mutant, golden):
    try:
        return attempt(mutant, golden)
    except Edited as error:
        return Caught(mutant, False, None, str(error))
