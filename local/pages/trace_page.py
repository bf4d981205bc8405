"""The page of a file's trace: `penstock trace KEY --html`, of a file that `penstock demo` has just sent."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from check import PHONE, SCREEN, Browser
from check import check as check_page

ROOT = Path(__file__).resolve().parent.parent.parent

# Long enough that its throughput is sampled: some 60 MB.
ROWS = 1_000_000
# Every so many, a row lacks its last field.
SHORT_EVERY = 50_000
# A name that markup would choke on.
ODD_NAME = "a&b <i>\"c\".csv"

SPANS = ["upload", "file", "detect", "transfer", "commit", "publish", "process", "verify", "catalogue"]

# The bars and the names of the waterfall: where each is.
PLACES = """() => {
  const waterfall = document.querySelector('svg[aria-label=waterfall]');
  const boxes = (selector) => [...waterfall.querySelectorAll(selector)].map((e) => e.getBoundingClientRect().toJSON());
  return { bars: boxes(':scope > rect'), names: boxes(':scope > svg'), times: boxes(':scope > text.end:not(.dim)') };
}"""


def check(browser: Browser, target: Path, screenshots: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        orders, odd = Path(folder, "orders.csv"), Path(folder, ODD_NAME)
        write(orders)
        odd.write_text("id,name\n1,x\n")
        reports = demo([orders, odd])
    pages = target / "pages"
    for report in reports:
        path = pages / ("orders.html" if report["key"].endswith("orders.csv") else "odd.html")
        penstock("trace", report["key"], "--html", path)
        check_page(browser, path, lambda page, way, report=report: own(page, way, report))
    if screenshots:
        draw(browser, pages / "orders.html", screenshots)


def write(path: Path) -> None:
    """Orders, with some that lack a field."""
    with path.open("w") as file:
        file.write("id,customer,item,quantity,price,country,note\n")
        for number in range(ROWS):
            short = number % SHORT_EVERY == SHORT_EVERY - 1
            note = "" if short else f",as ordered on day {number % 365}"
            file.write(f"{number},customer-{number % 9973},item-{number % 311},{number % 7 + 1},{number % 1000}.50,DE{note}\n")


def demo(files: list) -> list:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = penstock("demo", "--json", *files, env=environment, stdout=subprocess.PIPE)
    return json.loads(done.stdout)["files"]


def penstock(*arguments, **more) -> subprocess.CompletedProcess:
    command = ["cargo", "run", "--release", "--quiet", "--", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, check=True, **{"stdout": subprocess.DEVNULL, **more})


def own(page, way: str, report: dict):
    """What the page has to show of this file."""
    if page.title() != report["key"]:
        yield f"has the title {page.title()!r}"
    text = page.inner_text("body")
    counts = report["counts"]
    rows = [f"{counts[f'rows_{name}']:,} {word}" for name, word in (("in", "rows in"), ("out", "out"))]
    for wanted in [*rows, f"{counts['rows_rejected']:,} rejected", report["trace_id"], "✔"]:
        if wanted not in text:
            yield f"does not say {wanted!r}"
    if "✘" in text:
        yield "has a sum that is wrong"
    names = page.locator("svg[aria-label=waterfall] > svg text").all_text_contents()
    if missing := [name for name in SPANS if name not in names]:
        yield f"shows {names} and not {missing}"
    if report["bytes_in"] > 1_000_000:
        curves = page.locator("svg[aria-label='throughput over time'] polyline")
        if curves.count() != 4:
            yield f"has {curves.count()} curves"
    yield from misplaced(page.evaluate(PLACES))


def misplaced(places: dict):
    for bar, name, time in zip(places["bars"], places["names"], places["times"], strict=True):
        if bar["width"] <= 0 or bar["left"] < name["right"] or bar["right"] > time["left"] + 1:
            yield f"a bar from {bar['left']:.0f} to {bar['right']:.0f} runs into {name} or {time}"


def draw(browser: Browser, path: Path, folder: Path) -> None:
    """What the docs show, in few colours: such a picture is a tenth of the size."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for name, window, scheme in [("light", SCREEN, "light"), ("dark", SCREEN, "dark"), ("phone", PHONE, "light")]:
        context = browser.chromium.new_context(viewport=window, color_scheme=scheme)
        page = context.new_page()
        page.goto(path.resolve().as_uri())
        # Up to where the spans are listed.
        height = page.locator("section").last.bounding_box()["y"]
        picture = folder / f"trace-{name}.png"
        page.screenshot(path=picture, full_page=True, clip={"x": 0, "y": 0, "width": window["width"], "height": height})
        Image.open(picture).convert("RGB").quantize(64, Image.Quantize.MAXCOVERAGE).save(picture, optimize=True)
        context.close()
    print(f"drawn in {folder}")
