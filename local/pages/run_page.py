"""The page of a load test: `loadtest run --report`, of a small run with faults."""

import json
import os
import subprocess
from pathlib import Path

from check import PHONE, SCREEN, Browser
from check import check as check_page

ROOT = Path(__file__).resolve().parent.parent.parent

FILES = 12
CHARTS = ["throughput over time", "memory over time", "latency distribution", "queue over time", "waterfall"]


def check(browser: Browser, target: Path) -> None:
    page, document = target / "pages" / "run.html", target / "pages" / "run.json"
    page.parent.mkdir(parents=True, exist_ok=True)
    sent = ["--target", "sim", "--files", str(FILES), "--size", "8MiB", "--dirty", "0.001"]
    chaos = ["--chaos", "unavailable=0.02,duplicate=0.3", "--seed", "7"]
    command = ["cargo", "run", "--release", "--quiet", "-p", "loadtest", "--", "run", *sent, *chaos]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    subprocess.run([*command, "--report", page, "--json", document], cwd=ROOT, check=True, env=environment)
    run = json.loads(document.read_text())
    check_page(browser, page, lambda page, way: own(page, run))


def own(page, run: dict):
    """What the page has to show of this run."""
    text = page.inner_text("body")
    totals = run["totals"]
    for wanted in ["✔ every row accounted for", f"{totals['rows_in']:,} rows in", f"{FILES} files", run["machine"]["cpu"]]:
        if wanted not in text:
            yield f"does not say {wanted!r}"
    for name in CHARTS:
        chart = page.locator(f"svg[aria-label='{name}']").first
        if not chart.count() or (chart.bounding_box() or {"width": 0})["width"] < 200:
            yield f"has no drawing {name!r} that can be seen"


def draw(browser: Browser, path: Path, folder: Path, name: str) -> None:
    """A page for the docs, up to where its files are listed, in few colours: such a picture is a tenth of the size."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for way, window, scheme in [("light", SCREEN, "light"), ("dark", SCREEN, "dark"), ("phone", PHONE, "light")]:
        context = browser.chromium.new_context(viewport=window, color_scheme=scheme)
        page = context.new_page()
        page.goto(path.resolve().as_uri())
        height = page.locator("h2", has_text="Slowest files").bounding_box()["y"]
        picture = folder / f"{name}-{way}.png"
        page.screenshot(path=picture, full_page=True, clip={"x": 0, "y": 0, "width": window["width"], "height": height})
        Image.open(picture).convert("RGB").quantize(64, Image.Quantize.MAXCOVERAGE).save(picture, optimize=True)
        context.close()
    print(f"drawn in {folder}")
