"""The real Chromium, without a window, driven by playwright; what a page does wrong is written down.

Chromium is the machine's own (Debian, Ubuntu: `apt-get install chromium`). Playwright comes from PyPI once, by digest,
into a cache folder: nothing else of the project needs it, so it stays out of the lock.
"""

import hashlib
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any  # of playwright, whose types are not there when mypy runs

from stand.repository import ROOT

REQUIREMENTS = ROOT / "tests" / "browser" / "requirements.txt"
CACHE = ROOT / ".cache" / "browser"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECONDS = 15.0


@dataclass
class Faults:
    """What pages asked for outside their origin, and what the browser complained of."""

    origin: str
    foreign: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def watch(self, page: Any) -> None:
        """Write down from now on what goes wrong on a page."""
        page.on("request", self._note_request)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("console", self._note_message)

    def _note_message(self, message: Any) -> None:
        # A refusal, or "it is being loaded", is an answer; the browser complains of it nevertheless.
        is_answer = message.text.startswith("Failed to load resource") and (
            message.location["url"].startswith((f"{self.origin}/endpoints/", f"{self.origin}/rasen/"))
        )
        if message.type in ("error", "warning") and not is_answer:
            self.said.append(message.text)

    def _note_request(self, request: Any) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:")):
            self.foreign.append(request.url)


def fetch_playwright() -> Any:
    """Return the module `playwright.sync_api`, installed once into the cache."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"python{sys.version_info.major}.{sys.version_info.minor}-{digest}"
    if not folder.exists():
        half = folder.with_suffix(".new")
        shutil.rmtree(half, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]
        subprocess.run(
            [
                *pip,
                "--require-hashes",
                "--no-deps",
                "--target",
                str(half),
                "--requirement",
                str(REQUIREMENTS),
            ],
            check=True,
            env={**os.environ, "PIP_USER": "no"},
        )
        half.rename(folder)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return importlib.import_module("playwright.sync_api")


def find_chromium() -> str:
    """Return the path of the machine's Chromium."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise RuntimeError(
            f"no Chromium: none of {', '.join(NAMES)} is on the PATH; apt-get install chromium brings one"
        )
    return found


@contextmanager
def running_browser() -> Iterator[Any]:
    """Start Chromium with a profile of its own, and end it."""
    with fetch_playwright().sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(browser: Any, origin: str, **options: Any) -> Iterator[tuple[Any, Faults]]:
    """Open an empty page that nobody has used before.

    Args:
        browser: From `running_browser`.
        origin: Where its requests may go.
        options: Of the context: `viewport`, `color_scheme`, …
    """
    context = browser.new_context(**options)
    context.set_default_timeout(SECONDS * 1000)
    faults = Faults(origin)
    page = context.new_page()
    faults.watch(page)
    try:
        yield page, faults
    finally:
        context.close()
