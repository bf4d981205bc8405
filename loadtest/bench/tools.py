"""What is compared: Penstock as built here, and the others in pinned versions; and the machine's name."""

import os
import platform
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BENCH = ROOT / "target" / "bench"

# The newest when this was written.
XAN, POLARS, DUCKDB = "0.61.0", "2.1.0", "2.0.1"
TPCHGEN = "4.0.0"


class Failed(Exception):
    """What can't be had, in words for people."""


@dataclass
class Binaries:
    """Where Penstock's programs lie, and which profile the processor was built with."""

    penstock: Path
    loadtest: Path
    processor: Path
    profile: str


def call(command: list, what: str, **options) -> str:
    """Runs a command that must succeed, for what it prints."""
    try:
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, **options)
    except OSError as error:
        raise Failed(f"{what}: {error}") from error
    if done.returncode != 0:
        raise Failed(f"{what}: exit code {done.returncode}")
    return done.stdout.strip()


def build(folder: Path | None, dist: bool, say) -> Binaries:
    """Builds Penstock, or takes it from `folder`."""
    if folder:
        say(f"Penstock as it lies in {folder}")
        names = [folder / name for name in ("penstock", "loadtest", "processor")]
        for name in names:
            if not name.is_file():
                raise Failed(f"{name} is not there; --binaries wants penstock, loadtest and processor")
        return Binaries(*names, profile="given by --binaries")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    # Apart, as everywhere else: together, the functions would get features that only loadtest wants.
    builds = [["--release"], ["--release", "-p", "loadtest"]]
    say("building Penstock, profile release (about ten minutes on two cores, the first time)")
    if dist:
        say("then the processor, profile dist (about nine minutes more)")
        builds.append(["--profile", "dist", "-p", "processor"])
    for arguments in builds:
        call(["cargo", "build", "--locked", *arguments], "build Penstock", cwd=ROOT)
    release, profile = target / "release", "dist" if dist else "release"
    return Binaries(release / "penstock", release / "loadtest", target / profile / "processor", profile)


def install(say) -> tuple[Path, Path]:
    """xan, and a Python that has polars and DuckDB; once, under target/bench."""
    xan = BENCH / "xan" / "bin" / "xan"
    if not (xan.is_file() and XAN in call([xan, "--version"], "ask xan for its version")):
        say(f"installing xan {XAN} from crates.io (about twelve minutes on two cores, once)")
        build = BENCH / "xan-target"
        command = ["cargo", "install", "xan", "--version", XAN, "--locked", "--force", "--quiet"]
        environment = {**os.environ, "CARGO_TARGET_DIR": str(build)}
        call([*command, "--root", BENCH / "xan"], "install xan", env=environment, cwd=BENCH)
        shutil.rmtree(build, ignore_errors=True)
    python = BENCH / "venv" / "bin" / "python"
    pinned = (
        f"import duckdb, polars; assert (polars.__version__, duckdb.__version__) == ('{POLARS}', '{DUCKDB}')"
    )
    try:
        call([python, "-c", pinned], "look for polars and DuckDB", stderr=subprocess.DEVNULL)
    except Failed:
        say(f"installing polars {POLARS} and DuckDB {DUCKDB} from PyPI (300 MB, once)")
        venv.create(BENCH / "venv", clear=True, with_pip=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        call([*pip, f"polars=={POLARS}", f"duckdb=={DUCKDB}"], "install polars and DuckDB")
    return xan, python


def install_generator(say) -> Path:
    """tpchgen-cli, once, under target/bench."""
    folder = BENCH / "tpchgen"
    program = folder / "bin" / "tpchgen-cli"
    if not (program.is_file() and TPCHGEN in call([program, "--version"], "ask tpchgen-cli for its version")):
        say(f"installing tpchgen-cli {TPCHGEN} from PyPI (once)")
        venv.create(folder, clear=True, with_pip=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        call([*pip, f"tpchgen-cli=={TPCHGEN}"], "install tpchgen-cli")
    return program


def machine() -> list:
    """What this was measured on and with, as name and value."""
    cpu = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(("model name", "CPU part")):
                cpu = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return [
        ("machine", f"{cpu}, {platform.machine()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("date", date.today().isoformat()),
        ("Penstock", f"commit {commit.stdout.strip() or 'unknown'}"),
        ("Rust", call(["rustc", "--version"], "ask for Rust's version").removeprefix("rustc ")),
        ("others", f"xan {XAN}, polars {POLARS}, DuckDB {DUCKDB}, tpchgen-cli {TPCHGEN}, "
            f"Python {platform.python_version()}"),
        ("command", " ".join(["just bench", *sys.argv[1:]])),
    ]
