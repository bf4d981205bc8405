"""What has to hold of every page, in each way that people read it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

# What is found, in words.
faults: list[str] = []

SCREEN = {"width": 1000, "height": 800}
PHONE = {"width": 360, "height": 740}
# Each way: its name, the window, and what is emulated.
WAYS = [
    ("light", SCREEN, {"color_scheme": "light"}),
    ("dark", SCREEN, {"color_scheme": "dark"}),
    ("phone", PHONE, {"color_scheme": "light"}),
    ("phone, dark", PHONE, {"color_scheme": "dark"}),
    ("print", SCREEN, {"color_scheme": "dark", "media": "print"}),
]

# WCAG 2.2, level AA: of text as small as ours.
CONTRAST = 4.5

# Of every element that shows text: the text, its contrast to the page, and where it stands.
TEXTS = """() => {
  const channels = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = (color) => {
    const [r, g, b] = channels(color).map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$/.test(color) && color !== 'transparent') return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const own = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return [...document.body.querySelectorAll('*')].filter(own).map((element) => {
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    const [a, b] = [light(element instanceof SVGElement ? style.fill : style.color), light(behind(element))];
    return {
      text: element.textContent.trim().slice(0, 40),
      contrast: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05),
      size: parseFloat(style.fontSize),
      left: box.left, right: box.right, width: box.width,
    };
  });
}"""


class Browser:
    """A Chromium, as long as it is held."""

    def __enter__(self) -> "Browser":
        self.playwright = sync_playwright().start()
        # Without a sandbox only where it can't have one.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        self.chromium = self.playwright.chromium.launch(executable_path=find(), args=arguments)
        return self

    def __exit__(self, *_) -> None:
        self.chromium.close()
        self.playwright.stop()


def find() -> str | None:
    """The machine's Chromium; none where Playwright has its own."""
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    if found := next(filter(None, map(shutil.which, names)), None):
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", "chromium"], check=True)
        return shutil.which("chromium")
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)
    return None


def check(browser: Browser, path: Path, also=lambda page, way: None) -> None:
    """Opens a page in every way. `also` looks at what is its own."""
    for way, window, emulated in WAYS:
        context = browser.chromium.new_context(viewport=window)
        page = context.new_page()
        page.emulate_media(**emulated)
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(path.resolve().as_uri())
        for problem in problems(page, way, asked, said):
            faults.append(f"{path.name}, {way}: {problem}")
        for problem in also(page, way) or []:
            faults.append(f"{path.name}, {way}: {problem}")
        context.close()


def problems(page: Page, way: str, asked: list, said: list):
    if len(asked) != 1:
        yield f"asks for {asked[1:]}"
    if said:
        yield f"says {said}"
    if page.locator("script").count():
        yield "has a script"
    width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if width > 0:
        yield f"is {width} pixels wider than the window"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    is_dark = sum(int(part) for part in background[4:-1].split(",")[:3]) < 3 * 128
    if is_dark != way.endswith("dark"):
        yield f"has the background {background}"
    texts = [text for text in page.evaluate(TEXTS) if text["width"] > 0]
    if not texts:
        yield "shows no text"
    for text in texts:
        if text["contrast"] < CONTRAST:
            yield f"{text['text']!r} has a contrast of {text['contrast']:.1f}"
        if text["size"] < 12:
            yield f"{text['text']!r} is {text['size']} pixels high"
    if way == "print":
        hidden = page.evaluate(
            "[...document.querySelectorAll('details > :not(summary)')].filter((e) => !e.checkVisibility()).length"
        )
        if hidden:
            yield f"{hidden} details are not printed"
        if not page.pdf(format="A4").startswith(b"%PDF"):
            yield "can't be printed"
