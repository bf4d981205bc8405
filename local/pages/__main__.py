#!/usr/bin/env python3
"""Pages in a real Chromium: `just pages`.

    python3 local/pages                      a file's trace, made by a demo of its own, and a load test's report, checked
    python3 local/pages --screenshots DIR    the same, and the trace drawn
    python3 local/pages check PAGE…          pages that are there already
    python3 local/pages draw RUN.html DIR    a load test's report, drawn for the docs

Each page is opened on a screen, light and dark, on a phone, and for print; see check.py for what has to hold. Playwright
comes from PyPI into target/pages, and drives the machine's Chromium; where there is none, one is installed.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
VENV = TARGET / "pages"
PACKAGES = ["playwright==1.65.2", "pillow==13.0.0"]


def install() -> None:
    stamp, wanted = VENV / "installed", "\n".join(PACKAGES)
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    pip = [VENV / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
    subprocess.run(pip, check=True)
    stamp.write_text(wanted)


def main() -> None:
    parser = argparse.ArgumentParser(prog="local/pages", description="Pages in a real Chromium.")
    parser.add_argument("--screenshots", type=Path, metavar="DIR", help="draw the pages there, too")
    commands = parser.add_subparsers(dest="command")
    check = commands.add_parser("check", help="check pages that are there already")
    check.add_argument("pages", nargs="+", type=Path, metavar="PAGE")
    draw = commands.add_parser("draw", help="draw a load test's report for the docs")
    draw.add_argument("page", type=Path, metavar="RUN.html")
    draw.add_argument("folder", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    if Path(sys.prefix) != VENV:
        # Once more, with what it needs.
        install()
        sys.exit(subprocess.run([VENV / "bin" / "python", *sys.argv], check=False).returncode)

    import check as checks
    import run_page
    import trace_page

    with checks.Browser() as browser:
        if arguments.command == "check":
            for page in arguments.pages:
                checks.check(browser, page)
        elif arguments.command == "draw":
            run_page.draw(browser, arguments.page, arguments.folder, arguments.page.stem)
        else:
            trace_page.check(browser, TARGET, arguments.screenshots)
            run_page.check(browser, TARGET)
    if checks.faults:
        sys.exit("\n".join(["error: pages have faults", *checks.faults]))
    print("pages: no faults")


if __name__ == "__main__":
    main()
