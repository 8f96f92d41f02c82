"""The page of charlm inspect in a real Chromium without a window."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None or find_spec("playwright") is None,
    reason="a browser is not installed: apt-get install chromium; pip install playwright",
)


class Opened:
    """A page that was opened from a file, with all that it asked for and complained about."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page = browser.new_page(**options)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("#cell option", state="attached")  # the activations are unpacked

    def read(self, name: str) -> str:
        """Return the text of an element."""
        return str(self.page.locator(f"#{name}").inner_text())

    def colour(self, name: str) -> list[int]:
        """Return the background of an element."""
        text = self.page.evaluate(f"getComputedStyle(document.getElementById('{name}')).backgroundColor")
        return [int(part) for part in re.findall(r"\d+", text)]

    def focused(self) -> str:
        """Return the id of the element that has the focus."""
        return str(self.page.evaluate("document.activeElement.id"))
