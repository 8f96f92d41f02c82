"""A browser, and a page of 5,000 characters in it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browsing import CHROMIUM, Opened

from charlm.inspection.inspection import Inspection
from charlm.inspection.page import render


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start a browser for the tests of a file; its event loop must not run while other files are tested."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM)
        yield started
        started.close()


@pytest.fixture(scope="session")
def inspection(inspection: Inspection) -> Inspection:
    """Return the inspection with a low level of chance, since a model of a few steps follows nothing beyond it."""
    return replace(inspection, tracking=replace(inspection.tracking, chance=inspection.tracking.chance / 10))


@pytest.fixture(scope="session")
def path(inspection: Inspection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page of 5,000 characters."""
    path = tmp_path_factory.mktemp("page") / "inspect.html"
    path.write_text(render(inspection, "a run", {"text": "the song"}), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Any, path: Path) -> Iterator[Opened]:
    """Open the page in light colours."""
    opened = Opened(browser, path, color_scheme="light", viewport={"width": 1200, "height": 900})
    yield opened
    opened.page.close()
